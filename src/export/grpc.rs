//! OTLP over gRPC.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tower_service::Service;

use super::{
    Answer, Sink, USER_AGENT,
    answer::{causes, partial, words},
    tls::{self, Application, Tls},
};
use crate::{
    environment::{Connection, SetupError},
    profile::{Profiles, Translator},
};

/// Sends batches over one channel, which connects when it is first used and again when it breaks.
pub(crate) struct GrpcSink {
    endpoint: Endpoint,
    connector: Connector,
    channel: Option<Channel>,
    metadata: MetadataMap,
    connection: Connection,
    resource: ResourceAttributesWithSchema,
    translator: Translator,
}

impl GrpcSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(
        connection: &Connection,
        resource: &Resource,
        profiles: &Profiles,
    ) -> Result<Self, SetupError> {
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
            connection: connection.clone(),
            resource: resource.into(),
            translator: profiles.translator(),
        })
    }

    async fn call(
        &mut self,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Status> {
        // Not before: making a channel needs the runtime that will drive it.
        let channel = self
            .channel
            .get_or_insert_with(|| {
                self.endpoint
                    .connect_with_connector_lazy(self.connector.clone())
            })
            .clone();
        let mut client = TraceServiceClient::new(channel);
        if self.connection.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        Ok(client.export(request).await?.into_inner())
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

impl Sink for GrpcSink {
    type Parcel = ExportTraceServiceRequest;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> ExportTraceServiceRequest {
        for span in &mut spans {
            // Here and not when the span ends: it costs the export thread, not the program.
            self.translator.apply(span);
        }
        ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        }
    }

    async fn send(&mut self, parcel: &mut ExportTraceServiceRequest) -> Answer {
        let timeout = self.connection.timeout;
        let answer = match tokio::time::timeout(timeout, self.call(parcel.clone())).await {
            Ok(Ok(answer)) => {
                let partly = answer.partial_success.unwrap_or_default();
                partial(partly.rejected_spans, &partly.error_message)
            }
            Ok(Err(status)) => judge(&status),
            Err(_) => Answer::Again {
                after: None,
                why: format!("no answer within {timeout:?}"),
            },
        };
        if matches!(answer, Answer::Again { .. }) {
            // A connection that went dead without a word would take in every further attempt.
            self.channel = None;
        }
        answer
    }
}

/// Which codes may be tried again is said by the OTLP specification.
fn judge(status: &Status) -> Answer {
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
