//! A conversation with one turn of each kind: greeting, answer, tool, interruption, failure.

use super::spans::{Builder, span};

pub(crate) const CALL: &str = "call-4711";

fn part(name: &'static str, id: u64, parent: u64, turn: i64, start: f64, end: f64) -> Builder {
    span(name, id, parent, start, end)
        .with("conversation.id", CALL)
        .with("turn.number", turn)
}

fn stt(id: u64, turn: i64, start: f64, end: f64, ttfb: f64, transcript: &'static str) -> Builder {
    part("stt", id, turn as u64, turn, start, end)
        .with("gen_ai.operation.name", "stt")
        .with("gen_ai.provider.name", "deepgram")
        .with("gen_ai.request.model", "nova-3")
        .with("metrics.ttfb", ttfb)
        .with("metrics.audio_seconds", end - start)
        .with("transcript", transcript)
}

fn llm(id: u64, turn: i64, start: f64, end: f64, ttfb: Option<f64>) -> Builder {
    let llm = part("llm", id, turn as u64, turn, start, end)
        .with("gen_ai.operation.name", "chat")
        .with("gen_ai.provider.name", "openai")
        .with("gen_ai.request.model", "gpt-4o-mini");
    match ttfb {
        Some(ttfb) => llm.with("metrics.ttfb", ttfb),
        None => llm,
    }
}

fn tts(id: u64, turn: i64, start: f64, end: f64, ttfb: f64, text: &'static str) -> Builder {
    part("tts", id, turn as u64, turn, start, end)
        .with("gen_ai.operation.name", "tts")
        .with("gen_ai.provider.name", "cartesia")
        .with("gen_ai.request.model", "sonic-2")
        .with("voice_id", "reading-lady")
        .with("metrics.ttfb", ttfb)
        .with("metrics.character_count", text.chars().count() as i64)
        .with("text", text)
}

fn tokens(span: Builder, input: i64, output: i64) -> Builder {
    span.with("gen_ai.usage.input_tokens", input)
        .with("gen_ai.usage.output_tokens", output)
}

fn turn(number: i64, start: f64, end: f64, reason: &'static str) -> Builder {
    part("turn", number as u64, 100, number, start, end)
        .with("turn.type", "conversation")
        .with("turn.duration_seconds", end - start)
        .with("turn.was_interrupted", reason == "interrupted")
        .with("turn.end_reason", reason)
}

pub(crate) fn greeting() -> Vec<Builder> {
    const HELLO: &str = "Hello! This is the weather line. Which city may I look up for you?";
    vec![
        tokens(llm(11, 1, 0.4, 1.3, Some(0.42)), 86, 19),
        tts(12, 1, 1.05, 1.9, 0.16, HELLO),
        turn(1, 0.0, 4.9, "user_spoke")
            .with("turn.output", HELLO)
            .with("turn.bot_speech_seconds", 3.35)
            .with("turn.latency.measured_from", "client_connected")
            .with("turn.latency.first_request", 0.4)
            .with("turn.latency.llm_inference", 0.42)
            .with("turn.latency.sentence_aggregation", 0.23)
            .with("turn.latency.speech_synthesis", 0.16)
            .with("turn.latency.output_transport", 0.04),
    ]
}

pub(crate) fn answer() -> Vec<Builder> {
    const QUESTION: &str = "What can you tell me?";
    const ANSWER: &str = "I can tell you today's weather, tomorrow's, and that of the weekend, for any city in Europe. \
                          I can also compare two cities, or tell you whether you will need an umbrella on your way home.";
    vec![
        stt(21, 2, 4.9, 6.45, 0.18, QUESTION),
        span("POST /v1/chat/completions", 24, 22, 6.72, 7.1)
            .with("conversation.id", CALL)
            .with("turn.number", 2),
        tokens(llm(22, 2, 6.7, 8.1, Some(0.38)), 131, 44),
        tts(23, 2, 7.3, 9.4, 0.14, ANSWER),
        turn(2, 4.9, 14.2, "silence")
            .with("turn.user_bot_latency_seconds", 1.25)
            .with("turn.user_speech_seconds", 1.35)
            .with("turn.bot_speech_seconds", 6.7)
            .with("turn.input", QUESTION)
            .with("turn.output", ANSWER)
            .with("turn.latency.measured_from", "user_silence")
            .with("turn.latency.endpointing_wait", 0.2)
            .with("turn.latency.transcription", 0.05)
            .with("turn.latency.turn_detection", 0.18)
            .with("turn.latency.llm_inference", 0.38)
            .with("turn.latency.sentence_aggregation", 0.22)
            .with("turn.latency.speech_synthesis", 0.14)
            .with("turn.latency.output_transport", 0.06)
            .with("turn.latency.pipeline", 0.02),
    ]
}

pub(crate) fn tool() -> Vec<Builder> {
    const QUESTION: &str = "And in Berlin tomorrow?";
    const ANSWER: &str = "Tomorrow it will be sunny in Berlin, with a high of 24 degrees.";
    vec![
        stt(31, 3, 16.0, 17.2, 0.16, QUESTION),
        tokens(llm(32, 3, 17.4, 17.85, Some(0.4)), 212, 16),
        span("GET api.weather.example", 36, 33, 17.9, 18.3)
            .with("conversation.id", CALL)
            .with("turn.number", 3),
        span("parse", 37, 33, 18.3, 18.31)
            .with("conversation.id", CALL)
            .with("turn.number", 3),
        span("cache put", 38, 33, 18.31, 18.34)
            .with("conversation.id", CALL)
            .with("turn.number", 3),
        part("tool", 33, 3, 3, 17.86, 18.35)
            .with("gen_ai.operation.name", "execute_tool")
            .with("gen_ai.tool.name", "get_weather")
            .with(
                "gen_ai.tool.call.arguments",
                r#"{"city":"Berlin","day":"tomorrow"}"#,
            )
            .with(
                "gen_ai.tool.call.result",
                r#"{"sky":"sunny","high":24,"low":13}"#,
            ),
        tokens(llm(34, 3, 18.4, 19.2, Some(0.36)), 1_262, 21),
        tts(35, 3, 18.95, 19.7, 0.13, ANSWER),
        turn(3, 16.0, 23.4, "user_spoke")
            .with("turn.user_bot_latency_seconds", 2.12)
            .with("turn.user_speech_seconds", 1.01)
            .with("turn.bot_speech_seconds", 3.77)
            .with("turn.dead_air_seconds", 0.12)
            .with("turn.input", QUESTION)
            .with("turn.output", ANSWER)
            .with("turn.latency.measured_from", "user_silence")
            .with("turn.latency.endpointing_wait", 0.2)
            .with("turn.latency.transcription", 0.04)
            .with("turn.latency.turn_detection", 0.16)
            .with("turn.latency.llm_inference", 0.76)
            .with("turn.latency.llm_tool_call", 0.06)
            .with("turn.latency.function_handler", 0.49)
            .with("turn.latency.sentence_aggregation", 0.19)
            .with("turn.latency.speech_synthesis", 0.13)
            .with("turn.latency.output_transport", 0.05)
            .with("turn.latency.pipeline", 0.04),
    ]
}

pub(crate) fn interruption() -> Vec<Builder> {
    const QUESTION: &str = "Tell me about the weekend.";
    const ANSWER: &str = "On Saturday morning there will be some clouds over the city,";
    vec![
        stt(41, 4, 23.4, 24.6, 0.15, QUESTION),
        tokens(llm(42, 4, 24.8, 26.4, Some(0.35)), 1_310, 58).with("interrupted", true),
        tts(43, 4, 25.35, 26.4, 0.12, ANSWER).with("tts.interrupted", true),
        turn(4, 23.4, 26.4, "interrupted")
            .with("turn.user_bot_latency_seconds", 0.84)
            .with("turn.user_speech_seconds", 1.28)
            .with("turn.bot_speech_seconds", 0.96)
            .with("turn.interruption.after_seconds", 0.96)
            .with("turn.input", QUESTION)
            .with("turn.output", ANSWER)
            .with("turn.heard_output", "On Saturday morning there will be")
            .with("turn.played_seconds", 0.96)
            .with("turn.latency.measured_from", "user_silence")
            .with("turn.latency.endpointing_wait", 0.2)
            .with("turn.latency.llm_inference", 0.35)
            .with("turn.latency.sentence_aggregation", 0.12)
            .with("turn.latency.speech_synthesis", 0.12)
            .with("turn.latency.output_transport", 0.05),
    ]
}

pub(crate) fn failure() -> Vec<Builder> {
    vec![
        stt(
            51,
            5,
            26.4,
            27.9,
            0.17,
            "Stop. Just tell me whether it rains.",
        ),
        span("POST /v1/chat/completions", 53, 52, 28.1, 38.1)
            .with("conversation.id", CALL)
            .with("turn.number", 5)
            .failed("operation timed out"),
        llm(52, 5, 28.1, 38.1, None)
            .with("error.type", "timeout")
            .failed("no answer from api.openai.com within 10 s"),
        turn(5, 26.4, 40.0, "conversation_ended")
            .with("turn.ended_by_conversation_end", true)
            .with("turn.user_speech_seconds", 1.3)
            .with("turn.dead_air_seconds", 10.3)
            .with("turn.input", "Stop. Just tell me whether it rains."),
    ]
}

pub(crate) fn end() -> Vec<Builder> {
    vec![
        span("ws session", 101, 100, 0.0, 40.0).with("conversation.id", CALL),
        span("conversation", 100, 0, 0.0, 40.0)
            .with("conversation.id", CALL)
            .with("conversation.type", "voice"),
    ]
}

pub(crate) fn all() -> Vec<Vec<Builder>> {
    vec![
        greeting(),
        answer(),
        tool(),
        interruption(),
        failure(),
        end(),
    ]
}
