//! How far a figure would vary if the same calls were made again: a bootstrap in one pass.
//!
//! Each resample takes each call as often as a Poisson variable of mean 1 says, which is the bootstrap for data that is
//! not held ([Chamandy et al.](https://research.google/pubs/estimating-uncertainty-for-massive-data-streams/)). The turns of
//! a call resemble each other, so a call is taken or not as a whole. With few calls there is nothing to take from; then it is
//! turns, as if they were independent.

use std::collections::BTreeMap;

use crate::distribution::{bucket, interpolated, value_at};

/// Resamples: enough for a standard error that is itself off by 5 %.
pub(crate) const RESAMPLES: usize = 200;

type Weights = [u8; RESAMPLES];

/// What a value belongs to, by hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// A file.
    pub(crate) run: u64,
    pub(crate) call: u64,
    /// A turn, or the call again for what is said of calls.
    pub(crate) turn: u64,
}

/// What is taken or not as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Run,
    Call,
    Turn,
}

const UNITS: usize = 3;

/// Draws the weights of calls and turns; the same for the same id and seed.
#[derive(Debug)]
pub(crate) struct Draw {
    seed: u64,
    /// The last run, call and turn, whose weights are likely to be needed again.
    last: [(u64, Weights); UNITS],
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            last: [(0, poisson(seed)); UNITS],
        }
    }

    fn weights(&mut self, origin: Origin) -> impl Iterator<Item = &Weights> {
        let wanted = [origin.run, origin.call, origin.turn];
        self.last.iter_mut().zip(wanted).map(|(last, wanted)| {
            if last.0 != wanted {
                *last = (wanted, poisson(self.seed ^ wanted));
            }
            &last.1
        })
    }
}

/// The mean of a figure in each resample.
#[derive(Debug)]
pub(crate) struct Mean {
    count: u64,
    sum: f64,
    /// Sum and count by resample, for each unit.
    resamples: [Box<[(f64, u64); RESAMPLES]>; UNITS],
}

impl Default for Mean {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            resamples: std::array::from_fn(|_| Box::new([(0.0, 0); RESAMPLES])),
        }
    }
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64, origin: Origin, draw: &mut Draw) {
        self.count += 1;
        self.sum += value;
        for (resamples, weights) in self.resamples.iter_mut().zip(draw.weights(origin)) {
            for ((sum, count), weight) in resamples.iter_mut().zip(weights) {
                *sum += value * f64::from(*weight);
                *count += u64::from(*weight);
            }
        }
    }

    pub(crate) fn estimate(&self, unit: Unit) -> Option<Estimate> {
        let resamples = &self.resamples[unit as usize];
        let means = resamples
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(sum, count)| sum / *count as f64);
        (self.count > 0).then(|| Estimate {
            value: self.sum / self.count as f64,
            count: self.count,
            standard_error: deviation(means.collect()),
        })
    }
}

/// The quantiles of a figure in each resample; its memory is bounded as that of a distribution.
#[derive(Debug, Default)]
pub(crate) struct Quantiles {
    /// For each unit, how often each bucket occurs in each resample.
    buckets: [BTreeMap<i16, Box<[u32; RESAMPLES]>>; UNITS],
}

impl Quantiles {
    pub(crate) fn add(&mut self, value: f64, origin: Origin, draw: &mut Draw) {
        for (buckets, weights) in self.buckets.iter_mut().zip(draw.weights(origin)) {
            let resamples = buckets
                .entry(bucket(value))
                .or_insert_with(|| Box::new([0; RESAMPLES]));
            for (count, weight) in resamples.iter_mut().zip(weights) {
                *count = count.saturating_add((*weight).into());
            }
        }
    }

    pub(crate) fn standard_error(&self, share: f64, unit: Unit) -> f64 {
        let buckets = &self.buckets[unit as usize];
        let quantile = |resample: usize| {
            let counts = || {
                buckets
                    .iter()
                    .map(|(bucket, counts)| (*bucket, u64::from(counts[resample])))
            };
            let count: u64 = counts().map(|(_, count)| count).sum();
            let at = |rank| value_at(rank, counts()).unwrap_or_default();
            (count > 0).then(|| interpolated(share, count, at))
        };
        deviation((0..RESAMPLES).filter_map(quantile).collect())
    }
}

/// A figure and how far it would vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) count: u64,
    pub(crate) standard_error: f64,
}

fn deviation(values: Vec<f64>) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (squares.sum::<f64>() / (count - 1.0)).sqrt()
}

/// A hash that is the same on every machine and in every version (FNV-1a), because the resamples depend on it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Poisson variables of mean 1, from the generator splitmix64.
fn poisson(seed: u64) -> Weights {
    // 2^32 times the probability that the variable is at most 0, 1, …; eight or more happen once in a million.
    const AT_MOST: [u32; 8] = [
        1_580_030_168,
        3_160_060_337,
        3_950_075_421,
        4_213_413_783,
        4_279_248_373,
        4_292_415_291,
        4_294_609_777,
        4_294_923_275,
    ];
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = ((mixed ^ (mixed >> 31)) >> 32) as u32;
        AT_MOST.iter().map(|most| u8::from(drawn >= *most)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_mean_and_variance_of_a_poisson_variable() {
        let drawn: Vec<f64> = (0..1_000)
            .flat_map(|call: u32| poisson(hash(&call.to_le_bytes())))
            .map(f64::from)
            .collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = deviation(drawn).powi(2);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    /// Turn `turn` of call `call` in numbers that are the same on every run.
    fn noise(call: u64, turn: u64) -> f64 {
        let weights = poisson(hash(&[call.to_le_bytes(), turn.to_le_bytes()].concat()));
        weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() / RESAMPLES as f64
    }

    fn origin(call: u64, turn: u64) -> Origin {
        Origin {
            run: 1,
            call: hash(&call.to_le_bytes()),
            turn: hash(&[call.to_le_bytes(), turn.to_le_bytes()].concat()),
        }
    }

    #[test]
    fn the_standard_error_of_a_mean_is_that_of_theory() {
        let (mut mean, mut draw) = (Mean::default(), Draw::new(1));
        let mut values = Vec::new();
        for call in 0..100 {
            for turn in 0..4 {
                values.push(noise(call, turn));
                mean.add(noise(call, turn), origin(call, turn), &mut draw);
            }
        }
        let theory = deviation(values) / 400_f64.sqrt();
        let estimate = mean.estimate(Unit::Turn).unwrap();
        assert!((estimate.standard_error / theory - 1.0).abs() < 0.2);
        // The turns are independent here, so calls give the same.
        let by_call = mean.estimate(Unit::Call).unwrap().standard_error;
        assert!((by_call / theory - 1.0).abs() < 0.25);
    }

    #[test]
    fn turns_that_resemble_each_other_count_as_one() {
        let (mut mean, mut quantiles) = (Mean::default(), Quantiles::default());
        let mut draw = Draw::new(1);
        let calls: Vec<f64> = (0..100).map(|call| noise(call, 0)).collect();
        for (call, value) in (0..).zip(&calls) {
            for turn in 0..9 {
                mean.add(*value, origin(call, turn), &mut draw);
                quantiles.add(*value, origin(call, turn), &mut draw);
            }
        }
        let theory = deviation(calls) / 100_f64.sqrt();
        let error = |unit| mean.estimate(unit).unwrap().standard_error;
        assert!((error(Unit::Call) / theory - 1.0).abs() < 0.25);
        assert!((error(Unit::Turn) / theory - 1.0 / 3.0).abs() < 0.1);
        // The median of a normal variable varies by the square root of π / 2 more than the mean.
        let median = quantiles.standard_error(0.5, Unit::Call);
        assert!(
            (0.8..1.8).contains(&(median / theory)),
            "{}",
            median / theory
        );
    }
}
