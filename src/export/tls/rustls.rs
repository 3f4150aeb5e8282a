//! TLS through rustls.

use std::sync::Arc;

use hyper_rustls::HttpsConnector;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

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
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| connection.unusable(error))?
        .with_root_certificates(roots(connection)?);
    let mut config = match &connection.tls.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let private = PrivateKeyDer::from_pem_slice(&key.content)
                .map_err(|error| key.unusable("a private key", error))?;
            builder
                .with_client_auth_cert(certificates(chain)?, private)
                .map_err(|error| key.unusable("the certificate's private key", error))?
        }
    };
    if application == Application::Grpc {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(HttpsConnector::from((connector, config)))
}

/// The program's provider if it has installed one. Never rustls' own choice, which panics where the crates of a program
/// ask for more than one.
fn provider() -> Arc<CryptoProvider> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Arc::clone(installed);
    }
    #[cfg(feature = "tls")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

fn roots(connection: &Connection) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    match &connection.tls.authorities {
        Some(file) => {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| file.unusable("certificates", error))?;
            }
        }
        // Reading the system's takes long enough not to do it for nothing.
        None if connection.is_https() => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    Ok(roots)
}

/// At least one.
fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let certificates = CertificateDer::pem_slice_iter(&file.content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file.unusable("certificates", error))?;
    if certificates.is_empty() {
        return Err(file.unusable("certificates", "there is none in it"));
    }
    Ok(certificates)
}
