//! The URL that telemetry goes to.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};

use http::Uri;

use super::{
    SetupError, Variables,
    forms::{Protocol, Signal, form},
};

/// Reads the endpoint: what to show and to choose a profile by, and the same parsed.
///
/// Over HTTP it is the very URL to post to, over gRPC scheme, host and port.
pub(super) fn read(
    variables: &Variables<'_>,
    signal: &Signal,
    protocol: Protocol,
) -> Result<(String, Uri), SetupError> {
    let name = form(variables, signal.endpoint)?;
    let value = variables.get(name)?.unwrap_or_else(|| {
        if protocol == Protocol::Grpc {
            "http://localhost:4317".into()
        } else {
            "http://localhost:4318".into()
        }
    });
    let unusable = |allowed: &str| SetupError::variable(name, &without_secrets(&value), allowed);
    let parts = Parts::of(&value).ok_or_else(|| {
        unusable(
            "a URL such as http://localhost:4318 or https://collector.example.com (http or https, a host in ASCII, \
             no user or password: those are headers)",
        )
    })?;
    let Parts {
        scheme,
        authority,
        path,
        query,
    } = parts;
    if scheme == "https" && !has_tls() {
        return Err(unusable(
            "an http URL, or https in a program that switches on the feature `tls` (or `tls-ring`, `tls-native`) of \
             tracing-conversation",
        ));
    }
    let url = match protocol {
        Protocol::Grpc => format!("{scheme}://{authority}"),
        // The general form is a base for all signals; the form for one signal is used unchanged.
        _ if name == signal.endpoint[1] => {
            let base = path.trim_end_matches('/');
            format!("{scheme}://{authority}{base}{}{query}", signal.path)
        }
        _ => format!("{scheme}://{authority}{path}{query}"),
    };
    let uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| unusable(&format!("a URL ({error})")))?;
    Ok((url, uri))
}

/// Whether this build can speak TLS.
pub(super) const fn has_tls() -> bool {
    cfg!(any(
        feature = "tls",
        feature = "tls-ring",
        feature = "tls-native"
    ))
}

struct Parts<'a> {
    scheme: &'static str,
    authority: &'a str,
    path: &'a str,
    /// With its question mark.
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = ["http", "https"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))?;
        // A fragment is the client's own business and is not sent.
        let rest = rest.split('#').next()?;
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
        (printable && is_authority(authority)).then_some(Self {
            scheme,
            authority,
            path,
            query,
        })
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand between brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    port.is_none_or(|port| port.parse::<NonZeroU16>().is_ok()) && is_host(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let last = host.trim_end_matches('.').rsplit('.').next();
    if last.is_some_and(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit())) {
        // What ends in a number is an address to every resolver.
        return host.parse::<Ipv4Addr>().is_ok();
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// A URL as it may be shown: without user, password, query and fragment, any of which may be a key.
pub(super) fn without_secrets(url: &str) -> String {
    let (base, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    if rest.contains('@') {
        // A password that was not encoded may have either character in it: nothing is certain not to be one.
        return "…".into();
    }
    let base = match base.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => base.to_owned(),
    };
    let hidden = if rest.is_empty() { "" } else { "?…" };
    format!("{base}{hidden}")
}
