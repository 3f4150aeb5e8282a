//! The report as data: what JSON has in it, and what text and markdown are made of.

use serde::Serialize;

use crate::distribution::{Distribution, RELATIVE_ERROR};
use crate::gather::{BOUNDS, Totals, WorstTurn};
use crate::input::Input;
use crate::usage::Usage;
use crate::vocabulary::part_order;

/// All durations in seconds, all shares from 0 to 1, ids in hexadecimal. What is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) input: Read,
    pub(crate) calls: u64,
    /// Of these, those without a conversation span in the input.
    pub(crate) incomplete_calls: u64,
    pub(crate) turns: u64,
    /// Turns that the user ended by speaking while the bot spoke.
    pub(crate) interruptions: u64,
    pub(crate) interruption_rate: Option<f64>,
    /// Service spans that failed.
    pub(crate) errors: u64,
    /// Of all service spans.
    pub(crate) error_rate: Option<f64>,
    pub(crate) dead_air_seconds: Option<f64>,
    pub(crate) usage: Usage,
    pub(crate) user_bot_latency: Option<Summary>,
    pub(crate) histogram: Vec<Bucket>,
    pub(crate) parts: Vec<Part>,
    /// From the client's connection to the bot's first word.
    pub(crate) greeting: Option<Summary>,
    /// From an interruption to the moment the bot is silent.
    pub(crate) barge_in_stop: Option<Summary>,
    pub(crate) turn_duration: Option<Summary>,
    pub(crate) call_duration: Option<Summary>,
    pub(crate) services: Vec<Service>,
    pub(crate) error_types: Vec<ErrorType>,
    pub(crate) worst_turns: Vec<Worst>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Read {
    #[serde(flatten)]
    pub(crate) lines: Input,
    pub(crate) spans: u64,
    /// Turn and service spans that belong to no conversation; they are left out.
    pub(crate) spans_outside_conversations: u64,
    /// Attributes that are no figure of their kind: not finite, negative, too large. They are left out.
    pub(crate) unusable_values: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// How far p50, p95 and p99 may be off, as a share of them; 0 if they are exact.
    pub(crate) quantile_error: f64,
}

/// Turns whose latency lies above `from` and not above `to`.
#[derive(Debug, Serialize)]
pub(crate) struct Bucket {
    pub(crate) from: f64,
    /// Null for the last.
    pub(crate) to: Option<f64>,
    pub(crate) turns: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) part: String,
    /// Of the latency of all turns together.
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

#[derive(Debug, Serialize)]
pub(crate) struct Service {
    /// `stt`, `llm`, `tts`, `tool`, or the operation's own name.
    pub(crate) service: String,
    pub(crate) provider: Option<String>,
    /// Of a tool, its name.
    pub(crate) model: Option<String>,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) interrupted: u64,
    pub(crate) time_to_first_byte: Option<Summary>,
    pub(crate) duration: Option<Summary>,
    pub(crate) usage: Usage,
}

#[derive(Debug, Serialize)]
pub(crate) struct ErrorType {
    pub(crate) service: String,
    pub(crate) error_type: String,
    pub(crate) count: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Worst {
    pub(crate) user_bot_latency_seconds: f64,
    pub(crate) conversation_id: String,
    pub(crate) turn_number: Option<u64>,
    pub(crate) longest_part: Option<String>,
    pub(crate) longest_part_seconds: Option<f64>,
    pub(crate) end_reason: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
}

impl Report {
    pub(crate) fn new(totals: &Totals, lines: Input) -> Self {
        let requests = totals.services.iter().map(|(_, it)| it.requests).sum();
        Self {
            input: Read {
                lines,
                spans: totals.spans,
                spans_outside_conversations: totals.outside,
                unusable_values: totals.unusable,
            },
            calls: totals.calls,
            incomplete_calls: totals.incomplete_calls,
            turns: totals.turns,
            interruptions: totals.interruptions,
            interruption_rate: rate(totals.interruptions, totals.turns),
            errors: totals.errors,
            error_rate: rate(totals.errors, requests),
            dead_air_seconds: totals.dead_air,
            usage: totals.usage,
            user_bot_latency: Summary::of(&totals.latency),
            histogram: histogram(totals),
            parts: parts(totals),
            greeting: Summary::of(&totals.greeting),
            barge_in_stop: Summary::of(&totals.barge_in_stop),
            turn_duration: Summary::of(&totals.turn_duration),
            call_duration: Summary::of(&totals.call_duration),
            services: services(totals),
            error_types: error_types(totals),
            worst_turns: totals.worst.turns().iter().map(Worst::from).collect(),
        }
    }

    /// Whether there was anything to report on.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls == 0
    }
}

impl Summary {
    /// Of what did not happen.
    pub(crate) const ZERO: Self = Self {
        count: 0,
        mean: 0.0,
        p50: 0.0,
        p95: 0.0,
        p99: 0.0,
        max: 0.0,
        quantile_error: 0.0,
    };

    fn of(distribution: &Distribution) -> Option<Self> {
        let [p50, p95, p99] = distribution.quantiles([0.5, 0.95, 0.99])?;
        Some(Self {
            count: distribution.count(),
            mean: distribution.mean()?,
            p50,
            p95,
            p99,
            max: distribution.max()?,
            quantile_error: if distribution.is_exact() {
                0.0
            } else {
                RELATIVE_ERROR
            },
        })
    }
}

fn rate(some: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| some as f64 / of as f64)
}

/// From the first bucket with a turn in it to the last.
fn histogram(totals: &Totals) -> Vec<Bucket> {
    let bounds = BOUNDS.map(Some).into_iter().chain([None]);
    let buckets = totals.histogram.iter().zip(bounds).enumerate();
    let mut buckets: Vec<Bucket> = buckets
        .map(|(at, (turns, to))| Bucket {
            from: if at == 0 { 0.0 } else { BOUNDS[at - 1] },
            to,
            turns: *turns,
        })
        .skip_while(|bucket| bucket.turns == 0)
        .collect();
    while buckets.last().is_some_and(|bucket| bucket.turns == 0) {
        buckets.pop();
    }
    buckets
}

fn parts(totals: &Totals) -> Vec<Part> {
    let whole: f64 = totals.parts.iter().map(|(_, part)| part.sum()).sum();
    let mut parts: Vec<Part> = totals
        .parts
        .iter()
        .filter_map(|([part], distribution)| {
            Some(Part {
                part: part.clone(),
                share: if whole > 0.0 {
                    distribution.sum() / whole
                } else {
                    0.0
                },
                summary: Summary::of(distribution)?,
            })
        })
        .collect();
    parts.sort_by_key(|part| part_order(&part.part));
    parts
}

fn services(totals: &Totals) -> Vec<Service> {
    let name = |name: &String| (!name.is_empty()).then(|| name.clone());
    let services = totals.services.iter();
    services
        .map(|([service, provider, model], it)| Service {
            service: service.clone(),
            provider: name(provider),
            model: name(model),
            requests: it.requests,
            errors: it.errors,
            interrupted: it.interrupted,
            time_to_first_byte: Summary::of(&it.first_byte),
            duration: Summary::of(&it.duration),
            usage: it.usage,
        })
        .collect()
}

fn error_types(totals: &Totals) -> Vec<ErrorType> {
    let types = totals.error_types.iter();
    let mut types: Vec<ErrorType> = types
        .map(|([service, error_type], count)| ErrorType {
            service: service.clone(),
            error_type: error_type.clone(),
            count: *count,
        })
        .collect();
    types.sort_by_key(|it| std::cmp::Reverse(it.count));
    types
}

impl From<&WorstTurn> for Worst {
    fn from(turn: &WorstTurn) -> Self {
        Self {
            user_bot_latency_seconds: turn.latency,
            conversation_id: turn.conversation.clone(),
            turn_number: turn.turn,
            longest_part: turn.part.as_ref().map(|(part, _)| part.clone()),
            longest_part_seconds: turn.part.as_ref().map(|(_, seconds)| *seconds),
            end_reason: turn.end_reason.clone(),
            trace_id: turn.trace.map(|id| format!("{id:032x}")),
            span_id: turn.span.map(|id| format!("{id:016x}")),
        }
    }
}
