//! OTLP over HTTP/1.1, protobuf or JSON, with a client of its own.

use std::{sync::Arc, time::SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::trace::SpanData;
use prost::{Message, bytes::Bytes};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    Answer, Envelope, Sink,
    answer::{causes, partial, retry_after, words},
    otlp::{USER_AGENT, gzip},
};
use crate::environment::{Connection, Tls};

/// Posts batches to one URL.
pub(crate) struct HttpSink {
    client: Client,
    url: Url,
    connection: Connection,
    headers: HeaderMap,
    json: bool,
    envelope: Envelope,
}

impl HttpSink {
    /// Fails, in words for the user, if headers or certificates cannot be used.
    pub(crate) fn new(
        connection: Connection,
        json: bool,
        envelope: Envelope,
    ) -> Result<Self, String> {
        let url = Url::parse(&connection.url).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &connection.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| format!("{name:?} is no header name"))?;
            let mut value: HeaderValue = value
                .parse()
                .map_err(|_| format!("the value of header {name} is none that HTTP can carry"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let content_type = if json {
            "application/json"
        } else {
            "application/x-protobuf"
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if connection.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&connection)?)
            .user_agent(USER_AGENT)
            // Followed, a POST would become a GET, and its 200 would look like success.
            .redirect(Policy::none())
            .build()
            .map_err(|error| causes(&error))?;
        Ok(Self {
            client,
            url,
            connection,
            headers,
            json,
            envelope,
        })
    }

    async fn post(&self, body: Bytes) -> Answer {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .timeout(self.connection.timeout)
            .body(body);
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Answer::Again {
                after: None,
                why: causes(&error.without_url()),
            },
        }
    }

    async fn read(&self, response: Response) -> Answer {
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|v: &HeaderValue| v.to_str().ok())
        };
        let after = header(header::RETRY_AFTER).and_then(|v| retry_after(v, SystemTime::now()));
        let location = header(header::LOCATION).map(str::to_owned);
        let kind = header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let body = match start_of(response).await {
            Ok(body) => body,
            // A success whose words are lost is one all the same: sending again would double the spans.
            Err(_) if status.is_success() => Vec::new(),
            Err(error) => {
                return Answer::Again {
                    after,
                    why: causes(&error.without_url()),
                };
            }
        };
        if status.is_success() {
            return understand(&kind, &body);
        }
        let why = match location {
            Some(to) => format!("{status}: the endpoint has moved to {to}"),
            None => format!("{status} {}", words(&body)).trim_end().to_owned(),
        };
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Answer::Again { after, why },
            _ => Answer::Refused(why),
        }
    }
}

impl Sink for HttpSink {
    type Parcel = Result<Bytes, String>;

    fn pack(&mut self, spans: Vec<SpanData>) -> Self::Parcel {
        let request = self.envelope.request(spans);
        let bytes = if self.json {
            serde_json::to_vec(&request)
                .map_err(|error| format!("spans cannot be written as JSON: {error}"))?
        } else {
            request.encode_to_vec()
        };
        if !self.connection.gzip {
            return Ok(bytes.into());
        }
        let packed =
            gzip(&bytes).map_err(|error| format!("spans cannot be compressed: {error}"))?;
        Ok(packed.into())
    }

    async fn send(&mut self, parcel: &mut Self::Parcel) -> Answer {
        match parcel {
            Ok(bytes) => self.post(bytes.clone()).await,
            Err(why) => Answer::Failed(why.clone()),
        }
    }
}

/// An answer is a few bytes; more than this of it is not worth the memory.
const LONGEST_ANSWER: usize = 64 << 10;

async fn start_of(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < LONGEST_ANSWER
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a success. Servers that answer 200 with words of their own have taken the spans, as far as they say; a
/// web page is no such word: whatever it came from does not speak OTLP.
fn understand(kind: &str, body: &[u8]) -> Answer {
    if kind.starts_with("text/html") {
        return Answer::Refused(
            "the answer is a web page: the URL is not that of an OTLP receiver".into(),
        );
    }
    if kind.starts_with("application/json") {
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let partly = &answer["partialSuccess"];
        // OTLP/JSON writes 64-bit integers as strings; some servers write numbers.
        let rejected = &partly["rejectedSpans"];
        let rejected = rejected
            .as_i64()
            .or_else(|| rejected.as_str()?.parse().ok())
            .unwrap_or(0);
        return partial(
            rejected,
            partly["errorMessage"].as_str().unwrap_or_default(),
        );
    }
    match ExportTraceServiceResponse::decode(body)
        .ok()
        .and_then(|answer| answer.partial_success)
    {
        Some(partly) => partial(partly.rejected_spans, &partly.error_message),
        None => Answer::Taken {
            rejected: 0,
            remark: None,
        },
    }
}

/// Our own TLS with our own provider: which ones the program's other crates switch on does not matter.
fn tls(connection: &Connection) -> Result<ClientConfig, String> {
    let Tls {
        authorities,
        identity,
    } = &connection.tls;
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| {
                        roots.add(certificate).map_err(|error| error.to_string())
                    })
                    .map_err(|error| format!("the trusted certificates cannot be used: {error}"))?;
            }
            if roots.is_empty() {
                return Err("the file of trusted certificates holds none".into());
            }
        }
        // Reading the system's takes long enough not to do it for nothing.
        None if connection.url.starts_with("https:") => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((chain, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let unusable = |error: String| format!("the client certificate cannot be used: {error}");
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable(error.to_string()))
}
