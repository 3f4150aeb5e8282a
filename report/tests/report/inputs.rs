//! Where lines come from.

use crate::{calls, folder, printed, run, stderr, write};

fn counted(arguments: &[&str], input: &[u8]) -> (u64, u64) {
    let mut all = vec!["--format", "json"];
    all.extend(arguments);
    let report: serde_json::Value = serde_json::from_str(&printed(&all, input)).unwrap();
    (
        report["calls"].as_u64().unwrap(),
        report["input"]["files"].as_u64().unwrap(),
    )
}

#[test]
fn files_folders_and_standard_input_are_read_together() {
    let folder = folder("inputs");
    let file = write(&folder.join("some.log"), calls(1, 0.0, 3));
    let traces = folder.join("traces");
    std::fs::create_dir_all(traces.join("older")).unwrap();
    write(&traces.join("b.jsonl"), calls(2, 0.0, 4));
    write(&traces.join("a.ndjson"), calls(3, 0.0, 5));
    write(&traces.join("older").join("c.json"), calls(4, 0.0, 6));
    write(&traces.join("readme.txt"), "no spans");
    let traces = traces.to_str().unwrap();
    assert_eq!(counted(&[], calls(5, 0.0, 7).as_bytes()), (7, 1));
    assert_eq!(counted(&[traces], b""), (15, 3));
    assert_eq!(
        counted(&[&file, traces, "-"], calls(5, 0.0, 7).as_bytes()),
        (25, 5)
    );
}

#[test]
fn other_signals_of_a_collectors_file_are_passed_over() {
    let input = format!(
        "{{\"resourceMetrics\":[{{}}]}}\n{}{{\"resourceLogs\":[]}}\n",
        calls(1, 0.0, 2)
    );
    assert_eq!(counted(&[], input.as_bytes()), (2, 1));
}

/// A collector's file exporter leaves out what is empty, and writes a root's parent as an empty text.
#[test]
fn a_collectors_lines_give_the_same_report() {
    let ours = calls(1, 0.0, 5);
    let theirs = ours.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let resource = &mut line["resourceSpans"][0];
        resource["schemaUrl"] = "https://opentelemetry.io/schemas/1.37.0".into();
        for span in resource["scopeSpans"][0]["spans"].as_array_mut().unwrap() {
            let span = span.as_object_mut().unwrap();
            for key in ["events", "links", "traceState", "flags"] {
                span.remove(key);
            }
            span.entry("parentSpanId").or_insert("".into());
            if span["status"]["code"] == 0 {
                span.insert("status".into(), serde_json::json!({}));
            }
        }
        line.to_string() + "\n"
    });
    let theirs: String = theirs.collect();
    assert_ne!(ours, theirs);
    assert_eq!(
        printed(&[], ours.as_bytes()),
        printed(&[], theirs.as_bytes())
    );
}

#[test]
fn what_cannot_be_read_says_what_can_be_done() {
    let folder = folder("unreadable");
    std::fs::create_dir_all(folder.join("empty")).unwrap();
    let empty = folder.join("empty");
    let compressed = write(
        &folder.join("traces.jsonl.gz"),
        b"\x1f\x8b\x08\x00 and so on",
    );
    let logs = write(&folder.join("log.jsonl"), "{\"level\":\"info\"}\n");
    for (path, says) in [
        (
            "/nowhere/traces.jsonl",
            "/nowhere/traces.jsonl: cannot be opened: ",
        ),
        (
            empty.to_str().unwrap(),
            "empty: no file in this folder ends in .jsonl or .json or .ndjson",
        ),
        (
            &compressed,
            "traces.jsonl.gz: is compressed; decompress it first: gzip -dc ",
        ),
        (
            &logs,
            "log.jsonl: line 1: is JSON, but has no `resourceSpans`",
        ),
        (
            &logs,
            "log.jsonl (lines: 1, not readable: 1, spans: 0); each span of a conversation has",
        ),
    ] {
        let output = run(&[path], b"");
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(
            stderr(&output).contains(says),
            "{path}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{path}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let folder = folder("closed_pipe");
    // More than a pipe holds.
    let ids = (0..30_000).map(|at| format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"name\":\"{at}\",\"attributes\":[{{\"key\":\"conversation.id\",\"value\":{{\"stringValue\":\"c\"}}}}]}}]}}]}}]}}\n"
    ));
    let file = write(&folder.join("long.jsonl"), ids.collect::<String>());
    let mut child = Command::new(env!("CARGO_BIN_EXE_conversation-report"))
        .args([&file, "--tree", "c"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
}
