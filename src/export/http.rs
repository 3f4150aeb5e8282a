//! OTLP over HTTP/1.1, protobuf or JSON: opentelemetry-otlp behind this crate's worker.
//!
//! The library encodes a batch and hands the request to [`Client`], which is its HTTP client. Its result is a string, so
//! the client keeps what came of the request as an [`Answer`], with status, `Retry-After` and the rejected spans.

use std::{
    fmt,
    io::{Read as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{self, HeaderName},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    Protocol as OtlpProtocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prost::Message as _;

use super::{
    Answer, Sink, USER_AGENT,
    answer::{causes, partial, retry_after, words},
    tls::{self, Application, Tls},
    transport::Transport,
};
use crate::{
    environment::{Connection, SetupError},
    profile::{Profiles, Translator},
};

/// Posts batches to one URL.
pub(crate) struct HttpSink {
    exporter: SpanExporter,
    client: Arc<Client>,
    translator: Translator,
}

impl HttpSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(
        connection: &Connection,
        json: bool,
        resource: &Resource,
        profiles: &Profiles,
    ) -> Result<Self, SetupError> {
        let client = Arc::new(Client::new(connection, json)?);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Shared(Arc::clone(&client)))
            // Without its query, which may be a key: the library logs it.
            .with_endpoint(connection.destination())
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_timeout(connection.timeout)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| connection.unusable(error))?;
        exporter.set_resource(resource);
        Ok(Self {
            exporter,
            client,
            translator: profiles.translator(),
        })
    }
}

impl Sink for HttpSink {
    type Parcel = Vec<SpanData>;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> Vec<SpanData> {
        for span in &mut spans {
            self.translator.apply(span);
        }
        spans
    }

    async fn send(&mut self, spans: &mut Vec<SpanData>) -> Answer {
        self.client.set_answer(None);
        let result = self.exporter.export(spans.clone()).await;
        match (self.client.set_answer(None), result) {
            (Some(answer), _) => answer,
            // It never came to a request.
            (None, Err(error)) => Answer::Failed(error.to_string()),
            (None, Ok(())) => Answer::Failed("opentelemetry-otlp sent nothing".into()),
        }
    }
}

/// Sends what opentelemetry-otlp has encoded, and understands what comes back.
struct Client {
    http: legacy::Client<Tls<Transport>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    timeout: std::time::Duration,
    json: bool,
    gzip: bool,
    /// What came of the last request.
    answer: Mutex<Option<Answer>>,
}

impl Client {
    fn new(connection: &Connection, json: bool) -> Result<Self, SetupError> {
        let https = connection.is_https();
        let transport = Transport::new(connection.proxy.as_ref(), https);
        let connector = tls::over(transport, connection, Application::Http)?;
        let mut headers = connection.headers.clone();
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        let content_type = if json {
            "application/json"
        } else {
            "application/x-protobuf"
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if connection.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(proxy) = connection.proxy.as_ref().filter(|_| !https)
            && let Some(authorization) = &proxy.authorization
        {
            headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(Self {
            http: legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            uri: connection.uri.clone(),
            headers,
            timeout: connection.timeout,
            json,
            gzip: connection.gzip,
            answer: Mutex::new(None),
        })
    }

    /// Replaces the answer, and returns the one that was there.
    fn set_answer(&self, answer: Option<Answer>) -> Option<Answer> {
        let mut slot = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, answer)
    }

    /// Sends a request of the library's. Of its headers none is taken over: it reads the environment more leniently.
    async fn post(&self, encoded: Request<Bytes>) -> Answer {
        let body = match self.body(encoded) {
            Ok(body) => body,
            Err(why) => return Answer::Failed(why),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            match self.http.request(request).await {
                Ok(response) => read(response).await,
                Err(error) => Answer::Again {
                    after: None,
                    why: causes(&error),
                },
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Answer::Again {
                after: None,
                why: format!("no answer within {:?}", self.timeout),
            },
        }
    }

    /// JSON and compression are made here: the library has them behind features that change what its other users get.
    fn body(&self, encoded: Request<Bytes>) -> Result<Bytes, String> {
        let protobuf = uncompressed(encoded)?;
        let plain = if self.json {
            let request = ExportTraceServiceRequest::decode(protobuf)
                .map_err(|error| format!("spans cannot be written as JSON: {error}"))?;
            crate::otlp_json::to_vec(request)
                .map_err(|error| format!("spans cannot be written as JSON: {error}"))?
                .into()
        } else {
            protobuf
        };
        if !self.gzip {
            return Ok(plain);
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(&plain)
            .and_then(|()| encoder.finish())
            .map(Bytes::from)
            .map_err(|error| format!("spans cannot be compressed: {error}"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the headers, nor the URL with its query: they carry keys.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Where another crate of the program has switched compression on in the library, it heeds the environment by itself.
fn uncompressed(encoded: Request<Bytes>) -> Result<Bytes, String> {
    let (head, body) = encoded.into_parts();
    match head.headers.get(header::CONTENT_ENCODING) {
        None => Ok(body),
        Some(encoding) if encoding == "gzip" => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .map_err(|error| format!("spans cannot be decompressed: {error}"))?;
            Ok(plain.into())
        }
        Some(encoding) => Err(format!(
            "opentelemetry-otlp has compressed the spans as {encoding:?}, which the settings of this exporter do not allow"
        )),
    }
}

#[derive(Debug)]
struct Shared(Arc<Client>);

#[async_trait::async_trait]
impl HttpClient for Shared {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.post(request).await;
        self.0.set_answer(Some(answer));
        // Always a success without content: of anything else the library would log that spans are lost, which the worker
        // decides, or that some were rejected, which it counts.
        Ok(Response::new(Bytes::new()))
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    let status = response.status();
    let header = |name: HeaderName| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let after = header(header::RETRY_AFTER).and_then(|v| retry_after(v, SystemTime::now()));
    let location = header(header::LOCATION).map(|to| words(to.as_bytes()));
    let kind = header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
    let body = match start_of(response.into_body()).await {
        Ok(body) => body,
        // A success whose words are lost is one all the same: sending again would double the spans.
        Err(_) if status.is_success() => Vec::new(),
        Err(error) => {
            return Answer::Again {
                after,
                why: causes(&error),
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

/// An answer is a few bytes; more than this of it is not worth the memory.
const LONGEST_ANSWER: usize = 64 << 10;

async fn start_of(mut incoming: Incoming) -> hyper::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < LONGEST_ANSWER
        && let Some(frame) = incoming.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            body.extend_from_slice(data);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever a server says under status 200, the spans are taken but for those that it says it rejected.
        #[test]
        fn no_answer_panics(
            kind in proptest::sample::select(vec!["application/json", "application/x-protobuf", "text/plain", ""]),
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            rejected: i64,
            text in ".{0,20}",
        ) {
            let json = serde_json::json!({"partialSuccess": {"rejectedSpans": rejected, "errorMessage": text}});
            for body in [body, json.to_string().into_bytes()] {
                let taken = matches!(understand(kind, &body), Answer::Taken { .. });
                proptest::prop_assert!(taken);
            }
        }

        #[test]
        fn no_retry_after_panics(value in "([0-9]{0,30}|.{0,30}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT)") {
            let _ = retry_after(&value, SystemTime::now());
        }
    }
}
