//! The `Conversation` handle, for code outside a conversation's scope.

use crate::stage::{Output, Stage, attribute};
use futures_util::FutureExt as _;
use opentelemetry::trace::{SpanId, TraceContextExt as _};
use tracing::{Instrument as _, info, info_span};
use tracing_conversation::{ContentPolicy, Conversation};

fn span_id(context: Option<opentelemetry::Context>) -> SpanId {
    context.unwrap().span().span_context().span_id()
}

#[test]
fn handle_is_found_by_current_scope_id_and_span() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        let current = scope.in_scope(|| llm.in_scope(Conversation::current));
        let by_id = Conversation::by_id("c1");
        let of_span = Conversation::of(&llm);
        for conversation in [current, by_id, of_span] {
            let conversation = conversation.unwrap();
            assert_eq!(
                (conversation.id(), conversation.turn_number()),
                ("c1", Some(1))
            );
        }
        assert!(Conversation::current().is_none());
        assert!(Conversation::by_id("c2").is_none());
        assert!(Conversation::of(&info_span!(parent: None, "elsewhere")).is_none());
    });
}

#[test]
fn handle_contexts_match_exported_spans() {
    let stage = Stage::new();
    let (conversation_span, turn_span) = stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let conversation = Conversation::current().unwrap();
        (
            span_id(conversation.context()),
            span_id(conversation.turn_context()),
        )
    });
    assert_eq!(
        stage.span("conversation").span_context.span_id(),
        conversation_span
    );
    assert_eq!(stage.span("turn").span_context.span_id(), turn_span);
}

#[test]
fn code_run_by_handle_belongs_to_conversation_on_any_thread() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let conversation = scope.in_scope(Conversation::current).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                stage.play(|| {
                    conversation.in_scope(|| {
                        drop(info_span!("weather"));
                        drop(info_span!("llm", gen_ai.operation.name = "chat"));
                        info!(conversation.event = "bot_started_speaking");
                        info!(conversation.event = "user_started_speaking");
                    });
                    let work = async { drop(info_span!("tts", gen_ai.operation.name = "tts")) };
                    conversation.run(work).now_or_never().unwrap();
                });
            });
        });
    });
    assert_eq!(
        stage.tree(&["conversation.id", "turn.number"]),
        [
            "conversation conversation.id=c1",
            "  weather conversation.id=c1",
            "  turn conversation.id=c1 turn.number=1",
            "    llm conversation.id=c1 turn.number=1",
            "  turn conversation.id=c1 turn.number=2",
            "    tts conversation.id=c1 turn.number=2",
        ]
    );
}

#[test]
fn code_run_by_handle_does_not_belong_to_surrounding_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let outer = info_span!("conversation", conversation.id = "outer");
        let inner = info_span!("conversation", conversation.id = "inner");
        let inner_handle = inner.in_scope(Conversation::current).unwrap();
        let work = async {
            inner_handle.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
            drop(info_span!("tts", gen_ai.operation.name = "tts"));
        };
        work.instrument(outer).now_or_never().unwrap();
    });
    let of = |name| attribute(&stage.span(name), "conversation.id").unwrap();
    assert_eq!(
        (of("llm"), of("tts")),
        ("inner".to_owned(), "outer".to_owned())
    );
}

#[test]
fn attributes_are_set_on_conversation_or_turn_subject_to_policy() {
    let output = Output::new();
    let processor = output.processor.clone().with_content(
        ContentPolicy::default()
            .with_capture(false)
            .with_allowed_keys(["campaign", "intent"]),
    );
    let stage = Stage::over(
        Output {
            processor,
            ..output
        },
        |layer| layer,
    );
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let conversation = Conversation::of(&scope).unwrap();
        conversation.set_attribute("campaign", "spring");
        conversation.set_turn_attribute("intent", "book");
        conversation.set_turn_attribute("turn.input", "my number is 4711");
        conversation.set_turn_attribute("note", "my number is 4711");
        stage.pass(100);
    });
    assert_eq!(
        stage.tree(&["campaign", "intent", "turn.input", "note"]),
        ["conversation campaign=spring", "  turn intent=book"]
    );
}

#[test]
fn handle_emits_events_without_scope() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let conversation = Conversation::of(&scope).unwrap();
        conversation.event().bot_started_speaking();
        stage.pass(500);
        conversation.event().user_started_speaking();
        assert_eq!(conversation.turn_number(), Some(2));
        conversation.event().because("done").conversation_ended();
    });
    assert_eq!(
        stage.tree(&["turn.end_reason", "conversation.end_reason"]),
        [
            "conversation conversation.end_reason=done",
            "  turn turn.end_reason=interrupted",
            "  turn turn.end_reason=conversation_ended",
        ]
    );
}

#[test]
fn handle_of_ended_conversation_is_inert() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let conversation = Conversation::of(&scope).unwrap();
        scope.in_scope(|| info!(conversation.event = "conversation_ended"));
        assert!(!conversation.is_open());
        assert!(conversation.context().is_none());
        assert!(conversation.turn_context().is_none());
        assert_eq!(conversation.turn_number(), None);
        conversation.set_attribute("late", true);
        assert_eq!(conversation.in_scope(|| 7), 7);
        assert!(scope.in_scope(Conversation::current).is_none());
        assert!(Conversation::by_id("c1").is_none());
    });
    assert_eq!(stage.tree(&["late"]), ["conversation", "  turn"]);
}
