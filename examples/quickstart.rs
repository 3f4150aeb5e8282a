//! A conversation of two turns and an interruption, in plain `tracing`, printed as it is exported.
//!
//!     cargo run --example quickstart
//!     OTEL_CONSOLE_EXPORT=json cargo run --example quickstart

use std::{thread::sleep, time::Duration};
use tracing::{field::Empty, info, info_span};
use tracing_conversation::{SetupError, Telemetry};

fn main() -> Result<(), SetupError> {
    // All that knows of this crate. `init()` would send spans to an OTLP collector; this shows them as a tree, unless the
    // environment says where they go.
    let _telemetry = Telemetry::builder()
        .default_variable("OTEL_CONSOLE_EXPORT", "tree")
        .init()?;

    info_span!("conversation", conversation.id = "call-1").in_scope(|| {
        listen("What's the weather in Lisbon?");
        answer("It is sunny in Lisbon, with a light breeze, and the evening…");
        // The user has heard enough, and speaks while the bot does.
        listen("Thanks, that's all I wanted!");
        answer("You're welcome.");
        tell("bot_stopped_speaking");
    });
    Ok(())
}

fn listen(words: &str) {
    tell("vad_user_started_speaking");
    tell("user_started_speaking");
    let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = Empty);
    pass(120);
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.05
    );
    pass(40);
    stt.record("transcript", words);
    tell("user_stopped_speaking");
}

fn answer(words: &str) {
    let llm = info_span!("llm", gen_ai.operation.name = "chat", output = words);
    pass(150);
    llm.in_scope(|| tell("first_byte"));
    let tts = info_span!("tts", gen_ai.operation.name = "tts", text = words);
    pass(90);
    tts.in_scope(|| tell("first_byte"));
    tell("bot_started_speaking");
    pass(180);
}

fn tell(event: &str) {
    info!(conversation.event = event);
}

fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}
