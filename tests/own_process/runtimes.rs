//! Programs with and without an async runtime, and how they end telemetry.

use std::thread;

use crate::support::Server;
use crate::talk::{self, talk};
use tracing_conversation::Telemetry;

/// A server, and telemetry to it, installed.
fn start() -> (Server, Telemetry) {
    let server = Server::start();
    let telemetry = Telemetry::builder().endpoint(server.url()).init().unwrap();
    (server, telemetry)
}

own_process!(every_span_arrives_without_a_runtime, || {
    let (server, telemetry) = start();
    let conversation = talk();
    telemetry.shutdown().unwrap();
    assert_eq!(server.names(), talk::SPANS);
    assert_eq!(telemetry.delivered()[0].exported, 4);

    // A second end says what the first said, and what comes after it goes nowhere.
    drop(conversation);
    drop(talk());
    assert_eq!(telemetry.shutdown(), Ok(()));
    drop(telemetry);
    assert_eq!(server.names(), talk::SPANS);
});

// Such a runtime cannot drive anything while the end blocks it.
own_process!(
    every_span_arrives_from_inside_a_current_thread_runtime,
    || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (server, telemetry) = start();
            let conversation = tokio::spawn(async { talk() }).await.unwrap();
            drop(telemetry);
            assert_eq!(server.names(), talk::SPANS);
            drop(conversation);
        });
    }
);

// One of its tasks ends telemetry.
own_process!(
    every_span_arrives_from_inside_a_multi_thread_runtime,
    || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (server, telemetry) = start();
            let conversation = tokio::spawn(async { talk() }).await.unwrap();
            tokio::spawn(async move { telemetry.shutdown() })
                .await
                .unwrap()
                .unwrap();
            assert_eq!(server.names(), talk::SPANS);
            drop(conversation);
        });
    }
);

own_process!(every_span_arrives_when_a_panic_drops_the_guard, || {
    let server = Server::start();
    let url = server.url();
    let program = thread::spawn(move || {
        let _telemetry = Telemetry::builder().endpoint(url).init().unwrap();
        let conversation = talk();
        let _entered = conversation.enter();
        panic!("as this test wants it");
    });
    program.join().unwrap_err();
    assert_eq!(server.names(), talk::SPANS);
});
