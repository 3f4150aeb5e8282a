use super::*;
use crate::gather::Totals;
use crate::input::Input;
use crate::otlp;

#[path = "../../tests/made/mod.rs"]
mod made;

fn sampled(seed: u64, slower: f64, calls: u64) -> (Report, Samples) {
    let mut totals = Totals::with_samples(Samples::new(seed));
    let mut made = made::Calls::new(seed, slower);
    for _ in 0..calls {
        let line = made::line(&made.next());
        let request = otlp::read(line.trim().as_bytes()).unwrap();
        request.into_spans().for_each(|span| totals.add(&span));
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
    let comparison = Comparison::new(sampled(1, 0.0, 400), sampled(2, 0.2, 400));
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
    let back = Comparison::new(sampled(2, 0.2, 400), sampled(1, 0.0, 400));
    assert_eq!(verdicts(&back, Verdict::Worse), [""; 0]);
    assert_eq!(verdicts(&back, Verdict::Better).len(), 7);
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
            let comparison =
                Comparison::new(sampled(seed, 0.0, calls), sampled(seed + 1, 0.0, calls));
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
    let comparison = Comparison::new(sampled(1, 0.0, 50), sampled(1, 0.0, 50));
    assert!(
        comparison
            .figures
            .iter()
            .all(|it| matches!(it.verdict, Verdict::Same | Verdict::Unknown))
    );
}

#[test]
fn students_t_is_approximated() {
    // The 99.95 % quantiles of Student's t with so many degrees of freedom, from a table.
    for (freedom, t) in [
        (4, 8.610),
        (9, 4.781),
        (19, 3.883),
        (59, 3.463),
        (1_000, 3.300),
    ] {
        let units = freedom + 1;
        let exact = t * (units as f64 / freedom as f64).sqrt();
        let ratio = critical(units) / exact;
        assert!((0.95..1.01).contains(&ratio), "{freedom}: {ratio}");
    }
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
