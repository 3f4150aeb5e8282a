//! Metrics leave by OTLP or for the console, whatever the other end does, within the time that the guard has.

use std::{
    collections::VecDeque,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::server::{Server as GrpcServer, TcpIncoming},
};
use tracing_conversation::{Builder, Protocol, Telemetry};

use super::to;
use crate::support::{PATIENCE, Reply, Server};

/// Metrics to `url` when they are asked for, and no spans.
fn metrics_to(url: &str) -> Builder {
    to(url)
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_METRICS_EXPORTER", "otlp")
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
        .variable("OTEL_METRIC_EXPORT_TIMEOUT", "30000")
}

/// Adds to the program's own counter, and measures a thousandth of it.
fn count(telemetry: &Telemetry, value: u64) {
    let meter = telemetry.meter_provider().unwrap().meter("program");
    meter.u64_counter("calls").build().add(value, &[]);
    let seconds = meter.f64_histogram("seconds").with_boundaries(vec![1.0]);
    seconds.build().record(value as f64 / 1000.0, &[]);
}

fn of_the_program(request: &ExportMetricsServiceRequest) -> Vec<Metric> {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    let of_the_program = scopes.filter(|scope| {
        scope
            .scope
            .as_ref()
            .is_some_and(|scope| scope.name == "program")
    });
    of_the_program
        .flat_map(|scope| scope.metrics.clone())
        .collect()
}

fn metric(request: &ExportMetricsServiceRequest, name: &str) -> Data {
    let metrics = of_the_program(request);
    let metric = metrics.into_iter().find(|metric| metric.name == name);
    metric.and_then(|metric| metric.data).unwrap()
}

/// What the counter says in a request.
fn counted(request: &ExportMetricsServiceRequest) -> i64 {
    let Data::Sum(sum) = metric(request, "calls") else {
        panic!("a sum")
    };
    let [point] = &sum.data_points[..] else {
        panic!("one point")
    };
    match point.value {
        Some(Value::AsInt(value)) => value,
        other => panic!("{other:?}"),
    }
}

fn counts(server: &Server) -> Vec<i64> {
    let requests = server.requests();
    requests
        .iter()
        .map(|request| counted(&request.metrics))
        .collect()
}

/// How a call is answered, other than by taking it.
type GrpcReply = Result<ExportMetricsPartialSuccess, Status>;

#[derive(Default)]
struct Log {
    calls: Vec<(MetadataMap, ExportMetricsServiceRequest)>,
    replies: VecDeque<GrpcReply>,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Log>>);

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut log = self.0.lock().unwrap();
        let (metadata, _, body) = request.into_parts();
        log.calls.push((metadata, body));
        let partial_success = log.replies.pop_front().transpose()?;
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success,
        }))
    }
}

fn grpc() -> (String, Service) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Service::default();
    let server =
        MetricsServiceServer::new(service.clone()).accept_compressed(CompressionEncoding::Gzip);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            GrpcServer::builder()
                .add_service(server)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    (url, service)
}

#[test]
fn metrics_and_headers_arrive_over_http_as_sent() {
    for (protocol, content_type) in [
        (Protocol::HttpProtobuf, "application/x-protobuf"),
        (Protocol::HttpJson, "application/json"),
    ] {
        for compression in ["none", "gzip"] {
            let server = Server::start();
            let telemetry = metrics_to(&server.url())
                .protocol(protocol)
                .headers([("X-Project-Name", "a, b")])
                .variable("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", compression)
                .build()
                .unwrap();
            count(&telemetry, 1500);
            telemetry.flush(PATIENCE).unwrap();
            let [request] = &server.requests()[..] else {
                panic!("one request")
            };
            assert_eq!(request.path, "/v1/metrics");
            assert_eq!(request.headers["content-type"], content_type);
            assert_eq!(request.headers["x-project-name"], "a, b");
            let encoding = request.headers.get("content-encoding").map(String::as_str);
            assert_eq!(encoding, (compression == "gzip").then_some("gzip"));
            let resource = request.metrics.resource_metrics[0].resource.as_ref();
            let resource = crate::support::text(&resource.unwrap().attributes);
            assert!(resource.contains("service.name = test\n"), "{resource}");
            assert!(resource.contains("service.instance.id = "), "{resource}");
            assert_eq!(counted(&request.metrics), 1500);
            let Data::Histogram(seconds) = metric(&request.metrics, "seconds") else {
                panic!("a histogram")
            };
            let [point] = &seconds.data_points[..] else {
                panic!("one point")
            };
            assert_eq!((point.count, point.sum), (1, Some(1.5)));
            assert_eq!(point.explicit_bounds, [1.0]);
            assert_eq!(point.bucket_counts, [0, 1]);
            telemetry.shutdown().unwrap();
        }
    }
}

#[test]
fn metrics_and_headers_arrive_over_grpc_as_sent() {
    for compression in ["none", "gzip"] {
        let (url, service) = grpc();
        let telemetry = metrics_to(&url)
            .protocol(Protocol::Grpc)
            .headers([("X-Project-Name", "a, b")])
            .variable("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
            .build()
            .unwrap();
        count(&telemetry, 7);
        telemetry.shutdown().unwrap();
        let log = service.0.lock().unwrap();
        let [(metadata, body)] = &log.calls[..] else {
            panic!("one call")
        };
        assert_eq!(metadata.get("x-project-name").unwrap(), "a, b");
        assert_eq!(
            metadata.get("grpc-encoding").is_some(),
            compression == "gzip"
        );
        assert_eq!(counted(body), 7);
    }
}

#[test]
fn metrics_leave_at_every_interval_and_are_cumulative_unless_asked_otherwise() {
    for (temporality, sums) in [("cumulative", [1, 3]), ("delta", [1, 2])] {
        let server = Server::start();
        let telemetry = metrics_to(&server.url())
            .variable("OTEL_METRIC_EXPORT_INTERVAL", "1")
            .variable(
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                temporality,
            )
            .build()
            .unwrap();
        count(&telemetry, 1);
        server.wait_for_requests(1);
        telemetry.flush(PATIENCE).unwrap();
        count(&telemetry, 2);
        telemetry.shutdown().unwrap();
        let mut counts = counts(&server);
        counts.dedup();
        assert_eq!(counts, sums, "{temporality}");
    }
}

#[test]
fn exponential_histograms_and_views_of_the_program() {
    let server = Server::start();
    let view = |instrument: &Instrument| {
        (instrument.name() == "seconds").then_some(())?;
        Stream::builder()
            .with_aggregation(Aggregation::ExplicitBucketHistogram {
                boundaries: vec![2.0, 3.0],
                record_min_max: true,
            })
            .build()
            .ok()
    };
    let telemetry = metrics_to(&server.url())
        .variable(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        )
        .with_metric_view(view)
        .build()
        .unwrap();
    count(&telemetry, 2500);
    let meter = telemetry.meter_provider().unwrap().meter("program");
    meter.f64_histogram("other").build().record(1.0, &[]);
    telemetry.shutdown().unwrap();
    let request = &server.requests()[0].metrics;
    assert_eq!(of_the_program(request).len(), 3);
    let Data::Histogram(seconds) = metric(request, "seconds") else {
        panic!("the program's view")
    };
    assert_eq!(seconds.data_points[0].explicit_bounds, [2.0, 3.0]);
    let Data::ExponentialHistogram(other) = metric(request, "other") else {
        panic!("the variable")
    };
    assert_eq!(other.data_points[0].count, 1);
}

#[test]
fn metrics_are_sent_again_after_a_failure() {
    let server = Server::start();
    let busy = Reply::Status("503 Service Unavailable", "retry-after: 0", b"");
    server.reply([busy.clone(), busy]);
    let telemetry = metrics_to(&server.url()).build().unwrap();
    count(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&server), [5, 5, 5]);

    let (url, service) = grpc();
    let busy = || Err(Status::unavailable("busy"));
    service.0.lock().unwrap().replies.extend([busy(), busy()]);
    let telemetry = metrics_to(&url).protocol(Protocol::Grpc).build().unwrap();
    count(&telemetry, 5);
    telemetry.shutdown().unwrap();
    assert_eq!(service.0.lock().unwrap().calls.len(), 3);
}

#[test]
fn what_is_refused_or_rejected_is_an_error_of_the_guard() {
    let server = Server::start();
    server.reply([
        Reply::Status("401 Unauthorized", "", b"no such key"),
        Reply::PartialSuccess(2, "too many"),
        Reply::Status(
            "200 OK",
            "content-type: application/json",
            br#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"late"}}"#,
        ),
    ]);
    let telemetry = metrics_to(&server.url()).build().unwrap();
    count(&telemetry, 1);
    let url = format!("{}/v1/metrics", server.url());
    for why in [
        "401 Unauthorized no such key",
        "partial success, 2 data points rejected: too many",
        "partial success, 1 data points rejected: late",
    ] {
        let error = telemetry.flush(PATIENCE).unwrap_err().to_string();
        assert_eq!(error, format!("{url}: metrics not sent ({why})"));
    }
    // A later export that is taken makes up for it: cumulative metrics say everything each time.
    telemetry.flush(PATIENCE).unwrap();
    telemetry.shutdown().unwrap();

    let (url, service) = grpc();
    service
        .0
        .lock()
        .unwrap()
        .replies
        .push_back(Ok(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".into(),
        }));
    let telemetry = metrics_to(&url).protocol(Protocol::Grpc).build().unwrap();
    count(&telemetry, 1);
    assert_eq!(
        telemetry.shutdown().unwrap_err().to_string(),
        format!("{url}: metrics not sent (partial success, 3 data points rejected: too old)")
    );
}

#[test]
fn flush_and_shutdown_keep_to_their_time_while_a_collector_hangs() {
    let server = Server::start();
    server.reply_always(Some(Reply::Hang));
    let telemetry = metrics_to(&server.url())
        .shutdown_timeout(Duration::from_millis(600))
        .build()
        .unwrap();
    count(&telemetry, 1);
    let begun = Instant::now();
    let error = telemetry.flush(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.to_string(), "metrics: still being sent (out of time)");
    let error = telemetry.shutdown().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}/v1/metrics: metrics not sent (no answer in time)",
            server.url()
        )
    );
    // The export that was under way did not use up the time of the last one.
    assert_eq!(counts(&server), [1, 1]);
    // Nothing on this machine takes that long but waiting for the collector.
    assert!(begun.elapsed() < Duration::from_secs(10), "{begun:?}");
}

#[test]
fn collector_that_is_away_costs_the_guard_its_time_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let telemetry = metrics_to(&url)
        .shutdown_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    count(&telemetry, 1);
    let begun = Instant::now();
    let error = telemetry.shutdown().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{url}/v1/metrics: metrics not sent (")),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{begun:?}");
}

#[test]
fn guard_can_be_dropped_inside_a_runtime() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let telemetry = metrics_to(&server.url()).build().unwrap();
        let provider = telemetry.meter_provider().unwrap().clone();
        count(&telemetry, 4);
        drop(telemetry);
        drop(provider);
    });
    assert_eq!(counts(&server), [4]);
}

#[test]
fn instance_is_the_programs_if_it_has_one() {
    let server = Server::start();
    let telemetry = metrics_to(&server.url())
        .variable("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-1")
        .build()
        .unwrap();
    count(&telemetry, 1);
    telemetry.shutdown().unwrap();
    let resource = server.requests()[0].metrics.resource_metrics[0]
        .resource
        .clone();
    let resource = crate::support::text(&resource.unwrap().attributes);
    assert!(
        resource.contains("service.instance.id = pod-1\n"),
        "{resource}"
    );
}

#[test]
fn disabled_sdk_exports_no_metrics() {
    let server = Server::start();
    let telemetry = metrics_to(&server.url())
        .variable("OTEL_SDK_DISABLED", "true")
        .build()
        .unwrap();
    assert!(telemetry.meter_provider().is_none());
    telemetry.shutdown().unwrap();
    assert!(server.requests().is_empty());
}
