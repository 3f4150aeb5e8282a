use super::*;
use crate::gather::Totals;
use crate::input::{Input, Reader as _};
use crate::otlp;

#[path = "../../tests/made/mod.rs"]
mod made;

fn sampled(seed: u64, slower: f64, calls: u64) -> (Report, Samples) {
    let mut totals = Totals::with_samples(Samples::new(seed));
    let mut made = made::Calls::new(seed, slower);
    for _ in 0..calls {
        let line = made::line(&made.next());
        otlp::read(line.trim().as_bytes(), |span| totals.span(span)).unwrap();
    }
    totals.finish();
    let report = Report::new(&totals, Input::default());
    (report, totals.samples.unwrap())
}

fn verdicts(comparison: &Comparison, verdict: Verdict) -> Vec<&str> {
    let figures = comparison.figures.iter();
    figures
        .filter(|it| it.verdict == verdict)
        .map(|it| it.figure.as_str())
        .collect()
}

#[test]
fn a_known_delay_is_found_where_it_is_and_nowhere_else() {
    let comparison = Comparison::new(sampled(1, 0.0, 400), sampled(2, 0.2, 400), 0.0);
    assert_eq!(
        verdicts(&comparison, Verdict::Worse),
        [
            "user-bot latency, p50",
            "user-bot latency, p95",
            "user-bot latency, p99",
            "user-bot latency, mean",
            "llm_inference, mean",
            "time to first byte of llm openai gpt-4o, mean",
            "time to first byte of llm openai gpt-4o-mini, mean",
        ]
    );
    assert_eq!(verdicts(&comparison, Verdict::Better), [""; 0]);
    assert!(comparison.worse);
    assert_eq!(comparison.resampled, "call");
    for name in ["user-bot latency, mean", "llm_inference, mean"] {
        let found = comparison
            .figures
            .iter()
            .find(|it| it.figure == name)
            .unwrap();
        let (difference, error) = (found.difference.unwrap(), found.error.unwrap());
        assert!(
            (difference - 0.2).abs() <= error,
            "{name}: {difference} ± {error}"
        );
        assert!(error < 0.15, "{name}: ± {error}");
    }
    let back = Comparison::new(sampled(2, 0.2, 150), sampled(1, 0.0, 150), 0.0);
    assert_eq!(verdicts(&back, Verdict::Worse), [""; 0]);
    assert!(verdicts(&back, Verdict::Better).contains(&"llm_inference, mean"));
    assert!(!back.worse);
}

#[test]
fn two_samples_of_the_same_differ_in_nothing() {
    let mut found = Vec::new();
    let mut figures = 0;
    // Large ones, whose calls are resampled, and small ones, whose turns are.
    for (calls, pairs) in [(60, 10), (10, 40), (3, 60)] {
        for pair in 0..pairs {
            let seed = 1_000 * calls + 2 * pair;
            let comparison = Comparison::new(
                sampled(seed, 0.0, calls),
                sampled(seed + 1, 0.0, calls),
                0.0,
            );
            figures += comparison
                .figures
                .iter()
                .filter(|it| it.error.is_some())
                .count();
            let changed = comparison.figures.into_iter();
            let changed =
                changed.filter(|it| !matches!(it.verdict, Verdict::Same | Verdict::Unknown));
            found.extend(changed.map(|it| (calls, it.figure)));
        }
    }
    // Of a thousand figures, one at most is to be found by chance.
    assert!(figures > 1_000, "{figures}");
    assert!(found.len() <= figures / 500, "{found:?} of {figures}");
}

#[test]
fn an_input_compared_with_itself_differs_in_nothing() {
    let comparison = Comparison::new(sampled(1, 0.0, 50), sampled(1, 0.0, 50), 0.0);
    assert!(
        comparison
            .figures
            .iter()
            .all(|it| matches!(it.verdict, Verdict::Same | Verdict::Unknown))
    );
}

#[test]
fn a_change_that_is_too_small_to_count_counts_for_nothing() {
    // 0.2 s are 45 % of the language model's time, and 18 % of the whole.
    let comparison = Comparison::new(sampled(1, 0.0, 150), sampled(2, 0.2, 150), 0.3);
    assert_eq!(
        verdicts(&comparison, Verdict::Worse),
        [
            "llm_inference, mean",
            "time to first byte of llm openai gpt-4o, mean",
            "time to first byte of llm openai gpt-4o-mini, mean",
        ]
    );
    let imperceptible = Comparison::new(sampled(1, 0.0, 20), sampled(1, 0.019, 20), 0.0);
    assert!(!imperceptible.worse);
}

/// Several runs, in each of which everything takes longer by as much as `shared` says.
fn runs(seed: u64, slower: f64, shared: f64, runs: u64) -> (Report, Samples) {
    let mut totals = Totals::with_samples(Samples::new(seed));
    let mut random = made::Random(seed);
    for run in 0..runs {
        totals.start_file();
        let shared = random.share() * shared;
        let mut made = made::Calls::new(1_000 * seed + run, slower + shared);
        for _ in 0..10 {
            let line = made::line(&made.next());
            otlp::read(line.trim().as_bytes(), |span| totals.span(span)).unwrap();
        }
    }
    totals.finish();
    let input = Input {
        files: runs,
        ..Input::default()
    };
    let report = Report::new(&totals, input);
    (report, totals.samples.unwrap())
}

#[test]
fn what_the_calls_of_a_run_have_in_common_is_no_difference_between_builds() {
    let same = Comparison::new(runs(1, 0.0, 0.5, 6), runs(2, 0.0, 0.5, 6), 0.0);
    assert_eq!(same.resampled, "run");
    assert_eq!(verdicts(&same, Verdict::Worse), [""; 0]);
    assert_eq!(verdicts(&same, Verdict::Better), [""; 0]);
    let slower = Comparison::new(runs(1, 0.0, 0.5, 6), runs(2, 1.0, 0.5, 6), 0.0);
    assert!(verdicts(&slower, Verdict::Worse).contains(&"user-bot latency, mean"));
    // One run of each is found to differ, because nothing in it says how runs vary.
    let one = Comparison::new(runs(1, 0.0, 0.0, 1), runs(2, 0.5, 0.0, 1), 0.0);
    assert_eq!((one.resampled, one.worse), ("call", true));
}

#[test]
fn students_t_is_approximated() {
    // From a table.
    for (freedom, t) in [
        (4.0, 8.610),
        (9.0, 4.781),
        (19.0, 3.883),
        (59.0, 3.463),
        (1_000.0, 3.300),
    ] {
        let ratio = students_t(freedom) / t;
        assert!((0.95..1.01).contains(&ratio), "{freedom}: {ratio}");
    }
}

#[test]
fn the_error_of_a_difference_is_welchs() {
    // Equal variances of ten units each have eighteen degrees of freedom: t is 3.922.
    let error = error_of_difference([(0.3, 10), (0.3, 10)]);
    let welch = (2.0 * 0.09 * 10.0 / 9.0_f64).sqrt() * 3.922;
    assert!((error / welch - 1.0).abs() < 0.01, "{error} for {welch}");
    assert_eq!(error_of_difference([(0.0, 10), (0.0, 10)]), 0.0);
}

#[test]
fn shares_that_do_not_vary_have_an_error_all_the_same() {
    let none = Estimate {
        value: 0.0,
        count: 50,
        standard_error: 0.0,
    };
    let error = error_of_share(none);
    assert!((0.02..0.04).contains(&error), "{error}");
}
