//! `OTEL_EXPORTER_OTLP_*`: the general form of each variable, and the form for a signal, which wins.

use std::time::Duration;

use http::{HeaderMap, Uri};

#[cfg(feature = "http")]
use super::Proxy;
use super::forms::{Forms, Protocol, Signal, form};
use super::{SetupError, Variables, endpoint, headers};

const TIMEOUT: Duration = Duration::from_secs(10);

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
    /// The same, parsed.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Of one attempt.
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) tls: TlsSettings,
    /// For HTTP alone.
    #[cfg(feature = "http")]
    pub(crate) proxy: Option<Proxy>,
}

#[cfg(any(feature = "grpc", feature = "http"))]
impl Connection {
    /// The URL without its query, which may carry a key.
    pub(crate) fn destination(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    #[allow(dead_code, reason = "not every combination of features asks")]
    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The error that no client can be made for it.
    #[allow(dead_code, reason = "without TLS and HTTP nothing can go wrong")]
    pub(crate) fn unusable(&self, problem: impl ToString) -> SetupError {
        SetupError::Client {
            destination: self.destination().to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// Empty settings mean the system's authorities and no client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) authorities: Option<PemFile>,
    pub(crate) identity: Option<Identity>,
}

/// The program's own certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) chain: PemFile,
    pub(crate) key: PemFile,
}

/// What a PEM file has to hold.
#[derive(Clone, Copy)]
enum Pem {
    Certificates,
    Key,
}

/// A file that a variable names, and what is in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PemFile {
    variable: &'static str,
    path: String,
    pub(crate) content: Vec<u8>,
}

impl PemFile {
    /// The content of the file that a variable names.
    fn read(
        variables: &Variables<'_>,
        forms: Forms,
        holds: Pem,
    ) -> Result<Option<Self>, SetupError> {
        let variable = form(variables, forms)?;
        let Some(path) = variables.get(variable)? else {
            return Ok(None);
        };
        // A pipe or a device could block or never end.
        let content = std::fs::metadata(&path).and_then(|metadata| {
            if metadata.is_file() {
                std::fs::read(&path)
            } else {
                Err(std::io::Error::other("it is no regular file"))
            }
        });
        match content {
            Ok(content) => {
                let file = Self {
                    variable,
                    path,
                    content,
                };
                file.check(holds)?;
                Ok(Some(file))
            }
            Err(error) => Err(SetupError::variable(
                variable,
                &path,
                format!("the path of a PEM file ({error})"),
            )),
        }
    }

    /// Catches another kind of file in builds without TLS too, which understand no more of it.
    fn check(&self, holds: Pem) -> Result<(), SetupError> {
        let (wanted, marker): (_, &[u8]) = match holds {
            Pem::Key => ("a private key", b"PRIVATE KEY-----"),
            Pem::Certificates => ("certificates", b"-----BEGIN CERTIFICATE-----"),
        };
        if self
            .content
            .windows(marker.len())
            .any(|bytes| bytes == marker)
        {
            Ok(())
        } else {
            Err(self.unusable(wanted, "there is none in it"))
        }
    }

    /// The error that the file is not what is `wanted` of it.
    pub(crate) fn unusable(&self, wanted: &str, why: impl std::fmt::Display) -> SetupError {
        let allowed = format!("the path of a PEM file with {wanted} ({why})");
        SetupError::variable(self.variable, &self.path, allowed)
    }
}

impl std::fmt::Debug for PemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the content, which may be a private key.
        f.debug_tuple("PemFile").field(&self.path).finish()
    }
}

impl Otlp {
    /// How a signal is to be sent.
    pub(super) fn read(variables: &Variables<'_>, signal: &Signal) -> Result<Self, SetupError> {
        let protocol = Protocol::read(variables, signal)?;
        let gzip = variables.choice(
            form(variables, signal.compression)?,
            &[("gzip", true), ("none", false)],
        )?;
        let (url, uri) = endpoint::read(variables, signal, protocol)?;
        let connection = Connection {
            headers: headers::read(variables, signal.headers, protocol)?,
            timeout: variables
                .milliseconds(form(variables, signal.timeout)?, 1)?
                .unwrap_or(TIMEOUT),
            gzip: gzip.unwrap_or(false),
            tls: TlsSettings {
                authorities: PemFile::read(variables, signal.certificate, Pem::Certificates)?,
                identity: Identity::read(variables, signal)?,
            },
            #[cfg(feature = "http")]
            proxy: match protocol {
                Protocol::Grpc => None,
                _ => super::proxy::read(variables, &uri)?,
            },
            url,
            uri,
        };
        Ok(Self {
            protocol,
            connection,
        })
    }
}

impl Identity {
    fn read(variables: &Variables<'_>, signal: &Signal) -> Result<Option<Self>, SetupError> {
        let chain = PemFile::read(variables, signal.client_certificate, Pem::Certificates)?;
        let key = PemFile::read(variables, signal.client_key, Pem::Key)?;
        let missing = match (chain, key) {
            (Some(chain), Some(key)) => return Ok(Some(Self { chain, key })),
            (None, None) => return Ok(None),
            (Some(_), None) => signal.client_key,
            (None, Some(_)) => signal.client_certificate,
        };
        Err(SetupError::variable(
            form(variables, missing)?,
            "",
            "the path of a PEM file, since the other half of the pair is set",
        ))
    }
}
