//! An OTLP/HTTP server in a few lines of the standard library: it takes what it is told to take, in the order it is
//! told, and keeps everything it got.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

#[cfg(feature = "metrics")]
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;

/// Longer than any machine needs; never waited for unless a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    Take,
    /// Status line, further header lines, body.
    Status(&'static str, &'static str, &'static [u8]),
    PartialSuccess(i64, &'static str),
    /// The same in OTLP/JSON, its number as a string.
    PartialSuccessJson(i64, &'static str),
    /// Bytes instead of HTTP.
    Garbage(&'static [u8]),
    Hang,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub at: Instant,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// As it came over the wire.
    pub length: usize,
    /// Decompressed and decoded; empty if it is metrics.
    pub body: ExportTraceServiceRequest,
    /// Decompressed and decoded; empty if it is spans.
    #[cfg(feature = "metrics")]
    pub metrics: ExportMetricsServiceRequest,
    pub taken: bool,
}

#[derive(Default)]
struct Log {
    requests: Vec<Request>,
    replies: VecDeque<Reply>,
    /// What to do with every request for which there is no reply of its own.
    default: Option<Reply>,
}

#[derive(Clone)]
pub struct Server {
    port: u16,
    log: Arc<(Mutex<Log>, Condvar)>,
}

impl Server {
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    pub fn on(listener: TcpListener) -> Self {
        Self::behind(listener, |stream| stream)
    }

    /// Speaks HTTP over whatever `wrap` makes of a connection.
    pub fn behind<S: Read + Write>(
        listener: TcpListener,
        wrap: impl Fn(TcpStream) -> S + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().expect("a bound address").port();
        let server = Self {
            port,
            log: Arc::default(),
        };
        let (log, wrap) = (Arc::clone(&server.log), Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, wrap) = (Arc::clone(&log), Arc::clone(&wrap));
                thread::spawn(move || serve(wrap(stream), &log));
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What to do with the next requests; after them, everything is taken.
    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.log.0.lock().unwrap().replies.extend(replies);
    }

    /// What to do with all requests from now on; `None`: take them.
    pub fn reply_always(&self, reply: Option<Reply>) {
        self.log.0.lock().unwrap().default = reply;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.0.lock().unwrap().requests.clone()
    }

    /// Waits until the server has got so many requests, taken or not.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        self.wait(|log| log.requests.len() >= count)
    }

    /// Waits until the server has taken so many spans.
    pub fn wait_for_spans(&self, count: usize) -> Vec<Request> {
        self.wait(|log| taken(&log.requests) >= count)
    }

    fn wait(&self, done: impl Fn(&Log) -> bool) -> Vec<Request> {
        let (log, changed) = &*self.log;
        let guard = log.lock().unwrap();
        let (guard, waited) = changed
            .wait_timeout_while(guard, PATIENCE, |log| !done(log))
            .unwrap();
        assert!(
            !waited.timed_out(),
            "got only {} requests",
            guard.requests.len()
        );
        guard.requests.clone()
    }

    /// The names of all spans taken, in order.
    pub fn names(&self) -> Vec<String> {
        let requests = self.requests();
        requests
            .iter()
            .filter(|request| request.taken)
            .flat_map(|request| spans(&request.body))
            .map(|span| span.name.clone())
            .collect()
    }
}

fn taken(requests: &[Request]) -> usize {
    requests
        .iter()
        .filter(|request| request.taken)
        .map(|request| spans(&request.body).count())
        .sum()
}

pub fn spans(
    request: &ExportTraceServiceRequest,
) -> impl Iterator<Item = &opentelemetry_proto::tonic::trace::v1::Span> {
    request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
}

/// `key = value` a line, sorted.
pub fn text(attributes: &[KeyValue]) -> String {
    let mut lines: Vec<String> = attributes
        .iter()
        .map(|pair| {
            let value = match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                other => format!("{other:?}"),
            };
            format!("{} = {value}\n", pair.key)
        })
        .collect();
    lines.sort();
    lines.concat()
}

fn serve(stream: impl Read + Write, log: &(Mutex<Log>, Condvar)) {
    let mut reader = BufReader::new(stream);
    while let Some((path, headers, bytes)) = read(&mut reader) {
        let (lock, changed) = log;
        let mut guard = lock.lock().unwrap();
        let reply = guard.replies.pop_front();
        let reply = reply
            .or_else(|| guard.default.clone())
            .unwrap_or(Reply::Take);
        let is_metrics = path.ends_with("/v1/metrics");
        guard.requests.push(Request {
            at: Instant::now(),
            length: bytes.len(),
            body: decode_if(!is_metrics, &headers, &bytes),
            #[cfg(feature = "metrics")]
            metrics: decode_if(is_metrics, &headers, &bytes),
            path,
            headers,
            taken: matches!(
                reply,
                Reply::Take | Reply::PartialSuccess(..) | Reply::PartialSuccessJson(..)
            ),
        });
        drop(guard);
        changed.notify_all();
        let stream = reader.get_mut();
        match reply {
            Reply::Take => respond(
                stream,
                "200 OK",
                "content-type: application/x-protobuf",
                b"",
            ),
            Reply::Status(status, headers, body) => respond(stream, status, headers, body),
            Reply::PartialSuccess(rejected, message) => {
                let answer = ExportTraceServiceResponse {
                    partial_success: Some(ExportTracePartialSuccess {
                        rejected_spans: rejected,
                        error_message: message.into(),
                    }),
                };
                let body = answer.encode_to_vec();
                respond(
                    stream,
                    "200 OK",
                    "content-type: application/x-protobuf",
                    &body,
                );
            }
            Reply::PartialSuccessJson(rejected, message) => {
                let body = format!(
                    r#"{{"partialSuccess":{{"rejectedSpans":"{rejected}","errorMessage":"{message}"}}}}"#
                );
                respond(
                    stream,
                    "200 OK",
                    "content-type: application/json",
                    body.as_bytes(),
                );
            }
            Reply::Garbage(bytes) => {
                let _ = stream.write_all(bytes);
                return;
            }
            // The connection stays open, and nothing comes.
            Reply::Hang => loop {
                thread::park();
            },
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut first = String::new();
    reader
        .read_line(&mut first)
        .ok()
        .filter(|&length| length > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, body))
}

fn decode_if<M: Message + Default + serde::de::DeserializeOwned>(
    is_of_this_kind: bool,
    headers: &BTreeMap<String, String>,
    bytes: &[u8],
) -> M {
    if !is_of_this_kind {
        return M::default();
    }
    let mut plain = Vec::new();
    if headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "gzip")
    {
        flate2::read::GzDecoder::new(bytes)
            .read_to_end(&mut plain)
            .expect("gzip");
    } else {
        plain = bytes.to_vec();
    }
    match headers["content-type"].as_str() {
        "application/json" => serde_json::from_slice(&plain).expect("OTLP/JSON"),
        _ => M::decode(plain.as_slice()).expect("OTLP protobuf"),
    }
}

fn respond(stream: &mut impl Write, status: &str, headers: &str, body: &[u8]) {
    let length = body.len();
    let separator = if headers.is_empty() { "" } else { "\r\n" };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}{separator}{headers}\r\n\r\n");
    // The client may have gone, which is what some tests are about.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
