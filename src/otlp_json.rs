//! OTLP/JSON as receivers read it and terminals can show it.

use std::io;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Writes a request in one line.
///
/// JSON has no number for NaN and the infinities, and receivers disagree on what stands for them in a `doubleValue`, so
/// that such an attribute becomes a `stringValue`: `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn to_vec(mut request: ExportTraceServiceRequest) -> serde_json::Result<Vec<u8>> {
    request.resource_spans.iter_mut().for_each(name_non_finite);
    to_shown(&request)
}

/// Writes JSON without a character that drives a terminal.
pub(crate) fn to_shown(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, ForTerminals))?;
    Ok(json)
}

/// Escapes what drives a terminal and what JSON lets pass: delete, the C1 controls and those that change the direction
/// of text. The rest is `serde_json`'s: quotes, backslashes, C0 controls.
struct ForTerminals;

impl Formatter for ForTerminals {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(super::terminal::is_unsafe) {
            let (plain, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                // All of them are below U+10000: one escape each.
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

fn name_non_finite(resource_spans: &mut ResourceSpans) {
    if let Some(resource) = &mut resource_spans.resource {
        in_attributes(&mut resource.attributes);
    }
    for scope_spans in &mut resource_spans.scope_spans {
        if let Some(scope) = &mut scope_spans.scope {
            in_attributes(&mut scope.attributes);
        }
        for span in &mut scope_spans.spans {
            in_attributes(&mut span.attributes);
            span.events
                .iter_mut()
                .for_each(|event| in_attributes(&mut event.attributes));
            span.links
                .iter_mut()
                .for_each(|link| in_attributes(&mut link.attributes));
        }
    }
}

fn in_attributes(attributes: &mut [KeyValue]) {
    attributes
        .iter_mut()
        .filter_map(|attribute| attribute.value.as_mut())
        .for_each(in_value);
}

/// `serde_json` writes `null` for a double that is not finite; a collector then refuses the whole request.
fn in_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::DoubleValue(double)) if !double.is_finite() => {
            let name = match *double {
                f64::INFINITY => "Infinity",
                f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            };
            value.value = Some(Value::StringValue(name.to_owned()));
        }
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(in_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

    use super::*;

    fn json(value: Value) -> String {
        let span = Span {
            attributes: vec![KeyValue {
                key: "key".into(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            }],
            ..Span::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![span],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let json = String::from_utf8(to_vec(request).unwrap()).unwrap();
        let tree: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(!json.contains(super::super::terminal::is_unsafe), "{json}");
        tree["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][0]["value"].to_string()
    }

    #[test]
    fn numbers_that_json_lacks_become_text() {
        for (double, text) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(
                json(Value::DoubleValue(double)),
                format!(r#"{{"stringValue":"{text}"}}"#)
            );
        }
    }

    #[test]
    fn characters_that_drive_a_terminal_are_escaped_and_come_back_whole() {
        let hostile = "a\u{1b}]0;b\u{7f}\u{9b}2J\u{85}\u{202e}\u{feff}é今👩\r\n\"\\";
        let value: serde_json::Value =
            serde_json::from_str(&json(Value::StringValue(hostile.into()))).unwrap();
        assert_eq!(value["stringValue"], hostile);
    }
}
