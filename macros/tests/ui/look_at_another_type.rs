use tracing_conversation::{instrument::Seen, traced_llm};

#[traced_llm(look: |answer: &u8, seen: &mut Seen<'_>| { seen.output("x"); })]
async fn answer() -> String {
    String::new()
}

fn main() {}
