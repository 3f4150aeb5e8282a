//! Costs on spans, from prices.

use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::stage::{Output, Stage};
use opentelemetry_sdk::trace::Sampler;
use tracing::{Span, info, info_span};
use tracing_conversation::TraceMode;
use tracing_conversation::observe::{
    ConversationSummary, Observer, ServiceKind, ServiceSummary, TurnSummary,
};
use tracing_conversation::prices::Prices;
use tracing_conversation::testing::ConversationRecorder;
use tracing_subscriber::prelude::*;

const PATIENCE: Duration = Duration::from_secs(60);

const PRICES: &str = r#"{
    "gpt-4o": {
        "litellm_provider": "openai",
        "input_cost_per_token": 0.25, "output_cost_per_token": 1, "cache_read_input_token_cost": 0.125
    },
    "nova-3": { "litellm_provider": "deepgram", "input_cost_per_second": 0.5 },
    "cartesia/sonic": { "input_cost_per_character": 0.0625 }
}"#;

fn prices() -> Prices {
    Prices::from_json(PRICES).unwrap()
}

fn recorder() -> ConversationRecorder {
    ConversationRecorder::builder()
        .layer(|layer| layer.prices(prices()))
        .build()
}

fn llm(model: &str, input: u64, output: u64) -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = model,
        gen_ai.usage.input_tokens = input,
        gen_ai.usage.output_tokens = output
    )
}

fn agent(input: u64) -> Span {
    info_span!(
        "agent",
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.usage.input_tokens = input
    )
}

/// The costs in a call in which `program` runs.
fn costs(recorder: &ConversationRecorder, program: impl FnOnce()) -> Vec<String> {
    recorder.run(|| info_span!("conversation", conversation.id = "c1").in_scope(program));
    let tree = recorder.tree().without_times();
    tree.only(&["usage.cost_usd", "usage.cost_is_partial"])
        .lines()
}

fn next_turn() {
    info!(conversation.event = "bot_started_speaking");
    info!(conversation.event = "user_started_speaking");
}

#[test]
fn services_turns_and_conversations_have_their_costs() {
    let recorder = recorder();
    let tree = costs(&recorder, || {
        drop(info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            gen_ai.provider.name = "deepgram",
            gen_ai.request.model = "nova-3",
            metrics.audio_seconds = 3.0,
            transcript = "Hello?",
            is_final = true
        ));
        let llm = llm("gpt-4o", 8, 2);
        llm.record("gen_ai.usage.input_tokens", 12);
        drop(llm);
        let tts = info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            gen_ai.provider.name = "cartesia",
            gen_ai.request.model = "sonic",
            text = "Hello."
        );
        tts.record("text", " Yes?");
        drop(tts);
        drop(info_span!("tool", gen_ai.operation.name = "execute_tool"));
        next_turn();
        drop(llm_cached());
    });
    assert_eq!(
        tree,
        [
            "conversation usage.cost_usd=9.9375",
            "  turn usage.cost_usd=7.1875",
            "    stt usage.cost_usd=1.5",
            "    llm usage.cost_usd=5.0",
            "    tts usage.cost_usd=0.6875",
            "    tool",
            "  turn usage.cost_usd=2.75",
            "    llm usage.cost_usd=2.75",
        ]
    );
    let call = recorder.conversation("c1");
    assert_eq!(
        (call.cost_usd(), call.turn(2).cost_usd()),
        (Some(9.9375), Some(2.75))
    );
    assert_eq!(call.turn(1).tts().cost_usd(), Some(0.6875));
}

fn llm_cached() -> Span {
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "my-model",
        gen_ai.response.model = "gpt-4o",
        gen_ai.usage.input_tokens = 8,
        gen_ai.usage.cache_read.input_tokens = 2,
        gen_ai.usage.output_tokens = 1
    )
}

#[test]
fn without_prices_there_are_no_costs() {
    let recorder = ConversationRecorder::new();
    let tree = costs(&recorder, || {
        let own = llm("gpt-4o", 8, 2);
        drop(own);
        // What a program records itself stays where it is.
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            usage.cost_usd = 0.5
        ));
    });
    assert_eq!(
        tree,
        [
            "conversation",
            "  turn",
            "    llm",
            "    llm usage.cost_usd=0.5"
        ]
    );
}

/// A subscriber's output.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn unknown_price_makes_sums_partial_and_is_said_once_a_model() {
    let recorder = ConversationRecorder::new();
    let log = Log::default();
    let writer = log.clone();
    let fmt = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .with_filter(tracing_subscriber::filter::LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry()
        .with(fmt)
        .with(recorder.layer().prices(prices()).build());
    tracing::subscriber::with_default(subscriber, || {
        info_span!("conversation", conversation.id = "c1").in_scope(|| {
            drop(llm("gpt-4o", 4, 0));
            drop(llm("gpt-5", 4, 0));
            drop(llm("gpt-5", 4, 0));
            next_turn();
            drop(llm("gpt-4o", 4, 0));
            next_turn();
            // Nothing was used.
            drop(info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.request.model = "gpt-6"
            ));
            drop(info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.usage.output_tokens = 1
            ));
        });
    });
    let tree = recorder.tree().without_times();
    assert_eq!(
        tree.only(&["usage.cost_usd", "usage.cost_is_partial"])
            .lines(),
        [
            "conversation usage.cost_usd=2.0 usage.cost_is_partial=true",
            "  turn usage.cost_usd=1.0 usage.cost_is_partial=true",
            "    llm usage.cost_usd=1.0",
            "    llm",
            "    llm",
            "  turn usage.cost_usd=1.0",
            "    llm usage.cost_usd=1.0",
            "  turn usage.cost_is_partial=true",
            "    llm",
            "    llm",
        ]
    );
    let said = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    crate::stage::eventually(|| said().lines().count() == 2);
    let mut lines: Vec<_> = said().lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "WARN tracing_conversation: the cost of \"gpt-5\" of \"openai\" is not known: the model has no price in the file",
            "WARN tracing_conversation: the cost of a service is not known: the service records no model",
        ]
    );
}

#[test]
fn total_of_an_agent_does_not_count_beside_its_requests() {
    let recorder = recorder();
    let tree = costs(&recorder, || {
        let agent = agent(12);
        agent.in_scope(|| {
            drop(llm("gpt-4o", 4, 1));
            drop(llm("gpt-4o", 8, 1));
        });
        drop(agent);
    });
    assert_eq!(
        tree,
        [
            "conversation usage.cost_usd=5.0",
            "  turn usage.cost_usd=5.0",
            "    agent usage.cost_usd=3.0",
            "      llm usage.cost_usd=2.0",
            "      llm usage.cost_usd=3.0",
        ]
    );
}

#[test]
fn agent_that_ends_before_its_request_is_taken_out_again() {
    let recorder = recorder();
    let tree = costs(&recorder, || {
        let agent = agent(12);
        let llm = agent.in_scope(|| llm("gpt-4o", 4, 1));
        agent.in_scope(|| {
            drop(info_span!(
                "agent",
                gen_ai.operation.name = "invoke_agent",
                gen_ai.usage.output_tokens = 9
            ))
        });
        drop(agent);
        drop(llm);
    });
    assert_eq!(
        tree[0],
        "conversation usage.cost_usd=2.0 usage.cost_is_partial=true"
    );
}

#[test]
fn agent_without_a_price_adds_no_doubt_to_what_its_requests_cost() {
    let recorder = recorder();
    let tree = costs(&recorder, || {
        let agent = info_span!(
            "agent",
            gen_ai.operation.name = "invoke_agent",
            gen_ai.usage.input_tokens = 4
        );
        agent.in_scope(|| drop(llm("gpt-4o", 4, 1)));
        drop(agent);
    });
    assert_eq!(tree[0], "conversation usage.cost_usd=2.0");
}

#[test]
fn cost_that_a_service_records_itself_counts_in_place_of_a_price() {
    let recorder = recorder();
    let tree = costs(&recorder, || {
        let own = llm("gpt-4o", 4, 1);
        drop(own);
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = "unheard-of",
            gen_ai.usage.input_tokens = 4,
            usage.cost_usd = 0.5
        ));
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            usage.cost_usd = f64::NAN
        ));
    });
    assert_eq!(
        tree,
        [
            "conversation usage.cost_usd=2.5",
            "  turn usage.cost_usd=2.5",
            "    llm usage.cost_usd=2.0",
            "    llm usage.cost_usd=0.5",
            "    llm",
        ]
    );
}

#[test]
fn cost_between_turns_and_of_an_open_service_is_the_conversations() {
    let recorder = recorder();
    let open = recorder.run(|| {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "bot_stopped_speaking");
        recorder.advance(Duration::from_millis(2_500));
        drop(llm("gpt-4o", 4, 0));
        let open = llm("gpt-4o", 8, 0);
        info!(conversation.event = "conversation_ended");
        drop(scope);
        open
    });
    let call = recorder.conversation("c1");
    assert_eq!(
        (call.cost_usd(), call.turn(1).cost_usd()),
        (Some(3.0), None)
    );
    recorder.run(|| drop(open));
    let services = recorder.conversation("c1").services();
    let costs: Vec<_> = services.iter().map(|service| service.cost_usd()).collect();
    assert_eq!(costs, [Some(1.0), Some(2.0)]);
}

#[test]
fn trace_a_turn_and_services_outside_of_conversations_have_costs() {
    let recorder = ConversationRecorder::builder()
        .layer(|layer| layer.prices(prices()).trace_mode(TraceMode::Turn))
        .build();
    recorder.run(|| drop(llm("gpt-4o", 4, 0)));
    let tree = costs(&recorder, || drop(llm("gpt-4o", 8, 0)));
    assert_eq!(
        tree,
        [
            "conversation usage.cost_usd=2.0",
            "llm usage.cost_usd=1.0",
            "turn usage.cost_usd=2.0",
            "  llm usage.cost_usd=2.0",
        ]
    );
    assert_eq!(
        recorder
            .conversation("c1")
            .turn(1)
            .service(ServiceKind::Llm)
            .cost_usd(),
        Some(2.0)
    );
}

/// Sends the costs that it is called with.
struct Costs(Sender<String>);

impl Observer for Costs {
    fn service_ended(&self, service: &ServiceSummary) {
        let line = format!("{} {:?}", service.name, service.cost_usd);
        self.0.send(line).unwrap();
    }

    fn turn_ended(&self, turn: &TurnSummary) {
        let line = format!("turn {:?} {}", turn.cost_usd, turn.cost_is_partial);
        self.0.send(line).unwrap();
    }

    fn conversation_ended(&self, call: &ConversationSummary) {
        let line = format!("conversation {:?} {}", call.cost_usd, call.cost_is_partial);
        self.0.send(line).unwrap();
    }
}

#[test]
fn observers_get_the_costs_of_conversations_that_are_not_sampled_too() {
    for is_sampled in [true, false] {
        let (send, costs) = channel();
        let sampler = if is_sampled {
            Sampler::AlwaysOn
        } else {
            Sampler::AlwaysOff
        };
        let output = Output::with(|provider| provider.with_sampler(sampler));
        let stage = Stage::over(output, |layer| {
            layer.prices(prices()).with_observer(Costs(send))
        });
        stage.play(|| {
            info_span!("conversation", conversation.id = "c1").in_scope(|| {
                drop(llm("gpt-4o", 4, 1));
                drop(llm("gpt-5", 4, 1));
            });
        });
        let seen: Vec<_> = (0..4)
            .map(|_| costs.recv_timeout(PATIENCE).unwrap())
            .collect();
        assert_eq!(
            seen,
            [
                "llm Some(2.0)",
                "llm None",
                "turn Some(2.0) true",
                "conversation Some(2.0) true"
            ]
        );
    }
}

#[cfg(feature = "console")]
#[test]
fn tree_view_has_the_cost_in_its_summary() {
    use futures_util::FutureExt as _;
    use opentelemetry_sdk::trace::SpanExporter as _;
    use tracing_conversation::console::TreeExporter;

    let show = |partial: bool| {
        let recorder = recorder();
        costs(&recorder, || {
            drop(llm("gpt-4o", 1, 1_234));
            if partial {
                drop(llm("gpt-5", 1, 1));
            }
        });
        let shown = Log::default();
        let exporter = TreeExporter::to_writer(shown.clone()).with_width(80);
        let export = exporter.export(recorder.spans());
        export.now_or_never().unwrap().unwrap();
        let text = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("cost"));
        line.unwrap_or_else(|| panic!("{text}")).trim().to_owned()
    };
    assert_eq!(show(false), "cost    $1,234.25");
    assert_eq!(show(true), "cost    $1,234.25 · some prices are not known");
}
