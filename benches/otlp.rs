//! What a whole process costs that exports its turns by OTLP over HTTP: the processor's time of a turn, with all threads.
//!
//!     cargo bench --no-default-features --features http --bench otlp
//!
//! Each variant is a process of its own, which has its turns one after another and flushes after every hundred, so that
//! no queue drops anything; the process that starts them is the collector, and counts the spans. The time is what the kernel
//! has accounted to the process, in user and kernel mode, between the end of a warm-up and that of the shutdown. It is taken
//! on whatever machine this is: only the last column says anything, how many times as long this crate takes, as the median
//! over processes that took turns. Linux only.

#![allow(missing_docs, clippy::print_stdout, reason = "a program of its own")]
#![allow(clippy::expect_used, reason = "a benchmark may fail")]

#[path = "turn/programs.rs"]
#[allow(dead_code, reason = "of the programs, only two are measured here")]
mod programs;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use programs::{Words, turn_nested_by_hand, turn_of_ours};
use prost::Message as _;
use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::info_span;
use tracing::level_filters::LevelFilter;
use tracing_conversation::{Protocol, Telemetry};
use tracing_subscriber::prelude::*;

const WARM_UP: usize = 200;
const TURNS: usize = 40_000;
const BETWEEN_FLUSHES: usize = 100;
const ROUNDS: usize = 5;

/// A message of HTTP/1.1 whose length stands in its header.
struct HttpMessage {
    first_line: String,
    body: Vec<u8>,
}

/// `None` at the end of the connection.
fn read_message(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<HttpMessage>> {
    let mut first_line = String::new();
    if from.read_line(&mut first_line)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(HttpMessage { first_line, body }))
}

/// A collector that counts spans.
struct Collector {
    url: String,
    spans: Arc<AtomicUsize>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let spans = Arc::new(AtomicUsize::new(0));
        let counter = spans.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let counter = counter.clone();
                std::thread::spawn(move || serve(connection, &counter));
            }
        });
        Self {
            url: format!("http://{address}"),
            spans,
        }
    }
}

fn serve(connection: TcpStream, spans: &AtomicUsize) {
    let mut connection = BufReader::new(connection);
    while let Ok(Some(request)) = read_message(&mut connection) {
        let exported = ExportTraceServiceRequest::decode(&*request.body).expect("it is OTLP");
        let scopes = exported.resource_spans.iter();
        let scopes = scopes.flat_map(|resource| &resource.scope_spans);
        spans.fetch_add(
            scopes.map(|scope| scope.spans.len()).sum(),
            Ordering::Relaxed,
        );
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if connection.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

/// The client of the variant by hand: as little as there can be of one.
#[derive(Debug)]
struct Client {
    address: String,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Client {
    fn send(&self, request: &Request<Bytes>) -> std::io::Result<()> {
        let mut connection = self
            .connection
            .lock()
            .map_err(|_| std::io::ErrorKind::Other)?;
        let connection = match &mut *connection {
            Some(open) => open,
            none => none.insert(BufReader::new(TcpStream::connect(&self.address)?)),
        };
        let mut message = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            request.uri().path(),
            self.address,
            request.body().len()
        )
        .into_bytes();
        for (name, value) in request.headers() {
            message.extend_from_slice(name.as_str().as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(value.as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(request.body());
        connection.get_mut().write_all(&message)?;
        let answer = read_message(connection)?;
        let is_taken = answer.is_some_and(|answer| answer.first_line.contains(" 200 "));
        is_taken
            .then_some(())
            .ok_or_else(|| std::io::Error::other("it was not taken"))
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(&request)?;
        Ok(Response::new(Bytes::new()))
    }
}

/// Seconds that the kernel has accounted to this process.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    // proc_pid_stat(5): the 14th and 15th field, in hundredths of a second.
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|time| time.parse::<f64>().expect("it is a number"))
        .sum::<f64>()
        / 100.0
}

/// Has turns. Returns the microseconds of each.
fn measure(turn: impl Fn(), flush: impl Fn(), shut_down: impl Fn()) -> f64 {
    let turns = |count: usize| {
        for done in 1..=count {
            turn();
            if done % BETWEEN_FLUSHES == 0 {
                flush();
            }
        }
    };
    turns(WARM_UP);
    let before = processor_seconds();
    turns(TURNS);
    shut_down();
    (processor_seconds() - before) * 1e6 / TURNS as f64
}

fn ours(url: &str, words: &Words) -> f64 {
    let telemetry = Telemetry::builder()
        .endpoint(url)
        .protocol(Protocol::HttpProtobuf)
        .console(None)
        .build()
        .expect("it can be set up");
    tracing_subscriber::registry()
        .with(telemetry.layer())
        .init();
    let conversation = info_span!("conversation", conversation.id = "call-1").entered();
    let conversation = Cell::new(Some(conversation));
    measure(
        || turn_of_ours(words, 1),
        || {
            telemetry
                .flush(Duration::from_secs(10))
                .expect("it is delivered")
        },
        || {
            drop(conversation.take());
            telemetry.shutdown().expect("it is delivered");
        },
    )
}

fn by_hand(url: &str, words: &Words, with_events: bool) -> f64 {
    let client = Client {
        address: url.trim_start_matches("http://").to_owned(),
        connection: Mutex::default(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{url}/v1/traces"))
        .build()
        .expect("it can be built");
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    tracing_subscriber::registry()
        .with(layer.with_filter(LevelFilter::INFO))
        .init();
    measure(
        || turn_nested_by_hand(words, 1, with_events),
        || provider.force_flush().expect("it is delivered"),
        || provider.shutdown().expect("it is delivered"),
    )
}

const VARIANTS: [(&str, &str); 3] = [
    ("ours", "this crate"),
    (
        "by-hand",
        "by hand, tracing-opentelemetry as it is by default",
    ),
    (
        "by-hand-without-events",
        "the same without the boundary events",
    ),
];

/// Runs a variant in a process of its own. Returns the microseconds of a turn.
fn run(variant: &str) -> f64 {
    let collector = Collector::start();
    let program = std::env::current_exe().expect("it is known");
    let run = Command::new(program)
        .args([variant, &collector.url])
        .output()
        .expect("it can be started");
    assert!(run.status.success(), "{variant}: {run:?}");
    let spans = collector.spans.load(Ordering::Relaxed);
    let expected = 4 * (WARM_UP + TURNS) + usize::from(variant == "ours");
    assert_eq!(spans, expected, "spans of {variant}");
    let printed = String::from_utf8_lossy(&run.stdout);
    printed.trim().parse().expect("it is a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [variant, url] = &*arguments {
        let words = Words::new();
        let microseconds = match &**variant {
            "ours" => ours(url, &words),
            "by-hand" => by_hand(url, &words, true),
            _ => by_hand(url, &words, false),
        };
        println!("{microseconds}");
        return;
    }
    let rounds: Vec<[f64; 3]> = (0..ROUNDS)
        .map(|_| VARIANTS.map(|(variant, _)| run(variant)))
        .collect();
    for (index, (_, name)) in VARIANTS.into_iter().enumerate() {
        let own = median(rounds.iter().map(|round| round[index]).collect());
        let ratio = median(rounds.iter().map(|round| round[0] / round[index]).collect());
        println!("otlp | {name} | {own:.1} microseconds a turn | {ratio:.2}");
    }
}
