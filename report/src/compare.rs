//! Two inputs side by side: what differs, and how sure that is.

use serde::Serialize;

use crate::distribution::RELATIVE_ERROR;
use crate::figures::Unit as Measure;
use crate::report::Report;
use crate::resamples::{Estimate, Unit};
use crate::samples::{Figure, Samples};

/// A difference of so many standard errors happens by chance once in a thousand times: the normal distribution's
/// two-sided 99.9 %. With thirty figures in a table, three comparisons in a hundred show one that is none.
const Z: f64 = 3.2905;

/// With fewer calls in either input it is turns that are resampled.
const CALLS_TO_RESAMPLE: u64 = 5;

/// With fewer values in either input a mean or median is not compared.
const LEAST_VALUES: u64 = 5;

/// A quantile needs so many values above it.
const VALUES_ABOVE: f64 = 2.0;

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Whether any figure is worse by more than its error.
    pub(crate) worse: bool,
    pub(crate) confidence: f64,
    /// What was resampled: `call` or `turn`.
    pub(crate) resampled: &'static str,
    pub(crate) figures: Vec<Difference>,
    pub(crate) before: Report,
    pub(crate) after: Report,
}

#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) figure: String,
    pub(crate) unit: Measure,
    pub(crate) before: Option<f64>,
    pub(crate) after: Option<f64>,
    pub(crate) difference: Option<f64>,
    /// The true difference lies so far from the one that was found, at most. Null where there are too few values.
    pub(crate) error: Option<f64>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// Changed, but neither is better.
    Differs,
    /// The difference is smaller than its error.
    Same,
    /// Too few values on one side.
    Unknown,
}

impl Comparison {
    pub(crate) fn new(before: (Report, Samples), after: (Report, Samples)) -> Self {
        let fewest_calls = before.0.calls.min(after.0.calls);
        let unit = if fewest_calls < CALLS_TO_RESAMPLE {
            Unit::Turn
        } else {
            Unit::Call
        };
        let mut compared = Compared {
            unit,
            calls: fewest_calls,
            differences: Vec::new(),
        };
        compared.latency(&before.1, &after.1);
        let mut figures: Vec<&Figure> = before.1.figures().chain(after.1.figures()).collect();
        figures.sort();
        figures.dedup();
        for figure in figures {
            let estimate = |samples: &Samples| samples.mean(figure, unit);
            compared.add(
                Named::of(figure),
                estimate(&before.1),
                estimate(&after.1),
                0.0,
                LEAST_VALUES,
            );
        }
        Self {
            worse: compared
                .differences
                .iter()
                .any(|it| it.verdict == Verdict::Worse),
            confidence: 0.999,
            resampled: match unit {
                Unit::Call => "call",
                Unit::Turn => "turn",
            },
            figures: compared.differences,
            before: before.0,
            after: after.0,
        }
    }
}

struct Named {
    name: String,
    measure: Measure,
    /// Whether less of it is better.
    less_is_better: bool,
}

impl Named {
    fn of(figure: &Figure) -> Self {
        let (name, measure) = match figure {
            Figure::Latency => ("user-bot latency, mean".to_owned(), Measure::Seconds),
            Figure::Part(_, part) => (format!("{part}, mean"), Measure::Seconds),
            Figure::Greeting => ("greeting, mean".to_owned(), Measure::Seconds),
            Figure::FirstByte(service) => (
                format!("time to first byte of {service}, mean"),
                Measure::Seconds,
            ),
            Figure::Interruptions => ("interruptions, of turns".to_owned(), Measure::Share),
            Figure::Errors => ("errors, of requests".to_owned(), Measure::Share),
            Figure::DeadAir => ("dead air, a call".to_owned(), Measure::Seconds),
            Figure::InputTokens => ("input tokens, a request".to_owned(), Measure::Count),
            Figure::OutputTokens => ("output tokens, a request".to_owned(), Measure::Count),
            Figure::Cost => ("cost, a call".to_owned(), Measure::Dollars),
        };
        Self {
            name,
            measure,
            less_is_better: !matches!(figure, Figure::InputTokens | Figure::OutputTokens),
        }
    }
}

struct Compared {
    unit: Unit,
    calls: u64,
    differences: Vec<Difference>,
}

impl Compared {
    fn latency(&mut self, before: &Samples, after: &Samples) {
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let named = Named {
                name: format!("user-bot latency, {name}"),
                measure: Measure::Seconds,
                less_is_better: true,
            };
            let above = (VALUES_ABOVE / (1.0 - share)).round() as u64;
            // How far the two quantiles themselves may be off.
            let off = |samples: &Samples, estimate: Option<Estimate>| match estimate {
                Some(estimate) if !samples.is_exact() => estimate.value * RELATIVE_ERROR,
                _ => 0.0,
            };
            let before_it = before.latency_quantile(share, self.unit);
            let after_it = after.latency_quantile(share, self.unit);
            let off = off(before, before_it) + off(after, after_it);
            self.add(named, before_it, after_it, off, above.max(LEAST_VALUES));
        }
    }

    /// `off`: what the figures themselves may be wrong by. `least`: values that it takes on either side.
    fn add(
        &mut self,
        named: Named,
        before: Option<Estimate>,
        after: Option<Estimate>,
        off: f64,
        least: u64,
    ) {
        let both = before.zip(after);
        let difference = both.map(|(before, after)| after.value - before.value);
        let error = both.and_then(|(before, after)| {
            let fewest = before.count.min(after.count);
            if fewest < least {
                return None;
            }
            let units = match self.unit {
                Unit::Call => fewest.min(self.calls),
                Unit::Turn => fewest,
            };
            let error = |it: Estimate| match named.measure {
                Measure::Share => it.standard_error.max(error_of_share(it)),
                _ => it.standard_error,
            };
            Some(error(before).hypot(error(after)) * critical(units) + off)
        });
        let verdict = match (difference, error) {
            (Some(difference), Some(error)) => {
                if difference.abs() <= error.max(named.measure.resolution()) {
                    Verdict::Same
                } else if !named.less_is_better {
                    Verdict::Differs
                } else if difference < 0.0 {
                    Verdict::Better
                } else {
                    Verdict::Worse
                }
            }
            _ => Verdict::Unknown,
        };
        self.differences.push(Difference {
            figure: named.name,
            unit: named.measure,
            before: before.map(|estimate| estimate.value),
            after: after.map(|estimate| estimate.value),
            difference,
            error,
            verdict,
        });
    }
}

/// How many standard errors of a mean of `units` values make 99.9 %: Student's t with `units` − 1 degrees of freedom by its
/// expansion around the normal distribution, and the little by which a bootstrap of few values is too sure.
fn critical(units: u64) -> f64 {
    let freedom = units.saturating_sub(1).max(1) as f64;
    let z = Z;
    let t = z
        + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z)
            / (384.0 * freedom.powi(3));
    t * (units as f64 / freedom).sqrt()
}

/// The standard error of a share where all values may be the same, so that resamples do not vary: Agresti and Coull's, with
/// two of each kind more than there were.
fn error_of_share(estimate: Estimate) -> f64 {
    let count = estimate.count as f64 + 4.0;
    let share = (estimate.value * estimate.count as f64 + 2.0) / count;
    (share * (1.0 - share) / count).sqrt()
}

#[cfg(test)]
mod tests;
