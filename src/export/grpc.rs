//! OTLP over gRPC.

use std::time::Duration;

use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::trace::SpanData;
use prost::{
    Message,
    bytes::{BufMut, Bytes},
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    Answer, Envelope, Sink,
    answer::{causes, partial, words},
    otlp::USER_AGENT,
};
use crate::environment::Connection;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends batches over one channel, which connects when it is first used and again when it breaks.
pub(crate) struct GrpcSink {
    endpoint: Endpoint,
    channel: Option<Channel>,
    metadata: MetadataMap,
    connection: Connection,
    envelope: Envelope,
}

impl GrpcSink {
    /// Fails, in words for the user, if URL, headers or certificates cannot be used.
    pub(crate) fn new(connection: Connection, envelope: Envelope) -> Result<Self, String> {
        let mut metadata = MetadataMap::new();
        for (name, value) in &connection.headers {
            // HTTP/2 knows lower-case names only; users write the other form.
            let key = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes())
                .map_err(|_| format!("{name:?} is no header name"))?;
            let value = AsciiMetadataValue::try_from(value)
                .map_err(|_| format!("the value of header {name} is none that gRPC can carry"))?;
            metadata.insert(key, value);
        }
        let words = |error: tonic::transport::Error| causes(&error);
        let mut endpoint = Endpoint::from_shared(connection.url.clone())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(words)?
            .connect_timeout(connection.timeout);
        if connection.url.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            tls = match &connection.tls.authorities {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            if let Some((chain, key)) = &connection.tls.identity {
                tls = tls.identity(Identity::from_pem(chain, key));
            }
            endpoint = endpoint.tls_config(tls).map_err(words)?;
        }
        Ok(Self {
            endpoint,
            channel: None,
            metadata,
            connection,
            envelope,
        })
    }

    async fn call(&mut self, body: Bytes) -> Result<ExportTraceServiceResponse, Status> {
        // Not before: making a channel needs the runtime that will drive it.
        let channel = self
            .channel
            .get_or_insert_with(|| self.endpoint.connect_lazy())
            .clone();
        let mut client = Grpc::new(channel);
        if self.connection.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(causes(&error)))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        let path = PathAndQuery::from_static(EXPORT);
        Ok(client.unary(request, path, Encoded).await?.into_inner())
    }
}

impl Sink for GrpcSink {
    type Parcel = Bytes;

    fn pack(&mut self, spans: Vec<SpanData>) -> Bytes {
        self.envelope.request(spans).encode_to_vec().into()
    }

    async fn send(&mut self, parcel: &mut Bytes) -> Answer {
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

/// Carries a request that is encoded already.
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        // Garbage under status OK: the server took the spans, and said something that nobody understands.
        Ok(Some(
            ExportTraceServiceResponse::decode(from).unwrap_or_default(),
        ))
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
