//! What `tracing-opentelemetry` knows of service spans: nothing until somebody asks, everything from then on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod stage;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt};
use stage::{Output, Stage, assert_each_key_once, attribute};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::{Event, Span, Subscriber, error, info, info_span, warn};
use tracing_opentelemetry::{OpenTelemetrySpanExt, get_otel_context};
use tracing_subscriber::Layer;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

fn told(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

fn llm() -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        service.ended = tracing::field::Empty
    )
}

/// Opens a conversation, has `before` done with a service span, asks it the first question, and compares.
fn first_question_after(before: impl FnOnce(&Span)) {
    let stage = Stage::new();
    let context = stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let others = [llm(), llm()];
        others[0].in_scope(|| ());
        let asked = info_span!(
            "asked",
            gen_ai.operation.name = "chat",
            service.ended = tracing::field::Empty
        );
        before(&asked);
        told(&asked)
    });
    assert!(context.is_valid() && context.is_sampled());
    assert_eq!(stage.span("asked").span_context, context);
    let parent = stage.span("turn").span_context.span_id();
    assert_eq!(stage.span("asked").parent_span_id, parent);
    assert_eq!(
        stage.tree(&[]),
        ["conversation", "  turn", "    asked", "    llm", "    llm"]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn the_first_question_finds_a_span_that_was_never_entered() {
    first_question_after(|_| ());
}

#[test]
fn the_first_question_finds_a_span_that_was_entered() {
    first_question_after(|span| span.in_scope(|| ()));
}

#[test]
fn the_first_question_finds_a_span_that_is_entered() {
    first_question_after(|span| span.in_scope(|| assert_eq!(told(&Span::current()), told(span))));
}

#[test]
fn the_first_question_finds_a_span_whose_work_is_done() {
    first_question_after(|span| {
        span.record("service.ended", true);
    });
}

#[test]
fn what_is_set_on_a_span_by_the_first_question_leaves_with_it() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let entered = llm();
        entered.in_scope(|| entered.set_attribute("mine", 7_i64));
        entered.set_status(Status::error("quota"));
    });
    let llm = stage.span("llm");
    assert_eq!(attribute(&llm, "mine").as_deref(), Some("7"));
    assert_eq!(llm.status, Status::error("quota"));
}

#[test]
fn log_events_in_a_service_span_are_events_of_it_though_nobody_asks() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let before = llm();
        info!(parent: &before, "not entered yet");
        before.in_scope(|| info!(chunk = 1_i64, "entered"));
        before.in_scope(|| {
            let post = info_span!("POST");
            post.in_scope(|| info!("below"));
        });
        drop(before);
        let failing = info_span!("tts", gen_ai.operation.name = "tts");
        failing.in_scope(|| error!("out of voice"));
    });
    let events = |name| {
        let span = stage.span(name);
        let names = span.events.iter().map(|event| event.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(events("llm"), ["not entered yet", "entered"]);
    assert_eq!(events("POST"), ["below"]);
    assert_eq!(events("tts"), ["out of voice"]);
    assert!(matches!(stage.span("tts").status, Status::Error { .. }));
    assert_eq!(
        stage.tree(&[]),
        ["conversation", "  turn", "    llm", "      POST", "    tts"]
    );
}

#[test]
fn log_events_find_their_service_span_between_those_of_another_subscriber() {
    let [one, other] = [Stage::new(), Stage::new()];
    one.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let _llm = llm().entered();
        other.play(|| {
            let _scope = info_span!("conversation", conversation.id = "c1").entered();
            let _llm = llm().entered();
            one.play(|| info!("for the one"));
            info!("for the other");
        });
    });
    for (stage, expected) in [(one, "for the one"), (other, "for the other")] {
        let events = stage.span("llm").events;
        let names: Vec<_> = events.iter().map(|event| &*event.name).collect();
        assert_eq!(names, [expected]);
    }
}

#[test]
fn children_and_followers_find_their_service_span_though_nobody_asks() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let [first, second] = [llm(), info_span!("tts", gen_ai.operation.name = "tts")];
        drop(info_span!(parent: &first, "explicit"));
        drop(info_span!(parent: &first, "joins", conversation.id = "nobody's"));
        drop(info_span!(parent: &first, "tool", gen_ai.operation.name = "execute_tool"));
        second.follows_from(&first);
        drop((first, second));
    });
    assert_eq!(
        stage.tree(&["turn.number"]),
        [
            "conversation",
            "  turn turn.number=1",
            "    llm turn.number=1",
            "      tool turn.number=1",
            "      explicit turn.number=1",
            "      joins",
            "    tts turn.number=1",
        ]
    );
    let links = stage.span("tts").links;
    let linked: Vec<_> = links
        .iter()
        .map(|link| link.span_context.span_id())
        .collect();
    assert_eq!(linked, [stage.span("llm").span_context.span_id()]);
}

/// A log that adds the trace to each line, as such layers do it.
#[derive(Clone, Default)]
struct Log {
    dispatch: Arc<OnceLock<WeakDispatch>>,
    traces: Arc<Mutex<Vec<SpanContext>>>,
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Log {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, ctx: tracing_subscriber::layer::Context<'_, S>) {
        let Some(span) = ctx.event_span(event) else {
            return;
        };
        let dispatch = self.dispatch.get().unwrap().upgrade().unwrap();
        let context: Context = get_otel_context(&span.id(), &dispatch).unwrap_or_default();
        let span = context.span().span_context().clone();
        self.traces.lock().unwrap().push(span);
    }
}

#[test]
fn a_log_beside_the_layer_may_ask_at_any_event() {
    for log_is_first in [true, false] {
        let output = Output::new();
        let log = Log::default();
        let (inner, outer) = if log_is_first {
            (Some(log.clone()), None)
        } else {
            (None, Some(log.clone()))
        };
        let subscriber = tracing_subscriber::registry()
            .with(inner)
            .with(output.layer().build())
            .with(outer);
        let dispatch = Dispatch::new(subscriber);
        // `Option` keeps it from the layers within.
        let _ = log.dispatch.set(dispatch.downgrade());
        tracing::dispatcher::with_default(&dispatch, || {
            let _scope = info_span!("conversation", conversation.id = "c1").entered();
            let span = llm();
            span.in_scope(|| warn!("slow"));
            info!(parent: &span, conversation.event = "first_byte");
        });
        drop(dispatch);
        let spans = output.exporter.get_finished_spans().unwrap();
        let llm = stage::one(&spans, "llm").span_context;
        assert_eq!(*log.traces.lock().unwrap(), [llm.clone(), llm]);
    }
}

#[test]
fn the_first_question_may_come_while_service_spans_come_and_go_on_other_threads() {
    for _ in 0..20 {
        let stage = Stage::new();
        let dispatch = &stage.dispatch;
        let is_over = AtomicBool::new(false);
        stage.play(|| {
            let conversation = info_span!("conversation", conversation.id = "c1");
            let asked =
                conversation.in_scope(|| info_span!("asked", gen_ai.operation.name = "chat"));
            std::thread::scope(|threads| {
                for _ in 0..3 {
                    threads.spawn(|| {
                        tracing::dispatcher::with_default(dispatch, || {
                            while !is_over.load(Ordering::SeqCst) {
                                let llm = conversation.in_scope(llm);
                                llm.in_scope(|| drop(info_span!("POST")));
                                llm.in_scope(|| ());
                            }
                        });
                    });
                }
                for _ in 0..50 {
                    assert!(told(&asked).is_valid());
                    std::thread::yield_now();
                }
                is_over.store(true, Ordering::SeqCst);
            });
        });
        let spans = stage.spans();
        let count = |name| stage::count(&spans, name);
        assert_eq!(count("asked"), 1);
        assert_eq!(count("llm"), count("POST"));
        assert_eq!(spans.len(), 3 + 2 * count("llm"), "{:#?}", stage.tree(&[]));
        assert_each_key_once(&spans);
    }
}
