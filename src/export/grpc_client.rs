//! The gRPC client of both OTLP exporters over gRPC.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use prost::Message;
use tonic::{
    Code, Request, Status,
    body::Body,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tower_service::Service;

use super::{
    Answer, USER_AGENT,
    answer::{causes, words},
    tls::{self, Application, Tls},
};
use crate::environment::{Connection, SetupError};

/// A channel that connects when it is first used and again when it breaks.
pub(super) struct GrpcClient {
    endpoint: Endpoint,
    connector: Connector,
    channel: Option<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
    gzip: bool,
}

/// What one call is made with.
pub(super) struct Call {
    pub(super) channel: SafeChannel,
    pub(super) gzip: bool,
    metadata: MetadataMap,
}

impl Call {
    /// A request that carries the headers of the settings.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }
}

impl GrpcClient {
    /// Fails if certificates cannot be used.
    pub(super) fn new(connection: &Connection) -> Result<Self, SetupError> {
        // Cleartext as far as tonic knows: it is not to bring a TLS of its own.
        let plain = match connection.uri.authority() {
            Some(authority) => format!("http://{authority}"),
            None => return Err(connection.unusable("the URL has no host")),
        };
        let mut endpoint = Endpoint::from_shared(plain)
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(|error| connection.unusable(causes(&error)))?
            .connect_timeout(connection.timeout);
        endpoint = endpoint.origin(connection.uri.clone());
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = Connector {
            inner: tls::over(tcp, connection, Application::Grpc)?,
            destination: connection.uri.clone(),
        };
        Ok(Self {
            endpoint,
            connector,
            channel: None,
            metadata: MetadataMap::from_headers(connection.headers.clone()),
            timeout: connection.timeout,
            gzip: connection.gzip,
        })
    }

    /// Makes a call, within the time that one attempt may take.
    pub(super) async fn call(
        &mut self,
        call: impl AsyncFnOnce(Call) -> Result<Answer, Status>,
    ) -> Answer {
        let timeout = self.timeout;
        // Not before: making a channel needs the runtime that will drive it.
        let channel = self.channel.get_or_insert_with(|| {
            self.endpoint
                .connect_with_connector_lazy(self.connector.clone())
        });
        let with = Call {
            channel: SafeChannel(channel.clone()),
            gzip: self.gzip,
            metadata: self.metadata.clone(),
        };
        let answer = match tokio::time::timeout(timeout, call(with)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => judge(&status),
            Err(_) => Answer::Again {
                after: None,
                why: format!("no answer within {timeout:?}"),
            },
        };
        if matches!(answer, Answer::Again { .. }) {
            // A connection that died silently would swallow every further attempt.
            self.channel = None;
        }
        answer
    }
}

/// Connects to the collector, with TLS if its URL is `https`, whatever tonic takes it for.
#[derive(Clone)]
struct Connector {
    inner: Tls<HttpConnector>,
    destination: Uri,
}

impl Service<Uri> for Connector {
    type Response = <Tls<HttpConnector> as Service<Uri>>::Response;
    type Error = <Tls<HttpConnector> as Service<Uri>>::Error;
    type Future = <Tls<HttpConnector> as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.inner.call(self.destination.clone())
    }
}

/// A channel whose answers do not make tonic panic.
#[derive(Clone)]
pub(super) struct SafeChannel(Channel);

impl Service<http::Request<Body>> for SafeChannel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            remove_unreadable_details(response.headers_mut());
            Ok(response.map(|body| {
                Body::new(body.map_frame(|mut frame| {
                    if let Some(trailers) = frame.trailers_mut() {
                        remove_unreadable_details(trailers);
                    }
                    frame
                }))
            }))
        })
    }
}

/// tonic 0.14 panics where the details of a status are not in base64 (`Status::from_header_map`).
pub(super) fn remove_unreadable_details(headers: &mut HeaderMap) {
    const DETAILS: &str = "grpc-status-details-bin";
    if !headers.contains_key(DETAILS) {
        return;
    }
    let mut metadata = MetadataMap::from_headers(std::mem::take(headers));
    let readable = |details: &tonic::metadata::BinaryMetadataValue| details.to_bytes().is_ok();
    if !metadata.get_bin(DETAILS).is_some_and(readable) {
        metadata.remove_bin(DETAILS);
    }
    *headers = metadata.into_headers();
}

/// The codes that the OTLP specification calls retryable.
pub(super) fn judge(status: &Status) -> Answer {
    let why = match std::error::Error::source(status) {
        Some(source) => format!("{:?}: {}", status.code(), causes(source)),
        None => format!("{:?} {}", status.code(), words(status.message().as_bytes())),
    };
    let after = retry_delay(status.details());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Again { after, why },
        Code::ResourceExhausted if after.is_some() => Answer::Again { after, why },
        // The transport broke before any server could give a code.
        _ if std::error::Error::source(status).is_some() => Answer::Again { after, why },
        _ => Answer::Refused(why),
    }
}

/// `google.rpc.RetryInfo` in the details of a status; gRPC's form of `Retry-After`.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    #[derive(Message)]
    struct RpcStatus {
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    #[derive(Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        delay: Option<Delay>,
    }
    #[derive(Message)]
    struct Delay {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    let status = RpcStatus::decode(details).ok()?;
    let info = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(Duration::new(
        seconds,
        u32::try_from(delay.nanos).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_status_panics(
            code in -1..20,
            message in ".{0,20}",
            // As long as a whole `RetryInfo` with any delay, and anything else.
            details in proptest::prop_oneof![
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24).prop_map(|delay| {
                    let mut any = vec![0x0a, 22];
                    any.extend(b"x/google.rpc.RetryInfo");
                    any.extend([0x12, delay.len() as u8 + 2, 0x0a, delay.len() as u8]);
                    any.extend(delay);
                    let mut details = vec![0x1a, any.len() as u8];
                    details.extend(any);
                    details
                }),
            ],
        ) {
            let status = Status::with_details(Code::from(code), message, details.into());
            let _ = judge(&status);
        }
    }

    use proptest::strategy::Strategy as _;
}
