//! What a conversation adds up to: counts, latencies, and the usage of its services. Pure.

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
    /// Whether the price of a service is missing in it.
    pub(crate) cost_is_partial: bool,
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

    /// Adds what a service used that has ended. `own` is that service, `above` those that it is in. Returns what of it counts.
    pub(crate) fn add_usage<'a>(
        &mut self,
        usage: Usage,
        own: &mut ServiceUsage,
        above: impl IntoIterator<Item = &'a mut ServiceUsage>,
    ) -> Usage {
        let counted = own.counting(usage);
        let sum = &mut self.spent.get_or_insert_default().usage;
        *sum += counted;
        if own.has_services_below {
            own.counted = Some(Box::new(counted));
        }
        let figures = usage.figures();
        for service in above {
            sum.subtract(service.record_below(figures));
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
    counted: Option<Box<Usage>>,
}

impl ServiceUsage {
    /// A service starts below it.
    pub(crate) fn expect_below(&mut self) {
        self.has_services_below = true;
    }

    /// Returns what of its usage counts.
    pub(crate) fn counting(&self, usage: Usage) -> Usage {
        usage.without(self.recorded_below)
    }

    /// A service below it has recorded `figures`. Returns what does not count any more.
    fn record_below(&mut self, figures: Figures) -> Usage {
        self.recorded_below = self.recorded_below.and(figures);
        let Some(counted) = &mut self.counted else {
            return Usage::default();
        };
        let rest = counted.without(figures);
        std::mem::replace(&mut **counted, rest).only(figures)
    }
}

#[cfg(test)]
mod properties;
