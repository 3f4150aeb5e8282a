//! A layer that logs the fields of each span and the events inside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Default)]
pub(crate) struct FieldLog(pub(crate) Arc<Mutex<Vec<String>>>);

impl FieldLog {
    /// Takes the blocks of lines, one for each closed span, in the order in which they closed.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).concat()
    }
}

#[derive(Default)]
struct Fields {
    fields: BTreeMap<&'static str, String>,
    events: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for FieldLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut recorded = Fields::default();
        attributes.record(&mut recorded);
        context.span(id).unwrap().extensions_mut().insert(recorded);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        event.record(&mut line);
        let line = format!("  ({})\n", list(&line.fields));
        match context.event_span(event) {
            Some(span) => {
                let mut extensions = span.extensions_mut();
                extensions.get_mut::<Fields>().unwrap().events += &line;
            }
            None => self.0.lock().unwrap().push(line),
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let extensions = span.extensions();
        let recorded = extensions.get::<Fields>().unwrap();
        let mut block = format!("{}\n", span.name());
        for (name, value) in &recorded.fields {
            writeln!(block, "  {name}={value}").unwrap();
        }
        block += &recorded.events;
        self.0.lock().unwrap().push(block);
    }
}

fn list(fields: &BTreeMap<&str, String>) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(", ")
}
