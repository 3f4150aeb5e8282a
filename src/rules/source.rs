//! Where the value of a field comes from, and what is made of it.

use crate::field::FieldValue;
use std::borrow::Cow;

/// Where a field of the contract has its value from.
///
/// A field is looked up on the event or span that the rule matches, then on the spans above it. A text such as `"model"` is
/// [`Source::field("model")`](Self::field).
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a source does nothing until it is part of a rule"]
pub struct Source(pub(crate) Origin);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    Field {
        from: Box<str>,
        after: Option<Box<str>>,
        scale: Option<Scale>,
    },
    Constant {
        value: Constant,
        when: Option<Box<str>>,
    },
}

/// What a number is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    Factor(f64),
    /// 1400 by 0.001 is 1.4, as by 1000.
    Divisor(f64),
}

impl Scale {
    pub(crate) fn new(factor: f64) -> Self {
        let divisor = (1.0 / factor).round();
        if (divisor * factor - 1.0).abs() < 1e-12 {
            Self::Divisor(divisor)
        } else {
            Self::Factor(factor)
        }
    }

    /// The number of `value` multiplied; `Debug` of a `Duration` in seconds.
    #[inline]
    fn apply(self, value: FieldValue<'_>) -> Option<f64> {
        let number = match value {
            FieldValue::Str(text) => match number_in(text) {
                Some(number) => number,
                None => return seconds_of_duration(text),
            },
            FieldValue::Int(value) => value as f64,
            _ => value.number()?,
        };
        let scaled = match self {
            Self::Factor(factor) => number * factor,
            Self::Divisor(divisor) => number / divisor,
        };
        scaled.is_finite().then_some(scaled)
    }
}

/// A value that a rule itself gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
}

impl Constant {
    pub(crate) fn value(&self) -> FieldValue<'_> {
        match self {
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::Int(value) => FieldValue::Int(*value),
            Self::Float(value) => FieldValue::Float(*value),
            Self::Text(text) => FieldValue::Str(text),
        }
    }
}

macro_rules! constants {
    ($($type:ty => $value:ident: $constant:expr;)*) => {$(
        impl From<$type> for Constant {
            fn from($value: $type) -> Self {
                $constant
            }
        }
    )*};
}

constants! {
    bool => value: Self::Bool(value);
    i64 => value: Self::Int(value);
    i32 => value: Self::Int(value.into());
    f64 => value: Self::Float(value);
    &str => value: Self::Text(value.into());
    String => value: Self::Text(value.into());
}

impl Source {
    /// The value of the field `from`.
    pub fn field(from: &str) -> Self {
        Self(Origin::Field {
            from: from.into(),
            after: None,
            scale: None,
        })
    }

    /// The number in the field `from` in milliseconds, as seconds.
    ///
    /// Integers, floats and text that is a number; `Debug` of a `Duration` is in seconds whatever its unit.
    pub fn millis(from: &str) -> Self {
        Self::field(from).scaled(0.001)
    }

    /// `value`, always.
    #[allow(private_bounds, reason = "bool, i64, i32, f64, &str or String")]
    pub fn value(value: impl Into<Constant>) -> Self {
        Self(Origin::Constant {
            value: value.into(),
            when: None,
        })
    }

    /// Multiplies the number in the field by `factor`.
    pub fn scaled(mut self, factor: f64) -> Self {
        if let Origin::Field { scale, .. } = &mut self.0 {
            *scale = Some(Scale::new(factor));
        }
        self
    }

    /// Takes what comes after `text` in the field's text. Without it there, the field has no value.
    pub fn after(mut self, text: &str) -> Self {
        if let Origin::Field { after, .. } = &mut self.0 {
            *after = Some(text.into());
        }
        self
    }

    /// Gives the value only where the field `field` is recorded.
    pub fn when(mut self, field: &str) -> Self {
        if let Origin::Constant { when, .. } = &mut self.0 {
            *when = Some(field.into());
        }
        self
    }

    /// The field that has to be there for it.
    pub(crate) fn needs(&self) -> Option<&str> {
        match &self.0 {
            Origin::Field { from, .. } => Some(from),
            Origin::Constant { when, .. } => when.as_deref(),
        }
    }

    /// The field whose value leaves under another name.
    pub(crate) fn consumes(&self) -> Option<&str> {
        match &self.0 {
            Origin::Field { from, .. } => Some(from),
            Origin::Constant { .. } => None,
        }
    }

    /// The value where the needed field has the value `found`, if there is one.
    pub(super) fn convert<'a>(&'a self, found: FieldValue<'a>) -> Option<FieldValue<'a>> {
        match &self.0 {
            Origin::Field { scale: Some(_), .. } => self.number(found).map(FieldValue::Float),
            Origin::Field { after, .. } => match after {
                Some(after) => text_after(after, found),
                None => Some(found),
            },
            Origin::Constant { value, .. } => Some(value.value()),
        }
    }

    /// The same as a number; of a text that is a length of time, its seconds.
    #[inline]
    pub(super) fn number(&self, found: FieldValue<'_>) -> Option<f64> {
        match &self.0 {
            Origin::Field { after, scale, .. } => {
                let found = match after {
                    Some(after) => text_after(after, found)?,
                    None => found,
                };
                match scale {
                    Some(scale) => scale.apply(found),
                    None => seconds_in(found),
                }
            }
            Origin::Constant { value, .. } => seconds_in(value.value()),
        }
    }
}

/// What comes after `before` in a text.
fn text_after<'a>(before: &str, value: FieldValue<'a>) -> Option<FieldValue<'a>> {
    let FieldValue::Str(text) = value else {
        return None;
    };
    let (_, rest) = text.split_once(before)?;
    Some(FieldValue::Str(rest))
}

impl From<&str> for Source {
    fn from(field: &str) -> Self {
        Self::field(field)
    }
}

pub(super) fn number_in(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A number, or a text that is one or a length of time.
#[inline]
pub(super) fn seconds_in(value: FieldValue<'_>) -> Option<f64> {
    match value {
        FieldValue::Str(text) => number_in(text).or_else(|| seconds_of_duration(text)),
        _ => value.number(),
    }
}

/// The seconds that `Debug` of a `Duration` shows: `1.5s`, `350ms`, `20µs`, `7ns`.
fn seconds_of_duration(text: &str) -> Option<f64> {
    const UNITS: &[(&str, f64)] = &[
        ("ms", 1e3),
        ("µs", 1e6),
        ("us", 1e6),
        ("ns", 1e9),
        ("s", 1.0),
    ];
    let text = text.trim();
    let (number, divisor) = UNITS
        .iter()
        .find_map(|(unit, divisor)| Some((text.strip_suffix(unit)?, divisor)))?;
    Some(number_in(number)? / divisor)
}

/// A value that is kept beyond the call that recorded it.
#[derive(Clone, Debug)]
pub(crate) enum KeptValue {
    Bool(bool),
    Int(i64),
    Wide(i128),
    Float(f64),
    Text(std::sync::Arc<str>),
}

/// The longest text that is kept of a span's field for what is below it, in bytes.
const MAX_KEPT_BYTES: usize = 16 * 1024;

impl From<FieldValue<'_>> for KeptValue {
    fn from(value: FieldValue<'_>) -> Self {
        match value {
            FieldValue::Bool(value) => Self::Bool(value),
            FieldValue::Int(value) => Self::Int(value),
            FieldValue::Wide(value) => Self::Wide(value),
            FieldValue::Float(value) => Self::Float(value),
            FieldValue::Str(text) => {
                Self::Text(text[..crate::content::floor_char_boundary(text, MAX_KEPT_BYTES)].into())
            }
        }
    }
}

impl KeptValue {
    pub(crate) fn value(&self) -> FieldValue<'_> {
        match self {
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::Int(value) => FieldValue::Int(*value),
            Self::Wide(value) => FieldValue::Wide(*value),
            Self::Float(value) => FieldValue::Float(*value),
            Self::Text(text) => FieldValue::Str(text),
        }
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        self.value().text()
    }
}
