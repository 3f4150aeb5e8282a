//! What a comparison needs of each of its two inputs.

use std::collections::BTreeMap;

use crate::distribution::Distribution;
use crate::resamples::{Draw, Estimate, Mean, Origin, Quantiles, Unit};

/// A figure whose mean is compared; in the order of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Seconds, of turns with an answer.
    Latency,
    /// Seconds by part, of the turns that have that part; its position among the parts, and its name.
    Part(usize, String),
    /// Seconds.
    Greeting,
    /// Seconds by service, of requests that were answered.
    FirstByte(String),
    /// Share of turns.
    Interruptions,
    /// Share of requests.
    Errors,
    /// Seconds a call.
    DeadAir,
    /// A request, of requests that report them.
    InputTokens,
    OutputTokens,
    /// Dollars a call, of calls whose cost is known.
    Cost,
}

#[derive(Debug)]
pub(crate) struct Samples {
    draw: Draw,
    means: BTreeMap<Figure, Mean>,
    latency: Distribution,
    quantiles: Quantiles,
}

impl Samples {
    /// Two inputs that are compared need two seeds, or a call that is in both would be taken alike.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            means: BTreeMap::new(),
            latency: Distribution::default(),
            quantiles: Quantiles::default(),
        }
    }

    pub(crate) fn add(&mut self, figure: Figure, value: f64, origin: Origin) {
        let mean = self.means.entry(figure).or_default();
        mean.add(value, origin, &mut self.draw);
    }

    pub(crate) fn add_latency(&mut self, seconds: f64, origin: Origin) {
        self.add(Figure::Latency, seconds, origin);
        self.latency.add(seconds);
        self.quantiles.add(seconds, origin, &mut self.draw);
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.means.keys()
    }

    pub(crate) fn mean(&self, figure: &Figure, unit: Unit) -> Option<Estimate> {
        self.means.get(figure)?.estimate(unit)
    }

    /// The user-bot latency that `share` of the turns stay below.
    pub(crate) fn latency_quantile(&self, share: f64, unit: Unit) -> Option<Estimate> {
        let [value] = self.latency.quantiles([share])?;
        Some(Estimate {
            value,
            count: self.latency.count(),
            standard_error: self.quantiles.standard_error(share, unit),
        })
    }

    /// Whether quantiles are those of the values themselves.
    pub(crate) fn is_exact(&self) -> bool {
        self.latency.is_exact()
    }
}
