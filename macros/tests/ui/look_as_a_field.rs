use tracing_conversation::traced_llm;

#[traced_llm(look = |answer: &String, seen: &mut Seen<'_>| { seen.output(answer); })]
async fn answer(prompt: &str) -> String {
    prompt.to_owned()
}

fn main() {}
