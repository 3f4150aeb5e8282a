//! How fast the agent's world runs: at real speed, or faster for tests.
//!
//! Everything that stands for something in the world (audio, a provider's delay, a pause) goes through here, so that a
//! sped-up run keeps its proportions: every figure in its traces is the real one divided by the speed. Limits that
//! guard against failure (a silent provider) are *not* sped up, so that a busy machine does not turn into errors.

use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(f64);

impl Pace {
    /// Speeds from 0.1 to 50; what lies outside is brought inside.
    pub(crate) fn times(speed: f64) -> Self {
        Self(if speed.is_finite() {
            speed.clamp(0.1, 50.0)
        } else {
            1.0
        })
    }

    pub(crate) fn speed(self) -> f64 {
        self.0
    }

    /// What `secs` of the agent's world last on this machine's clock, in seconds.
    pub(crate) fn secs(self, secs: f64) -> f64 {
        secs / self.0
    }

    /// How many seconds of the agent's world `duration` on this machine's clock is.
    pub(crate) fn world_secs(self, duration: Duration) -> f64 {
        duration.as_secs_f64() * self.0
    }

    pub(crate) fn duration(self, secs: f64) -> Duration {
        Duration::from_secs_f64(self.secs(secs.max(0.0)))
    }

    pub(crate) async fn sleep(self, secs: f64) {
        tokio::time::sleep(self.duration(secs)).await;
    }

    /// Ticks every `secs`. What a busy machine misses is left out, not made up for: sound does not come in bursts.
    pub(crate) fn every(self, secs: f64) -> Interval {
        let mut ticks = tokio::time::interval(self.duration(secs));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }
}
