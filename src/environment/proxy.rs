//! `HTTP_PROXY` and its relatives, as curl reads them.

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::{SetupError, Variables, endpoint::without_secrets};

/// A proxy in front of the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Its address, without user and password.
    pub(crate) uri: Uri,
    /// The value of `proxy-authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

/// The proxy for requests to `destination`; `None` if there is none, or `NO_PROXY` exempts it.
pub(super) fn read(
    variables: &Variables<'_>,
    destination: &Uri,
) -> Result<Option<Proxy>, SetupError> {
    let https = destination.scheme_str() == Some("https");
    let names: &[&'static str] = match https {
        true => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        // To a CGI program, `HTTP_PROXY` is the `Proxy` header of the request's sender.
        false if variables.is_set("REQUEST_METHOD")? => &["http_proxy", "ALL_PROXY", "all_proxy"],
        false => &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let Some((name, value)) = first(variables, names)? else {
        return Ok(None);
    };
    let unusable = || {
        SetupError::variable(
            name,
            &without_secrets(&value),
            "the URL of an http proxy such as http://proxy.example.com:3128",
        )
    };
    let exempt =
        first(variables, &["NO_PROXY", "no_proxy"])?.map_or_else(String::new, |found| found.1);
    // Once without the exceptions: a value that cannot be used is an error, not a direct connection.
    let proxy = Matcher::builder()
        .all(value.clone())
        .build()
        .intercept(destination)
        .filter(|proxy| proxy.uri().scheme_str() == Some("http"))
        .ok_or_else(unusable)?;
    let matcher = Matcher::builder().all(value.clone()).no(exempt).build();
    Ok(matcher.intercept(destination).is_some().then(|| Proxy {
        uri: proxy.uri().clone(),
        authorization: proxy.basic_auth().cloned(),
    }))
}

fn first(
    variables: &Variables<'_>,
    names: &[&'static str],
) -> Result<Option<(&'static str, String)>, SetupError> {
    for name in names {
        if let Some(value) = variables.get(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}
