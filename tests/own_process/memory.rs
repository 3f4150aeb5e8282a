//! What a full queue occupies while a slow collector takes from it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer as _, TracerProvider as _},
};
use tracing_conversation::Telemetry;

/// One and a half times what the spans of a queue are estimated to occupy at most.
const ALLOWED: usize = 96 << 20;

own_process!(
    #[ignore = "takes seconds of a core"]
    with_texts_of_ten_bytes,
    || fill(10)
);
own_process!(
    #[ignore = "takes seconds of a core"]
    with_texts_of_a_kilobyte,
    || fill(1_000)
);
own_process!(
    #[ignore = "takes seconds of a core"]
    with_texts_of_a_hundred_kilobytes,
    || fill(100_000)
);

/// Ends spans with a text of `bytes` for five seconds, many more than leave.
fn fill(bytes: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(|| take_slowly(stream.unwrap()));
        }
    });
    let telemetry = Telemetry::builder().endpoint(url).build().unwrap();
    let tracer = telemetry.provider().tracer("test");
    let before = resident();
    let mut peak = before;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for _ in 0..100 {
            let mut span = tracer.start("span");
            span.set_attribute(KeyValue::new("text", "x".repeat(bytes)));
            span.end();
        }
        peak = peak.max(resident());
    }
    let delivered = telemetry.delivered().remove(0);
    assert!(delivered.dropped_queue_full > 0, "{delivered:?}");
    assert!(delivered.exported > 0, "{delivered:?}");
    let grown = peak - before;
    eprintln!("texts of {bytes} bytes: grown by {} MiB", grown >> 20);
    assert!(grown <= ALLOWED, "grown by {grown} bytes");
}

/// Takes 50 ms for each request, and keeps nothing of it.
fn take_slowly(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = reader.by_ref().take(length);
        std::io::copy(&mut body, &mut std::io::sink()).unwrap();
        thread::sleep(Duration::from_millis(50));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if reader.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

/// The bytes of memory that this process occupies.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().unwrap() << 10
}
