//! A call that an agent of rig answers, printed as a tree. The model is a mock; the spans of agent, model and tool are rig's.
//!
//!     cargo run --package tracing-conversation-rig --example rig_agent

use std::thread::sleep;
use std::time::Duration;

use futures_executor::block_on;
use rig_agent::agent::{Agent, AgentBuilder};
use rig_agent::core::completion::{Message, Usage};
use rig_agent::test_utils::{MockCompletionModel, MockTurn};
use rig_agent::tool::{Tool, ToolContext};
use tracing::{Instrument as _, info, info_span};
use tracing_conversation::Telemetry;
use tracing_conversation::names::event;
use tracing_conversation::rules::{Match, Operation, Rules, Source, presets};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // All that knows of this crate.
    let _telemetry = Telemetry::builder()
        .default_variable("OTEL_CONSOLE_EXPORT", "tree")
        .rules(rules())
        .init()?;

    let agent = AgentBuilder::new(mock_model())
        .name("weather")
        .default_max_turns(2)
        .tool(Forecast)
        .build();
    let call = call(&agent).instrument(info_span!("call", sid = "CA-1"));
    block_on(call)
}

/// What the program's own names mean, and rig's.
fn rules() -> Rules {
    let ears = || Match::target("ears");
    let playback = || Match::target("playback");
    Rules::new()
        .conversation(Match::span("call"), "sid")
        .event(ears().message("speech"), event::USER_STARTED_SPEAKING)
        .event(ears().message("silence"), event::VAD_USER_STOPPED_SPEAKING)
        .field("stop_secs", Source::millis("hangover_ms"))
        .event(ears().message("silence"), event::USER_STOPPED_SPEAKING)
        .event(playback().message("starts"), event::BOT_STARTED_SPEAKING)
        .event(playback().message("ends"), event::BOT_STOPPED_SPEAKING)
        .service(Match::span("recognize"), Operation::Stt)
        .field("transcript", "words")
        .service(Match::span("synthesize"), Operation::Tts)
        .field("text", "words")
        .and(presets::rig())
}

async fn call(agent: &Agent) -> Result<(), Error> {
    let mut history: Vec<Message> = Vec::new();
    for question in ["Will it rain in Graz?", "Thank you."] {
        info!(target: "ears", "speech");
        pass(80);
        info!(target: "ears", hangover_ms = 20, "silence");
        info_span!("recognize", words = question).in_scope(|| pass(30));
        let answer = agent.chat(question, &mut history).await?;
        info_span!("synthesize", words = answer.output()).in_scope(|| pass(40));
        info!(target: "playback", "starts");
        pass(100);
        info!(target: "playback", "ends");
    }
    Ok(())
}

/// A tool that a model may call.
struct Forecast;

impl Tool for Forecast {
    const NAME: &'static str = "forecast";
    type Error = std::convert::Infallible;
    type Args = serde_json::Value;
    type Output = String;

    fn description(&self) -> String {
        "The weather of tomorrow in a city".to_owned()
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}})
    }

    async fn call(&self, _: &mut ToolContext, _: Self::Args) -> Result<String, Self::Error> {
        pass(60);
        Ok("sunny, 24 degrees".to_owned())
    }
}

/// Calls the tool, then answers twice.
fn mock_model() -> MockCompletionModel {
    let usage = |input, output, reasoning| {
        let mut usage = Usage::default();
        usage.input_tokens = Some(input);
        usage.output_tokens = Some(output);
        usage.reasoning_tokens = Some(reasoning);
        usage
    };
    let arguments = serde_json::json!({"city": "Graz"});
    MockCompletionModel::from_turns([
        MockTurn::tool_call("call-1", "forecast", arguments).with_usage(usage(120, 40, 24)),
        MockTurn::text("No, it stays sunny.").with_usage(usage(190, 12, 0)),
        MockTurn::text("You are welcome.").with_usage(usage(210, 8, 0)),
    ])
}

fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}
