use tracing_conversation::traced_llm;

trait Llm {
    #[traced_llm]
    async fn answer(&self, prompt: &str) -> String;
}

fn main() {}
