//! What a report needs of each span, in bounded memory.

mod keyed;
mod worst;

use crate::calls::{Call, Calls};
use crate::distribution::Distribution;
use crate::input::Reader;
use crate::otlp::{Span, Value};
use crate::resamples::{Origin, hash};
use crate::samples::{Figure, Samples};
use crate::usage::{Deduplication, Usage};
use crate::vocabulary::{self, Kind};

pub(crate) use self::keyed::{Keyed, OTHER};
pub(crate) use self::worst::{Worst, WorstTurn};

/// Upper bounds of the histogram's buckets in seconds: those of the voice metrics.
pub(crate) const BOUNDS: [f64; 19] = [
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0,
];

/// A service's kind, provider and model or tool.
pub(crate) type ServiceName = [String; 3];

/// A service's kind and what it failed with.
pub(crate) type ErrorName = [String; 2];

#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Cut off, by an interruption for instance.
    pub(crate) interrupted: u64,
    pub(crate) first_byte: Distribution,
    pub(crate) duration: Distribution,
    pub(crate) usage: Usage,
}

#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) spans: u64,
    /// Service and turn spans that no conversation is known of.
    pub(crate) outside: u64,
    /// Values that are no number, negative, or too large for what they are called.
    pub(crate) unusable: u64,
    pub(crate) calls: u64,
    /// Calls without a conversation span: cut off at the beginning or end of the input.
    pub(crate) incomplete_calls: u64,
    pub(crate) turns: u64,
    pub(crate) interruptions: u64,
    pub(crate) errors: u64,
    pub(crate) dead_air: Option<f64>,
    pub(crate) usage: Usage,
    pub(crate) latency: Distribution,
    pub(crate) histogram: [u64; BOUNDS.len() + 1],
    pub(crate) greeting: Distribution,
    pub(crate) turn_duration: Distribution,
    pub(crate) call_duration: Distribution,
    pub(crate) barge_in_stop: Distribution,
    pub(crate) parts: Keyed<[String; 1], Distribution>,
    pub(crate) services: Keyed<ServiceName, Service>,
    pub(crate) error_types: Keyed<ErrorName, u64>,
    pub(crate) worst: Worst,
    /// Kept for a comparison only.
    pub(crate) samples: Option<Samples>,
    run: u64,
    open: Calls,
    deduplication: Deduplication,
}

impl Totals {
    pub(crate) fn with_samples(samples: Samples) -> Self {
        Self {
            samples: Some(samples),
            ..Self::default()
        }
    }

    fn add(&mut self, span: &Span<'_>) {
        self.spans += 1;
        let kind = Kind::of(span);
        let conversation = span.conversation_id();
        let Some(conversation) = conversation.as_deref() else {
            self.outside += u64::from(kind != Kind::Ordinary);
            if kind == Kind::Ordinary {
                self.deduplication.counted(span, Usage::default());
            }
            return;
        };
        let call = hash(conversation.as_bytes());
        match kind {
            Kind::Conversation => self.conversation(span, call),
            Kind::Turn => self.turn(span, conversation, call),
            Kind::Service => self.service(span, call),
            Kind::Ordinary => {
                self.deduplication.counted(span, Usage::default());
            }
        }
    }

    /// All spans have been added.
    pub(crate) fn finish(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        for (hash, call) in open.drain() {
            self.complete(hash, call);
        }
    }

    fn conversation(&mut self, span: &Span<'_>, call: u64) {
        self.deduplication.forget(span);
        let (usage, unusable) = Usage::of_conversation(span);
        self.unusable += unusable;
        let duration = self.seconds(span.get("conversation.duration_seconds"));
        if let Some(duration) = duration.or_else(|| span.seconds()) {
            self.call_duration.add(duration);
        }
        // A layer that sums up omits dead air of zero; without sums it is unknown.
        let summed_up = span.get("conversation.turn_count").is_some();
        let dead_air = self
            .seconds(span.get("conversation.dead_air_seconds"))
            .or_else(|| summed_up.then_some(0.0));
        let call = self.open(call);
        call.conversations += 1;
        call.summed_usage.add(&usage);
        call.summed_dead_air = sum(call.summed_dead_air, dead_air);
    }

    fn turn(&mut self, span: &Span<'_>, conversation: &str, call: u64) {
        self.deduplication.forget(span);
        let origin = self.origin(span, call);
        self.turns += 1;
        let interrupted = vocabulary::end_reason(span) == Some("interrupted");
        self.interruptions += u64::from(interrupted);
        self.sample(
            Figure::Interruptions,
            f64::from(u8::from(interrupted)),
            origin,
        );
        let duration = self.seconds(span.get("turn.duration_seconds"));
        if let Some(duration) = duration.or_else(|| span.seconds()) {
            self.turn_duration.add(duration);
        }
        if let Some(stop) = self.seconds(span.get("turn.barge_in.stop_seconds")) {
            self.barge_in_stop.add(stop);
        }
        let dead_air = self.seconds(span.get("turn.dead_air_seconds"));
        let open = self.open(call);
        open.dead_air = sum(open.dead_air, dead_air);

        let greeting = vocabulary::is_greeting(span);
        let mut whole = None;
        for (part, value) in vocabulary::parts(span) {
            let Some(seconds) = self.seconds(Some(value)) else {
                continue;
            };
            whole = sum(whole, Some(seconds));
            if !greeting {
                let (name, distribution) = self.parts.entry([part]);
                distribution.add(seconds);
                let [name] = name;
                let figure = Figure::Part(vocabulary::part_order(&name), name);
                self.sample(figure, seconds, origin);
            }
        }
        if greeting && let Some(seconds) = whole {
            self.greeting.add(seconds);
            self.sample(Figure::Greeting, seconds, origin);
        }
        if let Some(seconds) = self.seconds(span.get("turn.user_bot_latency_seconds")) {
            self.latency.add(seconds);
            self.histogram[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
            self.worst.add(seconds, conversation, span);
            if let Some(samples) = &mut self.samples {
                samples.add_latency(seconds, origin);
            }
        }
    }

    fn service(&mut self, span: &Span<'_>, call: u64) {
        let origin = self.origin(span, call);
        let (used, unusable) = Usage::of_service(span);
        self.unusable += unusable;
        let used = self.deduplication.counted(span, used);
        self.open(call).usage.add(&used);

        let first_byte = span
            .get("metrics.ttfb")
            .or_else(|| span.get("gen_ai.response.time_to_first_chunk"));
        let first_byte = self.seconds(first_byte);
        let kind = vocabulary::service(span);
        let (name, service) = self.services.entry([
            kind,
            vocabulary::provider(span).unwrap_or_default(),
            vocabulary::model(span).unwrap_or_default(),
        ]);
        service.requests += 1;
        service.errors += u64::from(span.failed);
        service.interrupted += u64::from(
            span.get("interrupted").and_then(Value::bool) == Some(true)
                || span.get("tts.interrupted").and_then(Value::bool) == Some(true),
        );
        if let Some(seconds) = span.seconds() {
            service.duration.add(seconds);
        }
        if let Some(seconds) = first_byte {
            service.first_byte.add(seconds);
        }
        service.usage.add(&used);
        if let Some(samples) = &mut self.samples {
            if let Some(seconds) = first_byte {
                let named = name.iter().filter(|part| !part.is_empty());
                let named: Vec<&str> = named.map(String::as_str).collect();
                samples.add(Figure::FirstByte(named.join(" ")), seconds, origin);
            }
            for (figure, tokens) in [
                (Figure::InputTokens, used.input_tokens),
                (Figure::OutputTokens, used.output_tokens),
            ] {
                if let Some(tokens) = tokens {
                    samples.add(figure, tokens as f64, origin);
                }
            }
        }
        self.sample(Figure::Errors, f64::from(u8::from(span.failed)), origin);
        if span.failed {
            self.errors += 1;
            let error = span.text("error.type").unwrap_or(OTHER);
            *self.error_types.entry([kind, error]).1 += 1;
        }
    }

    fn open(&mut self, call: u64) -> &mut Call {
        let mut pushed_out = None;
        // The call that is pushed out needs the rest of `self`.
        self.open
            .touch(call, |hash, call| pushed_out = Some((hash, call)));
        if let Some((hash, call)) = pushed_out {
            self.complete(hash, call);
        }
        let run = hash(&self.run.to_le_bytes());
        let call = self.open.touch(call, |_, _| {});
        call.run = run;
        call
    }

    fn complete(&mut self, hash: u64, call: Call) {
        self.calls += call.conversations.max(1);
        self.incomplete_calls += u64::from(call.conversations == 0);
        self.dead_air = sum(self.dead_air, call.dead_air());
        let usage = call.usage();
        self.usage.add(&usage);
        let origin = Origin {
            run: call.run,
            call: hash,
            turn: hash,
        };
        if let Some(seconds) = call.dead_air() {
            self.sample(Figure::DeadAir, seconds, origin);
        }
        if let Some(cost) = usage.cost_usd {
            self.sample(Figure::Cost, cost, origin);
        }
    }

    /// What a span belongs to; the whole call where its turn is not known.
    fn origin(&self, span: &Span<'_>, call: u64) -> Origin {
        let number = span.get("turn.number").and_then(Value::count);
        Origin {
            run: hash(&self.run.to_le_bytes()),
            call,
            turn: number.map_or(call, |number| {
                hash(&[call.to_le_bytes(), number.to_le_bytes()].concat())
            }),
        }
    }

    /// A length in seconds that can be used; one that cannot is counted.
    fn seconds(&mut self, value: Option<&Value<'_>>) -> Option<f64> {
        let value = value?;
        let seconds = value
            .number()
            .filter(|seconds| Distribution::takes(*seconds));
        self.unusable += u64::from(seconds.is_none());
        seconds
    }

    fn sample(&mut self, figure: Figure, value: f64, origin: Origin) {
        if let Some(samples) = &mut self.samples {
            samples.add(figure, value, origin);
        }
    }
}

impl Reader for Totals {
    fn start_file(&mut self) {
        self.run += 1;
    }

    fn span(&mut self, span: &Span<'_>) {
        self.add(span);
    }
}

fn sum(total: Option<f64>, more: Option<f64>) -> Option<f64> {
    match (total, more) {
        // Each value is in range, their sum need not be, but it stays finite.
        (Some(total), Some(more)) => Some((total + more).min(f64::MAX)),
        (total, more) => total.or(more),
    }
}

#[cfg(test)]
mod tests;
