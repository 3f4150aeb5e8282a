//! The values that a program gives to the fields of span macros.

use tracing::Value;

/// A [`Value`], with advice where a type is none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded as it is",
    label = "is no `tracing::Value`",
    note = "write `name = ?value` to record it by `Debug`, `name = %value` by `Display`, or a value that is text, a number or a `bool`"
)]
pub trait FieldValue {
    fn as_value(&self) -> &dyn Value;
}

#[diagnostic::do_not_recommend]
impl<T: Value> FieldValue for T {
    #[inline(always)]
    fn as_value(&self) -> &dyn Value {
        self
    }
}

/// Returns the value that it is given.
//
// What it returns is a `Value` whatever it is given, so that the compiler reports one error and not two.
#[inline(always)]
pub fn field_value<T: FieldValue>(value: &T) -> &dyn Value {
    value.as_value()
}
