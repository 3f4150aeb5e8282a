//! `--fail-if`: what a report must not say.

use std::str::FromStr;

use crate::failure::Failure;
use crate::figures::{Named, Unit};
use crate::report::Report;

/// `FIGURE OPERATOR VALUE`, or `worse`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// A comparison found something worse.
    Worse,
    Figure {
        text: String,
        figure: Named,
        operator: Operator,
        limit: f64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operator {
    More,
    AtLeast,
    Less,
    AtMost,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "worse" {
            return Ok(Self::Worse);
        }
        let at = text.find(['<', '>']).ok_or(
            "there is no >, >=, < or <= in it; a condition is a figure, one of these, and a value: p95 > 1.5s",
        )?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (operator, value) = if let Some(value) = rest.strip_prefix(">=") {
            (Operator::AtLeast, value)
        } else if let Some(value) = rest.strip_prefix("<=") {
            (Operator::AtMost, value)
        } else if let Some(value) = rest.strip_prefix('>') {
            (Operator::More, value)
        } else {
            (Operator::Less, &rest[1..])
        };
        let figure = Named::find(name)
            .ok_or_else(|| format!("there is no figure {name:?}; there are {}", Named::all()))?;
        Ok(Self::Figure {
            text: text.trim().to_owned(),
            figure,
            operator,
            limit: limit(value.trim(), figure.unit())?,
        })
    }
}

fn limit(value: &str, unit: Unit) -> Result<f64, String> {
    // Dollars may stand in front.
    let (before, rest) = match value.strip_prefix('$') {
        Some(rest) => ("$", rest.trim_start()),
        None => ("", value),
    };
    let end = rest
        .find(|char: char| !(char.is_ascii_digit() || char == '.'))
        .unwrap_or(rest.len());
    let (number, after) = (&rest[..end], rest[end..].trim());
    let suffix = format!("{before}{after}");
    let suffix = suffix.as_str();
    let (allowed, scale) = match unit {
        Unit::Seconds => (
            "a number with ms, s, m or nothing for seconds after it",
            match suffix {
                "" | "s" => Some(1.0),
                "ms" => Some(1e-3),
                "m" => Some(60.0),
                _ => None,
            },
        ),
        Unit::Share => (
            "a number with % after it, or a share from 0 to 1",
            match suffix {
                "%" => Some(0.01),
                "" => Some(1.0),
                _ => None,
            },
        ),
        Unit::Count => ("a number", suffix.is_empty().then_some(1.0)),
        Unit::Dollars => (
            "a number with $ before it, usd after it, or neither",
            matches!(suffix, "" | "$" | "usd").then_some(1.0),
        ),
    };
    let number = number.parse::<f64>().ok().filter(|it| it.is_finite());
    number
        .zip(scale)
        .map(|(number, scale)| number * scale)
        .ok_or_else(|| format!("the value {value:?} is not {allowed}"))
}

impl Condition {
    /// Returns a description of the figure if the condition holds.
    ///
    /// # Errors
    ///
    /// The input does not contain the figure.
    pub(crate) fn holds(&self, report: &Report, worse: bool) -> Result<Option<String>, Failure> {
        let Self::Figure {
            text,
            figure,
            operator,
            limit,
        } = self
        else {
            return Ok(worse.then(|| "worse: AFTER is worse than BEFORE".to_owned()));
        };
        let value = figure.of(report).ok_or_else(|| {
            let remedy = match figure {
                Named::Plain("cost" | "cost_per_call") => {
                    "no span has usage.cost_usd; set CONVERSATION_PRICES in the program that is traced"
                }
                Named::Plain("dead_air" | "dead_air_per_call") => {
                    "no conversation span has conversation.dead_air_seconds"
                }
                Named::Of(..) => "nothing in the input took that time",
                Named::Plain(_) => "no span in the input has this figure",
            };
            Failure(format!("--fail-if '{text}' cannot be decided: {remedy}"))
        })?;
        let holds = match operator {
            Operator::More => value > *limit,
            Operator::AtLeast => value >= *limit,
            Operator::Less => value < *limit,
            Operator::AtMost => value <= *limit,
        };
        Ok(holds.then(|| format!("{text}: it is {}", figure.unit().show(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Named, Operator, f64) {
        match text.parse() {
            Ok(Condition::Figure {
                figure,
                operator,
                limit,
                ..
            }) => (figure, operator, limit),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn conditions_are_read() {
        let latency = Named::Of("", "p95");
        assert_eq!(parsed("p95 > 1.5s"), (latency, Operator::More, 1.5));
        assert_eq!(parsed("p95>=1500 ms"), (latency, Operator::AtLeast, 1.5));
        assert_eq!(parsed(" p95 < 2 "), (latency, Operator::Less, 2.0));
        assert_eq!(
            parsed("llm_inference.mean <= 1m"),
            (Named::Of("llm_inference", "mean"), Operator::AtMost, 60.0)
        );
        assert_eq!(
            parsed("interruption_rate > 20%"),
            (Named::Plain("interruption_rate"), Operator::More, 0.2)
        );
        assert_eq!(
            parsed("cost > $0.50"),
            (Named::Plain("cost"), Operator::More, 0.5)
        );
        assert_eq!(parsed("cost > 2 usd").2, 2.0);
        assert_eq!("worse".parse(), Ok(Condition::Worse));
    }

    #[test]
    fn what_cannot_be_read_names_what_is_allowed() {
        for (text, says) in [
            ("p95", "a condition is a figure"),
            ("p96 > 1s", "there is no figure \"p96\"; there are p50, p95"),
            ("p95 > fast", "\"fast\" is not a number with ms, s, m"),
            ("p95 > 1%", "\"1%\" is not a number with ms"),
            ("errors > 1s", "\"1s\" is not a number"),
            ("cost > $-1", "\"$-1\" is not a number with $"),
            ("cost > $1 usd", "\"$1 usd\" is not a number with $"),
            ("p95 > ", "\"\" is not"),
            ("p95 > -1s", "\"-1s\" is not"),
            ("p95 > 1e999s", "is not"),
            ("p95 => 1s", "there is no figure \"p95 =\""),
        ] {
            let error = text.parse::<Condition>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
