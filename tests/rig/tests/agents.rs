//! Agents of rig with the rules of its preset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_executor::block_on;
use rig_agent::agent::AgentBuilder;
use rig_agent::core::completion::Usage;
use rig_agent::core::tool::ToolErrorKind;
use rig_agent::test_utils::{MockAddTool, MockCompletionModel, MockFailingTool, MockTurn};
use tracing::Instrument as _;
use tracing_conversation::rules::presets;
use tracing_conversation::testing::ConversationRecorder;
use tracing_conversation::{conversation_span, event};

#[path = "../../exported/mod.rs"]
mod exported;
use exported::tree;

fn usage() -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = Some(20);
    usage.output_tokens = Some(9);
    usage.reasoning_tokens = Some(4);
    usage
}

fn adopting() -> ConversationRecorder {
    ConversationRecorder::builder()
        .layer(|layer| layer.rules(presets::rig()))
        .build()
}

/// A model that calls `tool`, then answers.
fn calling(tool: &str, arguments: serde_json::Value) -> MockCompletionModel {
    MockCompletionModel::from_turns([
        MockTurn::tool_call("call-1", tool, arguments).with_usage(usage()),
        MockTurn::text("It is five.").with_usage(usage()),
    ])
}

fn within_conversation<T>(answer: impl Future<Output = T>) -> T {
    let bot = async {
        event::user_started_speaking();
        let answer = answer.await;
        event::bot_started_speaking();
        answer
    };
    block_on(bot.instrument(conversation_span!(conversation.id = "c1")))
}

#[test]
fn prompted_agents_models_and_tools_are_services_of_the_turn() {
    let recorder = adopting();
    let _default = recorder.enter();
    let model = calling("add", serde_json::json!({"x": 2, "y": 3}));
    let agent = AgentBuilder::new(model)
        .name("adder")
        .default_max_turns(2)
        .tool(MockAddTool)
        .build();
    let answer = within_conversation(async { agent.prompt("What is two and three?").await });
    assert_eq!(answer.unwrap().output(), "It is five.");
    assert_eq!(
        tree(&recorder),
        r#"
conversation
  · conversation.id=c1
  · event "Current conversation Turns: 1/2"
  · event "Current conversation Turns: 2/2"
  · event "Agent run finished"
  turn
    · turn.was_interrupted=true
    chat
      · gen_ai.agent.name=adder
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=mock
      · gen_ai.request.model=mock-model
      · gen_ai.request.stream=false
      · gen_ai.usage.input_tokens=20
      · gen_ai.usage.output_tokens=9
      · gen_ai.usage.reasoning.output_tokens=4
      · rig.completion_parent=true
    execute_tool
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.call.id=call-1
      · gen_ai.tool.call.outcome=success
      · gen_ai.tool.name=add
      · gen_ai.tool.type=function
    chat
      · gen_ai.agent.name=adder
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=mock
      · gen_ai.request.model=mock-model
      · gen_ai.request.stream=false
      · gen_ai.usage.input_tokens=20
      · gen_ai.usage.output_tokens=9
      · gen_ai.usage.reasoning.output_tokens=4
      · rig.completion_parent=true
"#
    );
}

#[test]
fn model_without_agent_names_reasoning_as_the_conventions_do() {
    let recorder = adopting();
    let _default = recorder.enter();
    let model = MockCompletionModel::from_turns([MockTurn::text("Five.").with_usage(usage())]);
    within_conversation(model.call("What is two and three?")).unwrap();
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.was_interrupted=true
    chat
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=mock
      · gen_ai.request.model=mock-model
      · gen_ai.request.stream=false
      · gen_ai.usage.input_tokens=20
      · gen_ai.usage.output_tokens=9
      · gen_ai.usage.reasoning.output_tokens=4
"
    );
}

#[test]
fn agent_in_task_without_span_is_outside_of_the_conversation() {
    let recorder = adopting();
    let _default = recorder.enter();
    let model = MockCompletionModel::from_turns([MockTurn::text("Five.").with_usage(usage())]);
    let agent = AgentBuilder::new(model).name("adder").build();
    block_on(async { agent.prompt("What is two and three?").await }).unwrap();
    assert_eq!(
        tree(&recorder),
        r#"
invoke_agent
  · gen_ai.agent.name=adder
  · gen_ai.operation.name=invoke_agent
  · gen_ai.usage.input_tokens=20
  · gen_ai.usage.output_tokens=9
  · gen_ai.usage.reasoning.output_tokens=4
  · event "Agent run finished"
  chat
    · gen_ai.agent.name=adder
    · gen_ai.operation.name=chat
    · gen_ai.output.type=text
    · gen_ai.provider.name=mock
    · gen_ai.request.model=mock-model
    · gen_ai.request.stream=false
    · gen_ai.usage.input_tokens=20
    · gen_ai.usage.output_tokens=9
    · gen_ai.usage.reasoning.output_tokens=4
    · rig.completion_parent=true
"#
    );
}

#[test]
fn agent_that_chats_keeps_its_services_below_it() {
    let recorder = adopting();
    let _default = recorder.enter();
    let model = calling("flaky_tool", serde_json::json!({}));
    let tool = MockFailingTool::new(ToolErrorKind::Timeout);
    let agent = AgentBuilder::new(model)
        .name("adder")
        .default_max_turns(2)
        .tool(tool)
        .build();
    let mut history = Vec::new();
    let answer = within_conversation(agent.chat("What is two and three?", &mut history));
    assert_eq!(answer.unwrap().output(), "It is five.");
    assert_eq!(
        tree(&recorder),
        r#"
conversation
  · conversation.id=c1
  turn
    · turn.was_interrupted=true
    chat
      · gen_ai.agent.name=adder
      · gen_ai.operation.name=invoke_agent
      · event "Current conversation Turns: 1/2"
      · event "Current conversation Turns: 2/2"
      · event "Agent run finished"
      chat
        · gen_ai.agent.name=adder
        · gen_ai.operation.name=chat
        · gen_ai.output.type=text
        · gen_ai.provider.name=mock
        · gen_ai.request.model=mock-model
        · gen_ai.request.stream=false
        · gen_ai.usage.input_tokens=20
        · gen_ai.usage.output_tokens=9
        · gen_ai.usage.reasoning.output_tokens=4
        · rig.completion_parent=true
      execute_tool
        · error.type=timeout
        · gen_ai.operation.name=execute_tool
        · gen_ai.tool.call.id=call-1
        · gen_ai.tool.call.outcome=error
        · gen_ai.tool.name=flaky_tool
        · gen_ai.tool.type=function
        · Error { description: "" }
      chat
        · gen_ai.agent.name=adder
        · gen_ai.operation.name=chat
        · gen_ai.output.type=text
        · gen_ai.provider.name=mock
        · gen_ai.request.model=mock-model
        · gen_ai.request.stream=false
        · gen_ai.usage.input_tokens=20
        · gen_ai.usage.output_tokens=9
        · gen_ai.usage.reasoning.output_tokens=4
        · rig.completion_parent=true
"#
    );
}
