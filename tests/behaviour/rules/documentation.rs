//! The examples of docs/rules.md, as one file of rules.

use super::{adopted, recorded};
use tracing::field::Empty;
use tracing::{debug, info, info_span};

/// The blocks of TOML, one behind the other.
fn examples() -> String {
    let page = include_str!("../../../docs/rules.md");
    let blocks = page.split("```toml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_example_of_the_reference_does_what_it_says() {
    let stage = adopted(&examples());
    stage.play(|| {
        let call = info_span!("call", call_sid = "c1", tier = "gold").entered();
        info!(target: "vad", "speech_start");
        stage.pass(1_000);
        info!(target: "my_bot::vad::silero", state = "silence", hangover_ms = 200, session = "c1");
        info!(target: "stt", utterance = 1, "utterance");
        info!(target: "stt", utterance = 2, "utterance");
        stage.pass(100);
        info!(target: "stt", utterance = 2, "no speech");
        info!(target: "stt", cancelled = true, "caller said: {}", "hello there");
        stage.pass(100);
        info!(target: "stt", utterance = 1, text = "hello", "final");

        let answer = info_span!("answer").entered();
        let request = info_span!(
            "openai_request",
            model = "gpt-4o",
            prompt_tokens = Empty,
            ttfb_ms = Empty
        );
        request.in_scope(|| {
            stage.pass(150);
            info!(target: "my_bot::llm", "first token");
            stage.pass(50);
            request.record("prompt_tokens", 12);
            request.record("ttfb_ms", 140);
        });
        drop(request);
        drop(answer);
        let say = info_span!("say", words = "Hi.").entered();
        stage.pass(400);
        drop(say);
        debug!("playback started for {}", "Hi.");
        stage.pass(100);
        info!(target: "playback", underrun = 1, "stopped");
        drop(info_span!(parent: None, "http_callback", session = "c1"));
        drop(call);
    });
    let report = stage.conversations.rules_report();
    assert!(!report.contains("never matched"), "{report}");
    assert_eq!(
        recorded(&stage.spans()),
        r#"
conversation 0..1900 Internal
  · caller.tier = "gold"
  · conversation.id = "c1"
  turn 0..1900 Internal
    · cancelled = true
    · conversation.id = "c1"
    · cut = true
    · vendor = "deepgram"
    deepgram 1000..1100 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "stt"
      · stt.incomplete = true
      · utterance = 2
    deepgram 1000..1200 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "stt"
      · gen_ai.response.time_to_first_chunk = 0.4
      · metrics.ttfb = 0.4
      · transcript = "hello"
      · utterance = 1
    answer 1200..1400 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "invoke_agent"
      openai_request 1200..1400 Internal
        · conversation.id = "c1"
        · gen_ai.operation.name = "chat"
        · gen_ai.output.type = "text"
        · gen_ai.request.model = "gpt-4o"
        · gen_ai.response.time_to_first_chunk = 0.14
        · gen_ai.usage.input_tokens = 12
        · metrics.ttfb = 0.14
    say 1400..1800 Internal
      · conversation.id = "c1"
      · gen_ai.operation.name = "tts"
      · gen_ai.output.type = "speech"
      · metrics.character_count = 3
      · text = "Hi."
  http_callback 1900..1900 Internal
    · conversation.id = "c1"
"#
    );
}
