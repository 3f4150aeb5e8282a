//! Collectors that stay away, and bursts.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    trace::{Span, Tracer, TracerProvider},
};

use super::{counts, make, to};
use crate::stage::eventually;
use crate::support::{PATIENCE, Reply, Server};

#[test]
fn a_collector_away_for_ten_seconds_at_200_spans_a_second_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = to(&format!("http://{address}"))
        .variable("OTEL_BSP_SCHEDULE_DELAY", "")
        .build()
        .unwrap();
    let begun = Instant::now();
    for _ in 0..1000 {
        make(&telemetry, 2);
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert_eq!(counts(&telemetry), [0, 0, 0, 0, 2000]);
    let server = Server::on(TcpListener::bind(address).expect("the port is still free"));
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [2000, 0, 0, 0, 0]);
    assert_eq!(server.names().len(), 2000);
}

#[test]
fn a_thousand_conversations_ending_together_lose_nothing() {
    let server = Server::start();
    let telemetry = to(&server.url()).build().unwrap();
    // Each: the conversation, its last turn, and ten more spans that were open.
    make(&telemetry, 12_000);
    telemetry.shutdown().unwrap();
    assert_eq!(counts(&telemetry), [12_000, 0, 0, 0, 0]);
    assert_eq!(server.names().len(), 12_000);
}

#[test]
fn a_full_queue_drops_and_counts_and_never_blocks() {
    let server = Server::start();
    server.reply([Reply::Hang]);
    let telemetry = to(&server.url())
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "100")
        .variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
        .shutdown_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    make(&telemetry, 1000);
    assert_eq!(counts(&telemetry), [0, 900, 0, 0, 100]);
    telemetry.shutdown().unwrap_err();
    // The export thread may be late on a busy machine.
    eventually(|| counts(&telemetry) == [0, 900, 0, 100, 0]);
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let server = Server::start();
    server.reply([Reply::Hang]);
    let telemetry = to(&server.url())
        .shutdown_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let tracer = telemetry.provider().tracer("test");
    for _ in 0..100 {
        let mut span = tracer.start("large");
        fill(&mut span, 16);
        span.end();
    }
    let [exported, dropped, rejected, failed, waiting] = counts(&telemetry);
    assert_eq!([exported, rejected, failed], [0, 0, 0]);
    assert_eq!(
        (waiting, dropped),
        (63, 37),
        "64 MiB hold 63 such spans and what else they are made of"
    );
}

#[test]
fn a_request_stays_below_what_collectors_take() {
    let server = Server::start();
    let telemetry = to(&server.url()).build().unwrap();
    let tracer = telemetry.provider().tracer("test");
    for _ in 0..40 {
        let mut span = tracer.start("large");
        fill(&mut span, 3);
        span.end();
    }
    telemetry.shutdown().unwrap();
    let lengths: Vec<usize> = server
        .requests()
        .iter()
        .map(|request| request.length)
        .collect();
    assert!(
        lengths.len() >= 4 && lengths.iter().all(|&length| length < 4 << 20),
        "{lengths:?}"
    );
    assert_eq!(server.names().len(), 40);
}

/// Adds so many texts of 64 KiB, the longest that leaves whole.
fn fill(span: &mut impl Span, texts: usize) {
    for number in 0..texts {
        span.set_attribute(KeyValue::new(
            format!("text.{number}"),
            "x".repeat(64 << 10),
        ));
    }
}
