//! Looking at what passes.

use std::fmt::Display;

use super::Seen;

/// Looks at items of type `T`: a closure `FnMut(&T, &mut Seen<'_>)`, or one of the types here.
pub trait Observe<T> {
    /// Looks at one item.
    fn observe(&mut self, item: &T, seen: &mut Seen<'_>);
}

impl<T, F: FnMut(&T, &mut Seen<'_>)> Observe<T> for F {
    fn observe(&mut self, item: &T, seen: &mut Seen<'_>) {
        self(item, seen);
    }
}

/// Looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anything;

impl<T> Observe<T> for Anything {
    fn observe(&mut self, _item: &T, _seen: &mut Seen<'_>) {}
}

/// Looks with what is there.
impl<T, O: Observe<T>> Observe<T> for Option<O> {
    fn observe(&mut self, item: &T, seen: &mut Seen<'_>) {
        if let Some(look) = self {
            look.observe(item, seen);
        }
    }
}

/// Looks at the value of an `Ok`; an `Err` is a failure of the service.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkOf<O>(pub(super) O);

impl<T, E: Display, O: Observe<T>> Observe<Result<T, E>> for OkOf<O> {
    fn observe(&mut self, item: &Result<T, E>, seen: &mut Seen<'_>) {
        match item {
            Ok(value) => self.0.observe(value, seen),
            Err(error) => {
                seen.error(error);
            }
        }
    }
}
