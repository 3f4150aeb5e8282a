//! What turns and conversations sum up, and what of the bot's words was heard.

use crate::stage::{Output, Stage, scope};
use opentelemetry::trace::TraceContextExt as _;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_conversation::{ContentPolicy, event};

const SUMS: &[&str] = &[
    "turn.end_reason",
    "turn.user_speech_seconds",
    "turn.bot_speech_seconds",
    "turn.interruption.after_seconds",
    "turn.barge_in.stop_seconds",
    "turn.dead_air_seconds",
    "conversation.duration_seconds",
    "conversation.turn_count",
    "conversation.interruption_count",
    "conversation.error_count",
    "conversation.user_bot_latency.mean",
    "conversation.user_bot_latency.max",
    "conversation.user_speech_seconds",
    "conversation.bot_speech_seconds",
    "conversation.dead_air_seconds",
    "conversation.usage.input_tokens",
    "conversation.usage.output_tokens",
    "conversation.usage.characters",
    "conversation.usage.audio_seconds",
];

const HEARD: &[&str] = &[
    "turn.output",
    "turn.heard_output",
    "turn.played_seconds",
    "turn.end_reason",
];

fn vad_started(start_secs: f64) {
    event::vad_user_started_speaking(start_secs);
}

fn llm() -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        service.ended = Empty,
        error.type = Empty,
    )
}

/// An `invoke_agent` span, which records the total of its requests.
fn agent() -> Span {
    info_span!(
        "invoke_agent",
        gen_ai.operation.name = "invoke_agent",
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        service.ended = Empty,
    )
}

fn input_tokens(span: &Span, count: i64) {
    span.record("gen_ai.usage.input_tokens", count);
}

#[test]
fn turns_and_conversation_sum_up_speech_latency_and_usage() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        stage.pass(1_000);
        vad_started(0.2);
        event::user_started_speaking();
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            transcript = "hello",
            metrics.audio_seconds = 1.5
        );
        stage.pass(1_000);
        event::vad_user_stopped_speaking(0.5);
        event::user_stopped_speaking();
        drop(stt);
        let llm = llm();
        input_tokens(&llm, 42);
        llm.record("gen_ai.usage.output_tokens", 17);
        drop(llm);
        // The user is silent since 1.5 s: 1.5 s of dead air.
        stage.pass(3_000);
        drop(info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            text = "Once upon a time"
        ));
        event::bot_started_speaking();
        stage.pass(2_000);
        // The user interrupts, and the bot goes on for 300 ms.
        event::user_started_speaking();
        stage.pass(300);
        event::bot_stopped_speaking();
        stage.pass(200);
        event::vad_user_stopped_speaking(0.1);
        stage.pass(900);
        event::bot_started_speaking();
        stage.pass(700);
        event::bot_stopped_speaking();
        event::conversation_ended();
    });
    let mut tree = stage.tree(SUMS);
    tree.retain(|line| line.contains('='));
    assert_eq!(
        tree,
        [
            "conversation conversation.duration_seconds=9.1 conversation.turn_count=2 conversation.interruption_count=1 \
             conversation.error_count=0 conversation.user_bot_latency.mean=2.25 conversation.user_bot_latency.max=3.5 \
             conversation.user_speech_seconds=1.1 conversation.bot_speech_seconds=2.7 conversation.dead_air_seconds=1.5 \
             conversation.usage.input_tokens=42 conversation.usage.output_tokens=17 conversation.usage.characters=16 \
             conversation.usage.audio_seconds=1.5",
            "  turn turn.end_reason=interrupted turn.user_speech_seconds=0.7 turn.bot_speech_seconds=2.0 \
             turn.interruption.after_seconds=2.0 turn.dead_air_seconds=1.5",
            "  turn turn.end_reason=conversation_ended turn.user_speech_seconds=0.4 turn.bot_speech_seconds=0.7 \
             turn.barge_in.stop_seconds=0.3",
        ]
    );
}

#[test]
fn conversation_without_anything_has_its_counts_alone() {
    let stage = Stage::new();
    stage.play(|| drop(scope()));
    assert_eq!(
        stage.tree(SUMS),
        [
            "conversation conversation.duration_seconds=0.0 conversation.turn_count=1 conversation.interruption_count=0 \
             conversation.error_count=0",
            "  turn turn.end_reason=conversation_ended",
        ]
    );
}

#[test]
fn speech_under_way_when_the_conversation_ends_counts_for_its_last_turn() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        event::bot_started_speaking();
        stage.pass(1_000);
        event::bot_stopped_speaking();
        stage.pass(500);
        vad_started(0.1);
        // The turn has ended by silence: what is said now is in no turn.
        stage.pass(9_000);
        event::bot_started_speaking();
        stage.pass(250);
        event::conversation_ended();
    });
    assert_eq!(
        stage.tree(SUMS),
        [
            "conversation conversation.duration_seconds=10.75 conversation.turn_count=1 conversation.interruption_count=0 \
             conversation.error_count=0 conversation.user_speech_seconds=9.35 conversation.bot_speech_seconds=1.25",
            "  turn turn.end_reason=silence turn.bot_speech_seconds=1.0",
        ]
    );
}

/// The usage of a conversation, `input_tokens` alone.
fn input_tokens_of(program: impl FnOnce()) -> Option<String> {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        program();
    });
    crate::stage::attribute(
        &stage.span("conversation"),
        "conversation.usage.input_tokens",
    )
}

#[test]
fn totals_of_an_agent_do_not_count_beside_those_of_its_requests() {
    let total = input_tokens_of(|| {
        let agent = agent();
        agent.in_scope(|| {
            info_span!("retry").in_scope(|| input_tokens(&llm(), 10));
            input_tokens(&llm(), 20);
        });
        input_tokens(&agent, 30);
    });
    assert_eq!(total.as_deref(), Some("30"));
}

#[test]
fn totals_of_an_agent_count_where_its_requests_record_none() {
    let total = input_tokens_of(|| {
        let agent = agent();
        agent.in_scope(|| {
            let request = llm();
            request.record("gen_ai.usage.output_tokens", 5);
        });
        input_tokens(&agent, 30);
    });
    assert_eq!(total.as_deref(), Some("30"));
}

#[test]
fn totals_of_an_agent_are_taken_back_when_a_request_ends_after_it() {
    let total = input_tokens_of(|| {
        let agent = agent();
        let request = agent.in_scope(llm);
        input_tokens(&agent, 30);
        agent.record("service.ended", true);
        input_tokens(&request, 12);
        drop(request);
    });
    assert_eq!(total.as_deref(), Some("12"));
}

#[test]
fn seconds_of_audio_sum_up_to_the_type_that_services_recorded() {
    let sum = |program: fn(&Span)| {
        let stage = Stage::new();
        stage.play(|| {
            let _scope = scope().entered();
            let transcription = || {
                info_span!(
                    "stt",
                    gen_ai.operation.name = "stt",
                    metrics.audio_seconds = Empty
                )
            };
            transcription().record("metrics.audio_seconds", 3);
            program(&transcription());
        });
        crate::stage::attribute(
            &stage.span("conversation"),
            "conversation.usage.audio_seconds",
        )
    };
    let integers = sum(|span| {
        span.record("metrics.audio_seconds", 4_u64);
    });
    assert_eq!(integers.as_deref(), Some("7"));
    let with_a_float = sum(|span| {
        span.record("metrics.audio_seconds", 4.0);
    });
    assert_eq!(with_a_float.as_deref(), Some("7.0"));
    // An agent's total does not count beside what is below it, nor does its type.
    let below_a_total = sum(|span| {
        let agent = info_span!(
            "invoke_agent",
            gen_ai.operation.name = "invoke_agent",
            metrics.audio_seconds = 9.5
        );
        let request = agent.in_scope(|| {
            info_span!(
                "stt",
                gen_ai.operation.name = "stt",
                metrics.audio_seconds = Empty
            )
        });
        drop(agent);
        request.record("metrics.audio_seconds", 1);
        span.record("metrics.audio_seconds", 0);
    });
    assert_eq!(below_a_total.as_deref(), Some("4"));
}

#[test]
fn request_that_a_program_moves_elsewhere_is_not_below_the_agent() {
    let total = input_tokens_of(|| {
        let scope = Span::current();
        let agent = agent();
        agent.in_scope(|| {
            let request = llm();
            let context = scope.context().span().span_context().clone();
            let other = opentelemetry::Context::new().with_remote_span_context(context);
            let _ = request.set_parent(other);
            input_tokens(&request, 12);
        });
        input_tokens(&agent, 30);
    });
    assert_eq!(total.as_deref(), Some("42"));
}

#[test]
fn services_still_open_when_the_conversation_ends_count_as_far_as_they_are_known() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = scope();
        let (failed, open) = scope.in_scope(|| {
            let failed = llm();
            let agent = agent();
            let request = agent.in_scope(llm);
            input_tokens(&agent, 100);
            input_tokens(&request, 7);
            failed.record("error.type", "timeout");
            event::conversation_ended();
            (failed, [agent, request])
        });
        // Too late for the conversation.
        failed.record("gen_ai.usage.output_tokens", 1);
        drop((failed, open));
    });
    let mut tree = stage.tree(SUMS);
    tree.retain(|line| line.starts_with("conversation"));
    assert_eq!(
        tree,
        [
            "conversation conversation.duration_seconds=0.0 conversation.turn_count=1 conversation.interruption_count=0 \
             conversation.error_count=1 conversation.usage.input_tokens=7"
        ]
    );
}

#[test]
fn usage_and_failure_set_through_opentelemetry_count() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let request = llm();
        request.set_attribute("gen_ai.usage.input_tokens", 9);
        request.set_status(opentelemetry::trace::Status::error("refused"));
        // `Ok` outranks a failure.
        let other = llm();
        other.record("error.type", "timeout");
        other.set_status(opentelemetry::trace::Status::Ok);
    });
    let conversation = stage.span("conversation");
    let value = |key| crate::stage::attribute(&conversation, key);
    assert_eq!(
        value("conversation.usage.input_tokens").as_deref(),
        Some("9")
    );
    assert_eq!(value("conversation.error_count").as_deref(), Some("1"));
}

#[test]
fn what_a_program_sets_itself_stands() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!(
            "conversation",
            conversation.id = "c1",
            conversation.turn_count = 99
        )
        .entered();
        tracing_conversation::annotate!(turn.bot_speech_seconds = 0.75);
        event::bot_started_speaking();
        stage.pass(500);
    });
    assert_eq!(
        stage.tree(&["conversation.turn_count", "turn.bot_speech_seconds"]),
        [
            "conversation conversation.turn_count=99",
            "  turn turn.bot_speech_seconds=0.75"
        ]
    );
}

/// The bot speaks two sentences.
fn speak() {
    let tts = info_span!("tts", gen_ai.operation.name = "tts", text = Empty);
    tts.record("text", "Once upon a time.");
    tts.record("text", "There was a fox.");
    event::bot_started_speaking();
}

fn turns(stage: &Stage) -> Vec<String> {
    let mut tree = stage.tree(HEARD);
    tree.retain(|line| line.contains("turn"));
    tree
}

#[test]
fn interrupted_turn_has_what_was_said_until_then_and_what_was_heard() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let tts = info_span!("tts", gen_ai.operation.name = "tts", text = Empty);
        tts.record("text", "Once upon a time.");
        event::bot_started_speaking();
        stage.pass(900);
        event::heard("Once upon")
            .played(Duration::from_millis(600))
            .user_started_speaking();
        // Reports about the turn that has ended are too late.
        tts.record("text", "There was a fox.");
        event::heard("Once upon a").interruption();
        event::played(Duration::from_millis(650)).bot_stopped_speaking();
    });
    assert_eq!(
        turns(&stage),
        [
            "  turn turn.output=Once upon a time. turn.heard_output=Once upon turn.played_seconds=0.6 \
             turn.end_reason=interrupted",
            "  turn turn.end_reason=conversation_ended",
        ]
    );
}

#[test]
fn last_report_of_what_was_heard_counts() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        speak();
        info!(
            conversation.event = "interruption",
            text_heard = "Once",
            played_secs = 1
        );
        info!(
            conversation.event = "bot_stopped_speaking",
            text_heard = "Once upon a time. There",
            played_secs = "unknown",
        );
        // Nobody's words, and no length of time.
        info!(conversation.event = "interruption", played_secs = -1.0);
    });
    assert_eq!(
        turns(&stage),
        [
            "  turn turn.output=Once upon a time. There was a fox. turn.heard_output=Once upon a time. There \
             turn.played_seconds=1.0 turn.end_reason=conversation_ended"
        ]
    );
}

#[test]
fn what_was_heard_is_content() {
    let output = Output::new();
    let output = Output::over(
        output.exporter,
        output
            .processor
            .with_content(ContentPolicy::default().with_capture(false)),
        |provider| provider,
    );
    let stage = Stage::over(output, |layer| layer);
    stage.play(|| {
        let _scope = scope().entered();
        speak();
        event::heard("Once upon")
            .played(Duration::from_millis(600))
            .bot_stopped_speaking();
        tracing_conversation::annotate!(turn.heard_output = "Once");
    });
    assert_eq!(
        turns(&stage),
        ["  turn turn.played_seconds=0.6 turn.end_reason=conversation_ended"]
    );
}
