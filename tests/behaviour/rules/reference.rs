//! The call that every program here has, in the words of the contract.

use super::everything;
use crate::stage::Stage;
use tracing::field::Empty;
use tracing::{info, info_span};

/// What the contract's words give of the call.
pub(crate) fn tree() -> String {
    let stage = Stage::new();
    stage.play(|| call(&stage));
    everything(&stage.spans())
}

/// A greeting, a question that is answered with the help of a tool, and a user who interrupts the answer.
fn call(stage: &Stage) {
    let conversation = info_span!(
        "conversation",
        conversation.id = "call-7",
        caller.tier = "gold"
    );
    let entered = conversation.enter();
    info!(conversation.event = "client_connected");
    stage.pass(100);
    speak(stage, "Hello, how can I help?", 120, 80);
    info!(conversation.event = "bot_started_speaking");
    stage.pass(1_000);
    info!(conversation.event = "bot_stopped_speaking");
    stage.pass(500);

    info!(conversation.event = "user_started_speaking");
    stage.pass(1_200);
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.3
    );
    info!(conversation.event = "user_stopped_speaking");
    listen(stage, "what is the weather", 150);
    answer(stage, "Let me look.", 220);
    use_tool(stage);
    answer(stage, "It is sunny.", 240);
    speak(stage, "It is sunny.", 12, 90);
    info!(conversation.event = "bot_started_speaking");
    stage.pass(400);

    info!(conversation.event = "user_started_speaking");
    stage.pass(300);
    drop(entered);
}

fn listen(stage: &Stage, words: &str, lasts: u64) {
    let span = info_span!(
        "stt",
        gen_ai.operation.name = "stt",
        gen_ai.provider.name = "deepgram",
        gen_ai.request.model = "nova-3",
        transcript = Empty,
        metrics.audio_seconds = Empty,
    );
    let _entered = span.enter();
    stage.pass(lasts);
    span.record("metrics.audio_seconds", 1.25);
    span.record("transcript", words);
}

fn answer(stage: &Stage, words: &str, first_byte_after: u64) {
    let span = info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        output = Empty,
    );
    let _entered = span.enter();
    stage.pass(first_byte_after);
    info!(conversation.event = "first_byte");
    stage.pass(60);
    span.record("gen_ai.usage.input_tokens", 320);
    span.record("gen_ai.usage.output_tokens", 17);
    span.record("output", words);
}

fn use_tool(stage: &Stage) {
    let span = info_span!(
        "tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = "weather",
        gen_ai.tool.call.id = "call_1",
    );
    let _entered = span.enter();
    stage.pass(310);
}

fn speak(stage: &Stage, words: &str, first_byte_after: u64, then: u64) {
    let span = info_span!(
        "tts",
        gen_ai.operation.name = "tts",
        gen_ai.provider.name = "cartesia",
        voice_id = "sonic-2",
        text = words,
    );
    let _entered = span.enter();
    stage.pass(first_byte_after);
    info!(conversation.event = "first_byte");
    stage.pass(then);
}

/// The greeting turn lasts to the user's first word, and the last is cut off by the hang-up.
#[test]
fn reference_call_has_three_turns_with_latency_parts() {
    let tree = tree();
    let turns = tree.matches("\n  turn ").count();
    assert_eq!(turns, 3, "{tree}");
    for part in [
        "llm_inference",
        "llm_tool_call",
        "function_handler",
        "speech_synthesis",
        "transcription",
    ] {
        let is_there = tree.contains(&format!("turn.latency.{part} = "));
        assert_eq!(is_there, part != "llm_tool_call", "{part} in {tree}");
    }
    assert!(
        tree.contains("turn.latency.measured_from = \"client_connected\""),
        "{tree}"
    );
}
