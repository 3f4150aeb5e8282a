use tracing_conversation::traced_llm;

struct Prompt;

#[traced_llm(input = prompt)]
async fn answer(prompt: Prompt) -> String {
    String::new()
}

fn main() {}
