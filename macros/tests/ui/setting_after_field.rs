use tracing_conversation::{instrument::Recorder, llm_span, traced_llm};

#[traced_llm(gen_ai.request.model = "gpt-4o", record: |answer: &String, recorder: &mut Recorder<'_>| { recorder.output(answer); })]
fn answer() -> String {
    String::new()
}

fn main() {
    llm_span!(gen_ai.request.model = "gpt-4o", parent: None);
}
