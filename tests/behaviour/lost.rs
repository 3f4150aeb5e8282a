//! Conversations that end twice, late or never, and events that arrive afterwards.

use crate::stage::{self, Stage, attribute, seconds};
use std::time::Duration;
use tracing::{info, info_span};

const TURN: &[&str] = &["conversation.id", "turn.number", "turn.end_reason"];

#[test]
fn idle_conversation_ends_at_its_last_event() {
    let stage = Stage::with(|layer| layer.idle_limit(Duration::from_secs(60)));
    stage.play(|| {
        info!(
            conversation.event = "client_connected",
            conversation.id = "c1"
        );
        stage.pass(20_000);
        info!(
            conversation.event = "user_started_speaking",
            conversation.id = "c1"
        );
        stage.pass(59_000);
        assert_eq!(stage.conversations.open(), 1, "within the limit");
        stage.pass(60_000);
        assert_eq!(stage.conversations.open(), 0);
        // Stragglers do not reopen it.
        info!(
            conversation.event = "bot_started_speaking",
            conversation.id = "c1"
        );
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            conversation.id = "c1"
        ));
    });
    assert_eq!(
        stage.tree(&[
            "turn.end_reason",
            "turn.was_interrupted",
            "turn.ended_by_conversation_end"
        ]),
        [
            "conversation",
            "  turn turn.end_reason=conversation_lost turn.was_interrupted=true turn.ended_by_conversation_end=true",
        ]
    );
    assert_eq!(seconds(&stage.span("conversation")), 20.0);
    assert_eq!(seconds(&stage.span("turn")), 20.0);
}

#[test]
fn turn_end_by_silence_does_not_reset_idle_timeout() {
    let stage = Stage::with(|layer| layer.idle_limit(Duration::from_secs(10)));
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1");
        info!(
            conversation.event = "bot_started_speaking",
            conversation.id = "c1"
        );
        info!(
            conversation.event = "bot_stopped_speaking",
            conversation.id = "c1"
        );
        stage.pass(11_500);
        assert_eq!(stage.conversations.open(), 0);
    });
    assert_eq!(
        stage.tree(&["turn.end_reason"]),
        ["conversation", "  turn turn.end_reason=silence"]
    );
}

#[test]
fn scope_of_idle_conversation_may_close_later() {
    let stage = Stage::with(|layer| layer.idle_limit(Duration::from_secs(10)));
    stage.play(|| {
        let scope = info_span!(
            "conversation",
            conversation.id = "c1",
            tier = tracing::field::Empty
        );
        let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        stage.pass(30_000);
        assert_eq!(stage.conversations.open(), 0);
        scope.record("tier", "premium"); // Too late.
        drop(llm);
        drop(scope);
    });
    assert_eq!(
        stage.tree(&["turn.end_reason", "tier"]),
        [
            "conversation",
            "  turn turn.end_reason=conversation_lost",
            "    llm"
        ]
    );
    assert_eq!(
        seconds(&stage.span("llm")),
        30.0,
        "a service keeps its actual duration"
    );
}

#[test]
fn scope_closed_on_another_thread_ends_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        stage.pass(100);
        let dispatch = stage.dispatch.clone();
        let other_thread =
            move || tracing::dispatcher::with_default(&dispatch, || drop((llm, scope)));
        std::thread::spawn(other_thread).join().unwrap();
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_eq!(
        stage.tree(TURN),
        [
            "conversation conversation.id=c1",
            "  turn conversation.id=c1 turn.number=1 turn.end_reason=conversation_ended",
            "    llm conversation.id=c1 turn.number=1",
        ]
    );
    assert_eq!(seconds(&stage.span("conversation")), 0.1);
}

#[test]
fn repeated_start_and_end_are_ignored() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        for _ in 0..3 {
            info!(conversation.event = "conversation_started");
        }
        stage.pass(100);
        for _ in 0..3 {
            info!(
                conversation.event = "conversation_ended",
                reason = "hung up"
            );
            info!(
                conversation.event = "client_disconnected",
                reason = "line dropped"
            );
            stage.pass(100);
        }
        drop(scope);
    });
    assert_eq!(
        stage.tree(&["conversation.end_reason"]),
        ["conversation conversation.end_reason=hung up", "  turn"]
    );
    assert_eq!(seconds(&stage.span("conversation")), 0.1);
}

#[test]
fn stragglers_are_ignored_inside_and_outside_scope() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        stage.pass(100);
        info!(conversation.event = "conversation_ended");
        stage.pass(100);
        for id in [None, Some("c1")] {
            info!(
                conversation.event = "user_started_speaking",
                conversation.id = id
            );
            info!(
                conversation.event = "bot_started_speaking",
                conversation.id = id
            );
            info!(
                conversation.event = "annotate",
                conversation.id = id,
                late = true
            );
            let llm = info_span!("llm", gen_ai.operation.name = "chat", conversation.id = id);
            llm.in_scope(|| info!(conversation.event = "first_byte"));
        }
        drop(scope);
        info!(
            conversation.event = "user_started_speaking",
            conversation.id = "c1"
        );
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_eq!(stage.tree(&["late"]), ["conversation", "  turn"]);
}

#[test]
fn end_event_with_unknown_id_opens_no_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        info!(
            conversation.event = "conversation_ended",
            conversation.id = "c1"
        );
        info!(
            conversation.event = "client_disconnected",
            conversation.id = "c2"
        );
        info!(conversation.event = "first_byte", conversation.id = "c3");
    });
    assert_eq!(stage.conversations.open(), 0);
    assert!(stage.spans().is_empty());
}

#[test]
fn ended_id_is_reopened_by_start_connection_or_new_scope() {
    for event in ["conversation_started", "client_connected"] {
        let stage = Stage::new();
        stage.play(|| {
            drop(info_span!("conversation", conversation.id = "c1"));
            stage.pass(10);
            info!(conversation.event = event, conversation.id = "c1");
            assert_eq!(stage.conversations.open(), 1, "{event}");
            drop(info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                conversation.id = "c1"
            ));
            info!(
                conversation.event = "conversation_ended",
                conversation.id = "c1"
            );
            stage.pass(10);
            let scope = info_span!("conversation", conversation.id = "c1");
            scope.in_scope(|| drop(info_span!("tts", gen_ai.operation.name = "tts")));
        });
        assert_eq!(stage.conversations.open(), 0);
        assert_eq!(
            stage.tree(&["turn.number", "trace"]),
            [
                "conversation trace=1",
                "  turn turn.number=1 trace=1",
                "conversation trace=2",
                "  turn turn.number=1 trace=2",
                "    llm turn.number=1 trace=2",
                "conversation trace=3",
                "  turn turn.number=1 trace=3",
                "    tts turn.number=1 trace=3",
            ]
        );
    }
}

#[test]
fn conversation_restarted_in_scope_ends_with_scope() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        scope.in_scope(|| {
            info!(conversation.event = "conversation_ended");
            stage.pass(10);
            info!(conversation.event = "conversation_started");
            drop(info_span!("llm", gen_ai.operation.name = "chat"));
        });
        assert_eq!(stage.conversations.open(), 1);
        drop(scope);
        assert_eq!(stage.conversations.open(), 0);
    });
    assert_eq!(
        stage.tree(&["trace"]),
        [
            "conversation trace=1",
            "  turn trace=1",
            "conversation trace=2",
            "  turn trace=2",
            "    llm trace=2"
        ]
    );
}

#[test]
fn old_scope_closing_late_does_not_end_reopened_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let old = info_span!("conversation", conversation.id = "c1");
        info!(
            conversation.event = "client_disconnected",
            conversation.id = "c1"
        );
        info!(
            conversation.event = "client_connected",
            conversation.id = "c1"
        );
        drop(old);
        assert_eq!(stage.conversations.open(), 1);
        let new = info_span!("conversation", conversation.id = "c1");
        drop(new);
        assert_eq!(stage.conversations.open(), 0);
    });
    let tree = stage.tree(&["turn.end_reason"]);
    assert_eq!(
        tree.iter()
            .filter(|line| line.starts_with("conversation"))
            .count(),
        2,
        "{tree:#?}"
    );
}

#[test]
fn service_outliving_conversation_keeps_its_turn_and_end() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let llm = scope.in_scope(|| {
            info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                output = tracing::field::Empty
            )
        });
        let stt = scope.in_scope(|| {
            info_span!(
                "stt",
                gen_ai.operation.name = "stt",
                transcript = tracing::field::Empty
            )
        });
        stage.pass(100);
        scope.in_scope(|| info!(conversation.event = "conversation_ended"));
        stage.pass(100);
        llm.record("output", "too late");
        stt.record("transcript", "too late");
        drop((llm, stt));
    });
    assert_eq!(
        stage.tree(&["turn.number", "output", "turn.output"]),
        [
            "conversation",
            "  turn turn.number=1",
            "    llm turn.number=1 output=too late",
            "    stt turn.number=1",
        ]
    );
    assert_eq!(seconds(&stage.span("llm")), 0.2);
    assert_eq!(seconds(&stage.span("conversation")), 0.1);
}

#[test]
fn end_all_ends_every_open_conversation_once() {
    let stage = Stage::new();
    stage.play(|| {
        let scopes: Vec<_> = (0..10)
            .map(|n| info_span!("conversation", conversation.id = n))
            .collect();
        info!(
            conversation.event = "client_connected",
            conversation.id = "without a scope"
        );
        assert_eq!(stage.conversations.open(), 11);
        stage.conversations.end_all();
        stage.conversations.end_all();
        assert_eq!(stage.conversations.open(), 0);
        drop(scopes);
    });
    let ended = stage.spans();
    assert_eq!(
        ended
            .iter()
            .filter(|span| span.name == "conversation")
            .count(),
        11
    );
    for turn in ended.iter().filter(|span| span.name == "turn") {
        assert_eq!(
            attribute(turn, "turn.end_reason").as_deref(),
            Some("conversation_ended")
        );
    }
}

#[test]
fn dropped_layer_ends_open_conversations() {
    let stage = Stage::new();
    stage.play(|| {
        info!(
            conversation.event = "client_connected",
            conversation.id = "c1"
        )
    });
    let Stage {
        dispatch,
        output,
        conversations,
        clock,
        ..
    } = stage;
    drop(dispatch);
    assert_eq!(conversations.open(), 0);
    conversations.end_all();
    clock.advance(Duration::from_secs(10_000));
    let spans = output.exporter.get_finished_spans().unwrap();
    assert_eq!(
        stage::tree(&spans, &["turn.end_reason"]),
        ["conversation", "  turn turn.end_reason=conversation_ended"]
    );
}

#[test]
fn expired_silence_ends_turn_before_conversation_end() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        info!(conversation.event = "bot_started_speaking");
        stage.pass(1_000);
        info!(conversation.event = "bot_stopped_speaking");
        stage.pass(2_500);
        info!(conversation.event = "conversation_ended");
    });
    assert_eq!(
        stage.tree(&[
            "turn.end_reason",
            "turn.duration_seconds",
            "turn.was_interrupted",
            "turn.ended_by_conversation_end"
        ]),
        [
            "conversation",
            "  turn turn.end_reason=silence turn.duration_seconds=1.0 turn.was_interrupted=false"
        ]
    );
    assert_eq!(seconds(&stage.span("turn")), 1.0);
    assert_eq!(seconds(&stage.span("conversation")), 3.5);
}

#[test]
fn event_with_ago_secs_is_backdated() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        stage.pass(1_000);
        info!(conversation.event = "bot_started_speaking", ago_secs = 0.25);
        stage.pass(1_000);
        info!(conversation.event = "user_started_speaking", ago_secs = 0.5);
        stage.pass(1_000);
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        stage.pass(1_000);
        llm.in_scope(|| info!(conversation.event = "first_byte", ago_secs = 0.25));
        drop(llm);
        stage.pass(500);
        info!(conversation.event = "conversation_ended", ago_secs = 0.125);
        drop(scope);
    });
    assert_eq!(
        stage.tree(&["turn.duration_seconds", "metrics.ttfb"]),
        [
            "conversation",
            "  turn turn.duration_seconds=1.5",
            "  turn turn.duration_seconds=2.875",
            "    llm metrics.ttfb=0.75"
        ]
    );
    assert_eq!(seconds(&stage.span("conversation")), 4.375);
}

#[test]
fn invalid_or_excessive_ago_secs_does_not_move_time_back() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        stage.pass(1_000);
        info!(
            conversation.event = "bot_started_speaking",
            ago_secs = 1e300
        );
        info!(
            conversation.event = "user_started_speaking",
            ago_secs = -5.0
        );
        info!(
            conversation.event = "bot_started_speaking",
            ago_secs = f64::NAN
        );
        info!(
            conversation.event = "user_started_speaking",
            ago_secs = f64::INFINITY
        );
        info!(
            conversation.event = "bot_started_speaking",
            ago_secs = "yesterday"
        );
        info!(
            conversation.event = "user_started_speaking",
            ago_secs = 3_600_u64
        );
    });
    let durations: Vec<_> = stage.tree(&["turn.duration_seconds"]);
    assert_eq!(
        durations,
        [
            "conversation",
            "  turn turn.duration_seconds=1.0",
            "  turn turn.duration_seconds=0.0",
            "  turn turn.duration_seconds=0.0",
            "  turn turn.duration_seconds=0.0",
        ]
    );
}
