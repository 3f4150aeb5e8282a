//! The variables of OTLP that have two forms: for all signals, and for one of them, which wins.

use super::{SetupError, Variables};

/// The two forms of a variable, the stronger first.
pub(crate) type Forms = [&'static str; 2];

/// What OTLP carries a kind of, and the names of its variables.
#[derive(Debug)]
pub(crate) struct Signal {
    /// `OTEL_…_EXPORTER`.
    pub(crate) exporter: &'static str,
    /// What is appended to a base URL.
    pub(super) path: &'static str,
    pub(crate) endpoint: Forms,
    pub(crate) protocol: Forms,
    pub(crate) headers: Forms,
    pub(super) timeout: Forms,
    pub(super) compression: Forms,
    pub(super) certificate: Forms,
    pub(super) client_certificate: Forms,
    pub(super) client_key: Forms,
}

macro_rules! signal {
    ($name:literal, $path:literal) => {
        Signal {
            exporter: concat!("OTEL_", $name, "_EXPORTER"),
            path: $path,
            endpoint: forms!($name, "ENDPOINT"),
            protocol: forms!($name, "PROTOCOL"),
            headers: forms!($name, "HEADERS"),
            timeout: forms!($name, "TIMEOUT"),
            compression: forms!($name, "COMPRESSION"),
            certificate: forms!($name, "CERTIFICATE"),
            client_certificate: forms!($name, "CLIENT_CERTIFICATE"),
            client_key: forms!($name, "CLIENT_KEY"),
        }
    };
}

macro_rules! forms {
    ($name:literal, $end:literal) => {
        [
            concat!("OTEL_EXPORTER_OTLP_", $name, "_", $end),
            concat!("OTEL_EXPORTER_OTLP_", $end),
        ]
    };
}

pub(crate) const TRACES: Signal = signal!("TRACES", "/v1/traces");
#[cfg(feature = "metrics")]
pub(crate) const METRICS: Signal = signal!("METRICS", "/v1/metrics");

/// The protocol of OTLP.
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

    pub(super) fn read(variables: &Variables<'_>, signal: &Signal) -> Result<Self, SetupError> {
        let name = form(variables, signal.protocol)?;
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
                    signal.exporter,
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

/// The name of the form that counts.
pub(super) fn form(
    variables: &Variables<'_>,
    [own, general]: Forms,
) -> Result<&'static str, SetupError> {
    Ok(if variables.is_set(own)? { own } else { general })
}
