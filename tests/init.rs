//! `init` and the global subscriber. A separate test binary, because a process has one.

#![cfg(feature = "setup")]
#![allow(clippy::unwrap_used)]

use tracing_conversation::{SetupError, Telemetry};

#[test]
fn second_init_returns_already_installed() {
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
