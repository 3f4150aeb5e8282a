//! What an adapter calls for each item.

use std::fmt::Display;

use super::Recorder;

/// Records an item of type `T`: a closure `FnMut(&T, &mut Recorder<'_>)`, or one of the types in this module.
pub trait RecordItem<T> {
    /// Records one item.
    fn record_item(&mut self, item: &T, recorder: &mut Recorder<'_>);
}

impl<T, F: FnMut(&T, &mut Recorder<'_>)> RecordItem<T> for F {
    fn record_item(&mut self, item: &T, recorder: &mut Recorder<'_>) {
        self(item, recorder);
    }
}

/// Records nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordNothing;

impl<T> RecordItem<T> for RecordNothing {
    fn record_item(&mut self, _item: &T, _recorder: &mut Recorder<'_>) {}
}

/// Records nothing if `None`.
impl<T, O: RecordItem<T>> RecordItem<T> for Option<O> {
    fn record_item(&mut self, item: &T, recorder: &mut Recorder<'_>) {
        if let Some(record) = self {
            record.record_item(item, recorder);
        }
    }
}

/// Records the value of an `Ok`; an `Err` fails the service span.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordOk<O>(pub(super) O);

impl<T, E: Display, O: RecordItem<T>> RecordItem<Result<T, E>> for RecordOk<O> {
    fn record_item(&mut self, item: &Result<T, E>, recorder: &mut Recorder<'_>) {
        match item {
            Ok(value) => self.0.record_item(value, recorder),
            Err(error) => {
                recorder.error(error);
            }
        }
    }
}
