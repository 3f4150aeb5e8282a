//! The spans of llmprism, which are those of the GenAI conventions, with the preset for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_executor::block_on;
use llmprism::Registry;
use llmprism::testing::{FakeProvider, FakeTextResponse};
use llmprism::tracing_middleware::GenAiTracingMiddleware;
use tracing::Instrument as _;
use tracing_conversation::rules::presets;
use tracing_conversation::testing::ConversationRecorder;
use tracing_conversation::{conversation_span, event};

#[path = "../../exported/mod.rs"]
mod exported;
use exported::tree;

#[test]
fn request_is_a_service_of_the_turn() {
    let recorder = ConversationRecorder::builder()
        .layer(|layer| layer.rules(presets::gen_ai()))
        .build();
    let _default = recorder.enter();
    let mut registry = Registry::new();
    let provider = FakeProvider::new("fake").respond_with(FakeTextResponse::new("Hi."));
    registry.register("fake", provider);
    registry.wrap("fake", GenAiTracingMiddleware).unwrap();
    let bot = async {
        event::user_started_speaking();
        let request = registry.text("fake", "test-model").unwrap();
        request.with_prompt("Hello?").generate().await.unwrap();
        event::bot_started_speaking();
    };
    block_on(bot.instrument(conversation_span!(conversation.id = "c1")));
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.was_interrupted=true
    gen_ai.chat
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.provider.name=fake
      · gen_ai.request.max_tokens=None
      · gen_ai.request.model=test-model
      · gen_ai.request.stream=false
      · gen_ai.request.temperature=None
      · gen_ai.request.top_p=None
      · gen_ai.usage.input_tokens=0
      · gen_ai.usage.output_tokens=0
"
    );
}
