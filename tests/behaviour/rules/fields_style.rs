//! A program that has one kind of event, with fields, and a number for an id, and that records figures instead of events.

use super::{exported, reference};
use crate::stage::Stage;
use tracing::field::Empty;
use tracing::{info, info_span};

const RULES: &str = r##"
    [[rule]]
    match = { target = "bot", fields = { state = "connected" } }
    event = "client_connected"
    fields = { "conversation.id" = "session" }

    [[rule]]
    match = { target = "bot", fields = { state = "listening" } }
    event = "user_started_speaking"
    fields = { "conversation.id" = "session" }

    [[rule]]
    match = { target = "bot", fields = { state = "thinking", silence = { present = true } } }
    event = "vad_user_stopped_speaking"
    fields = { "conversation.id" = "session", stop_secs = { from = "silence", scale = 1 } }

    [[rule]]
    match = { target = "bot", fields = { state = "thinking" } }
    event = "user_stopped_speaking"
    fields = { "conversation.id" = "session" }

    [[rule]]
    match = { target = "bot", fields = { state = "speaking" } }
    event = "bot_started_speaking"
    fields = { "conversation.id" = "session" }

    [[rule]]
    match = { target = "bot", fields = { state = "idle" } }
    event = "bot_stopped_speaking"
    fields = { "conversation.id" = "session" }

    [[rule]]
    match = { span = "session" }
    conversation = { from = "name", after = "#" }
    fields = { "caller.tier" = "tier" }

    [[rule]]
    match = { fields = { kind = "asr" }, span = "work" }
    service = "stt"
    [rule.fields]
    "conversation.id" = "session"
    "otel.name" = { value = "stt" }
    "gen_ai.provider.name" = "vendor"
    "gen_ai.request.model" = "engine"
    transcript = "result"
    "metrics.audio_seconds" = "seconds"

    [[rule]]
    match = { fields = { kind = "model" }, span = "work" }
    service = "chat"
    [rule.fields]
    "conversation.id" = "session"
    "otel.name" = { value = "llm" }
    "gen_ai.provider.name" = "vendor"
    "gen_ai.request.model" = "engine"
    output = "result"
    "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 }
    "gen_ai.usage.input_tokens" = "tokens.prompt"
    "gen_ai.usage.output_tokens" = "tokens.completion"

    [[rule]]
    match = { fields = { kind = "function" }, span = "work" }
    service = "execute_tool"
    [rule.fields]
    "conversation.id" = "session"
    "otel.name" = { value = "tool" }
    "gen_ai.tool.name" = "engine"
    "gen_ai.tool.call.id" = "vendor"

    [[rule]]
    match = { fields = { kind = "voice" }, span = "work" }
    service = "tts"
    [rule.fields]
    "conversation.id" = "session"
    "otel.name" = { value = "tts" }
    "gen_ai.provider.name" = "vendor"
    voice_id = "engine"
    text = "result"
    "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 }
"##;

/// The program's states, as its `Debug` shows them.
#[derive(Debug)]
#[allow(non_camel_case_types)]
enum State {
    connected,
    listening,
    speaking,
    idle,
}

const SESSION: &str = "call-7";

/// Events outside of the session's span say by a field where they belong.
fn state(state: &State) {
    info!(target: "bot", parent: None, ?state, session = SESSION);
}

fn call(stage: &Stage) {
    let span = info_span!("session", name = "session #call-7", tier = "gold");
    state(&State::connected);
    stage.pass(100);
    work(
        stage,
        "voice",
        ["cartesia", "sonic-2"],
        "Hello, how can I help?",
        120,
        80,
    );
    state(&State::speaking);
    stage.pass(1_000);
    state(&State::idle);
    stage.pass(500);

    state(&State::listening);
    stage.pass(1_200);
    let silence = std::time::Duration::from_millis(300);
    info!(target: "bot", parent: None, state = "thinking", session = SESSION, ?silence);
    work(
        stage,
        "asr",
        ["deepgram", "nova-3"],
        "what is the weather",
        0,
        150,
    );
    work(
        stage,
        "model",
        ["openai", "gpt-4o"],
        "Let me look.",
        220,
        60,
    );
    work(stage, "function", ["call_1", "weather"], "", 0, 310);
    work(
        stage,
        "model",
        ["openai", "gpt-4o"],
        "It is sunny.",
        240,
        60,
    );
    work(
        stage,
        "voice",
        ["cartesia", "sonic-2"],
        "It is sunny.",
        12,
        90,
    );
    state(&State::speaking);
    stage.pass(400);

    state(&State::listening);
    stage.pass(300);
    drop(span);
}

/// One span for whatever is done, with figures for when it came.
fn work(
    stage: &Stage,
    kind: &str,
    [vendor, engine]: [&str; 2],
    result: &str,
    ttfb_ms: u64,
    then: u64,
) {
    let span = info_span!(
        parent: None,
        "work",
        ?kind,
        session = SESSION,
        vendor,
        engine,
        ttfb_ms = Empty,
        tokens.prompt = Empty,
        tokens.completion = Empty,
        seconds = Empty,
        result = Empty,
    );
    if kind == "voice" {
        span.record("result", result);
    }
    stage.pass(ttfb_ms + then);
    if ttfb_ms > 0 {
        span.record("ttfb_ms", ttfb_ms);
    }
    match kind {
        "model" => {
            span.record("tokens.prompt", 320);
            span.record("tokens.completion", 17);
            span.record("result", result);
        }
        "asr" => {
            span.record("seconds", 1.25);
            span.record("result", result);
        }
        _ => {}
    }
}

#[test]
fn program_of_fields_exports_what_the_contract_gives() {
    let tree = exported(RULES, call);
    // What the rules match by and do not rename is the program's own, and stays.
    let own: Vec<&str> = tree
        .split_inclusive('\n')
        .filter(|line| line.contains("· kind = "))
        .collect();
    assert_eq!(own.len(), 6, "{tree}");
    let rest: String = tree
        .split_inclusive('\n')
        .filter(|line| !own.contains(line))
        .collect();
    assert_eq!(rest, reference::tree());
}
