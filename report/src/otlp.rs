//! OTLP/JSON: one `ExportTraceServiceRequest` a line, as far as a report reads it.
//!
//! Lenient about values and strict about structure: an attribute of an unexpected type is [`Value::Other`], while a line
//! whose `spans` is not a list cannot be read at all.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Reads one line.
///
/// # Errors
///
/// Says what is wrong with the line and, where the parser knows it, at which column.
pub(crate) fn read(line: &[u8]) -> Result<Request<'_>, String> {
    let request: Request<'_> = serde_json::from_slice(line).map_err(|error| reason(&error))?;
    if request.resource_spans.is_none()
        && request.resource_metrics.is_none()
        && request.resource_logs.is_none()
    {
        return Err("is JSON, but has no `resourceSpans`".to_owned());
    }
    Ok(request)
}

/// The message of a parser that was given one line: its line number would always be 1.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message
        .split_once(" at line 1 column ")
        .map_or(message.as_str(), |(what, _)| what);
    format!("{what} (column {})", error.column())
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an OTLP/JSON export request")]
pub(crate) struct Request<'a> {
    #[serde(borrow, rename = "resourceSpans", alias = "resource_spans")]
    resource_spans: Option<Vec<ResourceSpans<'a>>>,
    // What a collector's file exporter writes for other signals: understood, and not used.
    #[serde(rename = "resourceMetrics", alias = "resource_metrics")]
    resource_metrics: Option<IgnoredAny>,
    #[serde(rename = "resourceLogs", alias = "resource_logs")]
    resource_logs: Option<IgnoredAny>,
}

impl<'a> Request<'a> {
    pub(crate) fn into_spans(self) -> impl Iterator<Item = Span<'a>> {
        let resource_spans = self.resource_spans.into_iter().flatten();
        let scope_spans = resource_spans.flat_map(|it| it.scope_spans.into_iter().flatten());
        scope_spans
            .flat_map(|it| it.spans.into_iter().flatten())
            .map(Span::from)
    }
}

#[derive(Debug, Deserialize)]
struct ResourceSpans<'a> {
    #[serde(borrow, rename = "scopeSpans", alias = "scope_spans")]
    scope_spans: Option<Vec<ScopeSpans<'a>>>,
}

#[derive(Debug, Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow)]
    spans: Option<Vec<RawSpan<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct RawSpan<'a> {
    #[serde(borrow, rename = "traceId", alias = "trace_id")]
    trace_id: Value<'a>,
    #[serde(borrow, rename = "spanId", alias = "span_id")]
    span_id: Value<'a>,
    #[serde(borrow, rename = "parentSpanId", alias = "parent_span_id")]
    parent_span_id: Value<'a>,
    #[serde(borrow)]
    name: Value<'a>,
    #[serde(borrow, rename = "startTimeUnixNano", alias = "start_time_unix_nano")]
    start: Value<'a>,
    #[serde(borrow, rename = "endTimeUnixNano", alias = "end_time_unix_nano")]
    end: Value<'a>,
    #[serde(borrow)]
    attributes: Option<Vec<KeyValue<'a>>>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

impl Default for RawSpan<'_> {
    fn default() -> Self {
        Self {
            trace_id: Value::Other,
            span_id: Value::Other,
            parent_span_id: Value::Other,
            name: Value::Other,
            start: Value::Other,
            end: Value::Other,
            attributes: None,
            status: None,
        }
    }
}

#[derive(Debug, Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Value<'a>,
    #[serde(borrow)]
    value: Option<AnyValue<'a>>,
}

#[derive(Debug, Deserialize)]
struct AnyValue<'a> {
    #[serde(borrow, rename = "stringValue", alias = "string_value")]
    string: Option<Value<'a>>,
    #[serde(borrow, rename = "intValue", alias = "int_value")]
    int: Option<Value<'a>>,
    #[serde(borrow, rename = "doubleValue", alias = "double_value")]
    double: Option<Value<'a>>,
    #[serde(borrow, rename = "boolValue", alias = "bool_value")]
    bool: Option<Value<'a>>,
}

impl<'a> From<AnyValue<'a>> for Value<'a> {
    fn from(any: AnyValue<'a>) -> Self {
        let AnyValue {
            string,
            int,
            double,
            bool,
        } = any;
        string.or(int).or(double).or(bool).unwrap_or(Self::Other)
    }
}

#[derive(Debug, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    code: Option<Value<'a>>,
    #[serde(borrow, default)]
    message: Option<Value<'a>>,
}

/// A scalar as it stands in the line. Which of the typed fields of an `AnyValue` it came from does not matter: `"5"`, 5
/// and 5.0 are the same count, because exporters disagree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i128),
    Double(f64),
    Bool(bool),
    /// Absent, null, a list, a map, bytes.
    Other,
}

impl Value<'_> {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as text, whatever its type; conversation ids may be numbers.
    pub(crate) fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Int(int) => Some(Cow::Owned(int.to_string())),
            Self::Double(double) => Some(Cow::Owned(double.to_string())),
            Self::Bool(bool) => Some(Cow::Owned(bool.to_string())),
            Self::Other => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Int(int) => Some(*int as f64),
            Self::Double(double) => Some(*double),
            Self::Bool(_) | Self::Other => None,
        }
    }

    /// A whole number from 0 up.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Int(int) => u64::try_from(*int).ok(),
            // Up to 2^53 every whole number is a double.
            Self::Double(double) if double.fract() == 0.0 && (0.0..=9e15).contains(double) => {
                Some(*double as u64)
            }
            Self::Double(_) | Self::Bool(_) | Self::Other => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;

        impl<'de> Visitor<'de> for AnyScalar {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_i64<E>(self, int: i64) -> Result<Self::Value, E> {
                Ok(Value::Int(int.into()))
            }

            fn visit_u64<E>(self, int: u64) -> Result<Self::Value, E> {
                Ok(Value::Int(int.into()))
            }

            fn visit_f64<E>(self, double: f64) -> Result<Self::Value, E> {
                Ok(Value::Double(double))
            }

            fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
                Ok(Value::Bool(bool))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Value::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
        }

        deserializer.deserialize_any(AnyScalar)
    }
}

/// A span, with ids as numbers so that they are small and harmless to print. An id that is not hexadecimal, or all zero,
/// is none.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    pub(crate) trace_id: Option<u128>,
    pub(crate) span_id: Option<u64>,
    pub(crate) parent: Option<u64>,
    pub(crate) name: Cow<'a, str>,
    /// Nanoseconds since 1970.
    pub(crate) start: Option<u64>,
    pub(crate) end: Option<u64>,
    pub(crate) failed: bool,
    pub(crate) failure: Option<Cow<'a, str>>,
    attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl Span<'_> {
    /// The attribute of this name; of several the last, as in most backends.
    pub(crate) fn get(&self, key: &str) -> Option<&Value<'_>> {
        let mut backwards = self.attributes.iter().rev();
        backwards
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)
            .and_then(Value::text)
            .filter(|text| !text.is_empty())
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, &Value<'_>)> {
        self.attributes
            .iter()
            .map(|(key, value)| (key.as_ref(), value))
    }

    pub(crate) fn conversation_id(&self) -> Option<Cow<'_, str>> {
        let id = self
            .get("conversation.id")
            .or_else(|| self.get("gen_ai.conversation.id"));
        id.and_then(Value::to_text).filter(|id| !id.is_empty())
    }

    /// Seconds from start to end, where both are known and in order.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let nanoseconds = self.end?.checked_sub(self.start?)?;
        Some(nanoseconds as f64 / 1e9)
    }
}

impl<'a> From<RawSpan<'a>> for Span<'a> {
    fn from(raw: RawSpan<'a>) -> Self {
        let attributes = raw.attributes.into_iter().flatten();
        let (failed, failure) = match raw.status {
            None => (false, None),
            Some(status) => (
                match status.code {
                    Some(Value::Text(code)) => code == "STATUS_CODE_ERROR" || code == "2",
                    Some(Value::Int(code)) => code == 2,
                    _ => false,
                },
                status.message.and_then(owned_text),
            ),
        };
        Self {
            trace_id: id(&raw.trace_id, 32),
            span_id: id(&raw.span_id, 16).and_then(|id| id.try_into().ok()),
            parent: id(&raw.parent_span_id, 16).and_then(|id| id.try_into().ok()),
            name: owned_text(raw.name).unwrap_or_default(),
            start: raw.start.count(),
            end: raw.end.count(),
            failed,
            failure,
            attributes: attributes
                .filter_map(|KeyValue { key, value }| {
                    Some((owned_text(key)?, value.map_or(Value::Other, Value::from)))
                })
                .collect(),
        }
    }
}

fn owned_text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn id(value: &Value<'_>, digits: usize) -> Option<u128> {
    let text = value.text().filter(|text| text.len() == digits)?;
    // `from_str_radix` takes a sign.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(line: &str) -> Vec<Span<'_>> {
        read(line.as_bytes()).unwrap().into_spans().collect()
    }

    fn span(span: &str) -> String {
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)
    }

    #[test]
    fn integers_are_read_as_numbers_and_as_strings() {
        let line = span(
            r#"{"name":"llm","traceId":"93080A6e96e51bee5441f8354a2e6cc9","spanId":"8363cbc89881c036",
                "startTimeUnixNano":"1735689600100000000","endTimeUnixNano":1735689600600000000,
                "attributes":[{"key":"a","value":{"intValue":"42"}},{"key":"b","value":{"intValue":42}},
                              {"key":"c","value":{"stringValue":"42"}},{"key":"d","value":{"doubleValue":42.0}}]}"#,
        );
        let spans = spans(&line);
        let span = &spans[0];
        for key in ["a", "b", "c", "d"] {
            assert_eq!(span.get(key).unwrap().count(), Some(42), "{key}");
            assert_eq!(span.get(key).unwrap().number(), Some(42.0), "{key}");
        }
        assert_eq!(span.seconds(), Some(0.5));
        assert_eq!(span.trace_id, Some(0x93080a6e96e51bee5441f8354a2e6cc9));
        assert_eq!(span.span_id, Some(0x8363cbc89881c036));
    }

    #[test]
    fn odd_values_are_no_values() {
        let line = span(
            r#"{"name":7,"traceId":"xyz","spanId":"0000000000000000","parentSpanId":"+363cbc89881c036",
                "startTimeUnixNano":"-1","endTimeUnixNano":"99999999999999999999999",
                "attributes":[{"key":"list","value":{"arrayValue":{"values":[{"intValue":1}]}}},{"key":"null","value":null},
                              {"key":"big","value":{"intValue":"99999999999999999999999"}},{"key":"nan","value":{"doubleValue":"NaN"}},
                              {"key":"negative","value":{"intValue":"-1"}},{"key":"map","value":{"stringValue":{"a":1}}}],
                "status":{"code":[2],"message":{}},"events":"none","unknown":[[[]]]}"#,
        );
        let spans = spans(&line);
        let span = &spans[0];
        assert_eq!(
            (span.trace_id, span.span_id, span.parent),
            (None, None, None)
        );
        assert_eq!((span.start, span.end, span.seconds()), (None, None, None));
        assert_eq!((span.name.as_ref(), span.failed), ("", false));
        for key in ["list", "null", "big", "negative", "map"] {
            assert_eq!(span.get(key).unwrap().count(), None, "{key}");
        }
        assert!(span.get("nan").unwrap().number().unwrap().is_nan());
    }

    #[test]
    fn a_status_is_an_error_by_number_and_by_name() {
        let line = span(
            r#"{"status":{"code":2,"message":"m"}},{"status":{"code":"STATUS_CODE_ERROR"}},{"status":{"code":1}},{"status":{}},{"status":null}"#,
        );
        let failed: Vec<bool> = spans(&line).iter().map(|span| span.failed).collect();
        assert_eq!(failed, [true, true, false, false, false]);
    }

    #[test]
    fn other_signals_are_no_error_and_have_no_spans() {
        assert_eq!(spans(r#"{"resourceMetrics":[{}]}"#).len(), 0);
        assert_eq!(spans(r#"{"resourceLogs":[]}"#).len(), 0);
        assert_eq!(spans(r#"{"resourceSpans":[{"scopeSpans":null}]}"#).len(), 0);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (line, why) in [
            (r#"{"level":"info"}"#, "has no `resourceSpans`"),
            ("hello", "expected value (column 1)"),
            (r#"{"resourceSpans":[{"#, "EOF while parsing"),
            (r#"{"resourceSpans":5}"#, "expected a sequence"),
            ("5", "expected an OTLP/JSON export request"),
            (&span(r#"{"endTimeUnixNano":1e999}"#), "number out of range"),
            (&"[".repeat(100_000), "EOF while parsing"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
