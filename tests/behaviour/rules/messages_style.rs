//! A program that says everything in messages, also what it has heard.

use super::{exported, reference};
use crate::stage::Stage;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{info, info_span};

const RULES: &str = r#"
    [[rule]]
    match = { span = "session" }
    conversation = { from = "label", after = "session " }
    fields = { "caller.tier" = "plan" }

    [[rule]]
    match = { target = "*", level = "info", message = "peer connected" }
    event = "client_connected"

    [[rule]]
    match = { message = "speech started*", level = "info" }
    event = "user_started_speaking"

    [[rule]]
    match = { message = "speech ended*", level = "info" }
    event = "vad_user_stopped_speaking"
    fields = { stop_secs = { from = "message", after = "after a silence of " } }

    [[rule]]
    match = { message = "speech ended*", level = "info" }
    event = "user_stopped_speaking"

    [[rule]]
    match = { message = "playback started", level = "info" }
    event = "bot_started_speaking"

    [[rule]]
    match = { message = "playback finished", level = "info" }
    event = "bot_stopped_speaking"

    [[rule]]
    match = { message = "first chunk", level = "info" }
    event = "first_byte"

    [[rule]]
    match = { message = "caller said: *", level = "info", in = "stt" }
    event = "annotate"
    fields = { transcript = { from = "message", after = "caller said: " }, "metrics.audio_seconds" = { value = 1.25 } }

    [[rule]]
    match = { span = "stt" }
    service = "stt"
    fields = { "gen_ai.provider.name" = { value = "deepgram" }, "gen_ai.request.model" = { value = "nova-3" } }

    [[rule]]
    match = { span = "llm" }
    service = "chat"
    fields = { "gen_ai.provider.name" = { value = "openai" }, "gen_ai.request.model" = { value = "gpt-4o" } }

    [[rule]]
    match = { message = "answered: *", level = "info" }
    event = "annotate"
    fields = { output = { from = "message", after = "answered: " }, "gen_ai.usage.input_tokens" = { value = 320 }, "gen_ai.usage.output_tokens" = { value = 17 } }

    [[rule]]
    match = { span = "tool" }
    service = "execute_tool"
    fields = { "gen_ai.tool.name" = "name", "gen_ai.tool.call.id" = { from = "id" } }

    [[rule]]
    match = { span = "tts" }
    service = "tts"
    fields = { "gen_ai.provider.name" = { value = "cartesia" }, voice_id = { value = "sonic-2" } }

    [[rule]]
    match = { message = "say *", level = "info" }
    event = "annotate"
    fields = { text = { from = "message", after = "say " } }
"#;

fn call(stage: &Stage) {
    let span = info_span!("session", label = "session call-7", plan = "gold");
    let entered = span.enter();
    info!("peer connected");
    stage.pass(100);
    speak(stage, "Hello, how can I help?", 120, 80);
    info!("playback started");
    stage.pass(1_000);
    info!("playback finished");
    stage.pass(500);

    info!("speech started at {}", 7);
    stage.pass(1_200);
    info!(
        "speech ended after a silence of {:?}",
        Duration::from_millis(300)
    );
    info_span!("stt").in_scope(|| {
        stage.pass(150);
        info!("caller said: {}", "what is the weather");
    });
    answer(stage, "Let me look.", 220);
    info_span!("tool", name = "weather", id = "call_1").in_scope(|| stage.pass(310));
    answer(stage, "It is sunny.", 240);
    speak(stage, "It is sunny.", 12, 90);
    info!("playback started");
    stage.pass(400);

    info!("speech started");
    stage.pass(300);
    drop(entered);
}

fn answer(stage: &Stage, words: &str, first_byte_after: u64) {
    info_span!("llm", unused = Empty).in_scope(|| {
        stage.pass(first_byte_after);
        info!("first chunk");
        stage.pass(60);
        info!("answered: {words}");
    });
}

fn speak(stage: &Stage, words: &str, first_byte_after: u64, then: u64) {
    info_span!("tts").in_scope(|| {
        info!("say {words}");
        stage.pass(first_byte_after);
        info!("first chunk");
        stage.pass(then);
    });
}

#[test]
fn program_of_messages_exports_what_the_contract_gives() {
    assert_eq!(exported(RULES, call), reference::tree());
}
