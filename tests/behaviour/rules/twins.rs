//! Programs in many habits, each beside one in the words of the contract that exports the same.

use super::{everything, exported};
use crate::stage::Stage;
use std::time::Duration;
use tracing::field::{Empty, display};
use tracing::{Level, debug, debug_span, error, event, info, info_span, trace, trace_span, warn};

/// Asserts that `program` exports by the rules of `file` what `contract` does without any.
#[track_caller]
fn assert_twins(file: &str, program: impl FnOnce(&Stage), contract: impl FnOnce(&Stage)) {
    let stage = Stage::new();
    stage.play(|| contract(&stage));
    let expected = everything(&stage.spans());
    assert!(expected.len() > 100, "{expected}");
    assert_eq!(exported(file, program), expected);
}

#[test]
fn events_outside_of_any_span_with_text_where_numbers_and_truth_belong() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call*", fields = { sid = { present = true } } }
conversation = "sid"

[[rule]]
match = { target = "bot", message = "vad", fields = { speaking = true } }
event = "vad_user_started_speaking"
fields = { start_secs = { from = "after_ms", scale = 0.001 }, "conversation.id" = "sid" }

[[rule]]
match = { target = "bot", message = "vad", fields = { speaking = true } }
event = "user_started_speaking"
fields = { "conversation.id" = "sid" }

[[rule]]
match = { target = "bot", message = "vad", fields = { speaking = false } }
event = "vad_user_stopped_speaking"
fields = { stop_secs = "after", "conversation.id" = "sid" }

[[rule]]
match = { target = "bot", message = "vad", fields = { speaking = false } }
event = "user_stopped_speaking"
fields = { "conversation.id" = "sid" }

[[rule]]
match = { target = "bot", message = "audio*", fields = { on = 1 } }
event = "bot_started_speaking"
fields = { "conversation.id" = "sid" }

[[rule]]
match = { target = "bot", message = "audio*", fields = { on = 0 } }
event = "bot_stopped_speaking"
fields = { "conversation.id" = "sid", text_heard = "said", played_secs = "played" }

[[rule]]
match = { target = "bot", level = "WARN", fields = { on = "cut" } }
event = "interruption"
fields = { "conversation.id" = "sid", played_secs = { from = "played_ms", scale = 0.001 } }

[[rule]]
match = { target = "bot", level = "error" }
event = "conversation_ended"
fields = { "conversation.id" = "sid", reason = "why" }

[[rule]]
match = { span = "model" }
service = "chat"
fields = { "conversation.id" = "sid", "otel.name" = { value = "llm" }, "gen_ai.request.temperature" = "temperature", "gen_ai.request.max_tokens" = "limit", "gen_ai.usage.output_tokens" = "tokens", "metrics.ttfb" = "first", interrupted = "cancelled" }
"#,
        |stage| {
            let sid = 7;
            let call = info_span!("call_task", sid);
            stage.pass(200);
            info!(target: "bot", parent: None, sid = "7", speaking = "true", after_ms = "200", "vad");
            stage.pass(800);
            info!(target: "bot", parent: None, sid, speaking = ?false, after = ?Duration::from_millis(250), "vad");
            let model = info_span!(parent: None, "model", sid = %sid, temperature = "0.5", limit = "256", tokens = Empty, first = Empty, cancelled = Empty);
            stage.pass(300);
            model.record("first", format_args!("{:?}", Duration::from_millis(120)));
            model.record("tokens", display(17));
            model.record("cancelled", "true");
            drop(model);
            info!(target: "bot", parent: None, sid, on = "1", "audio {}", "out");
            stage.pass(500);
            warn!(target: "bot", parent: None, sid, on = %"cut", played_ms = 450.0);
            info!(target: "bot", parent: None, sid, on = 0_u8, said = %"Hel", played = "0.5", "audio off");
            stage.pass(500);
            error!(target: "bot", parent: None, sid, why = %"gone");
            drop(call);
        },
        |stage| {
            let id = 7;
            let call = info_span!("conversation", conversation.id = id);
            stage.pass(200);
            info!(parent: None, conversation.id = id, conversation.event = "vad_user_started_speaking", start_secs = 0.2);
            info!(parent: None, conversation.id = id, conversation.event = "user_started_speaking");
            stage.pass(800);
            info!(parent: None, conversation.id = id, conversation.event = "vad_user_stopped_speaking", stop_secs = 0.25);
            info!(parent: None, conversation.id = id, conversation.event = "user_stopped_speaking");
            let model = info_span!(parent: None, "llm", conversation.id = id, gen_ai.operation.name = "chat", gen_ai.request.temperature = 0.5, gen_ai.request.max_tokens = 256, gen_ai.usage.output_tokens = Empty, metrics.ttfb = Empty, interrupted = Empty);
            stage.pass(300);
            model.record("metrics.ttfb", 0.12);
            model.record("gen_ai.usage.output_tokens", 17);
            model.record("interrupted", true);
            drop(model);
            info!(parent: None, conversation.id = id, conversation.event = "bot_started_speaking");
            stage.pass(500);
            info!(parent: None, conversation.id = id, conversation.event = "interruption", played_secs = 0.45);
            info!(parent: None, conversation.id = id, conversation.event = "bot_stopped_speaking", text_heard = "Hel", played_secs = 0.5);
            stage.pass(500);
            info!(parent: None, conversation.id = id, conversation.event = "conversation_ended", reason = "gone");
            drop(call);
        },
    );
}

#[test]
fn starts_and_ends_of_spans_are_events_also_when_entered_many_times() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "id"
open = "client_connected"
close = "client_disconnected"

[[rule]]
match = { span = "utterance" }
open = "user_started_speaking"
close = "user_stopped_speaking"

[[rule]]
match = { span = "detected" }
open = "vad_user_started_speaking"
close = "vad_user_stopped_speaking"
fields = { start_secs = { from = "begun_ms", scale = 0.001 }, stop_secs = { from = "ended_ms", scale = 0.001 }, "conversation.id" = "id" }

[[rule]]
match = { span = "playback" }
open = "bot_started_speaking"
close = "bot_stopped_speaking"

[[rule]]
match = { span = "utterance" }
fields = { "http.route" = "path" }
"#,
        |stage| {
            let call = info_span!("call", id = "c1").entered();
            stage.pass(500);
            let detected =
                debug_span!(parent: None, "detected", id = "c1", begun_ms = 300, ended_ms = Empty);
            let utterance = info_span!("utterance", path = "/x");
            for _ in 0..3 {
                utterance.in_scope(|| stage.pass(100));
            }
            detected.record("ended_ms", 200_u64);
            drop(detected);
            drop(utterance);
            let playback = info_span!("playback");
            playback.in_scope(|| stage.pass(100));
            playback.in_scope(|| stage.pass(100));
            drop(playback);
            stage.pass(100);
            drop(call);
        },
        |stage| {
            let call = info_span!("conversation", conversation.id = "c1").entered();
            info!(conversation.event = "client_connected");
            stage.pass(500);
            info!(
                conversation.event = "vad_user_started_speaking",
                start_secs = 0.3
            );
            let detected = info_span!(parent: None, "detected", conversation.id = "c1", start_secs = 0.3, stop_secs = 0.2);
            info!(conversation.event = "user_started_speaking");
            let utterance = info_span!("utterance", http.route = "/x");
            for _ in 0..3 {
                utterance.in_scope(|| stage.pass(100));
            }
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.2
            );
            drop(detected);
            drop(utterance);
            info!(conversation.event = "user_stopped_speaking");
            let playback = info_span!("playback");
            info!(conversation.event = "bot_started_speaking");
            playback.in_scope(|| stage.pass(200));
            drop(playback);
            info!(conversation.event = "bot_stopped_speaking");
            stage.pass(100);
            info!(conversation.event = "client_disconnected");
            drop(call);
        },
    );
}

#[test]
fn figures_alone_give_the_parts_of_the_latency() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "id"
[[rule]]
match = { target = "vad", fields = { stop = { present = true } } }
event = "vad_user_stopped_speaking"
fields = { stop_secs = { from = "hangover", scale = 0.001 } }
[[rule]]
match = { target = "vad", fields = { start = { present = true } } }
event = "user_started_speaking"
[[rule]]
match = { span = "stt" }
service = "transcription"
[[rule]]
match = { target = "stt", in = "stt" }
event = "annotate"
fields = { transcript = "heard", "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 }, is_final = "done" }
[[rule]]
match = { span = "llm" }
service = "chat"
fields = { "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 } }
[[rule]]
match = { span = "tts" }
service = "tts"
[[rule]]
match = { target = "tts", in = "tts" }
event = "annotate"
fields = { "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 }, "metrics.character_count" = "chars" }
[[rule]]
match = { target = "out" }
event = "bot_started_speaking"
"#,
        |stage| {
            let call = info_span!("call", id = "c1").entered();
            info!(target: "vad", start = true);
            stage.pass(1_000);
            let stt = info_span!("stt");
            stage.pass(200);
            info!(target: "vad", stop = true, hangover = 300);
            stage.pass(100);
            trace!(target: "stt", parent: &stt, heard = "hello", ttfb_ms = 400, done = "true");
            drop(stt);
            let llm = info_span!("llm", ttfb_ms = Empty);
            stage.pass(400);
            llm.record("ttfb_ms", 250_u64);
            drop(llm);
            let tts = info_span!("tts");
            tts.in_scope(|| {
                stage.pass(150);
                info!(target: "tts", ttfb_ms = 90.0_f64, chars = "12");
            });
            drop(tts);
            info!(target: "out", bytes = 3);
            stage.pass(100);
            drop(call);
        },
        |stage| {
            let call = info_span!("conversation", conversation.id = "c1").entered();
            info!(conversation.event = "user_started_speaking");
            stage.pass(1_000);
            let stt = info_span!("stt", gen_ai.operation.name = "transcription");
            stage.pass(200);
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.3
            );
            stage.pass(100);
            info!(parent: &stt, conversation.event = "annotate", transcript = "hello", metrics.ttfb = 0.4, is_final = true);
            drop(stt);
            let llm = info_span!("llm", gen_ai.operation.name = "chat", metrics.ttfb = Empty);
            stage.pass(400);
            llm.record("metrics.ttfb", 0.25);
            drop(llm);
            let tts = info_span!("tts", gen_ai.operation.name = "tts");
            tts.in_scope(|| {
                stage.pass(150);
                info!(
                    conversation.event = "annotate",
                    metrics.ttfb = 0.09,
                    metrics.character_count = 12
                );
            });
            drop(tts);
            info!(conversation.event = "bot_started_speaking");
            stage.pass(100);
            drop(call);
        },
    );
}

#[test]
fn agents_tools_and_requests_nest_and_fail_by_rules_as_by_themselves() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "id"
fields = { "user.id" = "caller" }
[[rule]]
match = { target = "ev", fields = { what = "user" } }
event = "user_started_speaking"
[[rule]]
match = { span = "respond" }
service = "invoke_agent"
fields = { "gen_ai.agent.name" = "name" }
[[rule]]
match = { span = "respond" }
service = "tts"
[[rule]]
match = { span = "openai*", target = "http" }
service = "chat"
fields = { "gen_ai.request.model" = "model", "error.type" = "failure", "otel.status_code" = { value = "ERROR", when = "failure" }, "gen_ai.provider.name" = { value = "openai" } }
[[rule]]
match = { span = "run", fields = { tool.name = { present = true } } }
service = "execute_tool"
fields = { "gen_ai.tool.name" = "tool.name", "gen_ai.tool.call.arguments" = "args", "gen_ai.tool.call.result" = "answer" }
[[rule]]
match = { level = "trace", message = "delta*", in = "openai*" }
event = "first_byte"
fields = { text = "is_text" }
"#,
        |stage| {
            let call = info_span!("call", id = "c1", caller = Empty).entered();
            call.record("caller", "ann");
            event!(target: "ev", Level::TRACE, what = ?"user");
            let agent = info_span!("respond", name = "weather").entered();
            let request =
                trace_span!(target: "http", "openai.chat", model = "gpt-4o", failure = Empty);
            request.in_scope(|| {
                stage.pass(100);
                trace!(is_text = "false", "delta 1");
                stage.pass(20);
            });
            drop(request);
            let tool = info_span!(
                "run",
                tool.name = "weather",
                args = r#"{"city":"Rome"}"#,
                answer = Empty
            );
            tool.in_scope(|| {
                stage.pass(50);
                tool.record("answer", "sunny");
            });
            drop(tool);
            let request =
                trace_span!(target: "http", "openai.chat", model = "gpt-4o", failure = Empty);
            stage.pass(10);
            request.record("failure", "timeout");
            drop(request);
            drop(agent);
            drop(info_span!("respond_later"));
            drop(call);
        },
        |stage| {
            let call =
                info_span!("conversation", conversation.id = "c1", user.id = Empty).entered();
            call.record("user.id", "ann");
            info!(conversation.event = "user_started_speaking");
            let agent = info_span!(
                "respond",
                gen_ai.operation.name = "invoke_agent",
                gen_ai.agent.name = "weather"
            )
            .entered();
            let request = || info_span!("openai.chat", gen_ai.operation.name = "chat", gen_ai.provider.name = "openai", gen_ai.request.model = "gpt-4o", error.type = Empty, otel.status_code = Empty);
            let first = request();
            first.in_scope(|| {
                stage.pass(100);
                info!(conversation.event = "first_byte", text = false);
                stage.pass(20);
            });
            drop(first);
            let tool = info_span!(
                "run",
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = "weather",
                gen_ai.tool.call.arguments = r#"{"city":"Rome"}"#,
                gen_ai.tool.call.result = Empty
            );
            tool.in_scope(|| {
                stage.pass(50);
                tool.record("gen_ai.tool.call.result", "sunny");
            });
            drop(tool);
            let second = request();
            stage.pass(10);
            second
                .record("error.type", "timeout")
                .record("otel.status_code", "ERROR");
            drop(second);
            drop(agent);
            drop(info_span!("respond_later"));
            drop(call);
        },
    );
}

#[test]
fn sources_come_from_spans_above_also_recorded_late_and_a_match_asks_what_is_above() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "id"
[[rule]]
match = { target = "vad", message = "on", in = "microphone" }
event = "user_started_speaking"
[[rule]]
match = { target = "vad", message = "off", in = "microphone" }
event = "vad_user_stopped_speaking"
fields = { stop_secs = { from = "hangover_ms", scale = 0.001 } }
[[rule]]
match = { target = "vad", message = "on", in = "loudspeaker" }
event = "bot_started_speaking"
[[rule]]
match = { span = "request", in = "call" }
service = "chat"
fields = { "gen_ai.request.model" = "model" }
"#,
        |stage| {
            let outer = debug_span!("session", id = Empty).entered();
            outer.record("id", "c1");
            let call = info_span!("call").entered();
            let microphone = trace_span!("microphone", hangover_ms = Empty);
            let loudspeaker = trace_span!("loudspeaker");
            microphone.record("hangover_ms", 250);
            microphone.in_scope(|| info!(target: "vad", "on"));
            stage.pass(1_000);
            info!(target: "vad", parent: &microphone, "off");
            let worker = debug_span!("worker", model = "gpt-4o").entered();
            drop(info_span!("request"));
            drop(worker);
            stage.pass(200);
            loudspeaker.in_scope(|| info!(target: "vad", "on"));
            stage.pass(200);
            drop(microphone);
            drop(loudspeaker);
            drop((call, outer));
        },
        |stage| {
            let outer = debug_span!("session", id = "c1").entered();
            let call = info_span!("conversation", conversation.id = "c1").entered();
            let microphone = trace_span!("microphone", hangover_ms = 250);
            let loudspeaker = trace_span!("loudspeaker");
            microphone.in_scope(|| info!(conversation.event = "user_started_speaking"));
            stage.pass(1_000);
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.25
            );
            let worker = debug_span!("worker", model = "gpt-4o").entered();
            drop(info_span!(
                "request",
                gen_ai.operation.name = "chat",
                gen_ai.request.model = "gpt-4o"
            ));
            drop(worker);
            stage.pass(200);
            loudspeaker.in_scope(|| info!(conversation.event = "bot_started_speaking"));
            stage.pass(200);
            drop(microphone);
            drop(loudspeaker);
            drop((call, outer));
        },
    );
}

#[test]
fn work_in_events_of_two_calls_at_once_is_told_apart() {
    let file = r#"
[[rule]]
match = { span = "call" }
conversation = "sid"
[[rule]]
match = { target = "turns" }
event = "user_started_speaking"
fields = { "conversation.id" = "sid" }
[[rule]]
match = { target = "llm", message = "request*" }
service = "chat"
name = "llm"
key = "req"
until = [{ target = "llm", message = "done" }, { target = "llm", message = "failed: *" }]
fields = { "conversation.id" = "sid", "gen_ai.request.model" = "model", "gen_ai.usage.output_tokens" = "tokens", "error.type" = { from = "message", after = "failed: " } }
[[rule]]
match = { target = "llm", message = "token" }
event = "first_byte"
fields = { "conversation.id" = "sid" }
"#;
    assert_twins(
        file,
        |stage| {
            let calls = [info_span!("call", sid = "a"), info_span!("call", sid = "b")];
            for sid in ["a", "b"] {
                info!(target: "turns", parent: None, sid);
            }
            stage.pass(10);
            for sid in ["a", "b"] {
                info!(target: "llm", parent: None, sid, req = 1, model = "m", "request {sid}");
                stage.pass(10);
            }
            info!(target: "llm", parent: None, sid = "b", req = 1, "token");
            stage.pass(10);
            info!(target: "llm", parent: None, sid = "a", req = "1", "token");
            stage.pass(10);
            info!(target: "llm", parent: None, sid = "b", req = 1, tokens = 3, "done");
            stage.pass(10);
            info!(target: "llm", parent: None, sid = "a", req = 1, "failed: {}", "timeout");
            drop(calls);
        },
        |stage| {
            let calls = [
                info_span!("conversation", conversation.id = "a"),
                info_span!("conversation", conversation.id = "b"),
            ];
            for id in ["a", "b"] {
                info!(parent: None, conversation.event = "user_started_speaking", conversation.id = id);
            }
            stage.pass(10);
            let request = |id| {
                let span = info_span!(parent: None, "llm", conversation.id = id, gen_ai.operation.name = "chat", gen_ai.request.model = "m", req = 1, gen_ai.usage.output_tokens = Empty, error.type = Empty);
                stage.pass(10);
                span
            };
            let [a, b] = ["a", "b"].map(request);
            info!(parent: &b, conversation.event = "first_byte");
            stage.pass(10);
            info!(parent: &a, conversation.event = "first_byte");
            stage.pass(10);
            b.record("gen_ai.usage.output_tokens", 3);
            drop(b);
            stage.pass(10);
            a.record("error.type", "timeout");
            drop(a);
            drop(calls);
        },
    );
}

#[test]
fn overlapping_work_of_session_long_tasks_is_told_apart_by_their_spans() {
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"
[[rule]]
match = { target = "bot", message = "voice on" }
event = "user_started_speaking"
[[rule]]
match = { target = "bot", message = "voice off" }
event = "vad_user_stopped_speaking"
fields = { stop_secs = { from = "hangover_ms", scale = 0.001 } }
[[rule]]
match = { target = "bot", message = "listening" }
service = "stt"
until = [{ target = "bot", message = "heard" }]
fields = { transcript = "text" }
[[rule]]
match = { target = "bot", message = "asking *" }
service = "chat"
until = [{ target = "bot", message = "answered" }]
fields = { "gen_ai.request.model" = { from = "message", after = "asking " }, output = "text" }
[[rule]]
match = { target = "bot", message = "speaking", in = "tts_task" }
service = "text_to_speech"
name = "voice"
until = [{ target = "bot", message = "spoken" }, { target = "bot", message = "cut" }]
fields = { text = "text", "metrics.ttfb" = { from = "ttfb_ms", scale = 0.001 }, interrupted = { value = true, when = "cut" } }
[[rule]]
match = { target = "bot", message = "first byte" }
event = "first_byte"
[[rule]]
match = { target = "bot", message = "playing" }
event = "bot_started_speaking"
"#,
        |stage| {
            let call = info_span!("call", sid = "c1").entered();
            let [stt, llm, tts] = [
                info_span!("stt_task"),
                info_span!("llm_task"),
                info_span!("tts_task"),
            ];
            // The recognizer listens from before the turn that its words belong to.
            info!(target: "bot", "playing");
            stage.pass(500);
            stt.in_scope(|| info!(target: "bot", message = "listening"));
            info!(target: "bot", "voice on");
            stage.pass(900);
            info!(target: "bot", hangover_ms = 200, "voice off");
            stage.pass(100);
            stt.in_scope(|| info!(target: "bot", text = "hello", "heard"));
            llm.in_scope(|| info!(target: "bot", "asking {}", "gpt-4o"));
            stage.pass(100);
            tts.in_scope(|| info!(target: "bot", text = "Hi", "speaking"));
            stage.pass(50);
            llm.in_scope(|| info!(target: "bot", "first byte"));
            stage.pass(50);
            llm.in_scope(|| info!(target: "bot", text = "Hi there", "answered"));
            stage.pass(50);
            info!(target: "bot", "playing");
            stage.pass(200);
            info!(target: "bot", "voice on");
            tts.in_scope(|| info!(target: "bot", ttfb_ms = 120, cut = Some(true), "cut"));
            stage.pass(100);
            drop(call);
            drop([stt, llm, tts]);
        },
        |stage| {
            let call = info_span!("conversation", conversation.id = "c1").entered();
            let [stt, llm, tts] = [
                info_span!("stt_task"),
                info_span!("llm_task"),
                info_span!("tts_task"),
            ];
            info!(conversation.event = "bot_started_speaking");
            stage.pass(500);
            let hears = stt
                .in_scope(|| info_span!("stt", gen_ai.operation.name = "stt", transcript = Empty));
            info!(conversation.event = "user_started_speaking");
            stage.pass(900);
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.2
            );
            stage.pass(100);
            hears.record("transcript", "hello");
            drop(hears);
            let asks = llm.in_scope(|| {
                info_span!(
                    "llm",
                    gen_ai.operation.name = "chat",
                    gen_ai.request.model = "gpt-4o",
                    output = Empty
                )
            });
            stage.pass(100);
            let speaks = tts.in_scope(|| {
                info_span!(
                    "voice",
                    gen_ai.operation.name = "text_to_speech",
                    text = "Hi",
                    metrics.ttfb = Empty,
                    interrupted = Empty,
                    cut = Empty
                )
            });
            stage.pass(50);
            info!(parent: &asks, conversation.event = "first_byte");
            stage.pass(50);
            asks.record("output", "Hi there");
            drop(asks);
            stage.pass(50);
            info!(conversation.event = "bot_started_speaking");
            stage.pass(200);
            info!(conversation.event = "user_started_speaking");
            speaks
                .record("metrics.ttfb", 0.12)
                .record("interrupted", true)
                .record("cut", true);
            drop(speaks);
            stage.pass(100);
            drop(call);
            drop([stt, llm, tts]);
        },
    );
}

#[test]
fn records_of_the_log_crate_are_events_like_others() {
    macro_rules! logged {
        ($level:expr, $target:literal, $($message:tt)+) => {
            event!(target: "log", $level, { log.target = $target, log.module_path = "bot", log.file = "a.rs", log.line = 7 }, $($message)+)
        };
    }
    assert_twins(
        r#"
[[rule]]
match = { span = "call" }
conversation = "sid"
[[rule]]
match = { target = "bot::vad*", level = "debug", message = "speech*" }
event = "user_started_speaking"
[[rule]]
match = { target = "bot::vad", level = "debug", message = "silence*" }
event = "vad_user_stopped_speaking"
fields = { stop_secs = { from = "message", after = "after ", scale = 0.001 } }
[[rule]]
match = { target = "bot::llm" , message = "ask" }
service = "chat"
until = [{ target = "bot::llm", message = "answer: *" }]
fields = { output = { from = "message", after = "answer: " } }
"#,
        |stage| {
            let call = info_span!("call", sid = "c1").entered();
            logged!(Level::DEBUG, "bot::vad::silero", "speech at {}", 3);
            logged!(Level::INFO, "bot::vad::silero", "speech at {}", 3);
            logged!(Level::DEBUG, "bot::other", "speech at {}", 3);
            stage.pass(700);
            logged!(Level::DEBUG, "bot::vad", "silence after {}", 250);
            stage.pass(100);
            logged!(Level::INFO, "bot::llm", "ask");
            stage.pass(100);
            logged!(Level::INFO, "bot::llm", "answer: {}", "yes");
            drop(call);
        },
        |stage| {
            let call = info_span!("conversation", conversation.id = "c1").entered();
            info!(conversation.event = "user_started_speaking");
            // What no rule takes stays an event of its span.
            info!("speech at 3");
            debug!("speech at 3");
            stage.pass(700);
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.25
            );
            stage.pass(100);
            let ask = info_span!("llm", gen_ai.operation.name = "chat", output = Empty);
            stage.pass(100);
            ask.record("output", "yes");
            drop(ask);
            drop(call);
        },
    );
}

#[test]
fn preset_for_tasks_takes_the_events_in_the_spans_of_stages() {
    assert_twins(
        "presets = [\"tasks\"]\n[[rule]]\nmatch = { span = \"call\" }\nconversation = \"id\"\n",
        |stage| {
            let call = info_span!("call", id = "c1").entered();
            let [vad, stt, llm, tool, tts, playback] = [
                debug_span!("vad"),
                debug_span!("stt_task"),
                debug_span!("llm_loop"),
                debug_span!("tool_runner"),
                debug_span!("tts_task"),
                debug_span!("playback"),
            ];
            vad.in_scope(|| info!(event = "start"));
            stage.pass(900);
            vad.in_scope(|| info!(event = ?"stop", stop_secs = "0.25"));
            stt.in_scope(|| {
                info!(event = "started", provider = "deepgram", model = "nova-3");
                stage.pass(100);
                info!(event = "final", transcript = "hello", audio_seconds = 0.9);
            });
            llm.in_scope(|| {
                info!(event = %"request", model = "gpt-4o");
                stage.pass(100);
                info!(event = "first_token");
                stage.pass(100);
                info!(
                    event = "done",
                    output = "Hi",
                    input_tokens = 12,
                    output_tokens = "3"
                );
            });
            tool.in_scope(|| {
                info!(event = "begin", id = 1, tool = "weather");
                info!(event = "begin", id = 2, tool = "time");
                stage.pass(30);
                info!(event = "end", id = 2, result = "noon");
                info!(event = "failed", id = 1);
            });
            tts.in_scope(|| {
                info!(event = "start", text = "Hi", voice = "v");
                stage.pass(50);
                info!(event = "first_audio");
            });
            playback.in_scope(|| info!(event = "started"));
            stage.pass(300);
            tts.in_scope(|| info!(event = "cancelled"));
            playback.in_scope(|| info!(event = "cancelled"));
            stage.pass(100);
            drop((vad, stt, llm, tool, tts, playback));
            drop(call);
        },
        |stage| {
            let call = info_span!("conversation", conversation.id = "c1").entered();
            let tasks = [
                debug_span!("vad"),
                debug_span!("stt_task"),
                debug_span!("llm_loop"),
                debug_span!("tool_runner"),
                debug_span!("tts_task"),
                debug_span!("playback"),
            ];
            let enter = |task: usize| tasks[task].in_scope(|| ());
            enter(0);
            info!(conversation.event = "user_started_speaking");
            stage.pass(900);
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.25
            );
            info!(conversation.event = "user_stopped_speaking");
            enter(1);
            let stt = info_span!(
                "stt",
                gen_ai.operation.name = "stt",
                gen_ai.provider.name = "deepgram",
                gen_ai.request.model = "nova-3",
                transcript = Empty,
                metrics.audio_seconds = Empty
            );
            stage.pass(100);
            stt.record("transcript", "hello")
                .record("metrics.audio_seconds", 0.9);
            drop(stt);
            enter(2);
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.request.model = "gpt-4o",
                output = Empty,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty
            );
            stage.pass(100);
            info!(parent: &llm, conversation.event = "first_byte");
            stage.pass(100);
            llm.record("output", "Hi")
                .record("gen_ai.usage.input_tokens", 12)
                .record("gen_ai.usage.output_tokens", 3);
            drop(llm);
            enter(3);
            let tool = |id: u8, name: &str| {
                info_span!(
                    "tool",
                    gen_ai.operation.name = "execute_tool",
                    gen_ai.tool.call.id = id,
                    gen_ai.tool.name = name,
                    gen_ai.tool.call.result = Empty,
                    otel.status_code = Empty
                )
            };
            let tools = [tool(1, "weather"), tool(2, "time")];
            stage.pass(30);
            tools[1].record("gen_ai.tool.call.result", "noon");
            tools[0].record("otel.status_code", "ERROR");
            let [weather, time] = tools;
            drop(time);
            drop(weather);
            enter(4);
            let tts = info_span!(
                "tts",
                gen_ai.operation.name = "tts",
                text = "Hi",
                voice_id = "v",
                interrupted = Empty
            );
            stage.pass(50);
            info!(parent: &tts, conversation.event = "first_byte");
            enter(5);
            info!(conversation.event = "bot_started_speaking");
            stage.pass(300);
            tts.record("interrupted", true);
            drop(tts);
            info!(conversation.event = "bot_stopped_speaking");
            stage.pass(100);
            drop(tasks);
            drop(call);
        },
    );
}
