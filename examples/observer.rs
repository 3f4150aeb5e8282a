//! Prints how long each turn took to be answered, and where the time went, while the program runs.
//!
//!     cargo run --example observer
//!     OTEL_CONSOLE_EXPORT=tree cargo run --example observer

use std::{thread::sleep, time::Duration};
use tracing::info_span;
use tracing_conversation::observe::{ConversationSummary, Observer, TurnSummary};
use tracing_conversation::{SetupError, Telemetry, event};

/// What a pipeline's `on_latency_measured` handler would do.
struct Latencies;

#[allow(clippy::print_stdout)] // its purpose
impl Observer for Latencies {
    fn turn_ended(&self, turn: &TurnSummary) {
        let Some(seconds) = turn.user_bot_latency_seconds else {
            return;
        };
        println!("turn {}: answered after {seconds:.2} s", turn.number);
        for (part, seconds) in turn.latency.iter().flat_map(|latency| &latency.parts) {
            println!("  {:<20} {seconds:.2} s", part.name());
        }
    }

    fn conversation_ended(&self, conversation: &ConversationSummary) {
        println!(
            "{}: {} turns, {} interruptions, {} errors, the user spoke for {:.2} s and the bot for {:.2} s",
            conversation.conversation_id,
            conversation.turn_count,
            conversation.interruption_count,
            conversation.error_count,
            conversation.user_speech_seconds,
            conversation.bot_speech_seconds,
        );
    }
}

fn main() -> Result<(), SetupError> {
    // Called on a thread of its own, whether or not spans are exported as well: here where the environment says where to.
    let _telemetry = Telemetry::builder()
        .default_variable("OTEL_TRACES_EXPORTER", "none")
        .with_observer(Latencies)
        .init()?;
    info_span!("conversation", conversation.id = "call-1").in_scope(|| {
        exchange(120);
        exchange(310);
        event::bot_stopped_speaking();
    });
    Ok(())
}

/// The user says something, and the bot answers.
fn exchange(model: u64) {
    event::vad_user_started_speaking(0.0);
    event::user_started_speaking();
    pass(150);
    event::vad_user_stopped_speaking(0.05);
    event::user_stopped_speaking();
    let llm = info_span!("llm", gen_ai.operation.name = "chat");
    pass(model);
    llm.in_scope(event::first_byte);
    drop(llm);
    let tts = info_span!("tts", gen_ai.operation.name = "tts");
    pass(80);
    tts.in_scope(event::first_byte);
    event::bot_started_speaking();
    pass(100);
}

fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}
