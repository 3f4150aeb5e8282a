use tracing_conversation::{traced_llm, traced_tts};

#[traced_llm]
#[traced_tts]
fn answer() -> String {
    String::new()
}

fn main() {}
