use tracing_conversation::{llm_span, traced_llm, tts_span};

#[traced_llm(model = "gpt-4o")]
fn short() {}

#[traced_llm(gen_ai.request.modle = "gpt-4o")]
fn misspelt() {}

fn main() {
    llm_span!(gen_ai.usage.input_token = 3);
    llm_span!(temperature = 0.2);
    tts_span!(voice = "lady");
    // Fields of one's own, and of the conventions.
    llm_span!("model" = "of a car", gen_ai.agent.name = "agent", retries = 2, modle = 1);
}
