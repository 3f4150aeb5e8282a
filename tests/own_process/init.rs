//! `init` and what a process has once: the global subscriber and the global provider.

use tracing_conversation::{SetupError, Telemetry};

own_process!(second_init_returns_already_installed, || {
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
});

#[cfg(feature = "http")]
own_process!(global_provider_is_set_only_if_asked_for, || {
    let server = crate::support::Server::start();
    use opentelemetry::trace::{Span as _, Tracer as _};
    let global = || opentelemetry::global::tracer("test").start("global").end();
    let quiet = Telemetry::builder().endpoint(server.url()).build().unwrap();
    global();
    quiet.shutdown().unwrap();
    assert_eq!(server.names(), [""; 0]);
    let asked = Telemetry::builder()
        .endpoint(server.url())
        .set_global_provider(true)
        .build()
        .unwrap();
    global();
    asked.shutdown().unwrap();
    assert_eq!(server.names(), ["global"]);
});
