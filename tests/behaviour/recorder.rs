//! The recorder for tests, `tracing_conversation::testing`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, debug, debug_span, info, info_span};
use tracing_conversation::observe::ServiceKind;
use tracing_conversation::testing::{ConversationRecorder, Tree};
use tracing_conversation::{ContentPolicy, ManualClock, TraceMode};
use tracing_subscriber::prelude::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A call of two turns: an answer with a tool, which the user interrupts, and one that fails.
fn call(recorder: &ConversationRecorder, id: &str) {
    let wait = |milliseconds| recorder.advance(ms(milliseconds));
    recorder.run(|| {
        let call = info_span!("conversation", conversation.id = id);
        let _entered = call.enter();
        info!(conversation.event = "user_started_speaking");
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            gen_ai.provider.name = "deepgram"
        );
        stt.in_scope(|| wait(1_000));
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.2
        );
        wait(100);
        stt.in_scope(|| {
            tracing::Span::current().record("transcript", "What is the weather?");
        });
        drop(stt);
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            transcript = "What is the weather?",
            is_final = true
        );
        drop(stt);
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = "gpt-4o",
            input = "weather",
            gen_ai.usage.input_tokens = 42,
            gen_ai.usage.output_tokens = 7
        );
        llm.in_scope(|| {
            wait(250);
            info!(conversation.event = "first_byte", text = false);
            wait(50);
        });
        drop(llm);
        let tool = info_span!(
            "tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = "get_weather",
            gen_ai.tool.call.arguments = "{}",
            gen_ai.tool.call.result = "sunny"
        );
        tool.in_scope(|| info_span!("GET /weather").in_scope(|| wait(100)));
        drop(tool);
        let tts = info_span!("tts", gen_ai.operation.name = "tts", text = "It is sunny.");
        tts.in_scope(|| {
            wait(50);
            info!(conversation.event = "first_byte");
            info!(conversation.event = "bot_started_speaking");
            wait(400);
            info!(
                conversation.event = "user_started_speaking",
                text_heard = "It is"
            );
        });
        drop(tts);
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.0
        );
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            otel.status_code = "ERROR",
            otel.status_description = "rate limited"
        );
        llm.in_scope(|| wait(300));
    });
}

#[test]
fn one_line_says_what_a_turn_was() {
    let recorder = ConversationRecorder::new();
    call(&recorder, "c1");
    let call = recorder.conversation("c1");
    let turn = call.turn(1);
    assert_eq!(turn.latency(), ms(750));
    assert_eq!(turn.latency_part("llm_inference"), ms(250));
    assert_eq!(turn.latency_part("first_request"), Duration::ZERO);
    assert_eq!(
        turn.latency_parts()
            .iter()
            .map(|(_, part)| *part)
            .sum::<Duration>(),
        turn.latency()
    );
    assert_eq!(turn.tools(), ["get_weather"]);
    assert_eq!(turn.input(), "What is the weather?");
    assert_eq!(turn.output(), "It is sunny.");
    assert_eq!(turn.heard_output().as_deref(), Some("It is"));
    assert_eq!(turn.user_speech(), ms(800));
    assert_eq!(turn.bot_speech(), ms(400));
    assert_eq!(turn.dead_air(), Duration::ZERO);
    assert!(turn.interrupted());
    assert_eq!(turn.end_reason(), "interrupted");
    assert_eq!(turn.duration(), ms(1_950));
    assert_eq!(turn.started(), Duration::ZERO);
    assert!(turn.errors().is_empty());
    assert_eq!(turn.llm().ttfb(), ms(250));
    assert_eq!(turn.llm().duration(), ms(300));
    assert_eq!(turn.llm().model(), "gpt-4o");
    assert_eq!(turn.llm().usage().input_tokens, Some(42));
    assert_eq!(turn.llm().input(), "weather");
    assert_eq!(turn.tool("get_weather").output(), "sunny");
    assert_eq!(turn.tool("get_weather").input(), "{}");
    assert_eq!(turn.tts().input(), "It is sunny.");
    assert!(turn.tts().interrupted());
    assert_eq!(turn.tts().started(), ms(1_500));
    assert_eq!(turn.services().len(), 5);
    assert_eq!(turn.services()[0].provider(), "deepgram");
    assert_eq!(turn.services()[1].output(), "What is the weather?");
    assert_eq!(turn.attribute("turn.number"), Some(1.into()));

    let failed = call.turn(2);
    assert!(!failed.interrupted());
    assert_eq!(failed.errors(), ["llm: rate limited"]);
    assert_eq!(failed.llm().error().as_deref(), Some("rate limited"));
    assert_eq!(failed.service(ServiceKind::Llm).turn_number(), Some(2));
    assert_eq!(call.errors(), ["llm: rate limited"]);
    assert_eq!((call.interruptions(), call.turns().len()), (1, 2));
    assert_eq!(
        (&*call.input(), &*call.output()),
        ("What is the weather?", "It is sunny.")
    );
    assert_eq!(failed.heard_output(), None);
    assert_eq!((call.user_speech(), call.bot_speech()), (ms(800), ms(400)));
    assert_eq!(call.dead_air(), Duration::ZERO);
    assert_eq!(call.usage().input_tokens, Some(42));
    assert_eq!(call.usage().characters, Some(12));
    assert_eq!(call.usage().audio_seconds, None);
    assert_eq!(call.duration(), ms(2_250));
    assert!(call.has_ended());
}

#[test]
fn wait_for_an_answer_beyond_two_seconds_is_dead_air() {
    let recorder = ConversationRecorder::new();
    recorder.run(|| {
        let call = info_span!("conversation", conversation.id = "c1");
        let _entered = call.enter();
        info!(conversation.event = "user_started_speaking");
        recorder.advance(ms(1_000));
        info!(conversation.event = "user_stopped_speaking");
        recorder.advance(ms(3_000));
        info!(conversation.event = "bot_started_speaking");
    });
    let call = recorder.only_conversation();
    assert_eq!(call.turn(1).dead_air(), ms(1_000));
    assert_eq!(call.dead_air(), ms(1_000));
}

#[test]
fn tree_is_the_same_in_each_run() {
    let run = || {
        let recorder = ConversationRecorder::new();
        recorder.advance(ms(17));
        call(&recorder, "c1");
        recorder.conversation("c1").tree().to_string()
    };
    let tree = run();
    assert_eq!(
        tree,
        "\
conversation 0–2.25 conversation.id=c1
  turn 0–1.95 turn.number=1 turn.end_reason=interrupted turn.user_bot_latency_seconds=0.75 \
turn.input=What is the weather? turn.output=It is sunny.
    stt 0–1.1
    stt 1.1–1.1 transcript=What is the weather? metrics.ttfb=0.3
    llm 1.1–1.4 metrics.ttfb=0.25
    tool 1.4–1.5 gen_ai.tool.name=get_weather
      GET /weather 1.4–1.5
    tts 1.5–1.95 text=It is sunny. metrics.ttfb=0.05
  turn 1.95–2.25 turn.number=2 turn.end_reason=conversation_ended
    llm 1.95–2.25 status=error(rate limited)
"
    );
    assert_eq!(run(), tree);
}

#[test]
fn tree_shows_what_is_asked_for_on_one_line_a_span() {
    let recorder = ConversationRecorder::new();
    recorder.run(|| {
        info_span!("conversation", conversation.id = "c1").in_scope(|| {
            info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                output = "a\nb\u{1b}",
                cut = 0.5
            )
            .in_scope(|| {});
        });
        info_span!("outside");
    });
    let tree = recorder
        .tree()
        .only(&["output", "cut", "trace", "status"])
        .without_times();
    let expected = [
        "conversation trace=1",
        "  turn trace=1",
        "    llm output=a\\nb\\u{1b} cut=0.5 trace=1",
        "outside trace=2",
    ];
    assert_eq!(tree.lines(), expected);
    assert_eq!(format!("{tree:?}"), format!("{tree}"));
    let spans = recorder.spans();
    let below_the_turn = spans.iter().filter(|span| span.name == "llm");
    assert_eq!(
        Tree::of(below_the_turn).without_times().only(&[]).lines(),
        ["? llm"]
    );
}

#[test]
fn tree_of_a_trace_a_turn_counts_from_the_conversation() {
    let recorder = ConversationRecorder::builder()
        .layer(|layer| layer.trace_mode(TraceMode::Turn))
        .build();
    call(&recorder, "c1");
    let roots: Vec<_> = recorder.tree().only(&["turn.number", "trace"]).lines();
    let roots: Vec<_> = roots
        .into_iter()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(
        roots,
        [
            "conversation 0–2.25 trace=1",
            "turn 0–1.95 turn.number=1 trace=2",
            "turn 1.95–2.25 turn.number=2 trace=3"
        ]
    );
    assert_eq!(
        recorder.conversation("c1").turn(2).errors(),
        ["llm: rate limited"]
    );
}

/// The message of the panic of `ask`.
fn panic_of<R>(ask: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(ask)).err().expect("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn asking_for_what_is_not_there_says_what_is() {
    let recorder = ConversationRecorder::new();
    assert_eq!(
        panic_of(|| recorder.conversation("c1")),
        "no span of a conversation \"c1\" has ended; none is recorded"
    );
    call(&recorder, "c1");
    let open = recorder.run(|| info_span!("conversation", conversation.id = "c2"));
    assert_eq!(
        panic_of(|| recorder.conversation("c2")),
        "no span of a conversation \"c2\" has ended; recorded: c1; 1 still open"
    );
    let turn = recorder.only_conversation().turn(2);
    assert_eq!(
        panic_of(|| recorder.conversation("c1").turn(3)),
        "turn 3 of conversation \"c1\" has not ended; those that have: 1, 2"
    );
    assert_eq!(
        panic_of(|| turn.latency()),
        "turn 2 of conversation \"c1\" has no latency: it takes `vad_user_stopped_speaking` (or \
         `user_stopped_speaking`) and then `bot_started_speaking`"
    );
    assert_eq!(
        panic_of(|| turn.tts()),
        "turn 2 of conversation \"c1\" has no tts span; those that have ended: llm"
    );
    assert_eq!(
        panic_of(|| recorder.conversation("c1").turn(1).stt()),
        "turn 1 of conversation \"c1\" has 2 stt spans; those that have ended: stt, stt, llm, tool, tts"
    );
    assert_eq!(
        panic_of(|| turn.tool("get_time")),
        "turn 2 of conversation \"c1\" has no tool \"get_time\" span; those that have ended: llm"
    );
    assert_eq!(
        panic_of(|| turn.llm().ttfb()),
        "llm of turn 2 of conversation \"c1\" has no time to first byte: it takes `first_byte` in it; stt takes a final \
         transcript after `vad_user_stopped_speaking`"
    );
    drop(open);
    assert_eq!(
        panic_of(|| recorder.only_conversation()),
        "there is not one conversation; recorded: c1, c2"
    );
    assert_eq!(
        panic_of(|| recorder.wait_for("c3", Duration::ZERO)),
        "conversation \"c3\" has not ended within 0ns; recorded: c1, c2"
    );
    let real = ConversationRecorder::builder().real_time().build();
    assert_eq!(
        panic_of(|| real.advance(ms(1))),
        "this recorder goes by the machine's clock, which cannot be advanced"
    );
}

#[test]
fn conversation_that_is_open_has_the_turns_that_have_ended() {
    let recorder = ConversationRecorder::new();
    let scope = recorder.run(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        scope.in_scope(|| {
            info!(conversation.event = "bot_started_speaking");
            info!(conversation.event = "bot_stopped_speaking");
        });
        scope
    });
    recorder.advance(ms(2_500));
    let call = recorder.conversation("c1");
    assert!(!call.has_ended());
    assert_eq!(call.turn(1).end_reason(), "silence");
    assert_eq!(
        panic_of(|| call.duration()),
        "conversation \"c1\" has not ended"
    );
    assert_eq!(recorder.open_conversations(), 1);
    recorder.end_conversations();
    assert!(recorder.conversation("c1").has_ended());
    // What was asked for before does not change.
    assert!(!call.has_ended());
    drop(scope);
}

#[test]
fn recorders_side_by_side_record_each_their_own() {
    let threads: Vec<_> = (0..4)
        .map(|number| {
            std::thread::spawn(move || {
                let recorder = ConversationRecorder::new();
                let id = format!("c{number}");
                call(&recorder, &id);
                recorder
                    .conversations()
                    .iter()
                    .map(|call| call.id().to_owned())
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), [format!("c{number}")]);
    }
}

#[test]
fn content_that_is_not_captured_is_not_recorded() {
    let recorder = ConversationRecorder::builder()
        .content(ContentPolicy::default().with_capture(false))
        .build();
    call(&recorder, "c1");
    let turn = recorder.conversation("c1").turn(1);
    assert_eq!((&*turn.input(), &*turn.output()), ("", ""));
    assert_eq!(turn.tts().input(), "");
    assert_eq!(turn.tools(), ["get_weather"]);
    assert_eq!(recorder.conversation("c1").errors(), ["llm: _OTHER"]);
    assert!(!format!("{:?}", recorder.spans()).contains("sunny"));
}

#[test]
fn level_is_that_of_ordinary_spans_alone() {
    let names = |recorder: &ConversationRecorder| {
        recorder.run(|| {
            debug_span!("conversation", conversation.id = "c1").in_scope(|| {
                debug!(conversation.event = "bot_started_speaking");
                debug!(conversation.event = "user_started_speaking");
                debug_span!("detail").in_scope(|| {});
            });
        });
        let spans = recorder.spans();
        let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(
        names(&ConversationRecorder::new()),
        "conversation turn turn"
    );
    let detailed = ConversationRecorder::builder()
        .level(tracing::Level::DEBUG)
        .build();
    assert_eq!(names(&detailed), "conversation detail turn turn");
}

#[test]
fn clock_and_registry_may_be_the_programs_own() {
    let clock = ManualClock::new();
    let recorder = ConversationRecorder::builder().clock(clock.clone()).build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::sink))
        .with(recorder.layer().turn_end_timeout(ms(100)).build());
    let _default = subscriber.set_default();
    let scope = info_span!("conversation", conversation.id = "c1");
    scope.in_scope(|| {
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "bot_stopped_speaking");
    });
    clock.advance(ms(100));
    assert_eq!(recorder.conversation("c1").turn(1).end_reason(), "silence");
}

#[test]
fn waiting_ends_when_another_thread_has_ended_the_conversation() {
    let recorder = ConversationRecorder::builder()
        .real_time()
        .layer(|layer| layer.turn_end_timeout(ms(20)))
        .build();
    let dispatch = recorder.dispatch();
    let (proceed, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tracing::dispatcher::with_default(&dispatch, || {
            info_span!("conversation", conversation.id = "c1").in_scope(|| {
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "bot_stopped_speaking");
                wait.recv().unwrap();
            });
        });
    });
    // By the timer's thread.
    recorder.wait_until(PATIENCE, |recorder| {
        recorder
            .conversations()
            .iter()
            .any(|call| call.turns().len() == 1)
    });
    assert!(!recorder.conversation("c1").has_ended());
    proceed.send(()).unwrap();
    let call = recorder.wait_for("c1", PATIENCE);
    assert_eq!(call.turn(1).end_reason(), "silence");
    thread.join().unwrap();
}

#[tokio::test]
async fn ended_resolves_on_a_runtime_of_one_thread() {
    let recorder = ConversationRecorder::builder().real_time().build();
    let _default = recorder.enter();
    let (proceed, wait) = tokio::sync::oneshot::channel::<()>();
    let program = tokio::spawn(
        async move { wait.await.unwrap() }
            .instrument(info_span!("conversation", conversation.id = "c1")),
    );
    let both = async { tokio::join!(recorder.ended("c1"), recorder.ended("c1")) };
    let start = async { proceed.send(()).unwrap() };
    let ((one, other), ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(both, start) })
        .await
        .unwrap();
    assert_eq!((one.turns().len(), other.turns().len()), (1, 1));
    program.await.unwrap();
    // It has ended already.
    recorder.ended("c1").await;
}

#[test]
#[ignore = "fails on purpose, for the test below"]
fn fails_on_purpose() {
    let recorder = ConversationRecorder::new();
    call(&recorder, "c1");
    let kept = Arc::new(recorder.conversation("c1"));
    assert!(kept.turn(1).latency() < ms(100));
}

#[test]
fn failing_test_prints_what_was_recorded_once() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "recorder::fails_on_purpose",
            "--nocapture",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stderr).unwrap();
    let heading = "recorded of conversation \"c1\":\nconversation 0–2.25 conversation.id=c1\n  turn 0–1.95 turn.number=1";
    assert_eq!(printed.matches(heading).count(), 1, "{printed}");
    assert_eq!(printed.matches("recorded of").count(), 1, "{printed}");
}
