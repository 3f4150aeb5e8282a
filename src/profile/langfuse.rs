//! Langfuse: session on every span, observation type, input and output, time of the first token.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Added, Facts, Kind};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    add.put("langfuse.session.id", facts.session());
    add.put("session.id", facts.session());
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
    add.put("langfuse.observation.input", facts.input());
    add.put("langfuse.observation.output", facts.output());
    add.put(
        "langfuse.observation.completion_start_time",
        facts.first_output().map(iso),
    );
    if facts.is_root() {
        add.put(
            "langfuse.trace.name",
            Some(facts.span.name.clone().into_owned()),
        );
    }
    if facts.kind == Kind::Turn {
        // A trace of a whole conversation shows how it began and, the last to arrive winning, how it went on.
        if facts.is_root() || facts.integer(names::TURN_NUMBER) == Some(1) {
            add.put("langfuse.trace.input", facts.input());
        }
        add.put("langfuse.trace.output", facts.output());
    }
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

/// The civil date of a day since 1970. Years are counted from March, so that the leap day comes last in one.
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
