//! The layer beside others, in any order and wrapping: none affects another.

use crate::stage::{self, Output};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::{Dispatch, Subscriber, debug, info, info_span, warn};
use tracing_conversation::{ConversationLayer, Conversations, ManualClock};
use tracing_error::{ErrorLayer, SpanTrace};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, reload};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn fmt<S>(log: &Log) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .with_target(false)
}

struct Exported<L> {
    layer: L,
    exporter: InMemorySpanExporter,
    conversations: Conversations,
    clock: ManualClock,
    /// Kept alive because dropping the provider clears the exporter.
    provider: SdkTracerProvider,
}

fn conversation_layer<S>() -> Exported<ConversationLayer<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let output = Output::new();
    let clock = ManualClock::new();
    let layer = output.layer().clock(clock.clone()).build();
    let conversations = layer.conversations();
    Exported {
        layer,
        exporter: output.exporter,
        conversations,
        clock,
        provider: output.provider,
    }
}

impl<L> Exported<L> {
    fn apart(self) -> (L, Exported<()>) {
        let Self {
            layer,
            exporter,
            conversations,
            clock,
            provider,
        } = self;
        (
            layer,
            Exported {
                layer: (),
                exporter,
                conversations,
                clock,
                provider,
            },
        )
    }
}

fn program() {
    let scope = info_span!("conversation", conversation.id = "c1");
    scope.in_scope(|| {
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "vad_user_started_speaking");
        info!(conversation.event = "user_started_speaking");
        info!(conversation.event = "user_startet_speaking");
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            output = tracing::field::Empty
        );
        llm.in_scope(|| {
            llm.record("output", "hello");
            debug!("a detail");
            info!("an event");
            warn!("a warning");
            let post = info_span!("POST", tokens = 7_u64);
            post.in_scope(|| {
                // The context is available as without the layer.
                assert!(post.context().span().span_context().is_valid());
                assert!(SpanTrace::capture().to_string().contains("POST"));
            });
        });
    });
}

const TREE: &[&str] = &[
    "conversation conversation.id=c1",
    "  turn conversation.id=c1 turn.number=1",
    "  turn conversation.id=c1 turn.number=2",
    "    llm conversation.id=c1 turn.number=2 output=hello",
    "      POST conversation.id=c1 turn.number=2",
];

const LOG: &str = " INFO conversation{conversation.id=\"c1\"}: conversation.event=\"bot_started_speaking\"
 INFO conversation{conversation.id=\"c1\"}: conversation.event=\"vad_user_started_speaking\"
 INFO conversation{conversation.id=\"c1\"}: conversation.event=\"user_started_speaking\"
 INFO conversation{conversation.id=\"c1\"}: conversation.event=\"user_startet_speaking\"
 INFO conversation{conversation.id=\"c1\"}:llm{gen_ai.operation.name=\"chat\" output=\"hello\"}: an event
 WARN conversation{conversation.id=\"c1\"}:llm{gen_ai.operation.name=\"chat\" output=\"hello\"}: a warning
";

const WARNING: &str = " WARN conversation.event = \"user_startet_speaking\" is unknown and ignored; \
                       tracing_conversation::names::event lists what is known\n";

/// Returns the log without the one warning about the unknown event.
#[track_caller]
fn without_warning(log: &Log) -> String {
    stage::eventually(|| log.text().contains(WARNING));
    let text = log.text();
    assert_eq!(text.matches(WARNING).count(), 1, "{text}");
    text.replace(WARNING, "")
}

#[track_caller]
fn assert_tree<L>(exported: &Exported<L>) {
    assert_eq!(exported.conversations.open(), 0);
    let spans = exported.exporter.get_finished_spans().unwrap();
    assert_eq!(
        stage::tree(&spans, &["conversation.id", "turn.number", "output"]),
        TREE
    );
    let llm = stage::one(&spans, "llm");
    let events: Vec<_> = llm.events.iter().map(|event| &*event.name).collect();
    assert!(
        events.contains(&"an event") && events.contains(&"a warning"),
        "{events:?}"
    );
}

/// Runs the program under a subscriber and compares the output of each layer with its output when alone.
fn check(subscriber: impl Into<Dispatch>, log: &Log, exported: &Exported<()>) {
    tracing::dispatcher::with_default(&subscriber.into(), program);
    assert_eq!(without_warning(log), LOG);
    assert_tree(exported);
}

fn info_only() -> EnvFilter {
    EnvFilter::new("info")
}

#[test]
fn conversation_layer_before_fmt_and_error_layers() {
    let log = Log::default();
    let (layer, exported) = conversation_layer().apart();
    let all = tracing_subscriber::registry()
        .with(layer)
        .with(fmt(&log).with_filter(info_only()))
        .with(ErrorLayer::default());
    check(all, &log, &exported);
}

#[test]
fn conversation_layer_after_fmt_and_error_layers() {
    let log = Log::default();
    let (layer, exported) = conversation_layer().apart();
    let all = tracing_subscriber::registry()
        .with(fmt(&log).with_filter(info_only()))
        .with(ErrorLayer::default())
        .with(layer);
    check(all, &log, &exported);
}

#[test]
fn conversation_layer_between_others_with_per_layer_filter() {
    let log = Log::default();
    let (layer, exported) = conversation_layer().apart();
    let all = tracing_subscriber::registry()
        .with(ErrorLayer::default())
        .with(layer.with_filter(EnvFilter::new("trace")))
        .with(fmt(&log).with_filter(info_only()));
    check(all, &log, &exported);
}

#[test]
fn layers_under_global_filter() {
    let log = Log::default();
    let (layer, exported) = conversation_layer().apart();
    let all = tracing_subscriber::registry()
        .with(info_only())
        .with(fmt(&log))
        .with(layer)
        .with(ErrorLayer::default());
    check(all, &log, &exported);
}

#[test]
fn conversation_layer_beside_warnings_only_log() {
    let log = Log::default();
    let (layer, exported) = conversation_layer().apart();
    let all = tracing_subscriber::registry()
        .with(layer)
        .with(fmt(&log).with_filter(LevelFilter::WARN))
        .with(ErrorLayer::default());
    tracing::dispatcher::with_default(&all.into(), program);
    assert_eq!(without_warning(&log), " WARN a warning\n");
    assert_tree(&exported);
}

#[test]
fn conversation_layer_inside_option_box_or_vec() {
    fn wrapped(
        wrap: impl FnOnce(
            ConversationLayer<tracing_subscriber::Registry>,
        ) -> Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>,
    ) {
        let log = Log::default();
        let (layer, exported) = conversation_layer().apart();
        let all = tracing_subscriber::registry()
            .with(wrap(layer))
            .with(fmt(&log).with_filter(info_only()))
            .with(ErrorLayer::default());
        check(all, &log, &exported);
    }
    wrapped(|layer| Box::new(layer));
    wrapped(|layer| Box::new(Some(layer)));
    wrapped(|layer| Box::new(Some(Box::new(layer).boxed())));
    wrapped(|layer| Box::new(vec![layer]));
    wrapped(|layer| Box::new(layer.with_filter(filter_fn(|_| true))));
}

#[test]
fn none_layer_has_no_effect() {
    let log = Log::default();
    let all = tracing_subscriber::registry()
        .with(None::<ConversationLayer<tracing_subscriber::Registry>>)
        .with(fmt(&log).with_filter(info_only()));
    tracing::dispatcher::with_default(&all.into(), || {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        info!("an event");
    });
    assert_eq!(
        log.text(),
        " INFO conversation{conversation.id=\"c1\"}: an event\n"
    );
}

#[test]
fn remote_parent_can_be_set_inside_option() {
    let (layer, exported) = conversation_layer().apart();
    let all = Dispatch::from(tracing_subscriber::registry().with(Some(layer)));
    tracing::dispatcher::with_default(&all, || {
        // The layer knows its subscriber after the first span, as in a running program.
        info_span!("before").in_scope(|| ());
        let remote = info_span!("remote");
        let scope = info_span!("conversation", conversation.id = "c1");
        scope.set_parent(remote.context()).unwrap();
        scope.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
    });
    let spans = exported.exporter.get_finished_spans().unwrap();
    assert_eq!(
        stage::one(&spans, "conversation").parent_span_id,
        stage::one(&spans, "remote").span_context.span_id()
    );
}

#[test]
fn spans_open_at_reload_are_exported_completely() {
    let (first_layer, first) = conversation_layer().apart();
    let (second_layer, second) = conversation_layer().apart();
    let (reloadable, handle) = reload::Layer::new(first_layer);
    let all = Dispatch::from(tracing_subscriber::registry().with(reloadable));
    tracing::dispatcher::with_default(&all, || {
        let scope = info_span!("conversation", conversation.id = "c1");
        let llm = scope.in_scope(|| {
            info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.request.model = "gpt-4o"
            )
        });
        llm.in_scope(|| handle.reload(second_layer).unwrap());
        assert!(!Context::current().has_active_span(), "the span is exited");
        llm.in_scope(|| info!("still there"));
        llm.record("gen_ai.request.model", "too late");
    });
    let spans = first.exporter.get_finished_spans().unwrap();
    assert_eq!(
        stage::tree(&spans, &["conversation.id", "gen_ai.request.model"]),
        [
            "conversation conversation.id=c1",
            "  turn conversation.id=c1",
            "    llm conversation.id=c1 gen_ai.request.model=gpt-4o",
        ]
    );
    assert_eq!(second.exporter.get_finished_spans().unwrap().len(), 0);
}

#[test]
fn layer_inside_reload_works_and_can_be_replaced() {
    let (first_layer, first) = conversation_layer().apart();
    let (second_layer, second) = conversation_layer().apart();
    let (reloadable, handle) = reload::Layer::new(first_layer);
    let all = Dispatch::from(tracing_subscriber::registry().with(reloadable));
    tracing::dispatcher::with_default(&all, || {
        let run = |stage: &Exported<()>| {
            let scope = info_span!("conversation", conversation.id = "c1");
            scope.in_scope(|| {
                let llm = info_span!("llm", gen_ai.operation.name = "chat", tokens = 3_u64);
                llm.in_scope(|| drop(info_span!("POST")));
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "bot_stopped_speaking");
                stage.clock.advance(std::time::Duration::from_secs(3));
                info!(conversation.event = "user_started_speaking");
            });
        };
        run(&first);
        handle.reload(second_layer).unwrap();
        run(&second);
    });
    for stage in [first, second] {
        let spans = stage.exporter.get_finished_spans().unwrap();
        assert_eq!(
            stage::tree(&spans, &["conversation.id", "turn.number", "tokens"]),
            [
                "conversation conversation.id=c1",
                "  turn conversation.id=c1 turn.number=1",
                "    llm conversation.id=c1 turn.number=1 tokens=3",
                "      POST conversation.id=c1 turn.number=1",
                "  turn conversation.id=c1 turn.number=2",
            ]
        );
        assert_eq!(stage.conversations.open(), 0);
    }
}

#[test]
fn subscribers_are_independent() {
    let subscribers: Vec<_> = (0..3)
        .map(|_| {
            let (layer, exported) = conversation_layer().apart();
            (
                Dispatch::from(
                    tracing_subscriber::registry()
                        .with(layer)
                        .with(ErrorLayer::default()),
                ),
                exported,
            )
        })
        .collect();
    std::thread::scope(|threads| {
        for (dispatch, _) in &subscribers {
            threads.spawn(|| tracing::dispatcher::with_default(dispatch, program));
        }
    });
    for (_, exported) in &subscribers {
        assert_tree(exported);
    }
    // Also while one is active inside another.
    let (outer, inner) = (&subscribers[0], &subscribers[1]);
    for (_, exported) in &subscribers {
        exported.exporter.reset();
    }
    tracing::dispatcher::with_default(&outer.0, || {
        let scope = info_span!("conversation", conversation.id = "outer").entered();
        tracing::dispatcher::with_default(&inner.0, || {
            info!(conversation.event = "user_started_speaking");
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| info!(conversation.event = "first_byte"));
        });
        drop(scope);
    });
    let names = |exported: &Exported<()>| {
        let spans = exported.exporter.get_finished_spans().unwrap();
        spans
            .iter()
            .map(|span| span.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&outer.1), ["turn", "conversation"]);
    assert_eq!(names(&inner.1), ["llm"]);
}

#[test]
fn spans_hidden_by_filter_are_skipped_as_parents() {
    let (layer, exported) = conversation_layer().apart();
    let hidden = filter_fn(|metadata| metadata.name() != "hidden");
    let all = Dispatch::from(
        tracing_subscriber::registry()
            .with(layer.with_filter(hidden))
            .with(ErrorLayer::default()),
    );
    tracing::dispatcher::with_default(&all, || {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        let hidden = info_span!("hidden", conversation.id = "c2").entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat").entered();
        drop(info_span!("POST"));
        drop(llm);
        drop(hidden);
        drop(scope);
    });
    let spans = exported.exporter.get_finished_spans().unwrap();
    let mut tree = stage::tree(&spans, &["conversation.id"]);
    tree.sort();
    assert_eq!(
        tree,
        [
            "      POST conversation.id=c1",
            "    llm conversation.id=c1",
            "  turn conversation.id=c1",
            "conversation conversation.id=c1",
        ]
    );
}
