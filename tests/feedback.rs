//! Export does not trace itself: what the HTTP and gRPC clients trace while they carry spans goes nowhere.

#![cfg(all(feature = "http", feature = "grpc"))]
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use support::{PATIENCE, Server};
use tracing::{Event, Level, Subscriber, info_span, span};
use tracing_conversation::{Protocol, Telemetry};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Remembers the crates that anything was traced by.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeSet<String>>>);

impl Heard {
    fn hear(&self, target: &str) {
        let name = target.split("::").next().unwrap_or_default();
        self.0.lock().unwrap().insert(name.to_owned());
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Heard {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.hear(attributes.metadata().target());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.hear(event.metadata().target());
    }
}

#[test]
fn what_the_clients_trace_while_they_export_is_not_heard() {
    let server = Server::start();
    let heard = Heard::default();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let over = |protocol, url: String| {
        Telemetry::builder()
            .endpoint(url)
            .protocol(protocol)
            .level(Level::TRACE)
            .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
            .build()
            .unwrap()
    };
    // A name instead of an address, so that the resolver's threads are in it too.
    let http = over(
        Protocol::HttpProtobuf,
        server.url().replace("127.0.0.1", "localhost"),
    );
    let grpc = over(
        Protocol::Grpc,
        format!("http://localhost:{}", closed.port()),
    );
    tracing_subscriber::registry()
        .with(heard.clone())
        .with(http.layer())
        .init();

    info_span!("mine").in_scope(|| ());
    grpc.provider().tracer("test").start("mine").end();
    http.flush(PATIENCE).unwrap();
    grpc.flush(PATIENCE).unwrap_err();
    assert_eq!(heard.take(), BTreeSet::from(["feedback".to_owned()]));
    assert_eq!(server.names(), ["mine"]);

    // The same client on a thread of the program's own is heard.
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
    assert!(heard.take().contains("h2"));
}
