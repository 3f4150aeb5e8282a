//! Quickstart as a program: shows a tree by default, and heeds every variable that says otherwise.

use crate::examples::command;
use crate::support::Server;
use std::process::Output;

fn run(variables: &[(&str, &str)]) -> Output {
    let mut command = command("quickstart");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn printed(variables: &[(&str, &str)]) -> String {
    String::from_utf8(run(variables).stdout).unwrap()
}

#[test]
fn it_shows_a_tree_by_default() {
    for variables in [&[][..], &[("OTEL_SERVICE_NAME", "shop")]] {
        let printed = printed(variables);
        assert!(
            printed.contains("turn 1") && printed.contains("turn 2"),
            "{printed}"
        );
    }
}

#[test]
fn variables_choose_another_view() {
    let json = printed(&[("OTEL_CONSOLE_EXPORT", "json")]);
    assert!(json.lines().count() > 0, "nothing is printed");
    for line in json.lines() {
        assert!(line.starts_with("{\"resourceSpans\":"), "{line}");
    }
    for variable in [
        ("OTEL_CONSOLE_EXPORT", "true"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ] {
        let printed = printed(&[variable]);
        assert!(printed.contains("Instrumentation Scope"), "{printed}");
    }
}

#[test]
fn with_an_endpoint_spans_go_there_alone() {
    let server = Server::start();
    assert_eq!(
        printed(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &server.url())]),
        ""
    );
    let names = server.names();
    assert_eq!(
        names.last().map(String::as_str),
        Some("conversation"),
        "{names:?}"
    );
    let both = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*server.url()),
        ("OTEL_CONSOLE_EXPORT", "tree"),
    ];
    assert!(printed(&both).contains("turn 1"));
    assert_eq!(server.names().len(), 2 * names.len());
}

#[test]
fn switched_off_it_prints_nothing() {
    for variable in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let output = run(&[variable]);
        assert_eq!(
            (output.stdout, output.stderr),
            (Vec::new(), Vec::new()),
            "{variable:?}"
        );
    }
}
