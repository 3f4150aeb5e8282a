//! `init` and the one global subscriber that a process has.

#![cfg(feature = "setup")]
#![allow(clippy::unwrap_used)]

use tracing_conversation::{SetupError, Telemetry};

#[test]
fn init_installs_one_subscriber_and_says_when_there_is_one() {
    let wrong = Telemetry::builder()
        .variable("RUST_LOG", "=,=")
        .init()
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "RUST_LOG=\"=,=\" cannot be used: allowed is levels and targets such as info or warn,my_crate=debug"
    );
    let off = || {
        Telemetry::builder()
            .variable("OTEL_TRACES_EXPORTER", "none")
            .init()
    };
    let first = off().unwrap();
    let second = off().unwrap_err();
    assert!(matches!(second, SetupError::AlreadyInstalled), "{second:?}");
    drop(first);
}
