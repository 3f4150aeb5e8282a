//! Nesting of rig's spans and the layer's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::{FutureExt, StreamExt};
use rig_core::completion::Usage as RigUsage;
use rig_core::streaming::{Item, StreamEvent};
use rig_core::test_utils::{MockCompletionModel, MockStreamEvent, MockTurn, mock_final};
use tracing::Instrument as _;
use tracing_conversation::instrument::{TraceFuture, TraceStream};
use tracing_conversation::testing::ConversationRecorder;
use tracing_conversation::{conversation_span, event, llm_span, tool_span};

#[path = "../../exported/mod.rs"]
mod exported;
use exported::tree;

fn usage(input: u64, output: u64) -> RigUsage {
    let mut usage = RigUsage::default();
    usage.input_tokens = Some(input);
    usage.output_tokens = Some(output);
    usage
}

#[test]
fn model_called_in_turn_is_below_it_beside_tool() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let model = MockCompletionModel::from_turns([
        MockTurn::tool_call("call-1", "get_weather", serde_json::json!({"city": "Graz"}))
            .with_usage(usage(20, 5)),
        MockTurn::text("It is sunny.").with_usage(usage(30, 6)),
    ]);
    let bot = async {
        event::user_started_speaking();
        model.call("What is the weather?").await.unwrap();
        let tool = tool_span!(gen_ai.tool.name = "get_weather");
        async { "sunny" }.traced(tool).await;
        assert_eq!(model.call("sunny").await.unwrap().text(), "It is sunny.");
        event::bot_started_speaking();
        event::user_started_speaking();
    };
    bot.instrument(conversation_span!(conversation.id = "c1"))
        .now_or_never()
        .unwrap();
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
      · gen_ai.usage.output_tokens=5
    tool
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.name=get_weather
    chat
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=mock
      · gen_ai.request.model=mock-model
      · gen_ai.request.stream=false
      · gen_ai.usage.input_tokens=30
      · gen_ai.usage.output_tokens=6
  turn
    · turn.was_interrupted=true
"
    );
}

#[test]
fn model_called_inside_llm_or_agent_span_is_below_it() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let turns = [MockTurn::text("one"), MockTurn::text("two")];
    let model = MockCompletionModel::from_turns(turns);
    let bot = async {
        let llm = llm_span!(gen_ai.provider.name = "mock");
        let answer = async { model.call("1").await.unwrap().text() };
        let answer = answer.traced_with(llm, |answer, recorder| {
            recorder.output(answer);
        });
        assert_eq!(answer.await, "one");

        let agent = tracing::info_span!("invoke_agent", gen_ai.operation.name = "invoke_agent");
        model.call("2").instrument(agent).await.unwrap();
    };
    bot.instrument(conversation_span!(conversation.id = "c1"))
        .now_or_never()
        .unwrap();
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=one
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=mock
      · output=one
      chat
        · gen_ai.operation.name=chat
        · gen_ai.output.type=text
        · gen_ai.provider.name=mock
        · gen_ai.request.model=mock-model
        · gen_ai.request.stream=false
    invoke_agent
      · gen_ai.operation.name=invoke_agent
      chat
        · gen_ai.operation.name=chat
        · gen_ai.output.type=text
        · gen_ai.provider.name=mock
        · gen_ai.request.model=mock-model
        · gen_ai.request.stream=false
"
    );
}

#[test]
fn streamed_answer_is_read_inside_llm_span() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let model = MockCompletionModel::from_stream_turns([[
        MockStreamEvent::text("It is"),
        MockStreamEvent::text(" sunny."),
        MockStreamEvent::FinalResponse(mock_final(usage(9, 4))),
    ]]);
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let span = llm_span!();
        let stream = span.in_scope(|| model.stream("What is the weather?").unwrap());
        let answer = stream.try_traced_with(span, |item, recorder| match item {
            Item::Event(StreamEvent::Text { text, .. }) => {
                recorder.output(text);
            }
            _ => {
                recorder.not_output();
            }
        });
        answer.collect::<Vec<_>>().now_or_never().unwrap();
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=It is sunny.
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · output=It is sunny.
      chat
        · gen_ai.operation.name=chat
        · gen_ai.output.type=text
        · gen_ai.provider.name=mock
        · gen_ai.request.model=mock-model
        · gen_ai.request.stream=true
"
    );
}
