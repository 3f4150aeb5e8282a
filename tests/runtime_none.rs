//! A program without any async runtime.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;
#[path = "support/talk.rs"]
mod talk;

use support::Server;

#[test]
fn every_span_arrives_without_a_runtime() {
    let server = Server::start();
    let telemetry = tracing_conversation::Telemetry::builder()
        .endpoint(server.url())
        .init()
        .unwrap();
    let conversation = talk::talk();
    telemetry.shutdown().unwrap();
    assert_eq!(server.names(), talk::SPANS);
    assert_eq!(telemetry.delivered()[0].exported, 4);

    // A second end says what the first said, and what comes after it goes nowhere.
    drop(conversation);
    drop(talk::talk());
    assert_eq!(telemetry.shutdown(), Ok(()));
    drop(telemetry);
    assert_eq!(server.names(), talk::SPANS);
}
