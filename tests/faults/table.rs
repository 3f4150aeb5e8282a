//! The fault table: what becomes of every span, by protocol and fault, and what a program's own thread notices of it.
//!
//! ```text
//! cargo run --release --example faults --features grpc,http             1,000 spans a second, outages of seconds: 1 minute
//! cargo run --release --example faults --features grpc,http -- --full   5,000 spans a second through 10 s: 6 minutes
//! ```
//!
//! Fails if a span is unaccounted for, if one counted as exported did not arrive, or if any is lost in an outage that is
//! promised to lose none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod collector;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use collector::{Collector, Mode};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use proxy::{Answers, Proxy};
use tracing_conversation::{Protocol, Telemetry};
use tracing_subscriber::prelude::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Away,
    Restarts,
    Resets,
    Busy,
    Silent,
    Partial,
    Refused,
    Gone,
    FullQueue,
}

use Fault::{Away, Busy, FullQueue, Gone, Partial, Refused, Resets, Restarts, Silent};

const FAULTS: [(Fault, &str); 10] = [
    (Fault::None, "none"),
    (Away, "away"),
    (Restarts, "restarts"),
    (Resets, "answers cut off"),
    (Busy, "503, Unavailable"),
    (Silent, "no answers"),
    (Partial, "partial success"),
    (Refused, "401, Unauthenticated"),
    (Gone, "gone for good"),
    (FullQueue, "away, small queue"),
];

impl Fault {
    /// Whether no span may be lost.
    fn loses_nothing(self) -> bool {
        matches!(self, Self::None | Away | Restarts | Resets | Busy | Silent)
    }

    /// Lets it happen over `whole`, in twelfths: most faults last from the first to the eleventh.
    fn happen(self, whole: Duration, proxy: &Proxy, collector: &Collector) {
        let wait = |twelfths| thread::sleep(whole * twelfths / 12);
        match self {
            Self::None => wait(12),
            Away | FullQueue => {
                wait(1);
                proxy.close();
                wait(10);
                proxy.open();
                wait(1);
            }
            Restarts => {
                for _ in 0..4 {
                    wait(2);
                    proxy.close();
                    wait(1);
                    proxy.open();
                }
            }
            Resets => {
                for _ in 0..24 {
                    thread::sleep(whole / 24);
                    proxy.answers(Answers::CutOne);
                }
                proxy.answers(Answers::Pass);
            }
            Busy => {
                wait(1);
                collector.set(Mode::Busy);
                wait(10);
                collector.set(Mode::Take);
                wait(1);
            }
            Silent => {
                wait(1);
                proxy.answers(Answers::Withhold);
                wait(5);
                proxy.answers(Answers::Pass);
                wait(6);
            }
            Partial => {
                collector.set(Mode::RejectOne);
                wait(12);
            }
            Refused => {
                collector.set(Mode::Refuse);
                wait(12);
            }
            Gone => {
                wait(6);
                proxy.close();
                wait(6);
            }
        }
    }
}

struct Row {
    sent: u64,
    exported: u64,
    dropped: u64,
    rejected: u64,
    failed: u64,
    received: u64,
    duplicates: u64,
    /// 99.9 of 100 calls into the layer (a span from its creation to its close) took no longer.
    p999: Duration,
    wrong: Vec<&'static str>,
}

fn run(protocol: Protocol, fault: Fault, rate: u32, whole: Duration) -> Row {
    let collector = match protocol {
        Protocol::Grpc => Collector::grpc(),
        _ => Collector::http(),
    };
    let proxy = Proxy::start(collector.address());
    let mut builder = Telemetry::builder()
        .endpoint(format!("http://{}", proxy.address()))
        .protocol(protocol)
        .variable("OTEL_CONSOLE_EXPORT", "")
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
    if fault == FullQueue {
        builder = builder.variable("OTEL_BSP_MAX_QUEUE_SIZE", "1000");
    }
    builder = builder.shutdown_timeout(Duration::from_secs(if fault == Gone { 2 } else { 60 }));
    let telemetry = builder.build().expect("settings that can be used");
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    let tracer = telemetry.provider().tracer("faults");
    let over = AtomicBool::new(false);
    let mut sent = 0;
    let mut calls = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            fault.happen(whole, &proxy, &collector);
            over.store(true, Ordering::Relaxed);
        });
        tracing::subscriber::with_default(subscriber, || {
            let begun = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                while sent < due {
                    // Every other span through the layer, timed; a name of its own for each through the provider.
                    if sent % 2 == 0 {
                        let name = sent.to_string();
                        let call = Instant::now();
                        tracing::info_span!("span", otel.name = name).in_scope(|| ());
                        calls.push(call.elapsed());
                    } else {
                        tracer.start(sent.to_string()).end();
                    }
                    sent += 1;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
    });
    let _ = telemetry.shutdown();
    let delivered = &telemetry.delivered()[0];
    let taken = collector.taken();
    calls.sort_unstable();
    let mut row = Row {
        sent,
        exported: delivered.exported,
        dropped: delivered.dropped_queue_full,
        rejected: delivered.rejected,
        failed: delivered.failed,
        received: taken.len() as u64,
        duplicates: taken.values().map(|times| u64::from(times - 1)).sum(),
        p999: calls[calls.len() * 999 / 1000],
        wrong: Vec::new(),
    };
    if row.sent != row.exported + row.dropped + row.rejected + row.failed || delivered.waiting > 0 {
        row.wrong.push("a span is unaccounted for");
    }
    if row.received < row.exported {
        row.wrong.push("one counted as exported did not arrive");
    }
    if fault.loses_nothing() && (row.received != sent || row.exported != sent) {
        row.wrong.push("one is lost");
    }
    row
}

fn main() -> ExitCode {
    let full = std::env::args().any(|argument| argument == "--full");
    let (rate, whole) = if full {
        (5_000, Duration::from_secs(12))
    } else {
        (1_000, Duration::from_secs(2))
    };
    println!(
        "{rate} spans a second for {} s; every span exported is counted once\n",
        whole.as_secs()
    );
    println!(
        "| protocol | fault | sent | exported | dropped | rejected | failed | received | duplicates | p99.9 of a call |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut wrong = Vec::new();
    for (protocol, name) in [
        (Protocol::HttpProtobuf, "http/protobuf"),
        (Protocol::HttpJson, "http/json"),
        (Protocol::Grpc, "grpc"),
    ] {
        let mut healthy = None;
        for (fault, what) in FAULTS {
            let row = run(protocol, fault, rate, whole);
            let healthy = *healthy.get_or_insert(row.p999);
            println!(
                "| {name} | {what} | {} | {} | {} | {} | {} | {} | {} | {:.1} µs (healthy {:.1}) |",
                row.sent,
                row.exported,
                row.dropped,
                row.rejected,
                row.failed,
                row.received,
                row.duplicates,
                row.p999.as_secs_f64() * 1e6,
                healthy.as_secs_f64() * 1e6,
            );
            wrong.extend(row.wrong.iter().map(|why| format!("{name}, {what}: {why}")));
        }
    }
    for line in &wrong {
        println!("WRONG: {line}");
    }
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
