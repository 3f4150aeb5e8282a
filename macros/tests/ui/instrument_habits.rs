use tracing_conversation::{traced_llm, traced_stt, traced_tool, traced_tts};

#[traced_llm(err)]
fn with_err() -> Result<(), std::io::Error> {
    Ok(())
}

#[traced_llm(gen_ai.request.model = "gpt-4o", err(Debug))]
fn with_err_by_debug() -> Result<(), std::io::Error> {
    Ok(())
}

#[traced_llm(ret)]
fn with_ret() -> u8 {
    0
}

#[traced_stt(skip_all, language = "en")]
fn with_skip_all(_audio: &[i16]) {}

#[traced_tts(skip(voice))]
fn with_skip(voice: u8) -> u8 {
    voice
}

#[traced_tool(fields(city = "Graz"))]
fn with_fields() {}

// An argument of that name can be a field.
#[traced_tool(err)]
fn with_argument(err: &str) -> usize {
    err.len()
}

fn main() {}
