//! The HTTP client of both OTLP exporters over HTTP.
//!
//! opentelemetry-otlp encodes what is to be sent and hands the request to [`Client`], which is its HTTP client. Its result is
//! a string, so the client keeps what came of the request as an [`Answer`], with status, `Retry-After` and what was rejected.

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
use hyper::body::Body;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_sdk::error::OTelSdkResult;

use super::{
    Answer, USER_AGENT,
    answer::{causes, partial, retry_after, words},
    tls::{self, Application, Tls},
    transport::Transport,
};
use crate::environment::{Connection, SetupError};

/// What the client has to know of the signal that it carries.
pub(super) struct Payload {
    /// What a request has in it, in the plural.
    pub(super) items: &'static str,
    /// The key under which an answer in JSON has the number of rejected items.
    pub(super) rejected_in_json: &'static str,
    /// Writes a request in protobuf as JSON.
    pub(super) json: fn(Bytes) -> Result<Vec<u8>, String>,
    /// What an answer in protobuf reports as rejected, and why.
    pub(super) rejected: fn(&[u8]) -> Option<(i64, String)>,
}

/// Sends what opentelemetry-otlp has encoded, and understands what comes back.
pub(super) struct Client {
    http: legacy::Client<Tls<Transport>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    timeout: std::time::Duration,
    json: bool,
    gzip: bool,
    payload: &'static Payload,
    /// What came of the last request.
    answer: Mutex<Option<Answer>>,
}

impl Client {
    pub(super) fn new(
        connection: &Connection,
        json: bool,
        payload: &'static Payload,
    ) -> Result<Self, SetupError> {
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
            payload,
            answer: Mutex::new(None),
        })
    }

    /// Has the library export something, and returns what came of it.
    pub(super) async fn answer_to(&self, export: impl Future<Output = OTelSdkResult>) -> Answer {
        self.set_answer(None);
        let result = export.await;
        match (self.set_answer(None), result) {
            (Some(answer), _) => answer,
            // It never came to a request.
            (None, Err(error)) => Answer::Failed(error.to_string()),
            (None, Ok(())) => Answer::Failed("opentelemetry-otlp sent nothing".into()),
        }
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
                Ok(response) => read(response, self.payload).await,
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
        let items = self.payload.items;
        let protobuf = uncompressed(encoded, items)?;
        let plain = if self.json {
            (self.payload.json)(protobuf)
                .map_err(|error| format!("{items} cannot be written as JSON: {error}"))?
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
            .map_err(|error| format!("{items} cannot be compressed: {error}"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the headers, nor the URL with its query: they carry keys.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Where another crate of the program has switched compression on in the library, it heeds the environment by itself.
fn uncompressed(encoded: Request<Bytes>, items: &str) -> Result<Bytes, String> {
    let (head, body) = encoded.into_parts();
    match head.headers.get(header::CONTENT_ENCODING) {
        None => Ok(body),
        Some(encoding) if encoding == "gzip" => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .map_err(|error| format!("{items} cannot be decompressed: {error}"))?;
            Ok(plain.into())
        }
        Some(encoding) => Err(format!(
            "opentelemetry-otlp has compressed the {items} as {encoding:?}, which the settings of this exporter do not allow"
        )),
    }
}

#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<Client>);

#[async_trait::async_trait]
impl HttpClient for Shared {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.post(request).await;
        self.0.set_answer(Some(answer));
        // Always a success without content: of anything else the library would log that something is lost, which the
        // caller decides, or that some was rejected, which it counts.
        Ok(Response::new(Bytes::new()))
    }
}

pub(super) async fn read<B>(response: Response<B>, payload: &Payload) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
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
        // A success whose body is lost is still a success: sending again would send it twice.
        Err(_) if status.is_success() => Vec::new(),
        Err(error) => {
            return Answer::Again {
                after,
                why: causes(&error),
            };
        }
    };
    if status.is_success() {
        return understand(&kind, &body, payload);
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

async fn start_of<B: Body<Data = Bytes> + Unpin>(mut incoming: B) -> Result<Vec<u8>, B::Error> {
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

/// Reads a success. A server that answers 200 with a body of another form has accepted the request; one that answers with a
/// web page does not speak OTLP.
fn understand(kind: &str, body: &[u8], payload: &Payload) -> Answer {
    if kind.starts_with("text/html") {
        return Answer::Refused(
            "the answer is a web page: the URL is not that of an OTLP receiver".into(),
        );
    }
    if kind.starts_with("application/json") {
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let partly = &answer["partialSuccess"];
        // OTLP/JSON writes 64-bit integers as strings; some servers write numbers.
        let rejected = &partly[payload.rejected_in_json];
        let rejected = rejected
            .as_i64()
            .or_else(|| rejected.as_str()?.parse().ok())
            .unwrap_or(0);
        let message = partly["errorMessage"].as_str().unwrap_or_default();
        return partial(rejected, payload.items, message);
    }
    match (payload.rejected)(body) {
        Some((rejected, message)) => partial(rejected, payload.items, &message),
        None => Answer::Taken {
            rejected: 0,
            remark: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: Payload = Payload {
        items: "things",
        rejected_in_json: "rejectedThings",
        json: |protobuf| Ok(protobuf.into()),
        rejected: |body| Some((i64::from(*body.first()?), String::new())),
    };

    proptest::proptest! {
        /// Whatever the body of a status 200, the request counts as accepted but for what is reported as rejected.
        #[test]
        fn no_answer_panics(
            kind in proptest::sample::select(vec!["application/json", "application/x-protobuf", "text/plain", ""]),
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            rejected: i64,
            text in ".{0,20}",
        ) {
            let json = serde_json::json!({"partialSuccess": {"rejectedThings": rejected, "errorMessage": text}});
            for body in [body, json.to_string().into_bytes()] {
                let taken = matches!(understand(kind, &body, &PAYLOAD), Answer::Taken { .. });
                proptest::prop_assert!(taken);
            }
        }

        #[test]
        fn no_retry_after_panics(value in "([0-9]{0,30}|.{0,30}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT)") {
            let _ = retry_after(&value, SystemTime::now());
        }
    }
}
