fn main() {
    tracing_conversation::tts_span!(voice_id = "lady", text = "hi", voice_id = "lord");
}
