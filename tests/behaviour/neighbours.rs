//! Layers of other crates, and a second instance of this crate's layer, in the same registry.

use crate::stage::{self, Output, Stage};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::fmt;
use std::sync::{Arc, Mutex};
use tracing::{Dispatch, Event, Subscriber, info, info_span};
use tracing_conversation::{Conversation, annotate, event};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// Collects this crate's warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    #[track_caller]
    fn assert_one_about_two_layers(&self) {
        stage::eventually(|| !self.0.lock().unwrap().is_empty());
        let warnings = self.0.lock().unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("remove tracing_opentelemetry::layer()"),
            "{warnings:?}"
        );
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut text = String::new();
            event.record(
                &mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
                    if field.name() == "message" {
                        text = format!("{value:?}");
                    }
                },
            );
            self.0.lock().unwrap().push(text);
        }
    }
}

fn program() {
    let scope = info_span!("conversation", conversation.id = "c1");
    scope.in_scope(|| {
        info!(conversation.event = "user_started_speaking");
        let llm = info_span!("llm", gen_ai.operation.name = "chat", note = 1_i64);
        llm.in_scope(|| {
            llm.record("note", 2_i64);
            info!("an event");
            let post = info_span!("POST");
            post.follows_from(&llm);
            post.in_scope(|| ());
        });
    });
}

fn names(exporter: &InMemorySpanExporter) -> Vec<String> {
    let spans = exporter.get_finished_spans().unwrap();
    let mut names: Vec<_> = spans
        .into_iter()
        .map(|span| span.name.into_owned())
        .collect();
    names.sort();
    names
}

fn foreign<S>() -> (
    InMemorySpanExporter,
    SdkTracerProvider,
    impl Layer<S> + Send + Sync,
)
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("foreign"));
    (exporter, provider, layer)
}

#[test]
fn layer_is_inactive_beside_tracing_opentelemetry_layer_in_either_order() {
    for foreign_is_first in [true, false] {
        let output = Output::new();
        let warnings = Warnings::default();
        let (exporter, _provider, dispatch);
        if foreign_is_first {
            let (seen, provider, foreign) = foreign();
            (exporter, _provider) = (seen, provider);
            let registry = tracing_subscriber::registry().with(foreign);
            dispatch = Dispatch::new(registry.with(output.layer().build()).with(warnings.clone()));
        } else {
            let (seen, provider, foreign) = foreign();
            (exporter, _provider) = (seen, provider);
            let registry = tracing_subscriber::registry().with(output.layer().build());
            dispatch = Dispatch::new(registry.with(foreign).with(warnings.clone()));
        }
        tracing::dispatcher::with_default(&dispatch, || {
            program();
            program();
        });
        warnings.assert_one_about_two_layers();
        let [conversation, llm, post] = ["conversation", "llm", "POST"];
        assert_eq!(
            names(&exporter),
            [post, post, conversation, conversation, llm, llm]
        );
        assert_eq!(names(&output.exporter), [""; 0]);
    }
}

#[test]
fn first_spans_on_several_threads_at_once_find_no_other_layer() {
    for _ in 0..200 {
        let output = Output::new();
        let layer = output.layer().build();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    barrier.wait();
                    tracing::dispatcher::with_default(&dispatch, || drop(info_span!("first")));
                });
            }
        });
        assert_eq!(names(&output.exporter), ["first"; 4]);
    }
}

#[test]
fn second_conversation_layer_is_inactive() {
    let [first, second] = [Output::new(), Output::new()];
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry()
        .with(first.layer().build())
        .with(second.layer().build())
        .with(warnings.clone());
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        program();
        program();
    });
    warnings.assert_one_about_two_layers();
    let mut working = [names(&first.exporter), names(&second.exporter)];
    working.sort();
    assert_eq!(working[0], [""; 0]);
    let [conversation, llm, post, turn] = ["conversation", "llm", "POST", "turn"];
    assert_eq!(
        working[1],
        [post, post, conversation, conversation, llm, llm, turn, turn]
    );
}

/// Records the `follows_from` relations that another layer sees.
#[derive(Clone, Default)]
struct Beside(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Beside {
    fn on_follows_from(
        &self,
        span: &tracing::span::Id,
        follows: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        assert_ne!(span, follows);
        self.0.lock().unwrap().push("follows".to_owned());
    }
}

#[test]
fn other_layers_see_no_additional_follows_from() {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    let output = Output::new();
    let beside = Beside::default();
    let subscriber = tracing_subscriber::registry()
        .with(beside.clone())
        .with(output.layer().build());
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        // Every request to the wrapped layer.
        let _ = llm.context();
        llm.set_attribute("note", 1_i64);
        llm.in_scope(|| {
            let _ = tracing::Span::current().context();
        });
    });
    assert_eq!(*beside.0.lock().unwrap(), [""; 0]);
    assert_eq!(names(&output.exporter).len(), 3);
}

/// Calls the functions of `event` inside its own hook.
struct Reentrant;

impl<S: Subscriber> Layer<S> for Reentrant {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        event::conversation_started();
        event::client_connected();
        event::interruption();
    }
}

#[test]
fn event_functions_first_called_inside_hook_work_afterwards() {
    let stage = Stage::new();
    let reentrant = Dispatch::new(tracing_subscriber::registry().with(Reentrant));
    tracing::dispatcher::with_default(&reentrant, || info!("calls the hook"));
    stage.play(|| {
        event::in_conversation("c1").client_connected();
        event::in_conversation("c2").conversation_started();
        event::in_conversation("c3").interruption();
    });
    assert_eq!(stage.conversations.open(), 3);
}

/// A value whose `Debug` calls back into the crate.
struct ReentrantDebug;

impl fmt::Debug for ReentrantDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        event::user_stopped_speaking();
        annotate!(nested = true);
        write!(f, "{:?}", Conversation::current())
    }
}

struct FailingDebug;

impl fmt::Debug for FailingDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        Err(fmt::Error)
    }
}

struct PanickingDebug;

impl fmt::Debug for PanickingDebug {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose")
    }
}

#[test]
fn values_that_reenter_fail_or_panic_while_formatted_are_harmless() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1", value = ?FailingDebug, late = tracing::field::Empty);
        scope.in_scope(|| {
            annotate!(value = ?ReentrantDebug, failing = ?FailingDebug, panicking = ?PanickingDebug);
            info!(conversation.event = "user_stopped_speaking", reason = ?PanickingDebug, stop_secs = ?FailingDebug);
            scope.record("late", tracing::field::debug(ReentrantDebug));
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                value = ?ReentrantDebug,
                failing = ?FailingDebug,
                panicking = ?PanickingDebug,
                late = tracing::field::Empty,
            );
            llm.in_scope(|| {
                llm.record("late", tracing::field::debug(ReentrantDebug));
                annotate!(annotated = ?ReentrantDebug, failing = ?FailingDebug, panicking = ?PanickingDebug);
            });
        });
        drop(scope);
        assert!(Conversation::by_id("c1").is_none());
    });
    let asked = "Some(Conversation { id: \"c1\", turn_number: Some(1), .. })";
    let llm = stage.span("llm");
    for (key, expected) in [
        ("value", asked),
        ("late", asked),
        ("annotated", asked),
        ("failing", "so far"),
        ("panicking", "[formatting panicked]"),
    ] {
        assert_eq!(
            stage::attribute(&llm, key).as_deref(),
            Some(expected),
            "{key}"
        );
    }
    let turn = stage.span("turn");
    assert_eq!(stage::attribute(&turn, "value").as_deref(), Some(asked));
    let conversation = stage.span("conversation");
    assert_eq!(
        stage::attribute(&conversation, "late").as_deref(),
        Some(asked)
    );
}

#[test]
fn ids_are_cut_to_first_kibibyte() {
    let stage = Stage::new();
    let long = "x".repeat(1 << 20);
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = long.as_str());
        event::in_conversation(&long).bot_started_speaking();
        event::in_conversation(&long[..1_024]).user_started_speaking();
        drop(scope);
    });
    assert_eq!(
        stage.tree(&["turn.end_reason"]),
        [
            "conversation",
            "  turn turn.end_reason=interrupted",
            "  turn turn.end_reason=conversation_ended"
        ]
    );
    let id = stage::attribute(&stage.span("conversation"), "conversation.id");
    assert_eq!(id.unwrap().len(), 1_024);
}
