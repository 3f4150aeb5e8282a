//! The instruments, and which facts each of them records.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use super::{
    fact::{Fact, TurnFact},
    names::Names,
};
use crate::{
    names,
    observe::{ServiceKind, ServiceSummary},
};

/// Bounds for what a user waits for, in seconds.
const VOICE: &[f64] = &[
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0,
];
const CONVERSATION: &[f64] = &[
    5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1_200.0, 1_800.0, 2_700.0,
    3_600.0,
];
const TURN: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0,
];
// Those of OpenTelemetry's GenAI conventions, <https://github.com/open-telemetry/semantic-conventions-genai>.
const OPERATION: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const AGENT: &[f64] = &[
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// `gen_ai.operation.name` of an agent that is given a task.
const INVOKE_AGENT: &str = "invoke_agent";

pub(super) struct Instruments {
    active: UpDownCounter<i64>,
    conversation_duration: Histogram<f64>,
    turn_duration: Histogram<f64>,
    user_bot_latency: Histogram<f64>,
    latency: Histogram<f64>,
    barge_in_stop: Histogram<f64>,
    operation_duration: Histogram<f64>,
    time_to_first_chunk: Histogram<f64>,
    token_usage: Histogram<u64>,
    tool_duration: Histogram<f64>,
    agent_duration: Histogram<f64>,
    stt_ttfb: Histogram<f64>,
    characters: Counter<u64>,
    audio: Counter<f64>,
    conversation_types: Names,
    operations: Names,
    providers: Names,
    models: Names,
    tools: Names,
    tool_types: Names,
    agents: Names,
    errors: Names,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str, bounds: &[f64]| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(bounds.to_vec())
                .build()
        };
        Self {
            active: meter
                .i64_up_down_counter("conversation.active")
                .with_unit("{conversation}")
                .with_description("Conversations that are open.")
                .build(),
            conversation_duration: seconds(
                "conversation.duration",
                "How long a conversation lasts.",
                CONVERSATION,
            ),
            turn_duration: seconds("conversation.turn.duration", "How long a turn lasts.", TURN),
            user_bot_latency: seconds(
                "conversation.turn.user_bot_latency",
                "From the end of the user's speech to the start of the bot's.",
                VOICE,
            ),
            latency: seconds(
                "conversation.turn.latency",
                "A part of the time that the bot takes to speak.",
                VOICE,
            ),
            barge_in_stop: seconds(
                "conversation.turn.barge_in.stop",
                "How long the bot goes on after it is interrupted.",
                VOICE,
            ),
            operation_duration: seconds(
                "gen_ai.client.operation.duration",
                "GenAI operation duration.",
                OPERATION,
            ),
            time_to_first_chunk: seconds(
                "gen_ai.client.operation.time_to_first_chunk",
                "Time to receive the first chunk of a response.",
                OPERATION,
            ),
            token_usage: meter
                .u64_histogram("gen_ai.client.token.usage")
                .with_unit("{token}")
                .with_description("Number of input and output tokens used.")
                .with_boundaries(TOKENS.to_vec())
                .build(),
            tool_duration: seconds(
                "gen_ai.execute_tool.duration",
                "The duration of a single tool execution.",
                OPERATION,
            ),
            agent_duration: seconds(
                "gen_ai.invoke_agent.duration",
                "The duration of a single agent invocation.",
                AGENT,
            ),
            stt_ttfb: seconds(
                "conversation.stt.ttfb",
                "From the end of the user's speech to its final transcript.",
                VOICE,
            ),
            characters: meter
                .u64_counter("conversation.speech.characters")
                .with_unit("{character}")
                .with_description("Characters that were synthesized.")
                .build(),
            audio: meter
                .f64_counter("conversation.speech.audio")
                .with_unit("s")
                .with_description("Audio that was transcribed.")
                .build(),
            conversation_types: Names::of(names::CONVERSATION_TYPE),
            operations: Names::of(names::GEN_AI_OPERATION_NAME),
            providers: Names::of(names::GEN_AI_PROVIDER_NAME),
            models: Names::of(names::GEN_AI_REQUEST_MODEL),
            tools: Names::of(names::GEN_AI_TOOL_NAME),
            tool_types: Names::of(names::GEN_AI_TOOL_TYPE),
            agents: Names::of(names::GEN_AI_AGENT_NAME),
            errors: Names::of(names::ERROR_TYPE),
        }
    }

    pub(super) fn record(&mut self, fact: Fact) {
        match fact {
            Fact::Started => self.active.add(1, &[]),
            Fact::Service(service) => self.record_service(&service.summary(false)),
            Fact::Turn(turn) => self.record_turn(&turn),
            Fact::Ended {
                conversation_type,
                seconds,
            } => {
                self.active.add(-1, &[]);
                let conversation_type = self.conversation_types.attribute(&conversation_type);
                self.conversation_duration
                    .record(seconds, &[conversation_type]);
            }
        }
    }

    fn record_turn(&self, turn: &TurnFact) {
        let reason = KeyValue::new(names::TURN_END_REASON, turn.end_reason.as_str());
        self.turn_duration
            .record(turn.lasted.as_secs_f64(), &[reason]);
        if let Some(latency) = turn.user_bot_latency {
            self.user_bot_latency.record(latency.as_secs_f64(), &[]);
        }
        if let Some(lasted) = turn.barge_in_stop {
            self.barge_in_stop.record(lasted.as_secs_f64(), &[]);
        }
        if let Some(measured) = &turn.measured
            && let Some(parts) = &measured.parts
        {
            let from = measured.from.as_str();
            let from = KeyValue::new(names::TURN_LATENCY_MEASURED_FROM, from);
            for (part, lasted) in parts.iter() {
                let part = KeyValue::new("part", part.name());
                self.latency
                    .record(lasted.as_secs_f64(), &[part, from.clone()]);
            }
        }
    }

    fn record_service(&mut self, service: &ServiceSummary) {
        let provider = service.provider.as_ref();
        let model = service.request_model.as_ref();
        let mut attributes: Vec<KeyValue> = [
            provider.map(|provider| self.providers.attribute(provider)),
            model.map(|model| self.models.attribute(model)),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.record_speech(service, &attributes);
        let operation = service.operation.as_ref();
        attributes.extend(operation.map(|operation| self.operations.attribute(operation)));
        self.record_tokens(service, &mut attributes);
        let error = service.error.as_ref();
        let error = error.map(|error| self.errors.attribute(&error.kind));
        let is_agent = operation.is_some_and(|operation| **operation == *INVOKE_AGENT);
        match service.kind {
            ServiceKind::Llm | ServiceKind::Tts | ServiceKind::Realtime => {
                attributes.extend(error);
                self.operation_duration
                    .record(service.duration_seconds, &attributes);
                if let Some(seconds) = service.ttfb_seconds {
                    self.time_to_first_chunk.record(seconds, &attributes);
                }
            }
            ServiceKind::Tool => {
                let tool = service.tool_name.as_ref();
                let tool = tool.map(|tool| self.tools.attribute(tool));
                let tool_type = service.tool_type.as_ref();
                let tool_type = tool_type.map(|name| self.tool_types.attribute(name));
                let agent = service.agent_name.as_ref();
                let agent = agent.map(|agent| self.agents.attribute(agent));
                let attributes: Vec<KeyValue> = [tool, tool_type, agent, error]
                    .into_iter()
                    .flatten()
                    .collect();
                self.tool_duration
                    .record(service.duration_seconds, &attributes);
            }
            _ if is_agent => {
                let agent = service.agent_name.as_ref();
                let agent = agent.map(|agent| self.agents.attribute(agent));
                let model = model.map(|model| self.models.attribute(model));
                let attributes: Vec<KeyValue> =
                    agent.into_iter().chain(model).chain(error).collect();
                self.agent_duration
                    .record(service.duration_seconds, &attributes);
            }
            _ => {}
        }
    }

    /// What speech services use and how fast a transcription is, by provider and model.
    fn record_speech(&self, service: &ServiceSummary, attributes: &[KeyValue]) {
        if let Some(seconds) = service
            .ttfb_seconds
            .filter(|_| service.kind == ServiceKind::Stt)
        {
            self.stt_ttfb.record(seconds, attributes);
        }
        if let Some(characters) = service.counted_usage.characters {
            self.characters.add(characters, attributes);
        }
        if let Some(seconds) = service
            .counted_usage
            .audio_seconds
            .filter(|s| s.is_finite())
        {
            self.audio.add(seconds, attributes);
        }
    }

    fn record_tokens(&self, service: &ServiceSummary, attributes: &mut Vec<KeyValue>) {
        let (input, output) = (
            service.counted_usage.input_tokens,
            service.counted_usage.output_tokens,
        );
        for (tokens, token_type) in [(input, "input"), (output, "output")] {
            if let Some(tokens) = tokens {
                attributes.push(KeyValue::new("gen_ai.token.type", token_type));
                self.token_usage.record(tokens, attributes);
                attributes.pop();
            }
        }
    }
}
