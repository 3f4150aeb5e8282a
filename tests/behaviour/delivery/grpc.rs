//! gRPC: what the other end sees, and what its answers mean.

use std::{
    collections::VecDeque,
    io::Write,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::server::{Server, TcpIncoming},
};
use tracing_conversation::{Builder, Protocol};

use super::{counts, last_problem, make, numbers, to};
use crate::support::{PATIENCE, spans};

/// What the service does with a call.
enum Reply {
    Fail(Status),
    PartialSuccess(i64, &'static str),
    Hang,
}

#[derive(Default)]
struct Log {
    calls: Vec<(Instant, MetadataMap, ExportTraceServiceRequest)>,
    replies: VecDeque<Reply>,
}

#[derive(Clone, Default)]
pub(crate) struct Service(Arc<Mutex<Log>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let reply = {
            let mut log = self.0.lock().unwrap();
            let (metadata, _, body) = request.into_parts();
            log.calls.push((Instant::now(), metadata, body));
            log.replies.pop_front()
        };
        let partial_success = match reply {
            None => None,
            Some(Reply::Fail(status)) => return Err(status),
            Some(Reply::Hang) => std::future::pending().await,
            Some(Reply::PartialSuccess(rejected_spans, message)) => {
                Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: message.into(),
                })
            }
        };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

/// Starts a server; its URL, and what it is told and has got.
pub(crate) fn start() -> (String, Service) {
    start_with(Server::builder())
}

pub(crate) fn start_with(mut builder: Server) -> (String, Service) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Service::default();
    let server =
        TraceServiceServer::new(service.clone()).accept_compressed(CompressionEncoding::Gzip);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            builder
                .add_service(server)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    (url, service)
}

impl Service {
    fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.0.lock().unwrap().replies.extend(replies);
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().calls.len()
    }
}

fn over_grpc(url: &str) -> Builder {
    to(url).protocol(Protocol::Grpc)
}

#[test]
fn spans_and_headers_arrive_as_sent() {
    for compression in ["none", "gzip"] {
        let (url, service) = start();
        let telemetry = over_grpc(&format!("{url}/is/ignored"))
            .headers([("X-Project-Name", "a, b")])
            .variable("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
            .build()
            .unwrap();
        make(&telemetry, 300);
        telemetry.shutdown().unwrap();
        assert_eq!(counts(&telemetry), [300, 0, 0, 0, 0]);
        let log = service.0.lock().unwrap();
        let [(_, metadata, body)] = &log.calls[..] else {
            panic!("{} calls", log.calls.len())
        };
        assert_eq!(metadata.get("x-project-name").unwrap(), "a, b");
        let encoding = metadata
            .get("grpc-encoding")
            .map(|value| value.to_str().unwrap());
        assert_eq!(encoding, (compression == "gzip").then_some("gzip"));
        let agent = metadata.get("user-agent").unwrap().to_str().unwrap();
        assert!(agent.starts_with("tracing-conversation/"), "{agent}");
        assert_eq!(
            spans(body)
                .map(|span| span.name.clone())
                .collect::<Vec<_>>(),
            numbers(300)
        );
    }
}

#[test]
fn passing_trouble_is_outlived() {
    for code in [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        let (url, service) = start();
        service.reply([Reply::Fail(Status::new(code, "later"))]);
        let telemetry = over_grpc(&url).build().unwrap();
        make(&telemetry, 5);
        telemetry.flush(PATIENCE).unwrap();
        assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0], "{code:?}");
        assert_eq!(service.calls(), 2, "{code:?}");
        assert_eq!(last_problem(&telemetry), format!("{code:?} later"));
    }
}

/// `google.rpc.Status { details: [Any { RetryInfo { retry_delay } }] }`, the delay being this protobuf message.
fn exhausted(delay: &[u8]) -> Reply {
    fn bytes(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![tag, u8::try_from(content.len()).unwrap()];
        field.extend(content);
        field
    }
    let mut any = bytes(0x0a, b"type.googleapis.com/google.rpc.RetryInfo");
    any.extend(bytes(0x12, &bytes(0x0a, delay)));
    let details = bytes(0x1a, &any);
    Reply::Fail(Status::with_details(
        Code::ResourceExhausted,
        "full",
        details.into(),
    ))
}

#[test]
fn longest_retry_info_is_cut_to_the_export_timeout() {
    let (url, service) = start();
    // The field 1 (seconds) is i64::MAX.
    service.reply([exhausted(&[
        0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ])]);
    let telemetry = over_grpc(&url)
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    assert_eq!(service.calls(), 2);
}

#[test]
fn an_exhausted_server_is_asked_again_after_the_time_it_named() {
    let (url, service) = start();
    service.reply([exhausted(&[0x08, 2])]);
    let telemetry = over_grpc(&url).build().unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    let log = service.0.lock().unwrap();
    let waited = log.calls[1].0 - log.calls[0].0;
    assert!(waited >= Duration::from_secs(2), "only {waited:?}");
}

#[test]
fn a_refusal_is_final_and_counted() {
    for code in [
        Code::Unauthenticated,
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::ResourceExhausted,
    ] {
        let (url, service) = start();
        service.reply([Reply::Fail(Status::new(code, "no"))]);
        let telemetry = over_grpc(&url).build().unwrap();
        make(&telemetry, 5);
        telemetry.flush(PATIENCE).unwrap_err();
        assert_eq!(counts(&telemetry), [0, 0, 5, 0, 0], "{code:?}");
        assert_eq!(service.calls(), 1);
        assert_eq!(last_problem(&telemetry), format!("{code:?} no"));
    }
}

#[test]
fn a_partial_success_counts_what_was_rejected() {
    let (url, service) = start();
    service.reply([Reply::PartialSuccess(2, "too old")]);
    let telemetry = over_grpc(&url).build().unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap_err();
    assert_eq!(counts(&telemetry), [3, 0, 2, 0, 0]);
    assert_eq!(
        last_problem(&telemetry),
        "partial success, 2 spans rejected: too old"
    );
}

#[test]
fn a_server_that_hangs_is_left_and_tried_again() {
    let (url, service) = start();
    service.reply([Reply::Hang]);
    let telemetry = over_grpc(&url)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    assert_eq!(service.calls(), 2);
}

#[test]
fn nobody_at_the_port_and_something_else_there_are_tried_until_the_export_timeout() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let strange = garbage.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in garbage.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
        }
    });
    for address in [closed, strange] {
        let telemetry = over_grpc(&format!("http://{address}"))
            .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
            .build()
            .unwrap();
        make(&telemetry, 5);
        telemetry.flush(PATIENCE).unwrap_err();
        assert_eq!(
            counts(&telemetry),
            [0, 0, 0, 5, 0],
            "{address}: {}",
            last_problem(&telemetry)
        );
    }
}

/// They are part of the trailers, from which tonic makes a status.
#[test]
fn unreadable_details_of_a_status_are_ignored() {
    let (url, service) = start();
    let mut headers = tonic::codegen::http::HeaderMap::new();
    headers.insert("grpc-status-details-bin", "&".parse().unwrap());
    let metadata = MetadataMap::from_headers(headers);
    let status = Status::with_metadata(Code::Unavailable, "later", metadata);
    service.reply([Reply::Fail(status)]);
    let telemetry = over_grpc(&url).build().unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    assert_eq!(telemetry.delivered()[0].restarts, 0);
    assert_eq!(last_problem(&telemetry), "Unavailable later");
}
