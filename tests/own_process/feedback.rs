//! Export does not feed itself: what the HTTP and gRPC clients trace while they carry spans is not exported.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{PATIENCE, Server};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use tracing::{Event, Level, Subscriber, info_span, span};
use tracing_conversation::{Protocol, Telemetry};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Remembers the crates that emitted a span or event.
#[derive(Clone, Default)]
struct Emitters(Arc<Mutex<BTreeSet<String>>>);

impl Emitters {
    fn add(&self, target: &str) {
        let name = target.split("::").next().unwrap_or_default();
        self.0.lock().unwrap().insert(name.to_owned());
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Emitters {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.add(attributes.metadata().target());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.add(event.metadata().target());
    }
}

own_process!(spans_of_export_clients_are_not_exported, || {
    let server = Server::start();
    let emitters = Emitters::default();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let over = |protocol, url: String| {
        Telemetry::builder()
            .endpoint(url)
            .protocol(protocol)
            .level(Level::TRACE)
            .variable("OTEL_BSP_SCHEDULE_DELAY", "0")
            .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
            .build()
            .unwrap()
    };
    // A name instead of an address, so that the resolver's threads take part.
    let http = over(
        Protocol::HttpProtobuf,
        server.url().replace("127.0.0.1", "localhost"),
    );
    let grpc = over(
        Protocol::Grpc,
        format!("http://localhost:{}", closed.port()),
    );
    tracing_subscriber::registry()
        .with(emitters.clone())
        .with(http.layer())
        .init();

    info_span!("mine").in_scope(|| ());
    grpc.provider().tracer("test").start("mine").end();
    http.flush(PATIENCE).unwrap();
    grpc.flush(PATIENCE).unwrap_err();
    // Other layers see what the clients emit; this crate's layer makes no span of it.
    assert!(emitters.take().contains("hyper_util"));
    http.flush(PATIENCE).unwrap();
    assert_eq!(server.names(), ["mine"]);

    // The same client on a thread of the program's own is traced like any other code.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(server.url())
            .unwrap()
            .timeout(Duration::from_secs(1))
            .connect_lazy();
        let _ = TraceServiceClient::new(channel)
            .export(ExportTraceServiceRequest::default())
            .await;
    });
    assert!(emitters.take().contains("h2"));
    http.flush(PATIENCE).unwrap();
    assert!(server.names().len() > 1, "{:?}", server.names());
});
