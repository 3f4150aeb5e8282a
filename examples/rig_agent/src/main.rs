//! A telephone bot that asks an agent of rig about tables, and its own small model about lunch. Both models are stand-ins; the spans
//! of agent, model and tool are rig's, all other names are the program's, and `examples/rules.toml` says what both mean.
//!
//!     cargo run -p rig_agent
//!     OTEL_CONSOLE_EXPORT=json cargo run -p rig_agent

use futures_executor::block_on;
use rig::agent::{Agent, AgentBuilder};
use rig::core::completion::{Message, Usage};
use rig::test_utils::{MockCompletionModel, MockTurn};
use rig::tool::{Tool, ToolContext};
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;
use tracing::{Instrument as _, Span, field::Empty, info, info_span, instrument};
use tracing_conversation::{Telemetry, rules::Rules};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules.toml");

fn main() -> Result<(), Box<dyn Error>> {
    // All that knows of this crate.
    let _telemetry = Telemetry::builder()
        .default_variable("OTEL_CONSOLE_EXPORT", "tree")
        .default_variable("RUST_LOG", "warn")
        .rules(Rules::from_path(RULES)?)
        .init()?;

    let agent = AgentBuilder::new(mock_model())
        .name("reservations")
        .default_max_turns(2)
        .tool(FreeTable)
        .build();
    let call = info_span!("phone_call", call_sid = "CA43", line = 7);
    block_on(converse(&agent).instrument(call))
}

async fn converse(agent: &Agent) -> Result<(), Box<dyn Error>> {
    let mut history: Vec<Message> = Vec::new();
    for words in ["Is there a table at noon?", "And what is for lunch?"] {
        let heard = listen(words);
        let answer = if heard.contains("table") {
            agent.chat(&*heard, &mut history).await?.output().to_owned()
        } else {
            complete()
        };
        speak(&answer);
    }
    Ok(())
}

fn listen(words: &str) -> String {
    info!(target: "telephone", onset_ms = 100, "caller speaks");
    let recognize = info_span!("recognize", words = Empty);
    pass(80);
    info!(target: "telephone", hangover_ms = 40, "caller is silent");
    pass(20);
    recognize.record("words", words);
    words.to_owned()
}

#[instrument(fields(model = "small-1", tokens, reply))]
fn complete() -> String {
    pass(30);
    info!(target: "model", "first token");
    let reply = format!("There is {}.", look_up_menu());
    Span::current().record("tokens", reply.split(' ').count());
    Span::current().record("reply", &*reply);
    reply
}

#[instrument(fields(dish))]
fn look_up_menu() -> &'static str {
    pass(20);
    let dish = "risotto";
    Span::current().record("dish", dish);
    dish
}

fn speak(answer: &str) {
    info_span!("synthesize", words = answer).in_scope(|| pass(15));
    info!(target: "telephone", "playback starts");
    pass(50);
    info!(target: "telephone", "playback ends");
}

/// A tool that a model may call.
struct FreeTable;

impl Tool for FreeTable {
    const NAME: &'static str = "free_table";
    type Error = std::convert::Infallible;
    type Args = serde_json::Value;
    type Output = String;

    fn description(&self) -> String {
        "Whether a table is free at an hour".to_owned()
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({"type": "object", "properties": {"hour": {"type": "integer"}}})
    }

    async fn call(&self, _: &mut ToolContext, _: Self::Args) -> Result<String, Self::Error> {
        pass(40);
        Ok("the one by the window".to_owned())
    }
}

/// Calls the tool, then answers.
fn mock_model() -> MockCompletionModel {
    let usage = |input, output, reasoning| {
        let mut usage = Usage::default();
        usage.input_tokens = Some(input);
        usage.output_tokens = Some(output);
        usage.reasoning_tokens = Some(reasoning);
        usage
    };
    let arguments = serde_json::json!({"hour": 12});
    MockCompletionModel::from_turns([
        MockTurn::tool_call("call-1", FreeTable::NAME, arguments).with_usage(usage(120, 40, 24)),
        MockTurn::text("Yes, the one by the window.").with_usage(usage(190, 12, 0)),
    ])
}

fn pass(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}
