//! The examples as programs: what they print and where their spans go, in every environment that says something about that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a program shows of its spans on standard output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum View {
    Nothing,
    Tree,
    Json,
    /// opentelemetry-stdout.
    Stdout,
}

impl View {
    fn of(printed: &str) -> Vec<Self> {
        let has = |part: fn(&str) -> bool| printed.lines().any(part);
        let mut views = Vec::new();
        if has(|line| line.starts_with("── turn 1 ")) {
            views.push(Self::Tree);
        }
        if has(|line| line.starts_with("{\"resourceSpans\":")) {
            views.push(Self::Json);
        }
        if has(|line| line == "Spans") {
            views.push(Self::Stdout);
        }
        views
    }
}

/// Stands for the receiver's URL.
const RECEIVER: &str = "RECEIVER";
const NO_REQUEST: &str = "";
const AT_RECEIVER: &str = "/v1/traces";
/// As a proxy gets it: nothing need listen at the default endpoint.
const AT_DEFAULT: &str = "http://localhost:4318/v1/traces";
const PROXY: (&str, &str) = ("HTTP_PROXY", RECEIVER);
/// What a program talks to on this machine besides is not asked through the proxy.
const NO_PROXY: (&str, &str) = ("NO_PROXY", "127.0.0.1");

/// Variables, what is shown, and where requests with spans go.
type Row = (
    &'static [(&'static str, &'static str)],
    Option<View>,
    &'static str,
);

/// `None` is what the program shows unless it is told otherwise.
const ROWS: &[Row] = &[
    (&[], None, NO_REQUEST),
    (&[("OTEL_CONSOLE_EXPORT", "")], None, NO_REQUEST),
    (
        &[("OTEL_CONSOLE_EXPORT", "tree")],
        Some(View::Tree),
        NO_REQUEST,
    ),
    (
        &[("OTEL_CONSOLE_EXPORT", "json")],
        Some(View::Json),
        NO_REQUEST,
    ),
    (
        &[("OTEL_CONSOLE_EXPORT", "true")],
        Some(View::Stdout),
        NO_REQUEST,
    ),
    (
        &[("OTEL_CONSOLE_EXPORT", "off"), PROXY, NO_PROXY],
        Some(View::Nothing),
        AT_DEFAULT,
    ),
    (
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", RECEIVER)],
        Some(View::Nothing),
        AT_RECEIVER,
    ),
    (
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", RECEIVER),
            ("OTEL_CONSOLE_EXPORT", "json"),
        ],
        Some(View::Json),
        AT_RECEIVER,
    ),
    (
        &[("OTEL_TRACES_EXPORTER", "console")],
        Some(View::Stdout),
        NO_REQUEST,
    ),
    (
        &[("OTEL_TRACES_EXPORTER", "none")],
        Some(View::Nothing),
        NO_REQUEST,
    ),
    (
        &[("OTEL_TRACES_EXPORTER", "otlp"), PROXY, NO_PROXY],
        Some(View::Nothing),
        AT_DEFAULT,
    ),
    (
        &[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", RECEIVER),
            ("OTEL_CONSOLE_EXPORT", "json"),
        ],
        Some(View::Nothing),
        NO_REQUEST,
    ),
];

/// Runs the program once for each row, and returns what it printed with telemetry disabled.
pub(crate) fn heeds_every_variable(
    program: impl Fn() -> Command + Sync,
    by_default: View,
) -> String {
    let mut printed = String::new();
    // Programs wait more than they work, but not so much that all could run at once.
    for rows in ROWS.chunks(4) {
        thread::scope(|threads| {
            let start = |row: &'static Row| threads.spawn(|| run(program(), *row, by_default));
            let running: Vec<_> = rows.iter().map(start).collect();
            for thread in running {
                printed = thread.join().unwrap();
            }
        });
    }
    printed
}

fn run(mut program: Command, (variables, view, destination): Row, by_default: View) -> String {
    let receiver = Receiver::start();
    for (name, value) in variables {
        program.env(name, value.replace(RECEIVER, &receiver.url));
    }
    let output = program.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{variables:?}: {complaint}");
    let expected: Vec<View> = match view.unwrap_or(by_default) {
        View::Nothing => Vec::new(),
        view => vec![view],
    };
    assert_eq!(View::of(&printed), expected, "{variables:?}: {printed}");
    let requests = receiver.requests.lock().unwrap();
    let mut targets: Vec<&str> = requests.iter().map(|request| &*request.target).collect();
    targets.dedup();
    let expected: &[&str] = match destination {
        NO_REQUEST => &[],
        destination => &[destination],
    };
    assert_eq!(targets, expected, "{variables:?}: {complaint}");
    if destination != NO_REQUEST {
        let has_name = |name: &str| requests.iter().any(|request| request.has(name));
        assert!(
            has_name("turn") && has_name("conversation"),
            "{variables:?}"
        );
    }
    printed
}

/// A command in an environment without any variable that the crate reads.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        let concerns = ["OTEL_", "CONVERSATION_", "LANGFUSE_", "RUST_LOG"];
        let lower = name.to_lowercase();
        if concerns.iter().any(|prefix| name.starts_with(prefix)) || lower.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
}

/// Counts what arrives, and takes all of it.
struct Receiver {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

struct Request {
    target: String,
    body: Vec<u8>,
}

impl Request {
    /// Whether the name is in the body; protobuf has text as it is.
    fn has(&self, name: &str) -> bool {
        self.body
            .windows(name.len())
            .any(|window| window == name.as_bytes())
    }
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let taken = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || serve(stream, &taken));
            }
        });
        Self { url, requests }
    }
}

/// Answers one request after another, until the other end has gone.
fn serve(stream: TcpStream, taken: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        taken.lock().unwrap().push(Request { target, body });
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

/// A span of OTLP/JSON lines.
struct Span {
    id: String,
    parent: String,
    name: String,
    start: u64,
    attributes: Vec<(String, String)>,
}

fn spans(line: &str) -> Vec<Span> {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attribute = |attribute: &Value| {
        let value = attribute["value"].as_object().unwrap().values().next();
        let value = value.cloned().unwrap_or_default();
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (text(&attribute["key"]), shown)
    };
    let mut spans = Vec::new();
    for scope in line["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
        for span in scope["spans"].as_array().unwrap() {
            spans.push(Span {
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                name: text(&span["name"]),
                start: text(&span["startTimeUnixNano"]).parse().unwrap(),
                attributes: span["attributes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(attribute)
                    .collect(),
            });
        }
    }
    spans
}

/// The spans of OTLP/JSON lines, each below its parent, with those of its attributes that are `shown`.
pub(crate) fn tree(json_lines: &str, shown: &[&str]) -> Vec<String> {
    let mut spans: Vec<Span> = json_lines.lines().flat_map(spans).collect();
    spans.sort_by_key(|span| span.start);
    let mut tree = Vec::new();
    below(&spans, "", shown, 0, &mut tree);
    tree
}

fn below(spans: &[Span], parent: &str, shown: &[&str], depth: usize, tree: &mut Vec<String>) {
    for span in spans.iter().filter(|span| span.parent == parent) {
        let value = |key: &&str| {
            let (key, value) = span.attributes.iter().find(|(name, _)| name == key)?;
            Some(format!(" {key}={value}"))
        };
        let attributes: String = shown.iter().filter_map(value).collect();
        tree.push(format!("{}{}{attributes}", "  ".repeat(depth), span.name));
        below(spans, &span.id, shown, depth + 1, tree);
    }
}
