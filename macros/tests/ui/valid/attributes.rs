use tracing_conversation::traced_llm;

#[traced_llm]
async fn answer(prompt: &str) -> String {
    prompt.to_owned()
}

fn main() {
    drop(answer("hi"));
}
