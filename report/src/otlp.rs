//! OTLP/JSON: one `ExportTraceServiceRequest` a line, as far as a report reads it.
//!
//! Lenient about values and strict about structure: an attribute of an unexpected type is [`Value::Other`], while a line
//! whose `spans` is not a list cannot be read at all.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How many bytes a line may have of which all spans are held at once. A span of two bytes takes a hundred times as much.
const HELD: usize = 1 << 20;

/// How many attributes of a span are kept; the SDK's own limit is 128.
const ATTRIBUTES: usize = 1_024;

/// Hands each span of a line to `each`, if the whole line can be read.
///
/// # Errors
///
/// What is wrong with the line and, where the parser knows it, at which column.
pub(crate) fn read(line: &[u8], mut each: impl FnMut(&Span<'_>)) -> Result<(), String> {
    if line.len() <= HELD {
        let mut spans = Vec::new();
        parse(line, &mut |span| spans.push(span))?;
        spans.iter().for_each(each);
        Ok(())
    } else {
        // Twice, so that nothing of a line is counted that turns out to be broken, and nothing has to be held.
        parse(line, &mut |_| ())?;
        parse(line, &mut |span| each(&span))
    }
}

fn parse<'a>(line: &'a [u8], each: &mut dyn FnMut(Span<'a>)) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_slice(line);
    let request = Object { path: &PATH, each };
    let is_export = request
        .deserialize(&mut parser)
        .and_then(|is_export| parser.end().map(|()| is_export))
        .map_err(|error| reason(&error))?;
    if !is_export {
        return Err("is JSON, but has no `resourceSpans`".to_owned());
    }
    Ok(())
}

/// The message of a parser that was given one line: its line number would always be 1.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message
        .split_once(" at line 1 column ")
        .map_or(message.as_str(), |(what, _)| what);
    format!("{what} (column {})", error.column())
}

/// The lists of an export request, each in the objects of the one before it; the last one has the spans. Each name as in
/// OTLP/JSON, and as in the protocol's definition, which JSON parsers of protobuf messages accept too.
const PATH: [[&str; 2]; 3] = [
    ["resourceSpans", "resource_spans"],
    ["scopeSpans", "scope_spans"],
    ["spans", "spans"],
];

/// What a collector's file exporter writes for other signals: understood, and not used.
const OTHER_SIGNALS: [&str; 2] = ["resourceMetrics", "resourceLogs"];

/// An object that has a list of the path; whether it has one, or another signal's, is its value.
struct Object<'f, 'a> {
    path: &'f [[&'static str; 2]],
    each: &'f mut dyn FnMut(Span<'a>),
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of an OTLP/JSON export request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<Value<'de>>()? {
            let key = key.text().unwrap_or_default();
            match self.path {
                [names, rest @ ..] if names.contains(&key) => {
                    found = true;
                    map.next_value_seed(List {
                        path: rest,
                        each: &mut *self.each,
                    })?;
                }
                _ => {
                    found |= OTHER_SIGNALS.contains(&key);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// A list of objects that lie further down the path or, at its end, of spans.
struct List<'f, 'a> {
    path: &'f [[&'static str; 2]],
    each: &'f mut dyn FnMut(Span<'a>),
}

impl<'de> DeserializeSeed<'de> for List<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.path.is_empty() {
            while let Some(span) = list.next_element::<RawSpan<'de>>()? {
                (self.each)(span.into());
            }
        } else {
            loop {
                let next = Object {
                    path: self.path,
                    each: &mut *self.each,
                };
                if list.next_element_seed(next)?.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
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
    attributes: Attributes<'a>,
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
            attributes: Attributes::default(),
            status: None,
        }
    }
}

/// The first attributes of a span.
#[derive(Debug, Default)]
struct Attributes<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AList;

        impl<'de> Visitor<'de> for AList {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of attributes")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Attributes::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut attributes = Vec::new();
                while let Some(KeyValue { key, value }) = list.next_element::<KeyValue<'de>>()? {
                    if let Some(key) = owned_text(key)
                        && attributes.len() < ATTRIBUTES
                    {
                        attributes.push((key, value.map_or(Value::Other, Value::from)));
                    }
                }
                Ok(Attributes(attributes))
            }
        }

        deserializer.deserialize_any(AList)
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
            attributes: raw.attributes.0,
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
        let mut spans = Vec::new();
        parse(line.as_bytes(), &mut |span| spans.push(span)).unwrap();
        spans
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
            (r#"{"resourceSpans":5}"#, "expected a list"),
            ("5", "of an OTLP/JSON export request"),
            (r#"{"resourceSpans":[]} {}"#, "trailing characters"),
            (&span(r#"{"endTimeUnixNano":1e999}"#), "number out of range"),
            (&"[".repeat(100_000), "invalid type: sequence"),
            (
                &format!("{{\"a\":{}", "[".repeat(100_000)),
                "EOF while parsing",
            ),
        ] {
            let error = read(line.as_bytes(), |_| panic!("{line}")).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn nothing_of_a_long_line_is_read_before_its_end_is_known() {
        let long = span(&vec!["{}"; HELD / 2].join(","));
        let mut spans = 0;
        read(long.as_bytes(), |_| spans += 1).unwrap();
        assert_eq!(spans, HELD / 2);
        let half = &long.as_bytes()[..long.len() - 3];
        assert!(read(half, |_| panic!("a span of half a line")).is_err());
    }

    #[test]
    fn the_number_of_attributes_is_bounded() {
        let attributes = vec![r#"{"key":"a"}"#; ATTRIBUTES + 10].join(",");
        let line = span(&format!(r#"{{"attributes":[{attributes}]}}"#));
        assert_eq!(spans(&line)[0].attributes().count(), ATTRIBUTES);
    }
}
