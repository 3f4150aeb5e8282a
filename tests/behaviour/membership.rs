//! The conversation and service span of a `tracing` span: determined at its creation and inherited from there.

use crate::stage::{self, Stage, assert_each_key_once, attribute};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Poll, Waker};
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::{Conversation, TraceMode, annotate, event};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Polls a future that is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future is not ready"),
    }
}

fn scope(id: &str) -> Span {
    info_span!("conversation", conversation.id = id)
}

fn llm() -> Span {
    info_span!("llm", gen_ai.operation.name = "chat", note = Empty)
}

fn remote() -> Context {
    let context = SpanContext::new(
        TraceId::from(7),
        SpanId::from(7),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    Context::new().with_remote_span_context(context)
}

#[test]
fn span_made_under_a_handle_keeps_its_conversation_as_explicit_parent() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1");
        let conversation = Conversation::by_id("c1").unwrap();
        let task = conversation.in_scope(|| info_span!("task"));
        // Outside any scope and handle.
        drop(info_span!(parent: &task, "llm", gen_ai.operation.name = "chat"));
        info!(parent: &task, conversation.event = "bot_started_speaking");
        task.in_scope(|| {
            info!(conversation.event = "user_started_speaking");
            assert_eq!(Conversation::current().unwrap().id(), "c1");
        });
        assert_eq!(Conversation::of(&task).unwrap().turn_number(), Some(2));
        assert!(Conversation::current().is_none());
    });
    assert_eq!(
        stage.tree(&["conversation.id", "turn.end_reason"]),
        [
            "conversation conversation.id=c1",
            "  turn conversation.id=c1 turn.end_reason=interrupted",
            "    llm conversation.id=c1",
            "  task conversation.id=c1",
            "  turn conversation.id=c1 turn.end_reason=conversation_ended",
        ]
    );
}

#[test]
fn root_spans_of_libraries_belong_to_the_active_handle() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1");
        let conversation = Conversation::by_id("c1").unwrap();
        let agent = || {
            let agent =
                info_span!(parent: None, "invoke_agent", gen_ai.operation.name = "invoke_agent");
            agent.in_scope(|| drop(llm()));
            info!(parent: None, conversation.event = "bot_started_speaking");
        };
        conversation.in_scope(agent);
        now(conversation.run(async { agent() }));
        // Without a handle they belong to no conversation, even inside its scope.
        _scope.in_scope(|| drop(info_span!(parent: None, "chat", gen_ai.operation.name = "chat")));
    });
    assert_eq!(
        stage.tree(&["conversation.id", "turn.number"]),
        [
            "conversation conversation.id=c1",
            "  turn conversation.id=c1 turn.number=1",
            "    invoke_agent conversation.id=c1 turn.number=1",
            "      llm conversation.id=c1 turn.number=1",
            "    invoke_agent conversation.id=c1 turn.number=1",
            "      llm conversation.id=c1 turn.number=1",
            "chat",
        ]
    );
}

#[test]
fn events_under_handle_of_another_conversation_do_not_affect_surrounding_service() {
    let stage = Stage::new();
    stage.play(|| {
        let (a, b) = (scope("a"), scope("b"));
        let other = Conversation::by_id("b").unwrap();
        a.in_scope(|| {
            llm().in_scope(|| {
                stage.pass(100);
                other.in_scope(|| {
                    annotate!(note = "of b");
                    event::first_byte();
                });
                annotate!(conversation.id = "b", note = "of b by id");
                // The service of its own conversation is the nearest again.
                Conversation::by_id("a").unwrap().in_scope(|| {
                    annotate!(note = "of a");
                    event::first_byte();
                });
            });
        });
        drop((a, b));
    });
    assert_eq!(
        stage.tree(&["conversation.id", "note", "metrics.ttfb"]),
        [
            "conversation conversation.id=a",
            "  turn conversation.id=a",
            "    llm conversation.id=a note=of a metrics.ttfb=0.1",
            "conversation conversation.id=b",
            "  turn conversation.id=b note=of b by id",
        ]
    );
}

#[test]
fn innermost_span_or_handle_determines_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let (a, b) = (scope("a"), scope("b"));
        let of_b = Conversation::by_id("b").unwrap();
        let current = || Conversation::current().map(|conversation| conversation.id().to_owned());
        a.in_scope(|| {
            of_b.in_scope(|| {
                assert_eq!(current().as_deref(), Some("b"));
                a.in_scope(|| assert_eq!(current().as_deref(), Some("a")));
                assert_eq!(current().as_deref(), Some("b"));
            });
            // A span outside any conversation.
            let outside = info_span!(parent: None, "outside");
            outside.in_scope(|| {
                assert_eq!(current(), None);
                info!(conversation.event = "user_started_speaking", "for nobody");
            });
            assert_eq!(current().as_deref(), Some("a"));
        });
        assert_eq!(current(), None);
        drop((a, b));
    });
}

#[test]
fn handle_of_surrounding_conversation_changes_no_parent() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1").entered();
        let agent = info_span!("agent", gen_ai.operation.name = "invoke_agent").entered();
        Conversation::by_id("c1").unwrap().in_scope(|| {
            drop(llm());
            drop(info_span!("POST"));
        });
        drop(agent);
    });
    assert_eq!(
        stage.tree(&["turn.number"]),
        [
            "conversation",
            "  turn turn.number=1",
            "    agent turn.number=1",
            "      llm turn.number=1",
            "      POST turn.number=1"
        ]
    );
}

#[test]
fn ordinary_children_of_conversation_with_remote_parent_have_conversation_attributes() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = scope("c1");
        conversation.set_parent(remote()).unwrap();
        let llm = conversation.in_scope(llm);
        drop(info_span!(parent: &conversation, "explicit"));
        drop(info_span!(parent: &llm, "below"));
        llm.in_scope(|| drop(info_span!("contextual")));
    });
    assert_eq!(
        stage.tree(&["conversation.id", "gen_ai.conversation.id", "turn.number"]),
        [
            "? conversation conversation.id=c1 gen_ai.conversation.id=c1",
            "  explicit conversation.id=c1 gen_ai.conversation.id=c1",
            "  turn conversation.id=c1 gen_ai.conversation.id=c1 turn.number=1",
            "    llm conversation.id=c1 gen_ai.conversation.id=c1 turn.number=1",
            "      below conversation.id=c1 gen_ai.conversation.id=c1 turn.number=1",
            "      contextual conversation.id=c1 gen_ai.conversation.id=c1 turn.number=1",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn id_recorded_late_applies_to_span_and_its_descendants() {
    let stage = Stage::new();
    stage.play(|| {
        let (outer, inner) = (scope("outer"), scope("inner"));
        outer.in_scope(|| {
            let llm = llm().entered();
            let handler = info_span!("handler", conversation.id = Empty);
            handler.record("conversation.id", "inner");
            handler.in_scope(|| drop(info_span!("below")));
            let entered = info_span!("entered", conversation.id = Empty).entered();
            entered.record("conversation.id", "inner");
            drop(info_span!("below entered"));
            info!(conversation.event = "bot_started_speaking");
            drop((entered, llm));
        });
        inner.in_scope(|| info!(conversation.event = "user_started_speaking"));
        drop((outer, inner));
    });
    let spans = stage.spans();
    for name in ["handler", "below", "entered", "below entered"] {
        let span = stage::one(&spans, name);
        let of = |key| attribute(&span, key);
        assert_eq!(of("conversation.id").as_deref(), Some("inner"), "{name}");
        assert_eq!(of("gen_ai.conversation.id").as_deref(), Some("inner"));
        assert_eq!(of("turn.number"), None, "{name}");
    }
    let interrupted = |span: &&opentelemetry_sdk::trace::SpanData| {
        attribute(span, "turn.end_reason").as_deref() == Some("interrupted")
    };
    let turn = spans.iter().find(interrupted).unwrap();
    assert_eq!(attribute(turn, "conversation.id").as_deref(), Some("inner"));
    assert_each_key_once(&spans);
}

#[test]
fn integers_of_ordinary_spans_are_exported_as_integers() {
    use opentelemetry::Value;
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1").entered();
        let post = info_span!("POST", size = 7_u64, late = Empty, huge = u64::MAX);
        post.record("late", 8_usize);
    });
    let post = stage.span("POST");
    let of = |key: &str| {
        let mut attributes = post.attributes.iter();
        let found = attributes.find(|attribute| attribute.key.as_str() == key);
        found.unwrap().value.clone()
    };
    assert_eq!(of("size"), Value::I64(7));
    assert_eq!(of("late"), Value::I64(8));
    assert_eq!(of("huge"), Value::String("18446744073709551615".into()));
    assert_each_key_once(std::slice::from_ref(&post));
}

/// An stt span that starts in the first turn and whose first transcript arrives in the second, with an ordinary and a
/// service span below it that end before and after it moves.
fn moved_transcription(stage: &Stage) {
    stage.play(|| {
        let _scope = scope("c1").entered();
        let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = Empty);
        let after = stt.in_scope(|| {
            drop(info_span!("connect"));
            drop(info_span!("chat", gen_ai.operation.name = "chat"));
            info_span!("stream")
        });
        stage::next_turn();
        stt.record("transcript", "hello");
        drop((after, stt));
    });
}

#[test]
fn descendants_of_stt_span_move_with_it_to_its_turn() {
    let stage = Stage::new();
    moved_transcription(&stage);
    assert_eq!(
        stage.tree(&["turn.number", "trace"]),
        [
            "conversation trace=1",
            "  turn turn.number=1 trace=1",
            "  turn turn.number=2 trace=1",
            "    stt turn.number=2 trace=1",
            "      connect turn.number=2 trace=1",
            "      chat turn.number=2 trace=1",
            "      stream turn.number=2 trace=1",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn descendants_of_stt_span_move_with_it_to_another_trace() {
    let stage = Stage::with(|layer| layer.trace_mode(TraceMode::Turn));
    moved_transcription(&stage);
    let tree = stage.tree(&["turn.number", "trace"]);
    let below_second: Vec<_> = tree
        .iter()
        .skip_while(|line| !line.starts_with("turn turn.number=2"))
        .take(5)
        .map(String::as_str)
        .collect();
    let trace = below_second[0].rsplit('=').next().unwrap();
    let lines = [
        "turn turn.number=2",
        "  stt turn.number=2",
        "    connect turn.number=2",
        "    chat turn.number=2",
        "    stream turn.number=2",
    ];
    let expected: Vec<_> = lines
        .iter()
        .map(|line| format!("{line} trace={trace}"))
        .collect();
    assert_eq!(below_second, expected, "{tree:#?}");
}

#[test]
fn stt_span_with_propagated_context_links_to_its_previous_turn() {
    let stage = Stage::with(|layer| layer.trace_mode(TraceMode::Turn));
    let sent = stage.play(|| {
        let _scope = scope("c1").entered();
        let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = Empty);
        let sent = stt.context().span().span_context().clone();
        stage::next_turn();
        stt.record("transcript", "hello");
        sent
    });
    let stt = stage.span("stt");
    assert_ne!(stt.span_context.trace_id(), sent.trace_id());
    let links: Vec<_> = stt
        .links
        .iter()
        .map(|link| link.span_context.clone())
        .collect();
    assert_eq!(links, [sent]);
}

#[test]
fn spans_below_stt_span_are_exported_if_conversation_ends_first() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = scope("c1");
        let stt = scope.in_scope(|| info_span!("stt", gen_ai.operation.name = "stt"));
        stt.in_scope(|| drop(info_span!("connect")));
        scope.in_scope(|| info!(conversation.event = "conversation_ended"));
        drop(stt);
    });
    assert_eq!(
        stage.tree(&["turn.number"]),
        [
            "conversation",
            "  turn turn.number=1",
            "    stt turn.number=1",
            "      connect turn.number=1"
        ]
    );
}

#[test]
fn attribute_set_after_field_of_same_key_takes_precedence() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1", tier = "basic");
        scope.set_attribute("tier", "premium");
        let llm = scope.in_scope(llm);
        llm.record("note", "a field");
        llm.in_scope(|| llm.set_attribute("note", "set later"));
    });
    assert_eq!(
        stage.tree(&["tier", "note"]),
        [
            "conversation tier=premium",
            "  turn",
            "    llm note=set later"
        ]
    );
}

#[test]
fn reconnecting_client_does_not_replace_turn_latency() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1").entered();
        event::vad_user_stopped_speaking(0.2);
        stage.pass(800);
        event::bot_started_speaking();
        event::client_connected();
        stage.pass(100);
        event::bot_started_speaking();
    });
    let turn = stage.span("turn");
    let latency = attribute(&turn, "turn.user_bot_latency_seconds");
    assert_eq!(latency.as_deref(), Some("1.0"));
    let from = attribute(&turn, "turn.latency.measured_from");
    assert_eq!(from.as_deref(), Some("user_silence"));
}

#[test]
fn silence_starting_before_conversation_counts_in_full() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope("c1").entered();
        stage.pass(100);
        event::vad_user_stopped_speaking(0.5);
        stage.pass(500);
        event::bot_started_speaking();
    });
    assert_eq!(
        stage.tree(&[
            "turn.user_bot_latency_seconds",
            "turn.latency.endpointing_wait"
        ]),
        [
            "conversation",
            "  turn turn.user_bot_latency_seconds=1.0 turn.latency.endpointing_wait=0.5"
        ]
    );
}

#[test]
fn handle_runs_futures_after_its_conversation_ended() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = scope("c1");
        let conversation = Conversation::by_id("c1").unwrap();
        drop(scope);
        assert_eq!(now(conversation.run(ready(7))), 7);
    });
}
