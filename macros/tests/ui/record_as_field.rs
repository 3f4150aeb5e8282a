use tracing_conversation::traced_llm;

#[traced_llm(record = |answer: &String, recorder: &mut Recorder<'_>| { recorder.output(answer); })]
async fn answer(prompt: &str) -> String {
    prompt.to_owned()
}

fn main() {}
