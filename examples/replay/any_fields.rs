//! Spans and events whose field names are known only at run time.
//!
//! `tracing`'s macros make a static call site for the names they are given. This makes the same for names read from a
//! file, one for each set of names; they stay for as long as the program runs, as those of the macros do.

use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use tracing::callsite::Callsite;
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Span};

struct AnyCallsite(OnceLock<Metadata<'static>>);

impl Callsite for AnyCallsite {
    fn set_interest(&self, _: Interest) {}
    fn metadata(&self) -> &Metadata<'_> {
        match self.0.get() {
            Some(metadata) => metadata,
            None => unreachable!("it is set when it is made"),
        }
    }
}

fn metadata(name: &str, is_span: bool, fields: &Map<String, Value>) -> &'static Metadata<'static> {
    static KNOWN: LazyLock<Mutex<HashMap<String, &'static Metadata<'static>>>> =
        LazyLock::new(Mutex::default);
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{is_span} {name} {names:?}");
    known.entry(key).or_insert_with(|| {
        let names: Vec<&'static str> = names.iter().map(|name| &*name.to_string().leak()).collect();
        let callsite: &'static AnyCallsite = Box::leak(Box::new(AnyCallsite(OnceLock::new())));
        let kind = if is_span { Kind::SPAN } else { Kind::EVENT };
        let fields = FieldSet::new(names.leak(), tracing::callsite::Identifier(callsite));
        let name = name.to_string().leak();
        callsite.0.get_or_init(|| {
            Metadata::new(name, "replay", Level::INFO, None, None, None, fields, kind)
        })
    })
}

/// Asks the layers' filters, as the macros do.
fn is_enabled(metadata: &'static Metadata<'static>) -> bool {
    tracing::dispatcher::get_default(|dispatch| dispatch.enabled(metadata))
}

/// Hands the fields over in the form that `tracing` wants them in, each with its own type.
fn with_values(
    metadata: &'static Metadata<'static>,
    fields: &Map<String, Value>,
    then: impl FnOnce(&tracing::field::ValueSet<'_>),
) {
    let values: Vec<Box<dyn tracing::Value>> = fields
        .values()
        .map(|value| -> Box<dyn tracing::Value> {
            match value {
                Value::Null => Box::new(tracing::field::Empty),
                Value::Bool(value) => Box::new(*value),
                Value::Number(number) => {
                    match (number.as_u64(), number.as_i64(), number.as_f64()) {
                        (Some(value), _, _) => Box::new(value),
                        (_, Some(value), _) => Box::new(value),
                        (_, _, value) => Box::new(value.unwrap_or(f64::NAN)),
                    }
                }
                Value::String(text) => Box::new(text.clone()),
                other => Box::new(other.to_string()),
            }
        })
        .collect();
    let values: Vec<Option<&dyn tracing::Value>> =
        values.iter().map(|value| Some(&**value)).collect();
    then(&metadata.fields().value_set_all(&values));
}

/// A span with `fields`; those that are null are declared only, to be recorded later.
pub(crate) fn span(name: &str, fields: &Map<String, Value>) -> Span {
    let metadata = metadata(name, true, fields);
    let mut span = Span::none();
    if is_enabled(metadata) {
        with_values(metadata, fields, |values| {
            span = Span::new(metadata, values);
        });
    }
    span
}

/// Records `fields`, which the span has declared.
pub(crate) fn record(span: &Span, fields: &Map<String, Value>) {
    let Some(metadata) = span.metadata() else {
        return;
    };
    let all: Map<String, Value> = metadata
        .fields()
        .iter()
        .map(|field| {
            (
                field.name().to_owned(),
                fields.get(field.name()).cloned().unwrap_or_default(),
            )
        })
        .collect();
    with_values(metadata, &all, |values| {
        span.record_all(values);
    });
}

/// An event with `fields`.
pub(crate) fn event(fields: &Map<String, Value>) {
    let metadata = metadata("event", false, fields);
    if is_enabled(metadata) {
        with_values(metadata, fields, |values| {
            Event::dispatch(metadata, values);
        });
    }
}
