//! Field values on their way from `tracing` to OpenTelemetry.

use crate::content::{ContentPolicy, floor_char_boundary};
use opentelemetry::trace::SpanKind;
use opentelemetry::{StringValue, Value};
use std::borrow::Cow;
use std::fmt::{self, Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tracing_core::field::{Field, Visit};

/// The longest text that is kept of a value that has to be formatted, in bytes. A policy that allows more gets no more.
const MAX_FORMATTED_BYTES: usize = 1 << 20;

/// The longest conversation id, in bytes.
const MAX_ID_BYTES: usize = 1_024;

/// A field's value as `tracing` recorded it; text is borrowed, what has to be formatted is formatted already.
#[derive(Clone, Copy)]
pub(crate) enum FieldValue<'a> {
    Bool(bool),
    Int(i64),
    /// An integer beyond `i64`.
    Wide(i128),
    Float(f64),
    Str(&'a str),
}

impl<'a> FieldValue<'a> {
    #[inline]
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Owned(value.to_string()),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Wide(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
        }
    }

    /// The value as the id of a conversation: its text, cut at a bound. `None` if it is empty.
    pub(crate) fn conversation_id(self) -> Option<Arc<str>> {
        let text = self.text();
        let id = &text[..floor_char_boundary(&text, MAX_ID_BYTES)];
        (!id.is_empty()).then(|| id.into())
    }

    /// A finite number, of whatever type.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(value as f64),
            Self::Wide(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    /// A whole number, also where it was recorded as a float.
    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
            _ => None,
        }
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The attribute's value, a text as far as `policy` allows. Integers stay integers as far as OTLP can carry them. NaN
    /// and infinities have no form in OTLP/JSON, so they are left out.
    #[inline]
    pub(crate) fn attribute_value(self, policy: &ContentPolicy) -> Option<Value> {
        Some(match self {
            Self::Str(text) => Value::String(StringValue::from(policy.bounded(text).into_owned())),
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::I64(value),
            Self::Float(value) if value.is_finite() => Value::F64(value),
            Self::Float(_) => return None,
            Self::Wide(value) => Value::String(StringValue::from(value.to_string())),
        })
    }

    /// The text, as far as `policy` allows.
    pub(crate) fn shared_text(self, policy: &ContentPolicy) -> Arc<str> {
        Arc::from(policy.bounded(&self.text()))
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Str(_))
    }
}

/// Hands every recorded field to a closure.
///
/// A value that has to be formatted is formatted before the closure is called, so that the closure may hold locks: `Debug`
/// is the program's code, which may emit events, ask for its conversation, fail or panic.
pub(crate) struct FieldVisitor<F>(pub(crate) F);

impl<F: FnMut(&'static str, FieldValue<'_>)> FieldVisitor<F> {
    #[cold]
    fn formatted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let text = format_value(value);
        (self.0)(field.name(), FieldValue::Str(&text));
    }
}

impl<F: FnMut(&'static str, FieldValue<'_>)> Visit for FieldVisitor<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field.name(), FieldValue::Float(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), FieldValue::Int(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field.name(), integer(value.into()));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        (self.0)(field.name(), integer(value));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        match i128::try_from(value) {
            Ok(value) => self.record_i128(field, value),
            Err(_) => self.formatted(field, format_args!("{value}")),
        }
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), FieldValue::Bool(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), FieldValue::Str(value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.formatted(field, format_args!("{value}"));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.formatted(field, format_args!("{value:?}"));
    }
}

/// Hands fields to a closure; of those that have to be formatted, only the named ones.
pub(crate) struct SelectedFields<F> {
    names: &'static [&'static str],
    visitor: FieldVisitor<F>,
}

impl<F: FnMut(&'static str, FieldValue<'_>)> SelectedFields<F> {
    pub(crate) fn new(names: &'static [&'static str], act: F) -> Self {
        Self {
            names,
            visitor: FieldVisitor(act),
        }
    }

    fn selects(&self, field: &Field) -> bool {
        self.names.contains(&field.name())
    }
}

impl<F: FnMut(&'static str, FieldValue<'_>)> Visit for SelectedFields<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.visitor.record_f64(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.visitor.record_i64(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.visitor.record_u64(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.visitor.record_bool(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.visitor.record_str(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if self.selects(field) {
            self.visitor.record_error(field, value);
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.selects(field) {
            self.visitor.record_debug(field, value);
        }
    }
}

/// Hands the fields whose name satisfies `selects` to a closure; no other is formatted.
pub(crate) struct NamedFields<P, F> {
    selects: P,
    visitor: FieldVisitor<F>,
}

impl<P: Fn(&str) -> bool, F: FnMut(&'static str, FieldValue<'_>)> NamedFields<P, F> {
    pub(crate) fn new(selects: P, act: F) -> Self {
        Self {
            selects,
            visitor: FieldVisitor(act),
        }
    }
}

macro_rules! visit_selected {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(&mut self, field: &Field, value: $type) {
            if (self.selects)(field.name()) {
                self.visitor.$method(field, value);
            }
        }
    )*};
}

impl<P: Fn(&str) -> bool, F: FnMut(&'static str, FieldValue<'_>)> Visit for NamedFields<P, F> {
    visit_selected! {
        record_f64: f64,
        record_i64: i64,
        record_u64: u64,
        record_i128: i128,
        record_u128: u128,
        record_bool: bool,
        record_str: &str,
        record_error: &(dyn std::error::Error + 'static),
        record_debug: &dyn Debug
    }
}

/// The span kind that tracing-opentelemetry knows by `name`.
pub(crate) fn span_kind(name: &str) -> Option<SpanKind> {
    [
        ("client", SpanKind::Client),
        ("server", SpanKind::Server),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
        ("internal", SpanKind::Internal),
    ]
    .into_iter()
    .find(|(known, _)| known.eq_ignore_ascii_case(name))
    .map(|(_, kind)| kind)
}

pub(crate) fn integer(value: i128) -> FieldValue<'static> {
    i64::try_from(value).map_or(FieldValue::Wide(value), FieldValue::Int)
}

/// Formats a value of the program's, whatever its implementation does. The text is cut at a bound.
pub(crate) fn format_value(value: fmt::Arguments<'_>) -> String {
    let mut text = BoundedText(String::new());
    // An error is either the bound or the implementation's own: what came before it is kept.
    match catch_unwind(AssertUnwindSafe(|| text.write_fmt(value))) {
        Ok(_) => text.0,
        Err(_) => "[formatting panicked]".to_owned(),
    }
}

struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = MAX_FORMATTED_BYTES - self.0.len();
        self.0.push_str(&piece[..floor_char_boundary(piece, room)]);
        if piece.len() > room {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_survives_errors_panics_and_excess() {
        struct Fails;
        impl fmt::Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("so far")?;
                Err(fmt::Error)
            }
        }
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("on purpose")
            }
        }
        assert_eq!(format_value(format_args!("{Fails}")), "so far");
        assert_eq!(
            format_value(format_args!("{Panics}")),
            "[formatting panicked]"
        );
        let long = "ä".repeat(MAX_FORMATTED_BYTES);
        assert_eq!(
            format_value(format_args!("{long}")).len(),
            MAX_FORMATTED_BYTES
        );
    }

    #[test]
    fn conversation_ids_are_cut_at_a_character() {
        let long = format!("x{}", "ä".repeat(1_000));
        let id = FieldValue::Str(&long).conversation_id().unwrap();
        assert_eq!(id.len(), MAX_ID_BYTES - 1);
        assert!(FieldValue::Str("").conversation_id().is_none());
        assert_eq!(&*FieldValue::Int(7).conversation_id().unwrap(), "7");
    }
}
