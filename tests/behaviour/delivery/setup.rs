//! What the builder's settings and the environment's variables do to what leaves.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, Server, spans, text};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{InMemorySpanExporter, SpanData, SpanExporter},
};
use tracing::{
    Event, Level, Subscriber, debug_span, field::Field, info, info_span, trace, trace_span,
};
use tracing_conversation::{Builder, ContentPolicy, Profile, Telemetry, TraceMode};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
};

/// Runs a program under telemetry of these settings; the server has everything when it returns.
fn run(settings: impl FnOnce(Builder) -> Builder, program: impl FnOnce()) -> Server {
    let server = Server::start();
    let telemetry = settings(Telemetry::builder().endpoint(server.url()))
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, program);
    telemetry.shutdown().unwrap();
    server
}

/// `name: attributes` of everything the server has got.
fn all(server: &Server) -> String {
    let requests = server.requests();
    let mut lines = String::new();
    for span in requests.iter().flat_map(|request| spans(&request.body)) {
        lines += &format!("{}:\n{}", span.name, text(&span.attributes));
    }
    lines
}

fn ordinary() {
    info_span!("info").in_scope(|| ());
    debug_span!("debug").in_scope(|| ());
}

#[test]
fn ordinary_spans_leave_from_a_level_upwards() {
    assert_eq!(run(|builder| builder, ordinary).names(), ["info"]);
    assert_eq!(
        run(|builder| builder.level(Level::DEBUG), ordinary).names(),
        ["info", "debug"]
    );
    assert_eq!(
        run(|builder| builder.level(Level::WARN), ordinary).names(),
        [""; 0]
    );
}

#[test]
fn what_is_addressed_to_the_layer_passes_at_any_level() {
    let server = run(
        |builder| builder.level(Level::ERROR),
        || {
            let conversation = trace_span!("conversation", conversation.id = "call-1");
            conversation.in_scope(|| {
                trace!(conversation.event = "user_started_speaking");
                trace_span!("llm", gen_ai.operation.name = "chat").in_scope(|| ());
            });
        },
    );
    assert_eq!(server.names(), ["llm", "turn", "conversation"]);
}

fn saying_something() {
    let conversation = info_span!("conversation", conversation.id = "call-1");
    conversation.in_scope(|| {
        info!(conversation.event = "user_started_speaking");
        info_span!("llm", gen_ai.operation.name = "chat", input = "a secret").in_scope(|| ());
    });
}

#[test]
fn content_leaves_only_if_both_program_and_operator_let_it() {
    const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    let policy = |capture| ContentPolicy::default().with_capture(capture);
    let sent = |capture: bool, variable: &str| {
        let server = run(
            |builder| builder.content(policy(capture)).variable(NAME, variable),
            saying_something,
        );
        assert_eq!(server.names(), ["llm", "turn", "conversation"]);
        all(&server).contains("a secret")
    };
    assert!(sent(true, "true"));
    assert!(!sent(true, "false"));
    assert!(!sent(true, "NO_CONTENT"));
    assert!(!sent(false, "true"));
}

#[test]
fn the_profile_is_added_on_the_way_out() {
    let server = run(
        |builder| builder.profile(Profile::OpenInference),
        saying_something,
    );
    assert!(
        all(&server).contains("input.value = a secret\n"),
        "{}",
        all(&server)
    );
    assert!(all(&server).contains("openinference.span.kind = LLM\n"));
    let server = run(
        |builder| builder.profile(Profile::Default),
        saying_something,
    );
    assert!(!all(&server).contains("openinference"));
}

#[test]
fn the_program_chooses_what_is_a_trace() {
    let traces = |mode| {
        let server = run(|builder| builder.trace_mode(mode), saying_something);
        let requests = server.requests();
        let ids: std::collections::BTreeSet<_> = requests
            .iter()
            .flat_map(|r| spans(&r.body))
            .map(|span| span.trace_id.clone())
            .collect();
        ids.len()
    };
    assert_eq!(traces(TraceMode::Conversation), 1);
    assert_eq!(traces(TraceMode::Turn), 2);
}

#[test]
fn nothing_is_sampled_where_the_sampler_says_so() {
    let server = run(
        |builder| builder.variable("OTEL_TRACES_SAMPLER", "always_off"),
        saying_something,
    );
    assert_eq!(server.names(), [""; 0]);
}

#[test]
fn telemetry_that_is_off_costs_no_span_and_no_thread() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let telemetry = Telemetry::builder().variable(name, value).build().unwrap();
        assert_eq!(telemetry.delivered(), []);
        let layer = telemetry.layer::<Registry>();
        assert_eq!(layer.max_level_hint(), Some(LevelFilter::OFF));
        telemetry.flush(PATIENCE).unwrap();
        telemetry.shutdown().unwrap();
    }
}

#[test]
fn an_exporter_of_the_programs_own_is_a_destination_like_the_others() {
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .exporter(InMemorySpanExporter::default())
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, saying_something);
    telemetry.shutdown().unwrap();
    let delivered = telemetry.delivered();
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0].exported, 3);
}

/// Returns an error for its first so many batches, and never returns for those of a span `endless`.
#[derive(Debug, Clone, Default)]
struct Fails(Arc<AtomicU32>, InMemorySpanExporter);

impl SpanExporter for Fails {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        if spans.iter().any(|span| span.name == "endless") {
            std::future::pending::<()>().await;
        }
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
            return Err(OTelSdkError::InternalFailure("not now".into()));
        }
        self.1.export(spans).await
    }
}

#[test]
fn exporter_of_the_program_gets_a_batch_again_after_an_error() {
    let exporter = Fails(Arc::new(AtomicU32::new(2)), InMemorySpanExporter::default());
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .exporter(exporter.clone())
        .build()
        .unwrap();
    let tracer = telemetry.provider().tracer("test");
    tracer.start("span").end();
    telemetry.flush(PATIENCE).unwrap();
    let delivered = &telemetry.delivered()[0];
    assert_eq!((delivered.exported, delivered.lost()), (1, 0));
    let problem = delivered.last_problem.as_deref().unwrap_or_default();
    assert!(problem.contains("not now"), "{problem}");
    assert_eq!(exporter.1.get_finished_spans().unwrap().len(), 1);
}

#[test]
fn exporter_of_the_program_that_never_returns_is_given_up_after_the_export_timeout() {
    let exporter = Fails::default();
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "100")
        .exporter(exporter.clone())
        .build()
        .unwrap();
    let tracer = telemetry.provider().tracer("test");
    tracer.start("endless").end();
    let error = telemetry.flush(PATIENCE).unwrap_err().to_string();
    assert!(error.contains("no result within 100ms"), "{error}");
    tracer.start("span").end();
    telemetry.flush(PATIENCE).unwrap();
    let delivered = &telemetry.delivered()[0];
    assert_eq!((delivered.exported, delivered.failed), (1, 1));
}

/// Panics at its first so many batches.
#[derive(Debug)]
struct Panics(AtomicU32);

impl SpanExporter for Panics {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
            panic!("as this test wants it");
        }
        Ok(())
    }
}

#[test]
fn exporter_that_panics_loses_only_its_own_spans_and_delays_nothing() {
    let server = Server::start();
    let telemetry = Telemetry::builder()
        .endpoint(server.url())
        .exporter(Panics(AtomicU32::new(u32::MAX)))
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, saying_something);
    let error = telemetry.shutdown().unwrap_err().to_string();
    assert_eq!(
        error,
        "behaviour::delivery::setup::Panics: 3 spans lost, 0 still waiting (the exporter panicked)"
    );
    assert_eq!(server.names(), ["llm", "turn", "conversation"]);
}

/// Collects the messages of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" && *event.metadata().level() == Level::WARN {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        });
    }
}

#[test]
fn export_thread_that_panics_is_reported_counted_and_restarted() {
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .exporter(Panics(AtomicU32::new(1)))
        .build()
        .unwrap();
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry()
        .with(warnings.clone())
        .with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        info_span!("lost").in_scope(|| ());
        let error = telemetry.flush(PATIENCE).unwrap_err().to_string();
        assert!(error.contains("the exporter panicked"), "{error}");
        info_span!("exported").in_scope(|| ());
        telemetry.flush(PATIENCE).unwrap();
    });
    let delivered = &telemetry.delivered()[0];
    assert_eq!(
        (delivered.exported, delivered.failed, delivered.restarts),
        (1, 1, 1)
    );
    assert_eq!(
        *warnings.0.lock().unwrap(),
        ["the export thread panicked and was restarted"]
    );
}

#[test]
fn durations_without_end_do_not_overflow() {
    let server = Server::start();
    let telemetry = Telemetry::builder()
        .endpoint(server.url())
        .shutdown_timeout(Duration::MAX)
        .variable("OTEL_BSP_SCHEDULE_DELAY", u64::MAX.to_string())
        .variable("OTEL_BSP_EXPORT_TIMEOUT", u64::MAX.to_string())
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", u64::MAX.to_string())
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        info_span!("first").in_scope(|| ());
        telemetry.flush(Duration::MAX).unwrap();
        info_span!("second").in_scope(|| ());
    });
    telemetry.shutdown().unwrap();
    assert_eq!(server.names(), ["first", "second"]);
}

#[derive(Debug)]
struct Hangs;

impl SpanExporter for Hangs {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn an_exporter_that_hangs_does_not_hold_up_the_end_beyond_its_time() {
    let server = Server::start();
    let telemetry = Telemetry::builder()
        .endpoint(server.url())
        .exporter(Hangs)
        .shutdown_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, saying_something);
    let begun = Instant::now();
    let error = telemetry.shutdown().unwrap_err().to_string();
    assert!(
        begun.elapsed() < Duration::from_millis(3900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        error,
        "behaviour::delivery::setup::Hangs: 0 spans lost, 3 still waiting (out of time)"
    );
    drop(telemetry);
    assert!(
        begun.elapsed() < Duration::from_millis(3900),
        "the drop has waited once more: {:?}",
        begun.elapsed()
    );
    assert_eq!(server.names(), ["llm", "turn", "conversation"]);
}
