//! Five hundred random timelines: every metric against the spans that were exported beside it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tracing::{Span, field::Empty, info, info_span};

use super::{Meters, Reading, Readings, instruments::ALL, spans::Measured};

const EVENTS: &[&str] = &[
    "client_connected",
    "vad_user_started_speaking",
    "vad_user_stopped_speaking",
    "user_started_speaking",
    "user_stopped_speaking",
    "bot_started_speaking",
    "bot_stopped_speaking",
    "interruption",
];
const OPERATIONS: &[&str] = &[
    "stt",
    "chat",
    "chat",
    "generate_content",
    "tts",
    "tts",
    "execute_tool",
    "realtime",
    "invoke_agent",
    "embeddings",
];
const NAMES: &[Option<&str>] = &[None, Some("one"), Some("two"), Some("three")];

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Event(&'static str),
    Start {
        operation: &'static str,
        provider: Option<&'static str>,
        model: Option<&'static str>,
        /// Whether it is below the service that was started last.
        nested: bool,
    },
    FirstByte,
    /// Ends the service that was started last, which was so used, or failed.
    End {
        tokens: Option<(u64, u64)>,
        characters: Option<u64>,
        audio: Option<f64>,
        error: Option<&'static str>,
    },
    EndConversation,
}

fn step() -> impl Strategy<Value = Step> {
    let error = prop::sample::select(vec![None, None, Some("timeout"), Some("429")]);
    prop_oneof![
        4 => (1_u64..1_500).prop_map(Step::Pass),
        6 => prop::sample::select(EVENTS).prop_map(Step::Event),
        3 => (
            prop::sample::select(OPERATIONS),
            prop::sample::select(NAMES),
            prop::sample::select(NAMES),
            any::<bool>(),
        )
            .prop_map(|(operation, provider, model, nested)| Step::Start {
                operation,
                provider,
                model,
                nested,
            }),
        2 => Just(Step::FirstByte),
        3 => (
            prop::option::of((0_u64..5_000, 0_u64..500)),
            prop::option::of(0_u64..300),
            prop::option::of(0.0..20.0),
            error,
        )
            .prop_map(|(tokens, characters, audio, error)| Step::End {
                tokens,
                characters,
                audio,
                error,
            }),
        1 => Just(Step::EndConversation),
    ]
}

/// Several conversations, each step in one of them.
fn timeline() -> impl Strategy<Value = Vec<(usize, Step)>> {
    prop::collection::vec((0_usize..3, step()), 1..120)
}

fn service(
    parent: Option<&Span>,
    id: &str,
    operation: &str,
    provider: Option<&str>,
    model: Option<&str>,
) -> Span {
    let parent = parent.and_then(Span::id);
    info_span!(
        parent: parent,
        "service",
        conversation.id = id,
        gen_ai.operation.name = operation,
        gen_ai.provider.name = provider,
        gen_ai.request.model = model,
        gen_ai.tool.name = provider,
        gen_ai.tool.type = model,
        gen_ai.agent.name = provider,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        transcript = Empty,
        is_final = Empty,
        metrics.character_count = Empty,
        metrics.audio_seconds = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

fn event(id: &str, name: &str) {
    match name {
        "vad_user_stopped_speaking" => info!(
            conversation.event = name,
            conversation.id = id,
            stop_secs = 0.2
        ),
        "vad_user_started_speaking" => info!(
            conversation.event = name,
            conversation.id = id,
            start_secs = 0.1
        ),
        _ => info!(conversation.event = name, conversation.id = id),
    }
}

/// Plays a timeline, compares the metrics with the spans, and returns them.
fn check(timeline: &[(usize, Step)]) -> Readings {
    let meters = Meters::new();
    let stage = meters.stage();
    let mut generation = [0; 3];
    let mut open: HashMap<usize, Vec<Span>> = HashMap::new();
    stage.play(|| {
        for (conversation, step) in timeline {
            let id = format!("c{conversation}-{}", generation[*conversation]);
            let services = open.entry(*conversation).or_default();
            match step {
                Step::Pass(milliseconds) => stage.pass(*milliseconds),
                Step::Event(name) => event(&id, name),
                Step::Start {
                    operation,
                    provider,
                    model,
                    nested,
                } => {
                    let parent = services.last().filter(|_| *nested);
                    let span = service(parent, &id, operation, *provider, *model);
                    span.in_scope(|| ());
                    services.push(span);
                }
                Step::FirstByte => {
                    if let Some(service) = services.last() {
                        service.in_scope(|| info!(conversation.event = "first_byte"));
                    }
                }
                Step::End {
                    tokens,
                    characters,
                    audio,
                    error,
                } => {
                    if let Some(span) = services.pop() {
                        if let Some((input, output)) = tokens {
                            span.record("gen_ai.usage.input_tokens", input)
                                .record("gen_ai.usage.output_tokens", output);
                        }
                        span.record("transcript", "words").record("is_final", true);
                        span.record("metrics.character_count", characters)
                            .record("metrics.audio_seconds", audio);
                        if let Some(error) = error {
                            span.record("otel.status_code", "ERROR")
                                .record("error.type", error);
                        }
                    }
                }
                Step::EndConversation => {
                    while services.pop().is_some() {}
                    info!(
                        conversation.event = "conversation_ended",
                        conversation.id = id
                    );
                    generation[*conversation] += 1;
                }
            }
        }
        for services in open.values_mut() {
            while services.pop().is_some() {}
        }
    });
    // Before the end, those that are open are active.
    let ended = |spans: &[opentelemetry_sdk::trace::SpanData]| {
        spans
            .iter()
            .filter(|span| span.name == "conversation")
            .count()
    };
    let ended_before = ended(&stage.spans());
    let before = meters.read();
    stage.conversations.end_all();
    let spans = stage.spans();
    let started = ended(&spans);
    if started > 0 {
        let active = (started - ended_before) as f64;
        assert_eq!(before.0["conversation.active{}"], Reading::Sum(active));
    }
    let readings = meters.read();
    assert_same(&readings, &Measured::by(&spans).readings(started, 0));
    readings
}

/// Compares all but the last digits of sums, which depend on the order of the addends.
#[track_caller]
fn assert_same(got: &Readings, wanted: &Readings) {
    let rounded = |readings: &Readings| {
        let mut readings = readings.0.clone();
        for reading in readings.values_mut() {
            let (Reading::Sum(sum) | Reading::Histogram { sum, .. }) = reading;
            *sum = (*sum * 1e6).round() / 1e6;
        }
        readings
    };
    let (got, wanted) = (rounded(got), rounded(wanted));
    for (series, reading) in &wanted {
        assert_eq!(got.get(series), Some(reading), "{series}");
    }
    let more: Vec<_> = got
        .keys()
        .filter(|key| !wanted.contains_key(*key))
        .collect();
    assert!(more.is_empty(), "not in the spans: {more:?}");
}

#[test]
fn every_metric_says_what_the_spans_say() {
    let measured = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let result = runner.run(&timeline(), |timeline| {
        let readings = check(&timeline);
        let names = readings.names().into_iter().map(str::to_owned);
        measured.borrow_mut().extend(names);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let measured: Vec<String> = measured.into_inner().into_iter().collect();
    assert_eq!(
        measured, ALL,
        "not every instrument had something to measure"
    );
}
