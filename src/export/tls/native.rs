//! TLS through the system's library.

use hyper_tls::HttpsConnector;
use native_tls::{Certificate, TlsConnector};

use super::Application;
use crate::environment::{Connection, Identity, PemFile, SetupError};

/// A connector that speaks TLS to `https` URLs.
pub(crate) type Tls<C> = HttpsConnector<C>;

/// Puts TLS over `connector`. Certificates that are set are read even if the endpoint is plain `http`.
pub(crate) fn over<C>(
    connector: C,
    connection: &Connection,
    application: Application,
) -> Result<Tls<C>, SetupError> {
    let mut builder = TlsConnector::builder();
    if let Some(file) = &connection.tls.authorities {
        builder.disable_built_in_roots(true);
        for certificate in certificates(file)? {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some(Identity { chain, key }) = &connection.tls.identity {
        certificates(chain)?;
        let identity = native_tls::Identity::from_pkcs8(&chain.content, &key.content)
            .map_err(|error| key.unusable("the certificate's private key in PKCS #8", error))?;
        builder.identity(identity);
    }
    if application == Application::Grpc {
        builder.request_alpns(&["h2"]);
    }
    let tls = builder
        .build()
        .map_err(|error| connection.unusable(error))?;
    Ok(HttpsConnector::from((connector, tls.into())))
}

/// At least one.
fn certificates(file: &PemFile) -> Result<Vec<Certificate>, SetupError> {
    let certificates = Certificate::stack_from_pem(&file.content)
        .map_err(|error| file.unusable("certificates", error))?;
    if certificates.is_empty() {
        return Err(file.unusable("certificates", "there is none in it"));
    }
    Ok(certificates)
}
