//! Quantiles of any number of values in bounded memory.

use std::collections::BTreeMap;

/// How far a quantile of more than [`EXACT`] values may lie from the exact one, as a share of it.
pub(crate) const RELATIVE_ERROR: f64 = 0.005;

/// How many values are kept as they are, with exact quantiles.
pub(crate) const EXACT: usize = 4_096;

/// What lies below is taken for this: no latency is known to the microsecond.
const LEAST: f64 = 1e-6;

/// The largest value that is counted: 115 days in seconds. With [`LEAST`] it bounds the number of buckets to about 3,000.
pub(crate) const MOST: f64 = 1e7;

/// Values from 0 to [`MOST`].
///
/// Up to [`EXACT`] values are kept. Beyond, each is counted in a bucket whose bounds lie 2 × [`RELATIVE_ERROR`] apart, as
/// in [DDSketch](https://arxiv.org/abs/1908.10693): what is asked back is the bucket's middle, so it is off by at most
/// [`RELATIVE_ERROR`]. Count, sum and extremes are exact in both cases.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    values: Values,
    count: u64,
    sum: f64,
    least: f64,
    most: f64,
}

#[derive(Clone, Debug)]
enum Values {
    Exact(Vec<f64>),
    Buckets(BTreeMap<i16, u64>),
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            values: Values::Exact(Vec::new()),
            count: 0,
            sum: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }
}

impl Distribution {
    /// Whether `value` can be counted.
    pub(crate) fn takes(value: f64) -> bool {
        (0.0..=MOST).contains(&value)
    }

    /// Counts `value`; one that the distribution does not take is ignored.
    pub(crate) fn add(&mut self, value: f64) {
        if !Self::takes(value) {
            return;
        }
        self.count += 1;
        self.sum += value;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        match &mut self.values {
            Values::Exact(values) if values.len() < EXACT => values.push(value),
            Values::Exact(values) => {
                let mut buckets = BTreeMap::new();
                for value in values.iter().copied().chain([value]) {
                    *buckets.entry(bucket(value)).or_default() += 1;
                }
                self.values = Values::Buckets(buckets);
            }
            Values::Buckets(buckets) => *buckets.entry(bucket(value)).or_default() += 1,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.values, Values::Exact(_))
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    pub(crate) fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.most)
    }

    /// The quantiles at `shares` (0.95 for the 95th percentile), between two values by linear interpolation: numpy's
    /// default, Hyndman and Fan's seventh definition. None of no values.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        if self.count == 0 {
            return None;
        }
        Some(match &self.values {
            Values::Exact(values) => {
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                let at = |rank: u64| {
                    let rank = usize::try_from(rank).unwrap_or(usize::MAX);
                    sorted.get(rank).copied().unwrap_or(self.most)
                };
                shares.map(|share| interpolated(share, self.count, at))
            }
            Values::Buckets(buckets) => {
                let at = |rank: u64| {
                    let counts = buckets.iter().map(|(bucket, count)| (*bucket, *count));
                    value_at(rank, counts).map_or(self.most, |it| it.clamp(self.least, self.most))
                };
                shares.map(|share| interpolated(share, self.count, at))
            }
        })
    }
}

/// The quantile at `share` of `count` values, of which `at` gives the one of a rank from 0.
pub(crate) fn interpolated(share: f64, count: u64, at: impl Fn(u64) -> f64) -> f64 {
    let rank = share.clamp(0.0, 1.0) * count.saturating_sub(1) as f64;
    let (below, above) = (at(rank.floor() as u64), at(rank.ceil() as u64));
    below + (above - below) * rank.fract()
}

/// The value of a rank from 0 among counted buckets in ascending order.
pub(crate) fn value_at(rank: u64, buckets: impl Iterator<Item = (i16, u64)>) -> Option<f64> {
    let mut seen = 0_u64;
    for (bucket, count) in buckets {
        seen = seen.saturating_add(count);
        if seen > rank {
            return Some(middle(bucket));
        }
    }
    None
}

/// A bucket's upper bound over its lower one.
fn base() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

/// The bucket `i` holds the values in (base^(i − 1), base^i].
pub(crate) fn bucket(value: f64) -> i16 {
    // From −1382 to 1612, in the range that is counted.
    (value.clamp(LEAST, MOST).ln() / base().ln()).ceil() as i16
}

/// The value whose distance from both bounds of a bucket is the same share of them.
fn middle(bucket: i16) -> f64 {
    2.0 * base().powi(bucket.into()) / (base() + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }

    /// Written apart from the code above: ranks by sorting, interpolation by weights.
    fn reference(values: &[f64], share: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let position = share * (sorted.len() - 1) as f64;
        let index = position as usize;
        let weight = position - index as f64;
        let next = sorted[(index + 1).min(sorted.len() - 1)];
        sorted[index] * (1.0 - weight) + next * weight
    }

    #[test]
    fn few_values_have_numpys_quantiles() {
        let distribution = of([0.4, 0.1, 0.3, 0.2]);
        // numpy.percentile([.4, .1, .3, .2], [50, 95, 99])
        let [p50, p95, p99] = distribution.quantiles([0.5, 0.95, 0.99]).unwrap();
        assert!((p50 - 0.25).abs() < 1e-12, "{p50}");
        assert!((p95 - 0.385).abs() < 1e-12, "{p95}");
        assert!((p99 - 0.397).abs() < 1e-12, "{p99}");
        assert_eq!((distribution.count(), distribution.max()), (4, Some(0.4)));
    }

    #[test]
    fn no_values_have_no_quantiles() {
        let distribution = of([f64::NAN, f64::INFINITY, -0.1, MOST * 2.0]);
        assert_eq!(distribution.count(), 0);
        assert_eq!(distribution.quantiles([0.5]), None);
        assert_eq!((distribution.mean(), distribution.max()), (None, None));
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut distribution = of((0..EXACT).map(|_| 0.0));
        let mut value = LEAST / 10.0;
        while value < MOST {
            distribution.add(value);
            value *= 1.001;
        }
        let Values::Buckets(buckets) = &distribution.values else {
            panic!("not in buckets");
        };
        assert!((2_900..3_100).contains(&buckets.len()), "{}", buckets.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn many_values_are_off_by_the_stated_error_at_most(
            // Three decades, evenly on the logarithm.
            exponents in prop::collection::vec(-3.0..1.0_f64, EXACT + 1..EXACT + 600),
            share in 0.0..=1.0_f64,
        ) {
            let values: Vec<f64> = exponents.into_iter().map(|exponent| 10_f64.powf(exponent)).collect();
            let distribution = of(values.iter().copied());
            prop_assert!(!distribution.is_exact());
            let [got] = distribution.quantiles([share]).unwrap();
            let exact = reference(&values, share);
            prop_assert!((got - exact).abs() <= exact * (RELATIVE_ERROR + 1e-9), "{got} for {exact}");
        }

        #[test]
        fn few_values_are_exact(
            values in prop::collection::vec(0.0..20.0_f64, 1..200),
            share in 0.0..=1.0_f64,
        ) {
            let [got] = of(values.iter().copied()).quantiles([share]).unwrap();
            let exact = reference(&values, share);
            prop_assert!((got - exact).abs() < 1e-9, "{got} for {exact}");
        }
    }
}
