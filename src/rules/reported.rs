//! What a program's own closure sees of a span or event.

use crate::field::{FieldValue, NamedFields};
use tracing_core::Metadata;
use tracing_core::field::Visit;

/// A span at its creation, or an event, as [`Match::when`](super::Match::when) sees it.
pub struct Reported<'a> {
    metadata: &'a Metadata<'static>,
    record: &'a dyn Fn(&mut dyn Visit),
}

impl<'a> Reported<'a> {
    pub(crate) fn new(metadata: &'a Metadata<'static>, record: &'a dyn Fn(&mut dyn Visit)) -> Self {
        Self { metadata, record }
    }

    /// Its name, target and level.
    pub fn metadata(&self) -> &Metadata<'static> {
        self.metadata
    }

    /// The text of a field, `message` included; `None` if it is not recorded.
    pub fn text(&self, field: &str) -> Option<String> {
        let mut text = None;
        self.find(field, |value| text = Some(value.text().into_owned()));
        text
    }

    /// The number that a field is recorded as; `None` if it is none.
    pub fn number(&self, field: &str) -> Option<f64> {
        let mut number = None;
        self.find(field, |value| number = value.number());
        number
    }

    fn find(&self, field: &str, mut act: impl FnMut(FieldValue<'_>)) {
        (self.record)(&mut NamedFields::new(
            |name| name == field,
            |_: &'static str, value: FieldValue<'_>| act(value),
        ));
    }
}

impl std::fmt::Debug for Reported<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reported")
            .field("metadata", self.metadata)
            .finish_non_exhaustive()
    }
}
