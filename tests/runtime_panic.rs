//! A program that panics: unwinding drops the guard.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;
#[path = "support/talk.rs"]
mod talk;

use std::thread;

use support::Server;

#[test]
fn every_span_arrives_when_a_panic_drops_the_guard() {
    let server = Server::start();
    let url = server.url();
    let program = thread::spawn(move || {
        let _telemetry = tracing_conversation::Telemetry::builder()
            .endpoint(url)
            .init()
            .unwrap();
        let conversation = talk::talk();
        let _entered = conversation.enter();
        panic!("as this test wants it");
    });
    program.join().unwrap_err();
    assert_eq!(server.names(), talk::SPANS);
}
