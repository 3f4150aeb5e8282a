//! A program on tokio's multi-thread runtime, which ends telemetry from one of its tasks.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;
#[path = "support/talk.rs"]
mod talk;

use support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_span_arrives_from_inside_a_multi_thread_runtime() {
    let server = Server::start();
    let telemetry = tracing_conversation::Telemetry::builder()
        .endpoint(server.url())
        .init()
        .unwrap();
    let conversation = tokio::spawn(async { talk::talk() }).await.unwrap();
    tokio::spawn(async move { telemetry.shutdown() })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(server.names(), talk::SPANS);
    drop(conversation);
}
