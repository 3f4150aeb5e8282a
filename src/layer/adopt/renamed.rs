//! Ordinary spans whose fields leave under other names: the wrapped layer starts them without fields, and is then given each
//! under the name that it leaves by.

use crate::field::FieldValue;
use crate::layer::ConversationLayer;
use crate::layer::recorded::Renaming;
use crate::layer::tracer::PROXY_CALLSITE;
use crate::rules::kept_name;
use std::error::Error;
use std::fmt::Debug;
use tracing_core::callsite::Identifier;
use tracing_core::field::{Field, FieldSet, Value, Visit, debug};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Metadata, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Calls `act` with the attributes of a span without its fields.
pub(in crate::layer) fn without_fields(
    attributes: &Attributes<'_>,
    act: impl FnOnce(&Attributes<'_>),
) {
    let metadata = attributes.metadata();
    let nothing: [(&Field, Option<&dyn Value>); 0] = [];
    let values = metadata.fields().value_set(&nothing);
    act(&match attributes.parent() {
        Some(parent) => Attributes::child_of(parent.clone(), metadata, &values),
        None if attributes.is_contextual() => Attributes::new(metadata, &values),
        None => Attributes::new_root(metadata, &values),
    });
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// Records on an ordinary span what its rules make of its fields.
    pub(in crate::layer) fn record_renamed(
        &self,
        metadata: &'static Metadata<'static>,
        id: &Id,
        renaming: &dyn Renaming,
        ctx: &Context<'_, S>,
    ) {
        renaming.record(&mut Passing {
            consumes: &|name: &str| renaming.consumes(name),
            act: &mut |field: &Field, value: &dyn Value| {
                let values = [(field, Some(value))];
                let values = metadata.fields().value_set(&values);
                self.wrapped
                    .on_record(id, &Record::new(&values), ctx.clone());
            },
        });
        renaming.each_set(&mut |name, value| {
            let name = kept_name(name);
            let fields = FieldSet::new(name.alone(), Identifier(&PROXY_CALLSITE));
            let Some(field) = fields.field(name.as_str()) else {
                return;
            };
            let text;
            let value: &dyn Value = match &value {
                FieldValue::Bool(value) => value,
                FieldValue::Int(value) => value,
                FieldValue::Float(value) => value,
                FieldValue::Str(value) => value,
                FieldValue::Wide(value) => {
                    text = value.to_string();
                    &text
                }
            };
            let values = [(&field, Some(value))];
            let values = fields.value_set(&values);
            self.wrapped
                .on_record(id, &Record::new(&values), ctx.clone());
        });
    }
}

/// Hands on the fields that keep their names, unsigned integers as the signed ones that OpenTelemetry has.
struct Passing<'a> {
    consumes: &'a dyn Fn(&str) -> bool,
    act: &'a mut dyn FnMut(&Field, &dyn Value),
}

impl Passing<'_> {
    fn pass(&mut self, field: &Field, value: &dyn Value) {
        if !(self.consumes)(field.name()) {
            (self.act)(field, value);
        }
    }
}

impl Visit for Passing<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.pass(field, &value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pass(field, &value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.pass(field, &value),
            Err(_) => self.pass(field, &value),
        }
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.pass(field, &value);
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.pass(field, &value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pass(field, &value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pass(field, &value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.pass(field, &value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.pass(field, &debug(value));
    }
}
