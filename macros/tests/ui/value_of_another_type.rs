use tracing_conversation::{llm_span, traced_tool};

#[derive(Debug)]
struct City;

#[traced_tool(gen_ai.tool.call.arguments = city)]
fn weather(city: City) {
    let _ = city;
}

fn main() {
    llm_span!(input = vec!["hello"], gen_ai.request.seed = 3);
    let output = City;
    llm_span!(output);
    llm_span!(output = ?output, input = Option::<&str>::None, tool_count = 2_u64, is_good = true);
}
