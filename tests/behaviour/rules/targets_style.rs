//! A program whose targets and span names say what happens.

use super::{exported, reference};
use crate::stage::Stage;
use tracing::field::Empty;
use tracing::{debug, debug_span, info, info_span};

const RULES: &str = r#"
    [[rule]]
    match = { span = "call" }
    conversation = "call_sid"
    fields = { "caller.tier" = "tier" }
    open = "client_connected"

    [[rule]]
    match = { target = "bot::vad::start" }
    event = "user_started_speaking"

    # One event that is two.
    [[rule]]
    match = { target = "bot::vad::stop" }
    event = "vad_user_stopped_speaking"
    fields = { stop_secs = { from = "hangover_ms", scale = 0.001 } }

    [[rule]]
    match = { target = "bot::vad::stop" }
    event = "user_stopped_speaking"

    [[rule]]
    match = { target = "bot::out::*" , level = "DEBUG", fields = { playing = true } }
    event = "bot_started_speaking"

    [[rule]]
    match = { target = "bot::out::*", level = "debug", fields = { playing = false } }
    event = "bot_stopped_speaking"

    [[rule]]
    match = { target = "bot::first" }
    event = "first_byte"

    [[rule]]
    match = { span = "stt", target = "bot::services" }
    service = "stt"
    fields = { gen_ai.provider.name = "vendor", gen_ai.request.model = "model", transcript = "heard", metrics.audio_seconds = { from = "audio_ms", scale = 0.001 } }

    [[rule]]
    match = { span = "llm" }
    service = "chat"
    [rule.fields]
    "gen_ai.provider.name" = { value = "openai" }
    "gen_ai.request.model" = "model"
    "gen_ai.usage.input_tokens" = "prompt_tokens"
    "gen_ai.usage.output_tokens" = "completion_tokens"
    output = "reply"

    [[rule]]
    match = { span = "tool*" }
    service = "execute_tool"
    fields = { "gen_ai.tool.name" = "function", "gen_ai.tool.call.id" = "call" }

    [[rule]]
    match = { span = "tts" }
    service = "tts"
    fields = { gen_ai.provider.name = "vendor", voice_id = "voice", text = "sentence" }
"#;

fn call(stage: &Stage) {
    let span = info_span!("call", call_sid = "call-7", tier = "gold");
    let entered = span.enter();
    stage.pass(100);
    speak(stage, "Hello, how can I help?", 120, 80);
    debug!(target: "bot::out::speaker", playing = true);
    stage.pass(1_000);
    debug!(target: "bot::out::speaker", playing = false);
    stage.pass(500);

    info!(target: "bot::vad::start", "speech");
    stage.pass(1_200);
    info!(target: "bot::vad::stop", hangover_ms = 300, "silence");
    listen(stage);
    answer(stage, "Let me look.", 220);
    debug_span!("tool", function = "weather", call = "call_1").in_scope(|| stage.pass(310));
    answer(stage, "It is sunny.", 240);
    speak(stage, "It is sunny.", 12, 90);
    debug!(target: "bot::out::speaker", playing = true);
    stage.pass(400);

    info!(target: "bot::vad::start", "speech");
    stage.pass(300);
    drop(entered);
}

fn listen(stage: &Stage) {
    let span = info_span!(target: "bot::services", "stt", vendor = "deepgram", model = "nova-3", heard = Empty, audio_ms = Empty);
    let _entered = span.enter();
    stage.pass(150);
    span.record("audio_ms", 1_250_u64);
    span.record("heard", "what is the weather");
}

fn answer(stage: &Stage, words: &str, first_byte_after: u64) {
    let span = info_span!(
        "llm",
        model = "gpt-4o",
        prompt_tokens = Empty,
        completion_tokens = Empty,
        reply = Empty
    );
    let _entered = span.enter();
    stage.pass(first_byte_after);
    info!(target: "bot::first", "token");
    stage.pass(60);
    span.record("prompt_tokens", 320_u32);
    // As text, which the contract has as an integer.
    span.record("completion_tokens", tracing::field::display(17));
    span.record("reply", words);
}

fn speak(stage: &Stage, words: &str, first_byte_after: u64, then: u64) {
    let span = info_span!("tts", vendor = "cartesia", voice = "sonic-2", sentence = %words);
    let _entered = span.enter();
    stage.pass(first_byte_after);
    info!(target: "bot::first", "audio");
    stage.pass(then);
}

#[test]
fn program_of_targets_exports_what_the_contract_gives() {
    assert_eq!(exported(RULES, call), reference::tree());
}
