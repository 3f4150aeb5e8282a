//! `OTEL_EXPORTER_OTLP_*`: the general form of each variable, and the form for traces, which wins.

use std::time::Duration;

use super::{SetupError, Variables, resource::key_and_value};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The two forms of a variable, the stronger first.
type Forms = [&'static str; 2];

pub(crate) const ENDPOINT: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
pub(crate) const PROTOCOL: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
pub(crate) const HEADERS: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const TIMEOUTS: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const COMPRESSION: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
];
const CERTIFICATE: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];
const CLIENT_CERTIFICATE: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];
const CLIENT_KEY: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
];

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// gRPC; needs the feature `grpc`.
    Grpc,
    /// Protobuf over HTTP, the default; needs the feature `http`.
    HttpProtobuf,
    /// JSON over HTTP; needs the feature `http`.
    HttpJson,
}

impl Protocol {
    const NAMES: [(&'static str, Self); 3] = [
        ("grpc", Self::Grpc),
        ("http/protobuf", Self::HttpProtobuf),
        ("http/json", Self::HttpJson),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    fn is_built(self) -> bool {
        match self {
            Self::Grpc => cfg!(feature = "grpc"),
            Self::HttpProtobuf | Self::HttpJson => cfg!(feature = "http"),
        }
    }

    fn read(variables: &Variables<'_>) -> Result<Self, SetupError> {
        let name = form(variables, PROTOCOL);
        let built: Vec<&str> = Self::NAMES
            .iter()
            .filter(|(_, protocol)| protocol.is_built())
            .map(|(name, _)| *name)
            .collect();
        let chosen = match variables.choice(name, &Self::NAMES)? {
            Some(chosen) => chosen,
            None if cfg!(feature = "http") => Self::HttpProtobuf,
            None if cfg!(feature = "grpc") => Self::Grpc,
            None => {
                return Err(SetupError::variable(
                    "OTEL_TRACES_EXPORTER",
                    "otlp",
                    "none or console, as long as this program is built without the features `http` and `grpc` \
                     of tracing-conversation",
                ));
            }
        };
        if chosen.is_built() {
            return Ok(chosen);
        }
        let allowed = format!("{} in this build of tracing-conversation", built.join(", "));
        Err(SetupError::variable(name, chosen.name(), allowed))
    }
}

/// OTLP as the environment wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Otlp {
    pub(crate) protocol: Protocol,
    pub(crate) connection: Connection,
}

/// What every OTLP client is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// HTTP: the very URL to post to. gRPC: scheme, host and port.
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Of one attempt.
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) tls: Tls,
}

impl Connection {
    /// The URL without its query, which may carry a key.
    #[cfg(feature = "otlp")]
    pub(crate) fn destination(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

/// PEM texts; empty settings mean the system's roots and no client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) identity: Option<Identity>,
}

/// The program's own certificate chain and its private key.
pub(crate) type Identity = (Vec<u8>, Vec<u8>);

impl Otlp {
    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, SetupError> {
        let protocol = Protocol::read(variables)?;
        let gzip = variables.choice(
            form(variables, COMPRESSION),
            &[("gzip", true), ("none", false)],
        )?;
        let connection = Connection {
            url: url(variables, protocol)?,
            headers: headers(variables)?,
            timeout: variables
                .milliseconds(form(variables, TIMEOUTS), 1)?
                .unwrap_or(TIMEOUT),
            gzip: gzip.unwrap_or(false),
            tls: Tls {
                authorities: file(variables, CERTIFICATE)?,
                identity: identity(variables)?,
            },
        };
        Ok(Self {
            protocol,
            connection,
        })
    }
}

/// The name of the form that counts.
fn form(variables: &Variables<'_>, [traces, general]: Forms) -> &'static str {
    if variables.get(traces).is_some() {
        traces
    } else {
        general
    }
}

fn url(variables: &Variables<'_>, protocol: Protocol) -> Result<String, SetupError> {
    let name = form(variables, ENDPOINT);
    let Some(value) = variables.get(name) else {
        return Ok(match protocol {
            Protocol::Grpc => "http://localhost:4317".into(),
            _ => "http://localhost:4318/v1/traces".into(),
        });
    };
    let Some(parts) = Parts::of(&value) else {
        let allowed = "a URL such as http://localhost:4318 or https://collector.example.com (http or https, a host, \
                       no user or password: those are headers)";
        return Err(SetupError::variable(
            name,
            &without_password(&value),
            allowed,
        ));
    };
    let Parts {
        authority,
        path,
        query,
        ..
    } = parts;
    let scheme = parts.scheme.to_ascii_lowercase();
    Ok(match protocol {
        Protocol::Grpc => format!("{scheme}://{authority}"),
        // The general form is a base for all signals; the form for traces is taken at its word.
        _ if name == ENDPOINT[1] => {
            let base = path.trim_end_matches('/');
            format!("{scheme}://{authority}{base}/v1/traces{query}")
        }
        _ => format!("{scheme}://{authority}{path}{query}"),
    })
}

struct Parts<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
    /// With its question mark.
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let known = ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        let (rest, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand between brackets.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
        let clean =
            !url.chars().any(|c| c.is_whitespace() || c.is_control()) && !authority.contains('@');
        (known && clean && port_fits && !host.is_empty()).then_some(Self {
            scheme,
            authority,
            path,
            query,
        })
    }
}

fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

fn headers(variables: &Variables<'_>) -> Result<Vec<(String, String)>, SetupError> {
    let name = form(variables, HEADERS);
    let Some(value) = variables.get(name) else {
        return Ok(Vec::new());
    };
    value
        .split(',')
        .filter(|entry| !entry.trim().is_empty())
        .map(|entry| {
            key_and_value(entry)
                .filter(|(key, value)| {
                    key.bytes().all(is_token)
                        && value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
                })
                .ok_or_else(|| {
                    let allowed = "name=value,name=value with percent-encoded values";
                    SetupError::variable(name, &start_of_header(entry), allowed)
                })
        })
        .collect()
}

/// The characters of a header's name (RFC 9110).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// As much of a broken entry as tells which one it is, and no key that may be in it.
fn start_of_header(entry: &str) -> String {
    let entry = entry.trim();
    let length = entry
        .bytes()
        .take_while(|&byte| is_token(byte))
        .take(24)
        .count();
    let (start, rest) = entry.split_at(length);
    format!("{start}{}", if rest.is_empty() { "" } else { "…" })
}

/// The content of the file that a variable names.
fn file(variables: &Variables<'_>, forms: Forms) -> Result<Option<Vec<u8>>, SetupError> {
    let name = form(variables, forms);
    let Some(path) = variables.get(name) else {
        return Ok(None);
    };
    match std::fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) => Err(SetupError::variable(
            name,
            &path,
            format!("the path of a PEM file ({error})"),
        )),
    }
}

fn identity(variables: &Variables<'_>) -> Result<Option<Identity>, SetupError> {
    match (
        file(variables, CLIENT_CERTIFICATE)?,
        file(variables, CLIENT_KEY)?,
    ) {
        (Some(chain), Some(key)) => Ok(Some((chain, key))),
        (None, None) => Ok(None),
        (chain, _) => {
            let missing = form(
                variables,
                if chain.is_some() {
                    CLIENT_KEY
                } else {
                    CLIENT_CERTIFICATE
                },
            );
            Err(SetupError::variable(
                missing,
                "",
                "the path of a PEM file, since the other half of the pair is set",
            ))
        }
    }
}
