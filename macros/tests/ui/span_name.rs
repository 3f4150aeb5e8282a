fn main() {
    tracing_conversation::llm_span!("completion", input = "hi");
}
