//! What the tree shows of a span.

use crate::clean::clean;
use crate::distribution::Distribution;
use crate::figures::{count, seconds};
use crate::otlp::{Span, Value};
use crate::usage::Usage;
use crate::vocabulary::{self, Kind};

/// How many characters of a text are kept.
const TEXT_CHARS: usize = 400;

/// How many characters of a name are kept.
const NAME_CHARS: usize = 80;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: Option<u64>,
    pub(super) parent: Option<u64>,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    pub(super) first_byte: Option<f64>,
    pub(super) failed: bool,
    pub(super) interrupted: bool,
    pub(super) label: String,
    /// What it used, for the end of its line.
    pub(super) facts: String,
    /// What is written below it: who said it, and what.
    pub(super) texts: Vec<(&'static str, String)>,
    end_reason: Option<String>,
    reply: Option<f64>,
}

impl Node {
    pub(super) fn seconds(&self) -> Option<f64> {
        Some(self.end?.checked_sub(self.start?)? as f64 / 1e9)
    }

    /// A turn's line.
    pub(super) fn heading(&self) -> String {
        let facts = [
            Some(self.label.clone()),
            self.end_reason.clone(),
            self.reply.map(|reply| format!("reply {}", seconds(reply))),
            self.seconds().map(seconds),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        facts.join(" · ")
    }
}

impl From<&Span<'_>> for Node {
    fn from(span: &Span<'_>) -> Self {
        let kind = Kind::of(span);
        let name = |text: &str| clean(text, NAME_CHARS);
        let end_reason = vocabulary::end_reason(span).filter(|_| kind == Kind::Turn);
        let label = match kind {
            Kind::Conversation => {
                let id = span.conversation_id();
                format!("call {}", name(id.as_deref().unwrap_or_default()))
            }
            Kind::Turn => match span.get("turn.number").and_then(Value::count) {
                Some(number) => format!("turn {number}"),
                None => "turn".to_owned(),
            },
            Kind::Service => {
                let words = [
                    Some(vocabulary::service(span)),
                    vocabulary::provider(span),
                    vocabulary::model(span),
                ];
                let words: Vec<String> = words.into_iter().flatten().map(name).collect();
                words.join(" ")
            }
            Kind::Ordinary => name(&span.name),
        };
        let seconds_of = |key| span.get(key).and_then(length);
        Self {
            id: span.span_id,
            parent: span.parent,
            kind,
            start: span.start,
            end: span.end,
            first_byte: seconds_of("metrics.ttfb")
                .or_else(|| seconds_of("gen_ai.response.time_to_first_chunk")),
            failed: span.failed,
            interrupted: end_reason == Some("interrupted"),
            label,
            facts: match kind {
                Kind::Service => facts(span, &Usage::of_service(span).0),
                _ => String::new(),
            },
            texts: texts(span, kind),
            end_reason: end_reason.map(|reason| name(&reason.replace('_', " "))),
            reply: seconds_of("turn.user_bot_latency_seconds"),
        }
    }
}

/// A length of time in seconds that can be used.
fn length(value: &Value<'_>) -> Option<f64> {
    value.number().filter(|it| Distribution::takes(*it))
}

fn facts(span: &Span<'_>, used: &Usage) -> String {
    let tokens = used.input_tokens.or(used.output_tokens).map(|_| {
        let shown = |tokens: Option<u64>| tokens.map_or_else(|| "?".to_owned(), count);
        format!(
            "{}→{} tok",
            shown(used.input_tokens),
            shown(used.output_tokens)
        )
    });
    let cut_off = ["interrupted", "tts.interrupted"].into_iter();
    let cut_off = cut_off.filter_map(|key| span.get(key)?.bool()).any(|it| it);
    let facts = [
        cut_off.then(|| "cut off".to_owned()),
        tokens,
        used.characters
            .map(|characters| format!("{} chars", count(characters))),
        used.audio_seconds
            .map(|audio| format!("{} audio", seconds(audio))),
        used.cost_usd.map(crate::figures::dollars),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    facts.join(" · ")
}

/// How long either spoke in a conversation, and dead air.
fn speech(conversation: &Span<'_>) -> String {
    let sums = [
        ("user", "conversation.user_speech_seconds"),
        ("bot", "conversation.bot_speech_seconds"),
        ("dead air", "conversation.dead_air_seconds"),
    ];
    let sums = sums.into_iter().filter_map(|(what, key)| {
        let lasted = conversation.get(key).and_then(length)?;
        Some(format!("{what} {}", seconds(lasted)))
    });
    sums.collect::<Vec<_>>().join(" · ")
}

fn texts(span: &Span<'_>, kind: Kind) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let mut text = |who, text: Option<&str>| {
        if let Some(text) = text {
            texts.push((who, clean(text, TEXT_CHARS)));
        }
    };
    if kind == Kind::Conversation {
        let used = facts(span, &Usage::of_conversation(span).0);
        for (what, sums) in [("speech", speech(span)), ("used", used)] {
            text(what, (!sums.is_empty()).then_some(sums.as_str()));
        }
    }
    if kind == Kind::Turn {
        text("user", span.text("turn.input"));
        let heard = span.text("turn.heard_output");
        text("bot", span.text("turn.output"));
        text("heard", heard);
        let parts: Vec<String> = vocabulary::parts(span)
            .filter_map(|(part, value)| {
                Some(format!(
                    "{} {}",
                    part.replace('_', " "),
                    seconds(length(value)?)
                ))
            })
            .collect();
        let from = if vocabulary::is_greeting(span) {
            "greeting"
        } else {
            "reply"
        };
        text(
            from,
            (!parts.is_empty()).then(|| parts.join(" + ")).as_deref(),
        );
    }
    if vocabulary::service(span) == "tool" {
        text("with", span.text("gen_ai.tool.call.arguments"));
        text("gives", span.text("gen_ai.tool.call.result"));
    }
    if span.failed {
        let why = span.failure.as_deref().or_else(|| span.text("error.type"));
        text("error", Some(why.unwrap_or("no message")));
    }
    texts
}
