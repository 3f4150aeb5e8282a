//! What a span or event records, as the layer's handlers read it: as it is, or under the names that rules give it.

use crate::field::{FieldValue, FieldVisitor, SelectedFields};
use tracing_core::Event;
use tracing_core::field::Visit;
use tracing_core::span::{Attributes, Record};

pub(super) trait Recorded {
    /// Hands every field to `act`.
    fn each(&self, act: impl FnMut(&'static str, FieldValue<'_>));

    /// Hands fields to `act`; of those whose value has to be formatted, only the ones in `names`.
    fn each_of(
        &self,
        names: &'static [&'static str],
        act: impl FnMut(&'static str, FieldValue<'_>),
    );

    /// How rules rename its fields, if they do.
    #[inline]
    fn renaming(&self) -> Option<&dyn Renaming> {
        None
    }
}

/// Fields that leave under other names.
pub(super) trait Renaming {
    /// Records the fields as they are.
    fn record(&self, visit: &mut dyn Visit);

    /// Whether the value of a field leaves under another name.
    fn consumes(&self, field: &str) -> bool;

    /// Hands on what is set under the names of the contract.
    fn each_set(&self, act: &mut dyn FnMut(&'static str, FieldValue<'_>));
}

/// Of an event of which no more is recorded.
pub(super) struct NoFields;

impl Recorded for NoFields {
    fn each(&self, _: impl FnMut(&'static str, FieldValue<'_>)) {}

    fn each_of(&self, _: &'static [&'static str], _: impl FnMut(&'static str, FieldValue<'_>)) {}
}

macro_rules! record_as_they_are {
    ($($type:ty),*) => {$(
        impl Recorded for $type {
            #[inline]
            fn each(&self, act: impl FnMut(&'static str, FieldValue<'_>)) {
                self.record(&mut FieldVisitor(act));
            }

            #[inline]
            fn each_of(
                &self,
                names: &'static [&'static str],
                act: impl FnMut(&'static str, FieldValue<'_>),
            ) {
                self.record(&mut SelectedFields::new(names, act));
            }
        }
    )*};
}

record_as_they_are!(Attributes<'_>, Record<'_>, Event<'_>);
