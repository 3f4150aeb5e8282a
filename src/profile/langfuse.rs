//! Langfuse: session and user on every span, observation type, level, input and output, usage, time of the first token.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::StringValue;
use serde_json::{Map, json};

use super::facts::{Added, Facts};
use super::kind::Kind;
use crate::messages::Shape;
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    add.put("langfuse.session.id", facts.session());
    add.put("session.id", facts.session());
    add.put("langfuse.user.id", facts.user());
    add.put("langfuse.trace.tags", facts.tag_list());
    add.put(
        "langfuse.observation.type",
        match facts.kind {
            Kind::Stt | Kind::Llm | Kind::Tts | Kind::Realtime => Some("generation"),
            Kind::Tool => Some("tool"),
            Kind::Agent => Some("agent"),
            Kind::Turn => Some("chain"),
            Kind::Conversation | Kind::Other => None,
        },
    );
    let is_failed = matches!(
        facts.span.status,
        opentelemetry::trace::Status::Error { .. }
    );
    // Langfuse derives `ERROR` from the status.
    add.put(
        "langfuse.observation.level",
        (facts.is_interrupted_turn() && !is_failed).then_some("WARNING"),
    );
    add.put("langfuse.observation.input", input(facts));
    add.put("langfuse.observation.output", output(facts));
    add.put(
        "langfuse.observation.completion_start_time",
        facts.first_output().map(iso),
    );
    add.put("langfuse.observation.usage_details", usage(facts));
    add.put(
        "langfuse.observation.cost_details",
        facts.cost().map(|cost| json!({"total": cost}).to_string()),
    );
    if facts.is_root() {
        add.put("langfuse.trace.name", Some(facts.name.clone()));
    }
    match facts.kind {
        // The root span ends last, and the last value wins.
        Kind::Conversation if facts.is_root() => {
            add.put("langfuse.trace.input", facts.input());
            add.put("langfuse.trace.output", facts.output());
        }
        Kind::Turn => {
            // Until the conversation ends, its trace shows the first input and the latest output.
            add.put(
                "langfuse.trace.input",
                facts.input().filter(|_| facts.has_first_input),
            );
            add.put("langfuse.trace.output", facts.output());
        }
        _ => {}
    }
}

/// Messages and tools in OpenAI's form, which Langfuse renders as a chat; the text for other kinds of spans.
fn input(facts: &Facts<'_>) -> Option<StringValue> {
    if !facts.kind.has_messages() {
        return facts.input();
    }
    let shape = if facts.words.tools.is_empty() {
        Shape::List
    } else {
        Shape::Object
    };
    let chat = facts.words.chat_input(shape, facts.limit);
    chat.map(Into::into).or_else(|| facts.input())
}

fn output(facts: &Facts<'_>) -> Option<StringValue> {
    if !facts.kind.has_messages() {
        return facts.output();
    }
    if let Some(text) = facts.words.only_text() {
        return Some(text.to_owned().into());
    }
    let chat = facts.words.chat_output(Shape::List, facts.limit);
    chat.map(Into::into).or_else(|| facts.output())
}

/// Usage under the keys of Langfuse's prices. Each token is counted under exactly one key; values are integers.
fn usage(facts: &Facts<'_>) -> Option<String> {
    let mut usage = Map::new();
    match facts.kind {
        Kind::Llm | Kind::Realtime => {
            let mut total = 0_u64;
            for (whole, rest, details) in TOKENS {
                let Some(tokens) = count(facts, whole) else {
                    continue;
                };
                total = total.saturating_add(tokens);
                let mut left = tokens;
                for (detail, key) in *details {
                    // A provider may count a token in several details, such as cached audio.
                    let part = count(facts, detail).unwrap_or(0).min(left);
                    left -= part;
                    if part > 0 {
                        usage.insert((*key).into(), part.into());
                    }
                }
                usage.insert((*rest).into(), left.into());
            }
            if !usage.is_empty() {
                usage.insert("total".into(), total.into());
            }
        }
        Kind::Stt => {
            let seconds = facts.float(names::METRICS_AUDIO_SECONDS)?;
            // Langfuse accepts integers only; round up.
            if seconds >= 0.0 {
                usage.insert("seconds".into(), json!(seconds.ceil() as u64));
            }
        }
        Kind::Tts => {
            let characters = count(facts, names::METRICS_CHARACTER_COUNT)?;
            usage.insert("characters".into(), characters.into());
        }
        _ => {}
    }
    (!usage.is_empty()).then(|| serde_json::Value::Object(usage).to_string())
}

/// The attribute with all tokens, the key for the remainder, and the details with their keys.
type Tokens = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const TOKENS: &[Tokens] = &[
    (
        names::GEN_AI_USAGE_INPUT_TOKENS,
        "input",
        &[
            (
                names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
                "input_cached_tokens",
            ),
            (
                names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
                "input_cache_creation",
            ),
            (names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS, "input_audio_tokens"),
        ],
    ),
    (
        names::GEN_AI_USAGE_OUTPUT_TOKENS,
        "output",
        &[
            (
                names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
                "output_reasoning_tokens",
            ),
            (
                names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
                "output_audio_tokens",
            ),
        ],
    ),
];

fn count(facts: &Facts<'_>, key: &str) -> Option<u64> {
    u64::try_from(facts.integer(key)?).ok()
}

/// `2025-07-13T05:20:00.500Z`.
fn iso(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// The civil date of a day since 1970-01-01. Years start in March, so that the leap day is the last day of a year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_langfuse_reads_them() {
        let at = |millis| iso(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_752_384_000_500), "2025-07-13T05:20:00.500Z");
        assert_eq!(at(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
