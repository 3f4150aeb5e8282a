//! The examples as programs. `cargo test` builds examples before it runs tests; with `--test behaviour` it does not.

use crate::programs::{self, View, heeds_every_variable};
use std::process::Command;

/// The example `name`, in an environment without any variable that the crate reads.
pub(crate) fn command(name: &str) -> Command {
    // target/PROFILE/deps/TEST-HASH
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let program = examples
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "{} is not there: `cargo build --example {name}`, with the features and the profile of this test, builds it",
        program.display()
    );
    programs::command(program)
}

/// What an example prints with telemetry disabled.
fn heeds(name: &str, by_default: View) -> String {
    heeds_every_variable(|| command(name), by_default)
}

#[test]
fn quickstart_heeds_every_variable() {
    assert_eq!(heeds("quickstart", View::Tree), "");
}

#[test]
fn observer_heeds_every_variable() {
    let printed = heeds("observer", View::Nothing);
    assert!(printed.contains("turn 1: answered after"), "{printed}");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_heed_every_variable() {
    // The meter provider is the program's own.
    let printed = heeds("metrics", View::Nothing);
    assert!(printed.contains(": calls\n"), "{printed}");
    assert!(!printed.contains("conversation."), "{printed}");
}
