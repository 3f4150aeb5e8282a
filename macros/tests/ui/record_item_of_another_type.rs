use tracing_conversation::{instrument::Recorder, traced_llm};

#[traced_llm(record: |answer: &u8, recorder: &mut Recorder<'_>| { recorder.output("x"); })]
async fn answer() -> String {
    String::new()
}

fn main() {}
