//! Metrics of whole programs, set up by the environment.

use std::process::{Output, Stdio};

use crate::examples::command;

fn run(example: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = command(example);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn console_shows_metrics_at_the_end_of_a_program() {
    let output = run(
        "quickstart",
        &[
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "console"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for instrument in [
        "conversation.active",
        "conversation.turn.duration",
        "gen_ai.client.operation.duration",
    ] {
        let lines = printed
            .lines()
            .filter(|line| line.contains("Name") && line.ends_with(&format!(": {instrument}")));
        assert_eq!(lines.count(), 1, "{instrument} in {printed}");
    }
    assert!(
        printed.contains("turn.end_reason: interrupted"),
        "{printed}"
    );
    assert!(
        !printed.contains("tracing_conversation.collection"),
        "{printed}"
    );
}

#[test]
fn console_that_nobody_reads_harms_no_program() {
    let mut command = command("quickstart");
    command
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_METRICS_EXPORTER", "console")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panic"), "{said}");
}

#[test]
fn exporter_that_there_is_not_is_an_error() {
    let output = run("quickstart", &[("OTEL_METRICS_EXPORTER", "prometheus")]);
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "Error: OTEL_METRICS_EXPORTER=\"prometheus\" cannot be used: allowed is otlp, console, none, or some of them \
         with commas between\n"
    );
}

#[test]
fn provider_of_the_program_gets_the_metrics_and_has_its_view() {
    let output = run("metrics", &[("OTEL_METRICS_EXPORTER", "prometheus")]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let latency = printed
        .split("Metric #")
        .find(|metric| metric.contains(": conversation.turn.user_bot_latency\n"))
        .unwrap_or_else(|| panic!("{printed}"));
    assert!(latency.contains("Count        : 3\n"), "{latency}");
    assert!(latency.contains("0.01 to 0.1 : 3\n"), "{latency}");
    assert!(
        printed.contains("Value        : 3\n"),
        "the program's own: {printed}"
    );
}
