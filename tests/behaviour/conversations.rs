//! Conversations by scope span and by id, and which spans belong to them.

use crate::stage::{self, Stage, assert_each_key_once, attribute};
use tracing::{info, info_span};

const MEMBERSHIP: &[&str] = &["conversation.id", "turn.number"];

#[test]
fn spans_inside_scope_span_belong_to_its_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            customer.tier = "premium"
        );
        conversation.in_scope(|| {
            info!(conversation.event = "user_started_speaking");
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| drop(info_span!("POST")));
        });
        assert_eq!(stage.conversations.open(), 1);
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_eq!(
        stage.tree(&[
            "conversation.id",
            "turn.number",
            "conversation.type",
            "gen_ai.conversation.id",
            "customer.tier",
            "trace"
        ]),
        [
            "conversation conversation.id=c1 conversation.type=voice gen_ai.conversation.id=c1 customer.tier=premium trace=1",
            "  turn conversation.id=c1 turn.number=1 gen_ai.conversation.id=c1 trace=1",
            "    llm conversation.id=c1 turn.number=1 gen_ai.conversation.id=c1 trace=1",
            "      POST conversation.id=c1 turn.number=1 gen_ai.conversation.id=c1 trace=1",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn empty_id_is_replaced_by_fresh_uuid() {
    let stage = Stage::new();
    stage.play(|| {
        for id in [Some(""), None] {
            let _scope = info_span!("conversation", conversation.id = id).entered();
            drop(info_span!("llm", gen_ai.operation.name = "chat"));
        }
        drop(info_span!(
            "conversation",
            conversation.id = tracing::field::Empty
        ));
    });
    let spans = stage.spans();
    let ids: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "conversation")
        .map(|span| attribute(span, "conversation.id").unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(id.len(), 36, "{id} is not a UUID");
        assert!(!ids[..index].contains(id));
        let same = spans
            .iter()
            .filter(|span| attribute(span, "conversation.id").as_ref() == Some(id));
        assert_eq!(same.count(), if index < 2 { 3 } else { 2 });
    }
}

#[test]
fn scope_span_fields_become_attributes_even_if_recorded_late() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            customer.tier = "free",
            customer.calls = tracing::field::Empty,
            never = tracing::field::Empty,
        );
        conversation.record("customer.tier", "premium");
        conversation.in_scope(|| info!(conversation.event = "user_started_speaking"));
        conversation.record("customer.calls", 3_u64);
    });
    assert_eq!(
        stage.tree(&["customer.tier", "customer.calls", "never"]),
        [
            "conversation customer.tier=premium customer.calls=3",
            "  turn"
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn unknown_id_on_event_or_service_span_opens_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        info!(
            conversation.event = "client_connected",
            conversation.id = "by-event"
        );
        drop(info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            conversation.id = "by-span"
        ));
        assert_eq!(stage.conversations.open(), 2);
        for id in ["by-event", "by-span"] {
            info!(
                conversation.event = "conversation_ended",
                conversation.id = id
            );
        }
    });
    assert_eq!(stage.conversations.open(), 0);
    let mut tree = stage.tree(&["conversation.id", "turn.number"]);
    tree.sort();
    assert_eq!(
        tree,
        [
            "    tts conversation.id=by-span turn.number=1",
            "  turn conversation.id=by-event turn.number=1",
            "  turn conversation.id=by-span turn.number=1",
            "conversation conversation.id=by-event",
            "conversation conversation.id=by-span",
        ]
    );
}

#[test]
fn code_outside_scope_joins_by_id_of_any_type() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = 7_u64);
        stage.pass(100);
        info!(
            conversation.event = "bot_started_speaking",
            conversation.id = "7"
        );
        stage.pass(100);
        info!(
            conversation.event = "user_started_speaking",
            conversation.id = 7_i32
        );
        drop(info_span!("llm", gen_ai.operation.name = "chat", conversation.id = %7));
        drop(info_span!("tts", gen_ai.operation.name = "tts", conversation.id = ?7));
        assert_eq!(stage.conversations.open(), 1);
    });
    assert_eq!(
        stage.tree(MEMBERSHIP),
        [
            "conversation conversation.id=7",
            "  turn conversation.id=7 turn.number=1",
            "  turn conversation.id=7 turn.number=2",
            "    llm conversation.id=7 turn.number=2",
            "    tts conversation.id=7 turn.number=2",
        ]
    );
}

#[test]
fn id_field_takes_precedence_over_scope() {
    let stage = Stage::new();
    stage.play(|| {
        let one = info_span!("conversation", conversation.id = "one");
        let other = info_span!("conversation", conversation.id = "other");
        stage.pass(10);
        one.in_scope(|| {
            info!(
                conversation.event = "bot_started_speaking",
                conversation.id = "other"
            );
            stage.pass(10);
            info!(
                conversation.event = "user_started_speaking",
                conversation.id = "other"
            );
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                conversation.id = "other"
            );
            // Children inherit its conversation.
            llm.in_scope(|| drop(info_span!("tool", gen_ai.operation.name = "execute_tool")));
        });
        drop(one);
        drop(other);
    });
    let mut trees = stage.tree(&["conversation.id", "turn.number", "trace"]);
    trees.sort();
    assert_eq!(
        trees,
        [
            "      tool conversation.id=other turn.number=2 trace=2",
            "    llm conversation.id=other turn.number=2 trace=2",
            "  turn conversation.id=one turn.number=1 trace=1",
            "  turn conversation.id=other turn.number=1 trace=2",
            "  turn conversation.id=other turn.number=2 trace=2",
            "conversation conversation.id=one trace=1",
            "conversation conversation.id=other trace=2",
        ]
    );
}

#[test]
fn conversation_inside_another_is_separate_trace() {
    let stage = Stage::new();
    stage.play(|| {
        let _outer = info_span!("conversation", conversation.id = "outer").entered();
        stage.pass(10);
        let inner = info_span!("conversation", conversation.id = "inner");
        inner.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
        drop(inner);
        drop(info_span!("tts", gen_ai.operation.name = "tts"));
    });
    assert_eq!(
        stage.tree(&["conversation.id", "trace"]),
        [
            "conversation conversation.id=outer trace=1",
            "  turn conversation.id=outer trace=1",
            "    tts conversation.id=outer trace=1",
            "conversation conversation.id=inner trace=2",
            "  turn conversation.id=inner trace=2",
            "    llm conversation.id=inner trace=2",
        ]
    );
}

#[test]
fn second_scope_with_same_id_joins_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let first = info_span!("conversation", conversation.id = "c1");
        let second = info_span!("conversation", conversation.id = "c1");
        second.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
        drop(second);
        assert_eq!(stage.conversations.open(), 1);
        first.in_scope(|| drop(info_span!("tts", gen_ai.operation.name = "tts")));
    });
    let spans = stage.spans();
    let turn = stage::one(&spans, "turn");
    for name in ["llm", "tts"] {
        assert_eq!(
            stage::one(&spans, name).parent_span_id,
            turn.span_context.span_id()
        );
    }
    assert!(
        spans
            .iter()
            .all(|span| span.span_context.trace_id() == turn.span_context.trace_id())
    );
}

#[test]
fn scope_created_after_first_event_adopts_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        info!(
            conversation.event = "client_connected",
            conversation.id = "c1"
        );
        stage.pass(100);
        let scope = info_span!(
            "conversation",
            conversation.id = "c1",
            customer.tier = "premium"
        );
        scope.in_scope(|| {
            info!(conversation.event = "user_started_speaking");
            drop(info_span!("llm", gen_ai.operation.name = "chat"));
        });
        stage.pass(100);
        drop(scope);
        assert_eq!(stage.conversations.open(), 0);
    });
    assert_eq!(
        stage.tree(&["conversation.id", "customer.tier"]),
        [
            "conversation conversation.id=c1 customer.tier=premium",
            "  turn conversation.id=c1",
            "    llm conversation.id=c1",
        ]
    );
    assert_eq!(stage::seconds(&stage.span("conversation")), 0.2);
}

#[test]
fn scope_created_after_first_service_sets_attributes_and_ends_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        drop(info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            conversation.id = "c1"
        ));
        let scope = info_span!(
            "conversation",
            conversation.id = "c1",
            customer.tier = "premium"
        );
        scope.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
        drop(scope);
        assert_eq!(stage.conversations.open(), 0);
    });
    let spans = stage.spans();
    let root = spans
        .iter()
        .find(|span| span.parent_span_id == opentelemetry::SpanId::INVALID)
        .unwrap();
    assert_eq!(
        (&*root.name, attribute(root, "customer.tier").as_deref()),
        ("conversation", Some("premium"))
    );
    assert_eq!(
        stage::one(&spans, "llm").parent_span_id,
        stage::one(&spans, "turn").span_context.span_id()
    );
}

#[test]
fn ordinary_span_with_id_joins_its_children_to_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let elsewhere = info_span!("conversation", conversation.id = "elsewhere").entered();
        stage.pass(10);
        let task = info_span!("stt_task", conversation.id = "c1");
        task.in_scope(|| {
            // c1 is unknown yet: this opens it, and does not affect `elsewhere`.
            info!(conversation.event = "bot_started_speaking");
            stage.pass(10);
            info!(conversation.event = "user_started_speaking");
            drop(info_span!("llm", gen_ai.operation.name = "chat"));
            info!(conversation.event = "conversation_ended");
            // A straggler, which does not affect `elsewhere` either.
            info!(conversation.event = "user_started_speaking");
            drop(info_span!("tts", gen_ai.operation.name = "tts"));
        });
        assert_eq!(stage.conversations.open(), 1);
        drop(elsewhere);
    });
    let lines: Vec<_> = stage
        .tree(MEMBERSHIP)
        .into_iter()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.starts_with("stt_task"))
        .collect();
    assert_eq!(
        lines,
        [
            "conversation conversation.id=elsewhere",
            "turn conversation.id=elsewhere turn.number=1",
            "conversation conversation.id=c1",
            "turn conversation.id=c1 turn.number=1",
            "turn conversation.id=c1 turn.number=2",
            "llm conversation.id=c1 turn.number=2",
        ]
    );
}

#[test]
fn ordinary_span_joins_by_id_regardless_of_parent() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1");
        let elsewhere = info_span!("request");
        drop(info_span!("contextual", conversation.id = "c1"));
        drop(info_span!(parent: None, "root", conversation.id = "c1"));
        drop(info_span!(parent: &elsewhere, "child", conversation.id = "c1"));
    });
    for name in ["contextual", "root", "child"] {
        assert_eq!(
            attribute(&stage.span(name), "conversation.id").as_deref(),
            Some("c1"),
            "{name}"
        );
    }
    assert_eq!(
        stage.span("child").parent_span_id,
        stage.span("request").span_context.span_id()
    );
    assert_eq!(attribute(&stage.span("request"), "conversation.id"), None);
}

#[test]
fn id_recorded_late_on_ordinary_span_applies_from_then_on() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1");
        let handler = info_span!("handler", conversation.id = tracing::field::Empty).entered();
        info!(conversation.event = "user_started_speaking"); // In no conversation.
        handler.record("conversation.id", "c1");
        drop(info_span!("llm", gen_ai.operation.name = "chat"));
    });
    let llm = stage.span("llm");
    assert_eq!(attribute(&llm, "conversation.id").as_deref(), Some("c1"));
    assert_eq!(
        llm.parent_span_id,
        stage.span("turn").span_context.span_id()
    );
}

#[test]
fn outside_conversations_services_nest_by_tracing_parent_and_events_are_ignored() {
    let stage = Stage::new();
    stage.play(|| {
        info!(conversation.event = "user_started_speaking");
        let _agent = info_span!("agent").entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat", tokens = 3_usize);
        llm.in_scope(|| drop(info_span!("POST")));
        info!(conversation.event = "bot_started_speaking");
    });
    assert_eq!(
        stage.tree(&[
            "gen_ai.operation.name",
            "gen_ai.output.type",
            "tokens",
            "conversation.id"
        ]),
        [
            "agent",
            "  llm gen_ai.operation.name=chat gen_ai.output.type=text tokens=3",
            "    POST"
        ]
    );
    assert_eq!(stage.conversations.open(), 0);
}

#[test]
fn scope_span_needs_both_name_and_id_field() {
    let stage = Stage::new();
    stage.play(|| {
        drop(info_span!("conversation"));
        drop(info_span!("call", conversation.id = "c1"));
        drop(info_span!("conversation", id = "c1"));
    });
    assert_eq!(
        stage.tree(&["conversation.type"]),
        ["conversation", "call", "conversation"]
    );
}

#[test]
fn scope_span_may_have_explicit_parent_or_none() {
    let stage = Stage::new();
    stage.play(|| {
        let request = info_span!("request");
        let other = info_span!("other").entered();
        drop(info_span!(parent: &request, "conversation", conversation.id = "child"));
        drop(info_span!(parent: None, "conversation", conversation.id = "root"));
        drop(info_span!("conversation", conversation.id = "contextual"));
        drop(other);
    });
    let mut tree = stage.tree(&["conversation.id"]);
    tree.retain(|line| !line.trim().starts_with("turn"));
    tree.sort();
    assert_eq!(
        tree,
        [
            "  conversation conversation.id=child",
            "  conversation conversation.id=contextual",
            "conversation conversation.id=root",
            "other",
            "request",
        ]
    );
}

#[test]
fn configured_fields_are_inherited_by_every_span() {
    let stage = Stage::with(|layer| layer.inherited(["customer.id"]));
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            customer.id = 42_u64,
            tier = "premium"
        );
        conversation.in_scope(|| {
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| drop(info_span!("POST")));
        });
    });
    assert_eq!(
        stage.tree(&["customer.id", "tier"]),
        [
            "conversation customer.id=42 tier=premium",
            "  turn customer.id=42",
            "    llm customer.id=42",
            "      POST customer.id=42",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn user_and_tags_are_on_every_span() {
    let stage = Stage::with(|layer| layer.trace_mode(tracing_conversation::TraceMode::Turn));
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            user_id = "ann",
            tags = tracing::field::Empty
        );
        conversation.record("tags", "beta,weather");
        conversation.in_scope(|| {
            drop(info_span!(
                "stt",
                gen_ai.operation.name = "stt",
                user_id = "speaker-2"
            ));
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| drop(info_span!("POST")));
        });
    });
    assert_eq!(
        stage.tree(&["user_id", "tags"]),
        [
            "conversation user_id=ann tags=beta,weather",
            "turn user_id=ann tags=beta,weather",
            "  stt user_id=speaker-2 tags=beta,weather",
            "  llm user_id=ann tags=beta,weather",
            "    POST user_id=ann tags=beta,weather",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn turn_mode_links_each_turn_to_its_conversation() {
    let stage = Stage::with(|layer| layer.trace_mode(tracing_conversation::TraceMode::Turn));
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1").entered();
        drop(info_span!("llm", gen_ai.operation.name = "chat"));
        info!(conversation.event = "bot_started_speaking");
        stage.pass(10);
        info!(conversation.event = "user_started_speaking");
        drop(info_span!("tts", gen_ai.operation.name = "tts"));
        drop(conversation);
    });
    assert_eq!(
        stage.tree(&["conversation.id", "turn.number", "trace"]),
        [
            "conversation conversation.id=c1 trace=1",
            "turn conversation.id=c1 turn.number=1 trace=2",
            "  llm conversation.id=c1 turn.number=1 trace=2",
            "turn conversation.id=c1 turn.number=2 trace=3",
            "  tts conversation.id=c1 turn.number=2 trace=3",
        ]
    );
    let conversation = stage.span("conversation").span_context.clone();
    for turn in stage.spans().iter().filter(|span| span.name == "turn") {
        let linked: Vec<_> = turn
            .links
            .iter()
            .map(|link| link.span_context.span_id())
            .collect();
        assert_eq!(linked, [conversation.span_id()]);
    }
}
