//! Service spans get data of `tracing-opentelemetry` only when their context is first requested.

use crate::stage::{self, Output, Stage, assert_each_key_once, attribute};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::{Event, Span, Subscriber, error, info, info_span, warn};
use tracing_opentelemetry::{OpenTelemetrySpanExt, get_otel_context};
use tracing_subscriber::Layer;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

fn context_of(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

fn llm() -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        service.ended = tracing::field::Empty
    )
}

/// Runs `before` on a service span, requests its context for the first time, and compares it with the exported span.
fn assert_first_context_request_after(before: impl FnOnce(&Span)) {
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
        context_of(&asked)
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
fn first_context_request_on_span_never_entered() {
    assert_first_context_request_after(|_| ());
}

#[test]
fn first_context_request_on_exited_span() {
    assert_first_context_request_after(|span| span.in_scope(|| ()));
}

#[test]
fn first_context_request_on_entered_span() {
    assert_first_context_request_after(|span| {
        span.in_scope(|| assert_eq!(context_of(&Span::current()), context_of(span)))
    });
}

#[test]
fn first_context_request_on_ended_service() {
    assert_first_context_request_after(|span| {
        span.record("service.ended", true);
    });
}

#[test]
fn attributes_and_status_set_by_first_span_ext_call_are_exported() {
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
fn log_events_are_span_events_without_context_request() {
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
fn log_events_attach_to_spans_of_their_own_subscriber() {
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
fn children_and_links_resolve_without_context_request() {
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
            "      explicit turn.number=1",
            "      joins",
            "      tool turn.number=1",
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

/// A log layer that adds the trace id to each line, as such layers usually do.
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
fn log_layer_may_request_context_at_any_event() {
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
        // `Option` hides it from the inner layers.
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
fn first_context_request_is_thread_safe() {
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
                    assert!(context_of(&asked).is_valid());
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
