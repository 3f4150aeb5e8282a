//! What a conversation adds up to: counts, latencies, and the usage of its services. Pure.

use crate::prices::Cost;
use crate::usage::{Figures, Usage};
use std::time::Duration;

/// Of one conversation, so far.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) turns: u32,
    pub(crate) interruptions: u32,
    pub(crate) errors: u32,
    latencies: u32,
    latency_total: Duration,
    latency_max: Duration,
    /// Boxed: most conversations are idle most of the time, and some have none.
    spent: Option<Box<Spent>>,
}

/// What services have used, and what that costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    /// In US dollars, as far as prices are known.
    pub(crate) cost_usd: Option<f64>,
    /// How many services have no price for what they used.
    unpriced: u32,
    /// How many services recorded their seconds of audio as a float.
    float_seconds: u32,
}

impl Spent {
    /// Returns whether the price of a service is missing in the cost.
    pub(crate) fn cost_is_partial(&self) -> bool {
        self.unpriced > 0
    }

    /// Returns whether the seconds of audio are a sum of integers, as they were recorded.
    pub(crate) fn seconds_are_integer(&self) -> bool {
        self.float_seconds == 0
    }

    pub(crate) fn add(&mut self, charge: &Charge) {
        self.usage += &charge.usage;
        let floats = u32::from(charge.has_float_seconds());
        self.float_seconds = self.float_seconds.saturating_add(floats);
        match charge.cost {
            Cost::None => {}
            Cost::Usd(cost) => *self.cost_usd.get_or_insert_default() += cost,
            Cost::Unknown => self.unpriced = self.unpriced.saturating_add(1),
        }
    }

    /// Takes back what was added.
    fn subtract(&mut self, charge: &Charge) {
        self.usage.subtract(&charge.usage);
        let floats = u32::from(charge.has_float_seconds());
        self.float_seconds = self.float_seconds.saturating_sub(floats);
        match (charge.cost, &mut self.cost_usd) {
            (Cost::Usd(cost), Some(sum)) => *sum = (*sum - cost).max(0.0),
            (Cost::Unknown, _) => self.unpriced = self.unpriced.saturating_sub(1),
            _ => {}
        }
    }
}

/// What one service used, and what that cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Charge {
    pub(crate) usage: Usage,
    /// Whether the seconds of audio, if there are any, were recorded as an integer.
    pub(crate) seconds_are_integer: bool,
    pub(crate) cost: Cost,
}

impl Charge {
    pub(crate) fn is_empty(&self) -> bool {
        self.usage.is_empty() && self.cost == Cost::None
    }

    fn has_float_seconds(&self) -> bool {
        !self.seconds_are_integer && self.usage.audio_seconds.is_some()
    }

    fn figures(&self) -> Figures {
        let figures = self.usage.figures();
        match self.cost {
            Cost::Usd(_) => figures.and(Figures::COST),
            Cost::None | Cost::Unknown => figures,
        }
    }

    fn without(self, figures: Figures) -> Self {
        if figures.is_empty() {
            return self;
        }
        let usage = self.usage.without(figures);
        let is_gone = match self.cost {
            Cost::Usd(_) => figures.contains(Figures::COST),
            // There is nothing left whose price could be missing.
            Cost::Unknown => usage.is_empty(),
            Cost::None => true,
        };
        let cost = if is_gone { Cost::None } else { self.cost };
        Self {
            usage,
            cost,
            ..self
        }
    }
}

impl Sums {
    /// Adds a turn that has ended.
    pub(crate) fn add_turn(&mut self, was_interrupted: bool, user_bot_latency: Option<Duration>) {
        self.turns = self.turns.saturating_add(1);
        self.interruptions = self
            .interruptions
            .saturating_add(u32::from(was_interrupted));
        if let Some(latency) = user_bot_latency {
            self.latencies = self.latencies.saturating_add(1);
            self.latency_total = self.latency_total.saturating_add(latency);
            self.latency_max = self.latency_max.max(latency);
        }
    }

    /// Adds a service that has ended.
    pub(crate) fn add_service(&mut self, has_failed: bool) {
        self.errors = self.errors.saturating_add(u32::from(has_failed));
    }

    /// Returns the mean and the maximum of the turns' latencies, in seconds.
    pub(crate) fn latency(&self) -> Option<(f64, f64)> {
        (self.latencies > 0).then(|| {
            let total = self.latency_total.as_secs_f64();
            (
                total / f64::from(self.latencies),
                self.latency_max.as_secs_f64(),
            )
        })
    }

    /// Returns what the services used.
    pub(crate) fn spent(&self) -> Spent {
        self.spent.as_deref().copied().unwrap_or_default()
    }

    /// Adds what a service used that has ended, and its cost. `own` is that service, `above` those that it is in, which may not
    /// have learned yet of what is below it. Returns what of it counts.
    pub(crate) fn add_charge<'a>(
        &mut self,
        charge: Charge,
        own: &mut ServiceUsage,
        above: impl IntoIterator<Item = &'a mut ServiceUsage>,
    ) -> Charge {
        let figures = charge.figures().and(own.recorded_below);
        let counted = charge.without(own.recorded_below);
        let sum = self.spent.get_or_insert_default();
        sum.add(&counted);
        if own.has_services_below {
            own.counted = Some(Box::new(counted));
        }
        if !figures.is_empty() {
            for service in above {
                sum.subtract(&service.record_below(figures));
            }
        }
        counted
    }
}

/// How the usage of one service enters the sums. A figure counts unless a service below it recorded the same: agents report
/// totals over their requests.
#[derive(Debug, Default)]
pub(crate) struct ServiceUsage {
    recorded_below: Figures,
    has_services_below: bool,
    /// What has been added, where a service below it may still record the same.
    counted: Option<Box<Charge>>,
}

impl ServiceUsage {
    /// A service starts below it.
    pub(crate) fn expect_below(&mut self) {
        self.has_services_below = true;
    }

    /// Whether a service below it has recorded anything.
    pub(crate) fn is_recorded_below(&self) -> bool {
        !self.recorded_below.is_empty()
    }

    /// Returns what of its usage does not count, because a service below it has recorded the same.
    pub(crate) fn recorded_below(&self) -> Figures {
        self.recorded_below
    }

    /// A service below it has recorded `figures`. Returns what does not count any more.
    fn record_below(&mut self, figures: Figures) -> Charge {
        self.recorded_below = self.recorded_below.and(figures);
        let Some(counted) = &mut self.counted else {
            return Charge::default();
        };
        let rest = counted.without(figures);
        let before = std::mem::replace(&mut **counted, rest);
        Charge {
            usage: before.usage.only(figures),
            seconds_are_integer: before.seconds_are_integer,
            cost: if rest.cost == before.cost {
                Cost::None
            } else {
                before.cost
            },
        }
    }
}

#[cfg(test)]
mod properties;
