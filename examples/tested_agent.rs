//! A small agent and its tests: `cargo test --example tested_agent --features testing` runs them, on a virtual clock.
//!
//! The agent knows only `tracing`, and an async function that waits. In production that is the runtime's; in its tests, it
//! advances the recorder's clock.

use std::time::Duration;
use tracing::{Instrument as _, Span, info, info_span};

/// What the agent needs from the world.
trait World {
    /// Waits.
    async fn sleep(&self, duration: Duration);
    /// Asks a weather service, which may fail.
    async fn weather(&self) -> Result<String, String>;
}

/// Answers one question, and says so to whoever listens.
async fn answer(world: &impl World, question: &str) {
    info!(conversation.event = "user_started_speaking");
    let stt = info_span!(
        "stt",
        gen_ai.operation.name = "stt",
        transcript = question,
        is_final = true
    );
    world
        .sleep(Duration::from_millis(1_200))
        .instrument(stt)
        .await;
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.2
    );

    let tool = info_span!(
        "tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = "get_weather",
        otel.status_description = tracing::field::Empty
    );
    let weather = async {
        let weather = world.weather().await;
        if let Err(error) = &weather {
            Span::current().record("otel.status_description", error);
        }
        weather.unwrap_or_else(|_| "I cannot see the weather.".to_owned())
    };
    let reply = weather.instrument(tool).await;

    let tts = info_span!("tts", gen_ai.operation.name = "tts", text = reply);
    async {
        world.sleep(Duration::from_millis(150)).await;
        info!(conversation.event = "first_byte");
        info!(conversation.event = "bot_started_speaking");
        world.sleep(Duration::from_secs(1)).await;
        info!(conversation.event = "bot_stopped_speaking");
    }
    .instrument(tts)
    .await;
}

/// The world as it is.
struct RealWorld;

impl World for RealWorld {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn weather(&self) -> Result<String, String> {
        Ok("It is sunny.".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "console")]
    let _telemetry = tracing_conversation::Telemetry::builder()
        .default_variable("OTEL_CONSOLE_EXPORT", "tree")
        .init()?;
    let call = info_span!("conversation", conversation.id = "call-1");
    answer(&RealWorld, "What is the weather?")
        .instrument(call)
        .await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tracing_conversation::testing::ConversationRecorder;

    /// Takes no time: whoever waits advances the recorder's clock.
    struct TestWorld<'a> {
        recorder: &'a ConversationRecorder,
        weather: Result<String, String>,
    }

    impl World for TestWorld<'_> {
        async fn sleep(&self, duration: Duration) {
            self.recorder.advance(duration);
        }

        async fn weather(&self) -> Result<String, String> {
            self.sleep(Duration::from_millis(300)).await;
            self.weather.clone()
        }
    }

    fn call(weather: Result<&str, &str>) -> ConversationRecorder {
        let recorder = ConversationRecorder::new();
        let world = TestWorld {
            recorder: &recorder,
            weather: weather.map(str::to_owned).map_err(str::to_owned),
        };
        recorder.run(|| {
            let call = info_span!("conversation", conversation.id = "call-1");
            let talk = answer(&world, "What is the weather?").instrument(call);
            talk.now_or_never().expect("nothing really waits");
        });
        recorder
    }

    #[test]
    fn weather_is_answered_in_time() {
        let recorder = call(Ok("It is sunny."));
        let turn = recorder.conversation("call-1").turn(1);
        assert!(turn.latency() < Duration::from_millis(800));
        assert_eq!(turn.tools(), ["get_weather"]);
        assert_eq!(turn.input(), "What is the weather?");
        assert_eq!(turn.output(), "It is sunny.");
        assert_eq!(turn.tts().ttfb(), Duration::from_millis(150));
        assert!(turn.errors().is_empty());
    }

    #[test]
    fn answer_without_weather_says_so() {
        let recorder = call(Err("no station in reach"));
        let turn = recorder.conversation("call-1").turn(1);
        assert_eq!(turn.errors(), ["tool get_weather: no station in reach"]);
        assert_eq!(turn.output(), "I cannot see the weather.");
    }

    #[test]
    fn call_is_as_it_was() {
        assert_eq!(
            call(Ok("It is sunny.")).tree().to_string(),
            "\
conversation 0–2.65 conversation.id=call-1
  turn 0–2.65 turn.number=1 turn.end_reason=conversation_ended turn.user_bot_latency_seconds=0.65 \
turn.input=What is the weather? turn.output=It is sunny.
    stt 0–1.2 transcript=What is the weather?
    tool 1.2–1.5 gen_ai.tool.name=get_weather
    tts 1.5–2.65 text=It is sunny. metrics.ttfb=0.15
"
        );
    }
}
