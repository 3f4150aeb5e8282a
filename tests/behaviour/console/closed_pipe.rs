//! A program whose standard output is closed by the reader, as in `program | head -1`.
//!
//! The program is this test binary, which runs its ignored test [`program`].

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};

use opentelemetry_sdk::trace::SpanExporter;
use tracing_conversation::console::{JsonLinesExporter, StdoutExporter, TreeExporter};

use super::spans::{Builder, Caught, export, span};

/// More than a pipe buffers, so that the program is still writing when the pipe is closed.
const BATCHES: u64 = 100;

/// A turn with fifty tool spans.
fn batch(number: u64) -> Vec<Builder> {
    let span = |name, id| {
        span(name, number * 100 + id, number * 100 + 1, 0.0, 1.0)
            .with("conversation.id", "call")
            .with("turn.number", number as i64)
    };
    (2..52)
        .map(|id| span("tool", id))
        .chain([span("turn", 1)])
        .collect()
}

#[test]
#[ignore = "not a test: the program that the tests of this file start"]
fn program() {
    let caught = Caught::default();
    let elsewhere = JsonLinesExporter::to_writer(caught.clone());
    let Ok(which) = std::env::var("EXPORTER") else {
        return;
    };
    match which.as_str() {
        "stdout" => print_everything(&StdoutExporter::stdout(), &elsewhere),
        "tree" => print_everything(&TreeExporter::stdout(), &elsewhere),
        "json" => print_everything(&JsonLinesExporter::stdout(), &elsewhere),
        "panic" => {
            print_everything(&StdoutExporter::stdout(), &elsewhere);
            let _ = std::thread::spawn(|| panic!("a panic of the program's own")).join();
        }
        _ => panic!("no exporter {which}"),
    }
    let spans = caught.take().matches("\"spanId\"").count();
    eprintln!("{spans} spans exported elsewhere");
    // Exit before the test harness writes its result to the closed pipe.
    std::process::exit(0);
}

fn print_everything(console: &impl SpanExporter, elsewhere: &impl SpanExporter) {
    for number in 1..=BATCHES {
        export(console, batch(number)).unwrap();
        export(elsewhere, batch(number)).unwrap();
    }
    console.force_flush().unwrap();
    console.shutdown().unwrap();
}

/// Runs the program, reads its output up to the first line with a span, and closes the pipe.
fn first_line_of(exporter: &str) -> (String, String, ExitStatus) {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "console::closed_pipe::program",
            "--ignored",
            "--nocapture",
        ])
        .env("EXPORTER", exporter)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::with_capacity(64, program.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim().is_empty() || line.starts_with("running 1 test") || line.starts_with("test ")
    {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "the program printed nothing"
        );
    }
    drop(output);
    let mut errors = String::new();
    program
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    (line, errors, program.wait().unwrap())
}

#[test]
fn opentelemetry_stdout_exporter_stops_on_closed_pipe() {
    let (line, errors, status) = first_line_of("stdout");
    assert_eq!(
        (line.as_str(), errors.as_str()),
        ("Spans\n", "5100 spans exported elsewhere\n")
    );
    assert!(status.success());
}

#[test]
fn tree_exporter_stops_on_closed_pipe() {
    let (line, errors, status) = first_line_of("tree");
    assert!(line.starts_with("── turn 1 · call ─"), "{line}");
    assert_eq!(errors, "5100 spans exported elsewhere\n");
    assert!(status.success());
}

#[test]
fn json_exporter_stops_on_closed_pipe() {
    let (line, errors, status) = first_line_of("json");
    assert!(line.starts_with(r#"{"resourceSpans":"#), "{line}");
    assert_eq!(errors, "5100 spans exported elsewhere\n");
    assert!(status.success());
}

#[test]
fn panic_of_program_is_still_reported() {
    let (_, errors, status) = first_line_of("panic");
    assert!(errors.contains("a panic of the program's own"), "{errors}");
    assert!(
        errors.ends_with("5100 spans exported elsewhere\n"),
        "{errors}"
    );
    assert!(status.success());
}
