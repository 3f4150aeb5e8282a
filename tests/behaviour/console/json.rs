//! OTLP/JSON lines.

use opentelemetry::trace::{Event, SpanKind};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter;
use serde_json::json;
use tracing_conversation::console::JsonLinesExporter;

use super::spans::{Caught, export, span};

fn line_of(batch: Vec<super::spans::Builder>) -> serde_json::Value {
    let caught = Caught::default();
    export(&JsonLinesExporter::to_writer(caught.clone()), batch).unwrap();
    serde_json::from_str(&caught.take()).unwrap()
}

#[test]
fn batch_is_one_line_of_otlp_json() {
    let caught = Caught::default();
    let mut exporter = JsonLinesExporter::to_writer(caught.clone());
    exporter.set_resource(
        &Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "bot"),
                KeyValue::new("deployment.id", 7),
            ])
            .build(),
    );
    let mut turn = span("turn", 0xab, 0, 0.0, 1.5)
        .with("turn.number", 1)
        .with("turn.was_interrupted", false);
    turn.0.events.events.push(Event::new(
        "note",
        turn.0.start_time,
        vec![KeyValue::new("n", 1.5)],
        0,
    ));
    let mut llm = span("llm", 0xac, 0xab, 0.25, 1.0)
        .with("words", Value::Array(Array::I64(vec![1, 2])))
        .failed("no quota");
    llm.0.span_kind = SpanKind::Client;
    export(&exporter, vec![turn, llm]).unwrap();

    let line = caught.take();
    assert_eq!(
        (
            line.matches('\n').count(),
            line.ends_with('\n'),
            caught.writes()
        ),
        (1, true, 1)
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap(),
        json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "deployment.id", "value": {"intValue": "7"}},
                {"key": "service.name", "value": {"stringValue": "bot"}},
            ], "droppedAttributesCount": 0, "entityRefs": []},
            "schemaUrl": "",
            "scopeSpans": [{
                "schemaUrl": "",
                "scope": {"name": "test", "version": "", "attributes": [], "droppedAttributesCount": 0},
                "spans": [
                    {
                        "traceId": "00000000000000000000000000000001", "spanId": "00000000000000ab", "parentSpanId": "",
                        "traceState": "", "flags": 0x101, "name": "turn", "kind": 1,
                        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001500000000",
                        "attributes": [
                            {"key": "turn.number", "value": {"intValue": "1"}},
                            {"key": "turn.was_interrupted", "value": {"boolValue": false}},
                        ],
                        "events": [{
                            "name": "note", "timeUnixNano": "1700000000000000000", "droppedAttributesCount": 0,
                            "attributes": [{"key": "n", "value": {"doubleValue": 1.5}}],
                        }],
                        "links": [], "status": {"code": 0, "message": ""},
                        "droppedAttributesCount": 0, "droppedEventsCount": 0, "droppedLinksCount": 0,
                    },
                    {
                        "traceId": "00000000000000000000000000000001", "spanId": "00000000000000ac",
                        "parentSpanId": "00000000000000ab",
                        "traceState": "", "flags": 0x101, "name": "llm", "kind": 3,
                        "startTimeUnixNano": "1700000000250000000", "endTimeUnixNano": "1700000001000000000",
                        "attributes": [{"key": "words", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}}}],
                        "events": [], "links": [], "status": {"code": 2, "message": "no quota"},
                        "droppedAttributesCount": 0, "droppedEventsCount": 0, "droppedLinksCount": 0,
                    },
                ],
            }],
        }]})
    );
}

#[test]
fn non_finite_floats_are_strings_in_valid_json() {
    let doubles = Value::Array(Array::F64(vec![0.5, f64::NEG_INFINITY]));
    let line = line_of(vec![
        span("llm", 1, 0, 0.0, 1.0)
            .with("rate", f64::NAN)
            .with("speed", f64::INFINITY)
            .with("all", doubles),
    ]);
    assert_eq!(
        line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"],
        json!([
            {"key": "rate", "value": {"stringValue": "NaN"}},
            {"key": "speed", "value": {"stringValue": "Infinity"}},
            {"key": "all", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}, {"stringValue": "-Infinity"}]}}},
        ])
    );
    let read: ExportTraceServiceRequest = serde_json::from_value(line).unwrap();
    assert_eq!(
        read.resource_spans[0].scope_spans[0].spans[0]
            .attributes
            .len(),
        3
    );
}

#[test]
fn newlines_and_control_characters_are_escaped() {
    let text = "first\nsecond\u{1b}[2J\u{0}\u{2028}\"end";
    let line = line_of(vec![
        span("stt", 1, 0, 0.0, 1.0).with("transcript", StringValue::from(text)),
    ]);
    let attribute = &line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][0];
    assert_eq!(attribute["value"]["stringValue"], text);
}

#[test]
fn empty_batch_writes_nothing() {
    let caught = Caught::default();
    export(&JsonLinesExporter::to_writer(caught.clone()), vec![]).unwrap();
    assert_eq!(caught.writes(), 0);
}

#[test]
fn line_after_one_that_broke_off_is_whole() {
    /// Fails once, after ten bytes.
    struct Failing(Caught, u8);
    impl std::io::Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += 1;
            match self.1 {
                1 => self.0.write(&bytes[..10]),
                2 => Err(std::io::Error::other("the disk is full")),
                _ => self.0.write(bytes),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let caught = Caught::default();
    let exporter = JsonLinesExporter::to_writer(Failing(caught.clone(), 0));
    let export_one = || export(&exporter, vec![span("turn", 1, 0, 0.0, 1.0)]);
    let error = export_one().unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    export_one().unwrap();
    export_one().unwrap();
    let text = caught.take();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0].len()), (3, 10), "{text}");
    for line in &lines[1..] {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}
