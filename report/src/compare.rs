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

/// With fewer files in either input it is calls that are resampled.
const RUNS_TO_RESAMPLE: u64 = 5;

/// With fewer calls in either input it is turns.
const CALLS_TO_RESAMPLE: u64 = 5;

/// With fewer values in either input a mean or median is not compared.
const LEAST_VALUES: u64 = 5;

/// A quantile needs so many values above it.
const VALUES_ABOVE: f64 = 2.0;

/// Differences in time below this are inaudible in a conversation, and count as none.
const LEAST_SECONDS: f64 = 0.02;

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Whether any figure is worse by more than its error.
    pub(crate) worse: bool,
    pub(crate) confidence: f64,
    /// Smaller differences count as none, as a share of the figure before.
    pub(crate) least_change: f64,
    /// What was resampled: `run`, `call` or `turn`.
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
    /// The difference is smaller than its error, or than what counts.
    Same,
    /// Too few values on one side.
    Unknown,
}

impl Comparison {
    /// `least_change`: the share of a figure that it has to change by. Two runs of one build differ by what the machine,
    /// the network and the providers did at the time, which all calls of a run have in common and no resampling of them
    /// reveals.
    pub(crate) fn new(
        before: (Report, Samples),
        after: (Report, Samples),
        least_change: f64,
    ) -> Self {
        let both = [&before.0, &after.0];
        let runs = both.map(|report| report.input.lines.files);
        let calls = both.map(|report| report.calls);
        let unit = if runs.iter().all(|runs| *runs >= RUNS_TO_RESAMPLE) {
            Unit::Run
        } else if calls.iter().all(|calls| *calls >= CALLS_TO_RESAMPLE) {
            Unit::Call
        } else {
            Unit::Turn
        };
        let mut compared = Compared {
            unit,
            units: match unit {
                Unit::Run => runs,
                Unit::Call => calls,
                Unit::Turn => [u64::MAX; 2],
            },
            least_change,
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
            least_change,
            resampled: match unit {
                Unit::Run => "run",
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
    /// How many there are before and after.
    units: [u64; 2],
    least_change: f64,
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
            let error = |it: Estimate| match named.measure {
                Measure::Share => it.standard_error.max(error_of_share(it)),
                _ => it.standard_error,
            };
            let sides = [
                (before, self.units[0].min(before.count)),
                (after, self.units[1].min(after.count)),
            ];
            Some(error_of_difference(sides.map(|(it, units)| (error(it), units))) + off)
        });
        let verdict = match (difference, error) {
            (Some(difference), Some(error)) => {
                let least = before.map_or(0.0, |before| before.value * self.least_change);
                let least = match named.measure {
                    Measure::Seconds => least.max(LEAST_SECONDS),
                    // What rounding makes of sums.
                    _ => least.max(1e-12),
                };
                if difference.abs() <= error.max(least) {
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

/// How far off the difference of two figures may be at 99.9 %, each of which has a standard error from so many units: Welch's
/// interval.
fn error_of_difference(sides: [(f64, u64); 2]) -> f64 {
    // A bootstrap of few units is too sure by a little.
    let sides = sides.map(|(error, units)| {
        let freedom = units.saturating_sub(1).max(1) as f64;
        (error.powi(2) * (freedom + 1.0) / freedom, freedom)
    });
    let variance: f64 = sides.iter().map(|(variance, _)| variance).sum();
    let shares = sides
        .iter()
        .map(|(variance, freedom)| variance.powi(2) / freedom);
    let freedom = variance.powi(2) / shares.sum::<f64>();
    if freedom.is_finite() {
        variance.sqrt() * students_t(freedom)
    } else {
        // Neither varies.
        0.0
    }
}

/// The two-sided 99.9 % quantile of Student's t, by its expansion around the normal distribution.
fn students_t(freedom: f64) -> f64 {
    Z + (Z.powi(3) + Z) / (4.0 * freedom)
        + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * freedom.powi(2))
        + (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z)
            / (384.0 * freedom.powi(3))
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
