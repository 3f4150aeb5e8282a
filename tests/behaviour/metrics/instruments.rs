//! What the instruments are, and whom they are fed by.

use opentelemetry_sdk::{
    metrics::{Aggregation, Instrument, Stream},
    trace::Sampler,
};
use tracing::{info, info_span};

use super::{Meters, Reading};
use crate::stage::{Output, Stage};

/// A conversation that has something for each instrument: a greeting, an interruption, a tool, an agent.
fn converse(stage: &Stage) {
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1");
        let _entered = conversation.enter();
        info!(conversation.event = "client_connected");
        stage.pass(300);
        info!(conversation.event = "bot_started_speaking");
        stage.pass(1_000);
        info!(
            conversation.event = "vad_user_started_speaking",
            start_secs = 0.2
        );
        info!(conversation.event = "user_started_speaking");
        stage.pass(150);
        info!(conversation.event = "bot_stopped_speaking");
        stage.pass(1_000);
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.2
        );
        info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            gen_ai.provider.name = "deepgram",
            gen_ai.request.model = "nova-3",
            metrics.audio_seconds = 1.15,
            transcript = "Weather?",
            is_final = true
        )
        .in_scope(|| stage.pass(100));
        info!(conversation.event = "user_stopped_speaking");
        info_span!(
            "agent",
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = "helper"
        )
        .in_scope(|| {
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.provider.name = "openai",
                gen_ai.request.model = "gpt-4o",
                gen_ai.usage.input_tokens = 42_u64,
                gen_ai.usage.output_tokens = 7_u64
            );
            llm.in_scope(|| {
                stage.pass(250);
                info!(conversation.event = "first_byte");
                stage.pass(50);
            });
            drop(llm);
            info_span!(
                "tool",
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = "get_weather",
                gen_ai.tool.type = "function",
                gen_ai.agent.name = "helper"
            )
            .in_scope(|| stage.pass(30));
        });
        info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            gen_ai.provider.name = "cartesia",
            gen_ai.request.model = "sonic-2",
            text = "Sunny."
        )
        .in_scope(|| {
            stage.pass(80);
            info!(conversation.event = "first_byte");
        });
        info!(conversation.event = "bot_started_speaking");
        stage.pass(500);
        info!(conversation.event = "bot_stopped_speaking");
        stage.pass(3_000);
        info!(conversation.event = "conversation_ended");
    });
}

pub(super) const ALL: &[&str] = &[
    "conversation.active",
    "conversation.duration",
    "conversation.speech.audio",
    "conversation.speech.characters",
    "conversation.stt.ttfb",
    "conversation.turn.barge_in.stop",
    "conversation.turn.duration",
    "conversation.turn.latency",
    "conversation.turn.user_bot_latency",
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
    "gen_ai.execute_tool.duration",
    "gen_ai.invoke_agent.duration",
];

#[test]
fn one_call_with_every_instrument() {
    let meters = Meters::new();
    let stage = meters.stage();
    converse(&stage);
    let readings = meters.read();
    assert_eq!(readings.names(), ALL);
    for (series, count, sum) in [
        ("conversation.active{}", 1, 0.0),
        ("conversation.duration{conversation.type=voice}", 1, 6.46),
        (
            "conversation.turn.duration{turn.end_reason=interrupted}",
            1,
            1.3,
        ),
        (
            "conversation.turn.duration{turn.end_reason=silence}",
            1,
            2.16,
        ),
        ("conversation.turn.user_bot_latency{}", 1, 0.71),
        (
            "conversation.turn.latency{part=llm_inference, turn.latency.measured_from=user_silence}",
            1,
            0.25,
        ),
        (
            "conversation.turn.latency{part=pipeline, turn.latency.measured_from=client_connected}",
            1,
            0.3,
        ),
        ("conversation.turn.barge_in.stop{}", 1, 0.15),
        (
            "gen_ai.client.operation.duration{gen_ai.operation.name=chat, gen_ai.provider.name=openai, \
             gen_ai.request.model=gpt-4o}",
            1,
            0.3,
        ),
        (
            "gen_ai.client.operation.time_to_first_chunk{gen_ai.operation.name=tts, \
             gen_ai.provider.name=cartesia, gen_ai.request.model=sonic-2}",
            1,
            0.08,
        ),
        (
            "gen_ai.client.token.usage{gen_ai.operation.name=chat, gen_ai.provider.name=openai, \
             gen_ai.request.model=gpt-4o, gen_ai.token.type=input}",
            1,
            42.0,
        ),
        (
            "gen_ai.execute_tool.duration{gen_ai.agent.name=helper, gen_ai.tool.name=get_weather, \
             gen_ai.tool.type=function}",
            1,
            0.03,
        ),
        (
            "gen_ai.invoke_agent.duration{gen_ai.agent.name=helper}",
            1,
            0.33,
        ),
        (
            "conversation.stt.ttfb{gen_ai.provider.name=deepgram, gen_ai.request.model=nova-3}",
            1,
            0.2,
        ),
        (
            "conversation.speech.characters{gen_ai.provider.name=cartesia, gen_ai.request.model=sonic-2}",
            1,
            6.0,
        ),
        (
            "conversation.speech.audio{gen_ai.provider.name=deepgram, gen_ai.request.model=nova-3}",
            1,
            1.15,
        ),
    ] {
        let (got_count, got_sum) = readings.of(series);
        assert_eq!(got_count, count, "{series}");
        assert!((got_sum - sum).abs() < 1e-9, "{series}: {got_sum}");
    }
}

#[test]
fn calls_that_are_not_sampled_count_as_well() {
    for has_span_ext in [true, false] {
        let meters = Meters::new();
        let output = Output::with(|provider| provider.with_sampler(Sampler::AlwaysOff));
        let stage = Stage::over(output, |layer| {
            layer
                .span_ext(has_span_ext)
                .with_meter_provider(&meters.provider)
        });
        converse(&stage);
        assert!(stage.spans().is_empty());
        let sampled = Meters::new();
        converse(&sampled.stage());
        assert_eq!(meters.read(), sampled.read());
    }
}

#[test]
fn two_layers_of_one_provider_add_up() {
    let meters = Meters::new();
    let (first, second) = (meters.stage(), meters.stage());
    for stage in [&first, &second] {
        stage.play(|| {
            let open = info_span!("conversation", conversation.id = "c1");
            open.in_scope(|| info!(conversation.event = "user_started_speaking"));
            std::mem::forget(open);
        });
    }
    assert_eq!(meters.read().of("conversation.active{}").1, 2.0);
    first.conversations.end_all();
    let readings = meters.read();
    assert_eq!(readings.of("conversation.active{}").1, 1.0);
    assert_eq!(
        readings
            .of("conversation.duration{conversation.type=voice}")
            .0,
        1
    );
}

#[test]
fn two_providers_of_one_layer_get_the_same() {
    let (one, other) = (Meters::new(), Meters::new());
    let stage = Stage::with(|layer| {
        layer
            .with_meter_provider(&one.provider)
            .with_meter_provider(&other.provider)
    });
    converse(&stage);
    assert_eq!(one.read(), other.read());
    assert_eq!(one.read().names(), ALL);
}

#[test]
fn views_set_other_boundaries() {
    let meters = Meters::with(|builder| {
        builder.with_view(|instrument: &Instrument| {
            (instrument.name() == "conversation.turn.user_bot_latency").then_some(())?;
            Stream::builder()
                .with_aggregation(Aggregation::ExplicitBucketHistogram {
                    boundaries: vec![0.7, 0.8],
                    record_min_max: false,
                })
                .build()
                .ok()
        })
    });
    converse(&meters.stage());
    let Some(Reading::Histogram {
        bounds, buckets, ..
    }) = meters
        .read()
        .0
        .remove("conversation.turn.user_bot_latency{}")
    else {
        panic!("a histogram")
    };
    assert_eq!((bounds, buckets), (vec![0.7, 0.8], vec![0, 1, 0]));
}

#[test]
fn many_turns_between_two_collections_are_all_recorded() {
    let meters = Meters::new();
    let stage = meters.stage();
    // More facts than wait for a collection.
    for _ in 0..3_000 {
        stage.play(|| {
            let conversation = info_span!("conversation", conversation.id = "");
            conversation.in_scope(|| info!(conversation.event = "user_started_speaking"));
        });
    }
    let readings = meters.read();
    assert_eq!(readings.of("conversation.active{}").1, 0.0);
    assert_eq!(
        readings
            .of("conversation.duration{conversation.type=voice}")
            .0,
        3_000
    );
}

#[test]
fn provider_that_outlives_the_layer_has_everything() {
    let meters = Meters::new();
    let stage = meters.stage();
    converse(&stage);
    drop(stage);
    assert_eq!(meters.read().names(), ALL);
}
