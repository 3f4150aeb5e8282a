//! `LANGFUSE_HOST`, `LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY`: together they set an OTLP endpoint and its
//! headers, unless an endpoint is set already.

use std::collections::HashMap;

use super::{
    SetupError, TRACES, Variables,
    forms::{Forms, form},
};

const HOST: &str = "LANGFUSE_HOST";
const PUBLIC_KEY: &str = "LANGFUSE_PUBLIC_KEY";
const SECRET_KEY: &str = "LANGFUSE_SECRET_KEY";

/// The explicit settings plus those derived from the three variables; `None` if they do not apply.
pub(super) fn settings(
    variables: &Variables<'_>,
) -> Result<Option<HashMap<String, String>>, SetupError> {
    // An endpoint by default is no reason not to use that of Langfuse.
    let variables = &variables.without_defaults();
    let set = |forms: Forms| variables.get(form(variables, forms)?);
    let (Some(host), Some(public_key), Some(secret_key), None) = (
        variables.get(HOST)?,
        variables.get(PUBLIC_KEY)?,
        variables.get(SECRET_KEY)?,
        set(TRACES.endpoint)?,
    ) else {
        return Ok(None);
    };
    if !cfg!(feature = "http") {
        return Err(SetupError::variable(
            HOST,
            &host,
            "unset, as long as this program is built without the feature `http` of tracing-conversation",
        ));
    }
    if host.contains(['?', '#']) {
        // The path would become a part of it.
        return Err(unusable_host(&host));
    }
    if let Some(protocol) =
        set(TRACES.protocol)?.filter(|protocol| protocol.eq_ignore_ascii_case("grpc"))
    {
        return Err(SetupError::variable(
            form(variables, TRACES.protocol)?,
            &protocol,
            "http/protobuf or http/json together with LANGFUSE_HOST: Langfuse takes no gRPC",
        ));
    }
    let mut headers = set(TRACES.headers)?.into_iter().collect::<Vec<_>>();
    let is_authorized = headers
        .iter()
        .flat_map(|headers| headers.split(','))
        .any(|header| {
            let name = header.split('=').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("authorization")
        });
    if !is_authorized {
        headers.push(format!(
            "Authorization=Basic%20{}",
            basic(&public_key, &secret_key)
        ));
    }
    headers.push("x-langfuse-ingestion-version=4".to_owned());
    let mut explicit = variables.explicit.clone();
    let endpoint = format!("{}/api/public/otel/v1/traces", host.trim_end_matches('/'));
    explicit.insert(TRACES.endpoint[0].to_owned(), endpoint);
    explicit.insert(TRACES.headers[0].to_owned(), headers.join(","));
    Ok(Some(explicit))
}

/// Makes an error about what was derived name what it was derived from.
pub(super) fn name_source(variables: &Variables<'_>, error: SetupError) -> SetupError {
    match error {
        SetupError::Variable { name, .. } if name == TRACES.endpoint[0] => {
            unusable_host(&variables.get(HOST).ok().flatten().unwrap_or_default())
        }
        SetupError::Variable {
            name,
            value,
            allowed,
        } if name == TRACES.headers[0] => SetupError::Variable {
            name: form(variables, TRACES.headers).map_or(name, str::to_owned),
            value,
            allowed,
        },
        other => other,
    }
}

fn unusable_host(host: &str) -> SetupError {
    SetupError::variable(
        HOST,
        &super::endpoint::without_secrets(host),
        "a URL such as https://cloud.langfuse.com (http or https, a host, no user or password, no query)",
    )
}

#[cfg(feature = "http")]
fn basic(public_key: &str, secret_key: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(format!("{public_key}:{secret_key}"))
}

#[cfg(not(feature = "http"))]
fn basic(_public_key: &str, _secret_key: &str) -> String {
    String::new()
}
