//! A program on tokio's current-thread runtime, which cannot drive anything while the end blocks it.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;
#[path = "support/talk.rs"]
mod talk;

use support::Server;

#[tokio::test(flavor = "current_thread")]
async fn every_span_arrives_from_inside_a_current_thread_runtime() {
    let server = Server::start();
    let telemetry = tracing_conversation::Telemetry::builder()
        .endpoint(server.url())
        .init()
        .unwrap();
    let conversation = tokio::spawn(async { talk::talk() }).await.unwrap();
    drop(telemetry);
    assert_eq!(server.names(), talk::SPANS);
    drop(conversation);
}
