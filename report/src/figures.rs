//! Figures by name, for conditions, and how they are written.

use serde::Serialize;

use crate::report::{Report, Summary};
use crate::vocabulary::PARTS;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Seconds,
    /// From 0 to 1.
    Share,
    Count,
    Dollars,
}

impl Unit {
    /// `value` from 0 up, as a reader wants it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => seconds(value),
            Self::Share => format!("{:.2} %", value * 100.0),
            Self::Count if value.fract() == 0.0 => count(value as u64),
            Self::Count => format!("{value:.1}"),
            Self::Dollars => dollars(value),
        }
    }
}

/// `840 ms`, `1.25 s`, `12.5 s`, `2m 05s`.
pub(crate) fn seconds(value: f64) -> String {
    // Bounds half a last digit lower, so that 0.9996 is not 1000 ms.
    if value < 0.000_05 {
        "0 ms".to_owned()
    } else if value < 0.000_95 {
        format!("{:.1} ms", value * 1e3)
    } else if value < 0.999_5 {
        format!("{:.0} ms", value * 1e3)
    } else if value < 9.995 {
        format!("{value:.2} s")
    } else if value < 59.95 {
        format!("{value:.1} s")
    } else {
        let whole = value.round() as u64;
        match (whole / 3_600, whole / 60 % 60, whole % 60) {
            (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
            (hours, minutes, seconds) => format!("{}h {minutes:02}m {seconds:02}s", count(hours)),
        }
    }
}

/// `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Cents where there are dollars, else three digits.
pub(crate) fn dollars(value: f64) -> String {
    if value >= 1.0 || value == 0.0 {
        let cents = (value * 100.0).round();
        format!(
            "${}.{:02}",
            count((cents / 100.0) as u64),
            (cents % 100.0) as u64
        )
    } else {
        let digits = (2.0 - value.log10().floor()).clamp(2.0, 12.0) as usize;
        format!("${value:.digits$}")
    }
}

/// Something that a condition can name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Named {
    Plain(&'static str),
    /// A statistic of a part of the latency, or of something else that takes time.
    Of(&'static str, &'static str),
}

const STATISTICS: [&str; 5] = ["p50", "p95", "p99", "max", "mean"];

/// Beside the parts.
const TIMES: [&str; 4] = [
    "greeting",
    "barge_in_stop",
    "turn_duration",
    "call_duration",
];

const PLAIN: [(&str, Unit); 14] = [
    ("calls", Unit::Count),
    ("incomplete_calls", Unit::Count),
    ("turns", Unit::Count),
    ("interruptions", Unit::Count),
    ("interruption_rate", Unit::Share),
    ("errors", Unit::Count),
    ("error_rate", Unit::Share),
    ("dead_air", Unit::Seconds),
    ("dead_air_per_call", Unit::Seconds),
    ("input_tokens", Unit::Count),
    ("output_tokens", Unit::Count),
    ("cost", Unit::Dollars),
    ("cost_per_call", Unit::Dollars),
    ("bad_lines", Unit::Count),
];

impl Named {
    pub(crate) fn find(name: &str) -> Option<Self> {
        let statistic = |name: &str| STATISTICS.into_iter().find(|it| *it == name);
        if let Some(statistic) = statistic(name) {
            return Some(Self::Of("", statistic));
        }
        if let Some((of, name)) = name.split_once('.') {
            let mut times = PARTS.into_iter().chain(TIMES);
            return Some(Self::Of(times.find(|it| *it == of)?, statistic(name)?));
        }
        let (name, _) = PLAIN.into_iter().find(|(it, _)| *it == name)?;
        Some(Self::Plain(name))
    }

    /// What can be named, for a message.
    pub(crate) fn all() -> String {
        let plain: Vec<&str> = PLAIN.into_iter().map(|(name, _)| name).collect();
        let times: Vec<&str> = PARTS.into_iter().chain(TIMES).collect();
        format!(
            "{} (of the user-bot latency), {}, and {}, each with .p50, .p95, .p99, .max or .mean after it",
            STATISTICS.join(", "),
            plain.join(", "),
            times.join(", ")
        )
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Of(..) => Unit::Seconds,
            Self::Plain(name) => PLAIN
                .into_iter()
                .find(|(it, _)| *it == name)
                .map_or(Unit::Count, |(_, unit)| unit),
        }
    }

    /// None where the input does not say.
    pub(crate) fn of(self, report: &Report) -> Option<f64> {
        match self {
            Self::Of(of, statistic) => time(report, of).map(|summary| match statistic {
                "p50" => summary.p50,
                "p95" => summary.p95,
                "p99" => summary.p99,
                "max" => summary.max,
                _ => summary.mean,
            }),
            Self::Plain(name) => plain(report, name),
        }
    }
}

fn time(report: &Report, of: &str) -> Option<Summary> {
    match of {
        "" => report.user_bot_latency,
        "greeting" => report.greeting,
        "barge_in_stop" => report.barge_in_stop,
        "turn_duration" => report.turn_duration,
        "call_duration" => report.call_duration,
        part => {
            let part = report.parts.iter().find(|it| it.part == part);
            // A part that did not occur took no time.
            let none = report.user_bot_latency.map(|_| Summary::ZERO);
            part.map(|it| it.summary).or(none)
        }
    }
}

fn plain(report: &Report, name: &str) -> Option<f64> {
    let per_call = |sum: Option<f64>| {
        sum.filter(|_| report.calls > 0)
            .map(|sum| sum / report.calls as f64)
    };
    let count = |count: u64| Some(count as f64);
    match name {
        "calls" => count(report.calls),
        "incomplete_calls" => count(report.incomplete_calls),
        "turns" => count(report.turns),
        "interruptions" => count(report.interruptions),
        "interruption_rate" => report.interruption_rate,
        "errors" => count(report.errors),
        "error_rate" => report.error_rate,
        "dead_air" => report.dead_air_seconds,
        "dead_air_per_call" => per_call(report.dead_air_seconds),
        "input_tokens" => report.usage.input_tokens.map(|it| it as f64),
        "output_tokens" => report.usage.output_tokens.map(|it| it as f64),
        "cost" => report.usage.cost_usd,
        "cost_per_call" => per_call(report.usage.cost_usd),
        "bad_lines" => count(report.input.lines.bad_lines),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_value_of_its_own_or_is_not_known() {
        for (name, unit) in PLAIN {
            assert_eq!(Named::find(name).map(Named::unit), Some(unit), "{name}");
        }
        assert_eq!(
            Named::find("llm_inference.p95"),
            Some(Named::Of("llm_inference", "p95"))
        );
        for name in [
            "",
            "p96",
            ".p95",
            "llm_inference",
            "llm_inference.",
            "nothing.p95",
            "P95",
        ] {
            assert_eq!(Named::find(name), None, "{name}");
        }
    }

    #[test]
    fn figures_are_written_with_three_digits() {
        for (value, text) in [
            (0.0, "0 ms"),
            (0.000_049, "0 ms"),
            (0.000_4, "0.4 ms"),
            (0.84, "840 ms"),
            (0.999_6, "1.00 s"),
            (1.254, "1.25 s"),
            (9.996, "10.0 s"),
            (59.96, "1m 00s"),
            (125.0, "2m 05s"),
            (3_725.0, "1h 02m 05s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        for (value, text) in [
            (0.0, "$0.00"),
            (1_234.567, "$1,234.57"),
            (0.0123, "$0.0123"),
            (0.000_012_34, "$0.0000123"),
            (0.5, "$0.500"),
        ] {
            assert_eq!(dollars(value), text);
        }
    }
}
