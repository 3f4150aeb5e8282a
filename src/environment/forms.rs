//! The variables of OTLP that have two forms: for all signals, and for traces, which wins.

use super::{SetupError, Variables};

/// The two forms of a variable, the stronger first.
pub(super) type Forms = [&'static str; 2];

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
pub(super) const TIMEOUTS: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
pub(super) const COMPRESSION: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
];
pub(super) const CERTIFICATE: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];
pub(super) const CLIENT_CERTIFICATE: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];
pub(super) const CLIENT_KEY: Forms = [
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

    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, SetupError> {
        let name = form(variables, PROTOCOL)?;
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

/// The name of the form that counts.
pub(super) fn form(
    variables: &Variables<'_>,
    [traces, general]: Forms,
) -> Result<&'static str, SetupError> {
    Ok(if variables.is_set(traces)? {
        traces
    } else {
        general
    })
}
