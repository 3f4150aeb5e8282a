use tracing_conversation::{stt_span, traced_stt};

#[traced_stt(skip: audio, language = "en")]
async fn transcribe(audio: Vec<i16>) -> String {
    String::new()
}

fn main() {
    stt_span!(model: "nova-3");
}
