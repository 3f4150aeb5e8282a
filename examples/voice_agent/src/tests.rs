//! Whole conversations with the stand-ins, and what is exported of them, held against the trace contract.

mod recorded;

use crate::agent::Agent;
use crate::pace::Pace;
use crate::services::Patience;
use crate::stand_in::faults::{Fault, Kind, Provider};
use crate::stand_in::{Behaviour, Delays, StandIns};
use crate::transport::{Connection, Playback, caller};
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;
use std::fmt::Write;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::subscriber::DefaultGuard;
use tracing_conversation::observe::ServiceKind;
use tracing_conversation::testing::{ConversationRecorder, RecordedTurn};

/// Makes a recorder the subscriber of this thread, until what is returned with it is dropped. A test's runtime has one thread, so
/// that tests do not see each other's spans. Every test whose code has spans needs it: a callsite that is met first without a
/// subscriber may stay switched off for a test that runs at the same time.
pub(crate) fn record() -> (ConversationRecorder, DefaultGuard) {
    let recorder = ConversationRecorder::builder().real_time().build();
    let installed = recorder.enter();
    (recorder, installed)
}

/// Runs the bundled caller's conversation at 8 times the speed, with `faults`; returns what was recorded.
async fn converse(id: &str, faults: Vec<Fault>) -> (ConversationRecorder, StandIns) {
    let call = |pace| caller::call(&caller::script(), pace).unwrap();
    converse_with(id, faults, false, call).await
}

async fn converse_with(
    id: &str,
    faults: Vec<Fault>,
    realtime: bool,
    call: impl FnOnce(Pace) -> Connection,
) -> (ConversationRecorder, StandIns) {
    let (recorder, _installed) = record();
    let pace = Pace::times(8.0);
    let behaviour = Behaviour {
        seed: 1,
        pace,
        delays: Delays::default(),
        faults,
    };
    let stand_ins = StandIns::start(behaviour).await.unwrap();
    let agent = Agent {
        http: crate::http_client().unwrap(),
        deepgram: stand_ins.deepgram(),
        openai: stand_ins.openai(),
        cartesia: stand_ins.cartesia(),
        realtime: realtime.then(|| stand_ins.realtime()),
        weather: stand_ins.weather(),
        patience: Patience::default(),
        pace,
    };
    tokio::time::timeout(
        Duration::from_secs(60),
        agent.converse(id.to_owned(), "test", call(pace)),
    )
    .await
    .unwrap();
    (recorder, stand_ins)
}

pub(crate) fn get<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|attribute| &attribute.value)
}

pub(crate) fn text(span: &SpanData, key: &str) -> String {
    get(span, key)
        .map(|value| value.as_str().into_owned())
        .unwrap_or_default()
}

fn number(span: &SpanData, key: &str) -> Option<f64> {
    match get(span, key)? {
        Value::F64(value) => Some(*value),
        Value::I64(value) => Some(*value as f64),
        _ => None,
    }
}

/// The spans as an indented tree in the order they began, each with what `describe` says of it.
pub(crate) fn tree(spans: &[SpanData], describe: impl Fn(&SpanData) -> String) -> String {
    fn below(
        spans: &[SpanData],
        parent: SpanId,
        depth: usize,
        describe: &dyn Fn(&SpanData) -> String,
        out: &mut String,
    ) {
        let mut children: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id == parent)
            .collect();
        children.sort_by_key(|span| span.start_time);
        for span in children {
            let line = format!(
                "{:indent$}{} {}",
                "",
                span.name,
                describe(span),
                indent = 2 * depth
            );
            writeln!(out, "{}", line.trim_end()).unwrap();
            below(spans, span.span_context.span_id(), depth + 1, describe, out);
        }
    }
    let mut out = String::from("\n");
    below(spans, SpanId::INVALID, 0, &describe, &mut out);
    out
}

/// How the answer begins that the bundled caller cuts off. How much of it has come by then is up to the machine.
const INTERRUPTED: &str = "There is a lot to see in Paris.";

fn beginning(text: &str) -> String {
    text.strip_prefix(INTERRUPTED)
        .map_or_else(|| text.to_owned(), |_| format!("{INTERRUPTED} …"))
}

/// What every run with the same seed has in common.
pub(crate) fn essence(span: &SpanData) -> String {
    let mut said: Vec<String> = Vec::new();
    for key in [
        "turn.number",
        "turn.end_reason",
        "turn.latency.measured_from",
        "transcript",
        "output",
        "text",
    ] {
        if (span.name == "turn") == key.starts_with("turn.") {
            said.extend(get(span, key).map(|value| beginning(&value.as_str())));
        }
    }
    for key in [
        "gen_ai.tool.name",
        "gen_ai.tool.call.arguments",
        "error.type",
    ] {
        said.extend(get(span, key).map(|value| format!("{}", value.as_str())));
    }
    for key in ["interrupted", "turn.was_interrupted", "stt.incomplete"] {
        if span.name == "llm" && text(span, "output").starts_with(INTERRUPTED) {
            continue;
        }
        said.extend((get(span, key) == Some(&Value::Bool(true))).then(|| key.to_owned()));
    }
    if matches!(span.status, Status::Error { .. }) {
        said.push("ERROR".to_owned());
    }
    said.join(" | ")
}

/// The parts of a turn's latency, if it was measured, add up to it.
fn assert_parts_add_up(turn: &RecordedTurn) {
    if turn.attribute("turn.user_bot_latency_seconds").is_some() {
        let parts = turn.latency_parts();
        let sum: Duration = parts.iter().map(|(_, part)| *part).sum();
        let off = sum.abs_diff(turn.latency());
        assert!(off < Duration::from_micros(1), "{parts:?} in {turn:?}");
    }
}

#[tokio::test]
async fn default_conversation_is_exported_as_the_contract_says() {
    let rate_limit = Fault {
        provider: Provider::OpenAi,
        nth: 5,
        kind: Kind::Status(429),
    };
    let (recorder, stand_ins) = converse("whole", vec![rate_limit]).await;
    let spans = recorder.spans();
    assert_eq!(
        tree(&spans, essence),
        r#"
conversation
  turn 1 | user_spoke | client_connected
    llm Hello, this is your travel assistant. How can I help you?
      POST /chat/completions
    tts Hello, this is your travel assistant. How can I help you?
  turn 2 | user_spoke | user_silence
    stt What is the weather like in Paris today?
    llm
      POST /chat/completions
    tool get_weather | {"city":"Paris"}
      GET /v1/search
      GET /v1/forecast
    llm It is 13 degrees and partly cloudy in Paris. A light jacket will do.
      POST /chat/completions
    tts It is 13 degrees and partly cloudy in Paris. A light jacket will do.
  turn 3 | interrupted | user_silence | turn.was_interrupted
    stt What should I see while I am there?
    llm There is a lot to see in Paris. …
      POST /chat/completions
    tts There is a lot to see in Paris. … | interrupted
  turn 4 | user_spoke | user_silence
    stt Sorry to interrupt, just one place please.
    llm rate_limit_exceeded | ERROR
      POST /chat/completions 429 | ERROR
    llm Of course. Then take a walk along the river at sunset.
      POST /chat/completions
    tts Of course. Then take a walk along the river at sunset.
  turn 5 | silence | user_silence
    stt That is all, thank you and goodbye.
    llm You are welcome. Have a good trip!
      POST /chat/completions
    tts You are welcome. Have a good trip!
"#
    );

    for span in &spans {
        assert_eq!(text(span, "conversation.id"), "whole", "{}", span.name);
        let mut keys: Vec<_> = span
            .attributes
            .iter()
            .map(|attribute| attribute.key.as_str())
            .collect();
        keys.sort_unstable();
        assert!(
            keys.windows(2).all(|pair| pair[0] != pair[1]),
            "{}: {keys:?}",
            span.name
        );
    }
    let conversation = recorder.conversation("whole");
    for turn in conversation.turns() {
        let duration = number(turn.span(), "turn.duration_seconds").unwrap();
        assert!((turn.duration().as_secs_f64() - duration).abs() < 1e-6);
        assert_parts_add_up(&turn);
    }
    let parts = conversation.turn(2).latency_parts();
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    for part in [
        "endpointing_wait",
        "transcription",
        "turn_detection",
        "llm_inference",
        "llm_tool_call",
        "function_handler",
    ] {
        assert!(names.contains(&part), "{part} is not among {names:?}");
    }

    let account = stand_ins.account("whole");
    let services = conversation.services();
    let of = |kind| {
        services
            .iter()
            .filter(move |service| service.kind() == kind)
    };
    let answers: Vec<_> = of(ServiceKind::Llm)
        .filter(|answer| answer.error().is_none())
        .collect();
    assert_eq!(answers.len(), account.usage.len());
    for (answer, (input, output)) in answers.into_iter().zip(account.usage) {
        let used = answer.usage();
        // The usage comes last: an answer that was cut off has none.
        if used.input_tokens.is_none() {
            assert!(answer.interrupted(), "{answer:?}");
        } else {
            let recorded = (used.input_tokens, used.output_tokens);
            assert_eq!(recorded, (Some(input), Some(output)));
        }
    }
    let characters = services
        .iter()
        .filter_map(|service| service.usage().characters);
    assert_eq!(characters.sum::<u64>(), account.characters);
    let transcripts: Vec<_> = of(ServiceKind::Stt).map(|stt| stt.output()).collect();
    assert_eq!(transcripts, account.transcripts);
}

#[tokio::test]
async fn bot_apologises_for_a_language_model_that_fails() {
    let fault = |nth| Fault {
        provider: Provider::OpenAi,
        nth,
        kind: Kind::Status(500),
    };
    // The answer to the first question, and both attempts after it.
    let (recorder, _) = converse("down", vec![fault(2), fault(3), fault(4)]).await;
    let second = tree(&recorder.spans(), essence);
    let second = second.split("  turn ").nth(2).unwrap();
    assert_eq!(
        second,
        "2 | user_spoke | user_silence
    stt What is the weather like in Paris today?
    llm server_error | ERROR
      POST /chat/completions 500 | ERROR
    llm server_error | ERROR
      POST /chat/completions 500 | ERROR
    llm server_error | ERROR
      POST /chat/completions 500 | ERROR
    tts I am sorry, I cannot think straight right now. Please ask me again in a moment.
"
    );
}

#[tokio::test]
async fn speech_to_speech_is_a_realtime_span_a_response() {
    let call = |pace| caller::call(&caller::script(), pace).unwrap();
    let rate_limit = Fault {
        provider: Provider::OpenAi,
        nth: 5,
        kind: Kind::Status(429),
    };
    let (recorder, stand_ins) = converse_with("s2s", vec![rate_limit], true, call).await;
    assert_eq!(
        tree(&recorder.spans(), essence),
        r#"
conversation
  turn 1 | user_spoke | client_connected
    realtime Hello, this is your travel assistant. How can I help you?
  turn 2 | user_spoke | user_silence
    realtime What is the weather like in Paris today?
    tool get_weather | {"city":"Paris"}
      GET /v1/search
      GET /v1/forecast
    realtime It is 13 degrees and partly cloudy in Paris. A light jacket will do.
  turn 3 | interrupted | user_silence | turn.was_interrupted
    realtime What should I see while I am there? | There is a lot to see in Paris. … | interrupted
  turn 4 | user_spoke | user_silence
    realtime rate_limit_exceeded | ERROR
    realtime Sorry to interrupt, just one place please. | Of course. Then take a walk along the river at sunset.
  turn 5 | silence | user_silence
    realtime That is all, thank you and goodbye. | You are welcome. Have a good trip!
"#
    );
    let conversation = recorder.conversation("s2s");
    let recorded: Vec<_> = conversation
        .services()
        .iter()
        .map(|service| service.usage())
        .filter(|used| used.audio_output_tokens.is_some())
        .map(|used| (used.input_tokens.unwrap(), used.output_tokens.unwrap()))
        .collect();
    let account = stand_ins.account("s2s");
    assert_eq!(recorded, account.usage);
    // The caller listens to 2.5 s of the answer before they interrupt it, and to somewhat more until they are heard.
    let [heard] = account.truncated[..] else {
        panic!("{:?}", account.truncated);
    };
    assert!((2_400..4_500).contains(&heard), "{heard} ms");
    conversation.turns().iter().for_each(assert_parts_add_up);
}

/// A client that is gone as soon as it hears the bot.
fn hang_up_on_the_bot(_: Pace) -> Connection {
    let (said, microphone) = mpsc::channel(64);
    let (speaker, mut heard) = mpsc::channel(64);
    tokio::spawn(async move {
        let first = heard.recv().await;
        assert!(matches!(first, Some(Playback::Audio(_))), "{first:?}");
        drop(said);
    });
    Connection {
        microphone,
        speaker,
    }
}

#[tokio::test]
async fn disconnect_ends_the_conversation_and_cuts_off_what_is_under_way() {
    let (recorder, _) = converse_with("gone", Vec::new(), false, hang_up_on_the_bot).await;
    let essence = |span: &SpanData| match &*span.name {
        // How much of the answer had come by then is up to the machine.
        "llm" => String::new(),
        "tts" => (get(span, "interrupted") == Some(&Value::Bool(true))).to_string(),
        _ => essence(span),
    };
    assert_eq!(
        tree(&recorder.spans(), essence),
        "
conversation
  turn 1 | conversation_ended | client_connected | turn.was_interrupted
    llm
      POST /chat/completions
    tts true
"
    );
}
