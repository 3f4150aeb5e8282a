#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod destinations;
mod endpoint;
mod generated;
mod otlp;
#[cfg(all(feature = "grpc", feature = "http"))]
mod rows;
mod spans;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Settings from these variables and nothing else.
fn read(variables: &[(&str, &str)]) -> Result<Settings, SetupError> {
    let explicit = HashMap::new();
    let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(OsString::from);
    Settings::read(&Variables::new(&explicit, &lookup))
}

pub(super) fn settings(variables: &[(&str, &str)]) -> Settings {
    read(variables).unwrap_or_else(|error| panic!("{variables:?}: {error}"))
}

/// What is said of variables that cannot be used.
pub(super) fn complaint(variables: &[(&str, &str)]) -> String {
    read(variables).expect_err("cannot be used").to_string()
}

fn otlp(variables: &[(&str, &str)]) -> Otlp {
    settings(variables).otlp.expect("OTLP is on")
}

fn url(variables: &[(&str, &str)]) -> String {
    otlp(variables).connection.url
}

/// Where spans go: the console's view, and whether OTLP.
fn destinations(variables: &[(&str, &str)]) -> (Option<Console>, bool) {
    let settings = settings(variables);
    (settings.console, settings.otlp.is_some())
}

/// Settings from the program's defaults and these variables.
fn with_defaults(defaults: &[(&str, &str)], variables: &[(&str, &str)]) -> Settings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let (explicit, defaults) = (HashMap::new(), defaults.iter().map(owned).collect());
    let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(OsString::from);
    let variables = Variables::new(&explicit, &lookup).with_defaults(&defaults);
    Settings::read(&variables).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_programs_own_settings_stand_in_front_of_the_environment() {
    let explicit = HashMap::from([
        ("CONVERSATION_TRACE".to_owned(), "turn".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), String::new()),
    ]);
    let lookup = |name: &str| match name {
        "CONVERSATION_TRACE" | "OTEL_BSP_SCHEDULE_DELAY" => Some(OsString::from("nonsense")),
        "OTEL_TRACES_EXPORTER" => Some(OsString::from("none")),
        _ => None,
    };
    let settings =
        Settings::read(&Variables::new(&explicit, &lookup)).expect("the nonsense is hidden");
    assert_eq!(settings.trace_mode, TraceMode::Turn);
    assert_eq!(settings.limits.delay, Duration::from_millis(500));
}

#[test]
fn errors_that_quote_a_file_drive_no_terminal() {
    let quoted = "line 1: `\u{1b}]0;\u{7}\u{9b}2J\u{202e}`";
    for error in [
        SetupError::Rules(quoted.into()),
        SetupError::variable("CONVERSATION_PRICES", "p.json", quoted),
    ] {
        let said = format!("{error} {error:?}");
        assert!(!said.contains(crate::terminal::is_unsafe), "{said:?}");
    }
}

/// The table in the documentation has exactly the variables that these tests are about.
#[test]
fn every_documented_variable_has_a_test_and_the_other_way_round() {
    let table = include_str!("../../docs/environment.md");
    let tests = [
        include_str!("tests/destinations.rs"),
        include_str!("tests/endpoint.rs"),
        include_str!("tests/otlp.rs"),
        include_str!("tests/spans.rs"),
        include_str!("metrics/tests.rs"),
    ];
    let tested: BTreeSet<_> = tests
        .into_iter()
        .flat_map(|text| names(text, "\""))
        .collect();
    assert_eq!(names(table, "`"), tested);
}

fn names(text: &'static str, quote: &str) -> BTreeSet<&'static str> {
    text.split(quote)
        .filter(|word| {
            ["OTEL_", "CONVERSATION_", "LANGFUSE_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .filter(|word| {
            !word.ends_with('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .collect()
}
