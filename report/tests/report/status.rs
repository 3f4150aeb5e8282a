//! Exit statuses, and what is said of them.

use crate::{calls, folder, run, stderr, write};

fn status(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments, calls(1, 0.0, 20).as_bytes());
    (output.status.code(), stderr(&output))
}

#[test]
fn a_condition_that_holds_gives_1_and_says_the_figure() {
    let (code, says) = status(&[
        "--fail-if",
        "p50 > 100ms",
        "--fail-if",
        "p99 > 1h",
        "--fail-if",
        "turns >= 2",
    ]);
    assert_eq!(code, Some(2), "{says}");
    let (code, says) = status(&[
        "--fail-if",
        "p50 > 100ms",
        "--fail-if",
        "p99 > 60m",
        "--fail-if",
        "turns >= 2",
    ]);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = says.lines().collect();
    assert_eq!(lines.len(), 2, "{says}");
    assert!(
        lines[0].starts_with("conversation-report: --fail-if p50 > 100ms: it is 1."),
        "{says}"
    );
    assert!(
        lines[1].starts_with("conversation-report: --fail-if turns >= 2: it is "),
        "{says}"
    );
}

#[test]
fn conditions_that_do_not_hold_give_0() {
    let conditions = [
        "p95 > 1.5m",
        "interruption_rate > 90%",
        "errors > 1000",
        "cost > $5",
        "llm_tool_call.p95 > 1s",
    ];
    for condition in conditions {
        assert_eq!(
            status(&["--fail-if", condition]),
            (Some(0), String::new()),
            "{condition}"
        );
    }
}

#[test]
fn the_report_is_printed_before_the_program_fails() {
    let output = run(&["--fail-if", "calls > 0"], calls(1, 0.0, 1).as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.starts_with(b"calls"));
}

#[test]
fn a_condition_that_cannot_be_decided_gives_2() {
    let (code, says) = status(&["--fail-if", "greeting.p95 > 1s"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        says,
        "conversation-report: --fail-if 'greeting.p95 > 1s' cannot be decided: nothing in the input took that time\n"
    );
}

#[test]
fn a_condition_that_is_none_gives_2_and_names_what_is_allowed() {
    let (code, says) = status(&["--fail-if", "p96 > 1s"]);
    assert_eq!(code, Some(2));
    assert!(
        says.contains("there is no figure \"p96\"; there are p50, p95, p99"),
        "{says}"
    );
    let (code, says) = status(&["--fail-if", "worse"]);
    assert_eq!(code, Some(2));
    assert!(says.contains("--compare BEFORE AFTER"), "{says}");
}

#[test]
fn worse_holds_for_a_delay_and_not_for_the_same() {
    let folder = folder("worse");
    let before = write(&folder.join("before.jsonl"), calls(1, 0.0, 100));
    let same = write(&folder.join("same.jsonl"), calls(2, 0.0, 100));
    let slower = write(&folder.join("slower.jsonl"), calls(3, 0.3, 100));
    let compared = |after: &str| status(&["--compare", &before, after, "--fail-if", "worse"]);
    assert_eq!(compared(&same), (Some(0), String::new()));
    let (code, says) = compared(&slower);
    assert_eq!(
        (code, says.as_str()),
        (
            Some(1),
            "conversation-report: --fail-if worse: AFTER is worse than BEFORE\n"
        )
    );
    let (code, _) = status(&[
        "--compare",
        &before,
        &slower,
        "--fail-if",
        "worse",
        "--least-change",
        "100%",
    ]);
    assert_eq!(code, Some(0));
    let (code, _) = status(&["--compare", &before, &slower, "--fail-if", "p50 > 1.2s"]);
    assert_eq!(code, Some(1));
}

#[test]
fn contradicting_arguments_give_2() {
    for arguments in [
        vec!["--compare", "a"],
        vec!["--compare", "a", "b", "c"],
        vec!["--tree", "x", "--format", "json"],
        vec!["--format", "yaml"],
        vec!["--least-change", "much"],
    ] {
        assert_eq!(run(&arguments, b"").status.code(), Some(2), "{arguments:?}");
    }
}
