//! The report's figures against an independent computation over the same lines.

use serde_json::Value;

use crate::{calls, printed};

/// Every attribute `key` of the spans called `name`.
fn attributes<'a>(lines: &'a [Value], name: &'a str, key: &'a str) -> Vec<&'a Value> {
    let spans = lines.iter().flat_map(|line| {
        line["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
    });
    spans
        .filter(|span| span["name"] == name)
        .flat_map(|span| span["attributes"].as_array().unwrap())
        .filter(|attribute| attribute["key"] == key)
        .map(|attribute| &attribute["value"])
        .collect()
}

fn doubles(lines: &[Value], name: &str, key: &str) -> Vec<f64> {
    let values = attributes(lines, name, key);
    values
        .iter()
        .map(|value| value["doubleValue"].as_f64().unwrap())
        .collect()
}

fn ints(lines: &[Value], name: &str, key: &str) -> u64 {
    let values = attributes(lines, name, key);
    let values = values
        .iter()
        .map(|value| value["intValue"].as_str().unwrap());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

/// By counting how many lie below, without any rank arithmetic of its own: the value `x` at which a share `q` of the steps
/// between neighbours lies below it.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let steps = sorted.windows(2).enumerate();
    let all = (sorted.len() - 1) as f64;
    for (at, pair) in steps {
        let (below, above) = (at as f64 / all, (at + 1) as f64 / all);
        if (below..=above).contains(&q) {
            return pair[0] + (pair[1] - pair[0]) * (q - below) / (above - below);
        }
    }
    sorted[0]
}

#[track_caller]
fn assert_close(got: &Value, expected: f64, relative: f64) {
    let got = got.as_f64().unwrap();
    assert!(
        (got - expected).abs() <= expected.abs() * (relative + 1e-9),
        "{got} for {expected}"
    );
}

fn check(count: usize, quantile_error: f64) {
    let text = calls(3, 0.0, count);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let report: Value =
        serde_json::from_str(&printed(&["--format", "json"], text.as_bytes())).unwrap();

    let latency = "turn.user_bot_latency_seconds";
    for (summary, values) in [
        (
            &report["user_bot_latency"],
            doubles(&lines, "turn", latency),
        ),
        (
            &report["turn_duration"],
            doubles(&lines, "turn", "turn.duration_seconds"),
        ),
    ] {
        assert_eq!(summary["quantile_error"], quantile_error);
        assert_eq!(summary["count"], values.len());
        for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            assert_close(&summary[name], quantile(&values, q), quantile_error);
        }
        assert_close(
            &summary["mean"],
            values.iter().sum::<f64>() / values.len() as f64,
            0.0,
        );
        assert_close(
            &summary["max"],
            values.iter().copied().fold(0.0, f64::max),
            0.0,
        );
    }
    for part in report["parts"].as_array().unwrap() {
        let key = format!("turn.latency.{}", part["part"].as_str().unwrap());
        let values = doubles(&lines, "turn", &key);
        assert_eq!(part["count"], values.len());
        assert_close(&part["p95"], quantile(&values, 0.95), quantile_error);
        let whole: f64 = doubles(&lines, "turn", latency).iter().sum();
        assert_close(&part["share"], values.iter().sum::<f64>() / whole, 1e-6);
    }
    assert_eq!(report["parts"].as_array().unwrap().len(), 7);

    let histogram = report["histogram"].as_array().unwrap();
    let values = doubles(&lines, "turn", latency);
    for bucket in histogram {
        let from = bucket["from"].as_f64().unwrap();
        let to = bucket["to"].as_f64().unwrap_or(f64::INFINITY);
        let inside = values
            .iter()
            .filter(|value| **value > from && **value <= to);
        assert_eq!(bucket["turns"], inside.count());
    }
    let counted: u64 = histogram
        .iter()
        .map(|bucket| bucket["turns"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, values.len() as u64);

    let interrupted = attributes(&lines, "turn", "turn.end_reason");
    let interrupted = interrupted
        .iter()
        .filter(|it| it["stringValue"] == "interrupted");
    assert_eq!(report["interruptions"], interrupted.count());
    assert_eq!(
        report["errors"],
        attributes(&lines, "llm", "error.type").len()
    );
    assert_eq!(report["calls"], count);
    assert_eq!(
        report["turns"],
        attributes(&lines, "turn", "turn.type").len()
    );
    let usage = &report["usage"];
    assert_eq!(
        usage["input_tokens"],
        ints(&lines, "llm", "gen_ai.usage.input_tokens")
    );
    assert_eq!(
        usage["output_tokens"],
        ints(&lines, "llm", "gen_ai.usage.output_tokens")
    );
    assert_eq!(
        usage["characters"],
        ints(&lines, "tts", "metrics.character_count")
    );
    assert_close(
        &usage["cost_usd"],
        doubles(&lines, "llm", "usage.cost_usd").iter().sum(),
        0.0,
    );
    assert_close(
        &usage["audio_seconds"],
        doubles(&lines, "stt", "metrics.audio_seconds").iter().sum(),
        0.0,
    );
    let dead_air = doubles(&lines, "conversation", "conversation.dead_air_seconds");
    assert_close(&report["dead_air_seconds"], dead_air.iter().sum(), 0.0);

    let services = report["services"].as_array().unwrap();
    let requests = |model: &str| {
        let mut services = services.iter();
        services.find(|it| it["model"] == model).unwrap()["requests"]
            .as_u64()
            .unwrap()
    };
    let models = attributes(&lines, "llm", "gen_ai.request.model");
    for model in ["gpt-4o", "gpt-4o-mini"] {
        let of_it = models
            .iter()
            .filter(|it| it["stringValue"] == model)
            .count();
        assert_eq!(requests(model), of_it as u64, "{model}");
    }

    let mut worst = values;
    worst.sort_by(|a, b| b.total_cmp(a));
    let reported = report["worst_turns"].as_array().unwrap();
    let reported: Vec<f64> = reported
        .iter()
        .map(|turn| turn["user_bot_latency_seconds"].as_f64().unwrap())
        .collect();
    assert_eq!(reported, worst[..10]);
}

#[test]
fn figures_of_few_turns_are_exact() {
    check(200, 0.0);
}

#[test]
fn figures_of_many_turns_are_within_the_stated_error() {
    check(1_500, 0.005);
}
