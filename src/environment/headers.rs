//! The headers of every OTLP request.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    SetupError, Variables,
    forms::{Forms, Protocol, form},
    resource::key_and_value,
};

/// Headers that the client sets itself. Set otherwise, they would corrupt the request or its answer.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads them; all are marked as sensitive.
pub(super) fn read(
    variables: &Variables<'_>,
    forms: Forms,
    protocol: Protocol,
) -> Result<HeaderMap, SetupError> {
    let name = form(variables, forms)?;
    let mut headers = HeaderMap::new();
    let Some(list) = variables.get(name)? else {
        return Ok(headers);
    };
    for (number, entry) in list.split(',').enumerate() {
        if entry.trim().is_empty() {
            continue;
        }
        // No part of the entry is shown: any of it may be a key.
        let unusable = |allowed: &str| {
            SetupError::variable(
                name,
                "…",
                format!("{allowed}; entry {} is none", number + 1),
            )
        };
        let (key, value) = parse(entry)
            .ok_or_else(|| unusable("name=value,name=value with percent-encoded values"))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(unusable(&format!(
                "headers other than {}, which the client sets",
                RESERVED.join(", ")
            )));
        }
        if protocol == Protocol::Grpc
            && (key.as_str().ends_with("-bin") || key.as_str().starts_with("grpc-"))
        {
            return Err(unusable(
                "headers of text (gRPC has those whose names end in -bin for binary ones, and grpc-… for itself)",
            ));
        }
        if headers.try_insert(key, value).is_err() {
            return Err(unusable("a few thousand headers at most"));
        }
    }
    Ok(headers)
}

fn parse(entry: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = key_and_value(entry)?;
    let printable = value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let mut value: HeaderValue = value.parse().ok().filter(|_| printable)?;
    value.set_sensitive(true);
    Some((name.parse().ok()?, value))
}
