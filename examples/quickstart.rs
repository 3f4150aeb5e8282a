//! A conversation of two turns and an interruption, told in plain `tracing`, printed as it leaves.
//!
//!     cargo run --example quickstart

use std::{thread::sleep, time::Duration};
use tracing::{info, info_span};

fn main() -> Result<(), tracing_conversation::SetupError> {
    // The only line that knows of this crate. With no variable set, spans go to an OTLP collector; this shows a tree.
    let _guard = tracing_conversation::Telemetry::builder()
        .console(Some(tracing_conversation::Console::Tree))
        .init()?;

    let call = info_span!(
        "conversation",
        conversation.id = "call-1",
        customer.tier = "premium"
    );
    call.in_scope(|| {
        listen("What's the weather in Lisbon?");
        answer("It is sunny in Lisbon, with a light breeze, and the evening…");
        // The user has heard enough, and speaks while the bot does.
        info!(conversation.event = "interruption");
        listen("Thanks, that's all I wanted!");
        answer("You're welcome.");
        info!(conversation.event = "bot_stopped_speaking");
    });
    Ok(())
}

fn listen(words: &str) {
    info!(
        conversation.event = "vad_user_started_speaking",
        start_secs = 0.05
    );
    info!(conversation.event = "user_started_speaking");
    let stt = info_span!(
        "stt",
        gen_ai.operation.name = "stt",
        gen_ai.provider.name = "deepgram",
        transcript = ""
    );
    pass(120);
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.05
    );
    pass(40);
    stt.record("transcript", words);
    info!(conversation.event = "user_stopped_speaking");
}

fn answer(words: &str) {
    let (tokens, llm) = (
        words.len() / 4,
        info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = "gpt-4o",
            output = words,
            gen_ai.usage.input_tokens = 42,
            gen_ai.usage.output_tokens = tracing::field::Empty,
        ),
    );
    pass(150);
    llm.in_scope(|| info!(conversation.event = "first_byte"));
    let tts = info_span!(
        "tts",
        gen_ai.operation.name = "tts",
        voice_id = "reading-lady",
        text = words
    );
    pass(90);
    tts.in_scope(|| info!(conversation.event = "first_byte"));
    info!(conversation.event = "bot_started_speaking");
    llm.record("gen_ai.usage.output_tokens", tokens);
    pass(180);
}

fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}
