//! Presets for names that no library here has in its dependencies.

use super::{adopted, recorded};
use tracing::field::Empty;
use tracing::info_span;

#[test]
fn spans_in_the_names_of_earlier_conventions_are_those_of_today() {
    let stage = adopted("presets = [\"gen_ai\"]\n");
    stage.play(|| {
        let _call = info_span!("conversation", conversation.id = "c1").entered();
        let request = info_span!(
            "llm.call",
            gen_ai.system = "openai",
            gen_ai.request.model = "gpt-4o",
            gen_ai.prompt = "Hello?",
            gen_ai.completion = Empty,
            gen_ai.response.finish_reason = Empty,
            gen_ai.usage.prompt_tokens = Empty,
            gen_ai.usage.completion_tokens = Empty,
        );
        stage.pass(100);
        request.record("gen_ai.usage.prompt_tokens", 12);
        request.record("gen_ai.usage.completion_tokens", 3);
        request.record("gen_ai.response.finish_reason", "stop");
        request.record("gen_ai.completion", "Hi.");
        // Its totals are not those of what is below it.
        let below = request.in_scope(|| info_span!("llm.retry", gen_ai.request.model = "gpt-4o"));
        drop(below);
        drop(request);
        // An operation that is named stays; a span of another kind is only renamed.
        drop(info_span!(
            "embed",
            gen_ai.operation.name = "embeddings",
            gen_ai.system = "openai",
            gen_ai.request.model = "text-embedding-3",
            gen_ai.usage.prompt_tokens = 7,
        ));
        drop(info_span!("agent", gen_ai.system = "mine"));
    });
    assert_eq!(
        recorded(&stage.spans()),
        r#"
conversation 0..100 Internal
  · conversation.id = "c1"
  turn 0..100 Internal
    · conversation.id = "c1"
    llm.call 0..100 Client
      · conversation.id = "c1"
      · gen_ai.operation.name = "chat"
      · gen_ai.output.type = "text"
      · gen_ai.provider.name = "openai"
      · gen_ai.request.model = "gpt-4o"
      · gen_ai.response.finish_reasons = "stop"
      · gen_ai.usage.input_tokens = 12
      · gen_ai.usage.output_tokens = 3
      · input = "Hello?"
      · output = "Hi."
      llm.retry 100..100 Internal
        · conversation.id = "c1"
        · gen_ai.operation.name = "chat"
        · gen_ai.output.type = "text"
        · gen_ai.request.model = "gpt-4o"
    embed 100..100 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "embeddings"
      · gen_ai.provider.name = "openai"
      · gen_ai.request.model = "text-embedding-3"
      · gen_ai.usage.input_tokens = 7
  agent 100..100 Internal
    · conversation.id = "c1"
    · gen_ai.provider.name = "mine"
"#
    );
}
