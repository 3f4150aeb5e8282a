use tracing_conversation::{traced_tool, traced_tts};

#[traced_tts]
struct Lady;

#[traced_tool]
const fn double(n: u8) -> u8 {
    n * 2
}

fn main() {}
