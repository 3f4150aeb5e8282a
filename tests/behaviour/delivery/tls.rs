//! TLS, both ways: an authority of one's own, and a certificate of one's own.

use tracing_conversation::{Builder, Protocol};

use super::{counts, last_problem, make, to};
use crate::support::PATIENCE;

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name)).as_slice()
    };
}

/// The path of a file beside these tests.
fn path(name: &str) -> String {
    format!(
        "{}/tests/behaviour/delivery/certificates/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn trusting(url: &str) -> Builder {
    to(url).variable("OTEL_EXPORTER_OTLP_CERTIFICATE", path("authority.pem"))
}

fn identified(builder: Builder) -> Builder {
    builder
        .variable("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", path("client.pem"))
        .variable("OTEL_EXPORTER_OTLP_CLIENT_KEY", path("client.key"))
}

fn arrives(builder: Builder) {
    let telemetry = builder.build().unwrap();
    make(&telemetry, 3);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [3, 0, 0, 0, 0]);
}

fn fails(builder: Builder, problems: &[&str]) {
    let telemetry = builder
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "200")
        .build()
        .unwrap();
    make(&telemetry, 3);
    telemetry.flush(PATIENCE).unwrap_err();
    assert_eq!(counts(&telemetry), [0, 0, 0, 3, 0]);
    let problem = last_problem(&telemetry);
    assert!(
        problems.iter().any(|words| problem.contains(words)),
        "{problem}"
    );
}

#[cfg(feature = "http")]
mod http {
    use std::{
        io::{self, BufRead, BufReader, Write},
        net::{TcpListener, TcpStream},
        sync::{Arc, mpsc},
        thread,
    };

    use rustls::{
        RootCertStore, ServerConfig, ServerConnection, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    };

    use super::super::to;
    use super::{arrives, fails, identified, trusting};
    use crate::support::Server;

    /// A server that asks for a certificate of the client's, or does not. Its URL.
    fn start(asks: bool) -> String {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(pem!("authority.pem")).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(pem!("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pem!("server.key")).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let server = Server::behind(TcpListener::bind("127.0.0.1:0").unwrap(), move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // Refuses the client, where it does, before the first request is read.
            let _ = stream.flush();
            stream
        });
        format!("https://localhost:{}", server.port())
    }

    #[test]
    fn spans_arrive_over_https() {
        arrives(trusting(&start(false)));
        fails(
            to(&start(false)),
            &[
                "UnknownIssuer",
                "invalid peer certificate",
                "certificate verify failed",
            ],
        );
    }

    #[test]
    fn spans_arrive_through_a_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        let (send, asked) = mpsc::channel();
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let first = head.lines().next().unwrap();
            let target = first.split(' ').nth(1).unwrap().to_owned();
            send.send(first.to_owned()).unwrap();
            let collector = TcpStream::connect(target).unwrap();
            (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (collector.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            let _ = io::copy(&mut &client, &mut &collector);
        });
        let url = start(false);
        arrives(
            trusting(&url)
                .variable("HTTPS_PROXY", format!("http://{proxy}"))
                .variable("NO_PROXY", ""),
        );
        let authority = url.strip_prefix("https://").unwrap();
        assert_eq!(
            asked.recv().unwrap(),
            format!("CONNECT {authority} HTTP/1.1")
        );
    }

    #[test]
    fn spans_arrive_where_the_client_has_to_identify_itself() {
        arrives(identified(trusting(&start(true))));
        fails(
            trusting(&start(true)),
            &[
                "CertificateRequired",
                "certificate required",
                "alert",
                "reset",
            ],
        );
    }
}

#[cfg(feature = "grpc")]
mod grpc {
    use super::super::{grpc, to};
    use super::{Protocol, arrives, fails, identified, trusting};
    use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

    fn start(asks: bool) -> String {
        // tonic's server takes rustls' default, which there is none of in a test with both providers.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(pem!("server.pem"), pem!("server.key")));
        if asks {
            tls = tls.client_ca_root(Certificate::from_pem(pem!("authority.pem")));
        }
        let (url, _) = grpc::start_with(Server::builder().tls_config(tls).unwrap());
        url.replace("http://127.0.0.1", "https://localhost")
    }

    #[test]
    fn spans_arrive_over_tls() {
        arrives(trusting(&start(false)).protocol(Protocol::Grpc));
        fails(
            to(&start(false)).protocol(Protocol::Grpc),
            &[
                "UnknownIssuer",
                "invalid peer certificate",
                "certificate verify failed",
            ],
        );
    }

    #[test]
    fn spans_arrive_where_the_client_has_to_identify_itself() {
        arrives(identified(trusting(&start(true))).protocol(Protocol::Grpc));
        // What is told of a refusal after the handshake depends on who closes first.
        fails(
            trusting(&start(true)).protocol(Protocol::Grpc),
            &["Unavailable", "Unknown", "Cancelled"],
        );
    }
}

#[test]
fn certificate_that_is_none_is_refused_under_its_variable() {
    #[cfg(feature = "grpc")]
    let protocols = [Protocol::Grpc];
    #[cfg(not(feature = "grpc"))]
    let protocols = [Protocol::HttpProtobuf];
    let path = path("broken.pem");
    for protocol in protocols
        .into_iter()
        .chain(cfg!(feature = "http").then_some(Protocol::HttpJson))
    {
        for url in ["https://localhost:1", "http://localhost:1"] {
            let error = trusting(url)
                .protocol(protocol)
                .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", &path)
                .build()
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!(
                    "OTEL_EXPORTER_OTLP_CERTIFICATE={path:?} cannot be used: allowed is the path of a PEM file with \
                     certificates ("
                )),
                "{error}"
            );
        }
    }
}
