//! Where the value of a field comes from, and what is made of it.

use crate::field::FieldValue;
use crate::names;
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
    fn apply(self, value: FieldValue<'_>) -> Option<FieldValue<'static>> {
        let number = match value {
            FieldValue::Str(text) => match number_in(text) {
                Some(number) => number,
                None => return seconds_of_duration(text).map(FieldValue::Float),
            },
            _ => value.number()?,
        };
        let scaled = match self {
            Self::Factor(factor) => number * factor,
            Self::Divisor(divisor) => number / divisor,
        };
        scaled.is_finite().then_some(FieldValue::Float(scaled))
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

    /// Hands on what the field `to` is set to where the needed field has the value `found`.
    #[inline]
    pub(crate) fn convert(
        &self,
        to: &str,
        found: FieldValue<'_>,
        act: impl FnOnce(FieldValue<'_>),
    ) {
        let (after, scale) = match &self.0 {
            Origin::Field { after, scale, .. } => (after, *scale),
            Origin::Constant { value, .. } => return act(value.value()),
        };
        let text;
        let mut found = found;
        if let Some(after) = after {
            text = found.text();
            match text.find(&**after) {
                Some(at) => found = FieldValue::Str(&text[at + after.len()..]),
                None => return,
            }
        }
        let number = match scale {
            Some(scale) => match scale.apply(found) {
                Some(number) => number,
                None => return,
            },
            None => found,
        };
        act(typed(to, number));
    }
}

impl From<&str> for Source {
    fn from(field: &str) -> Self {
        Self::field(field)
    }
}

fn number_in(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
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

/// The value as the type that the contract gives the field `to`, where it is a text that says so.
#[inline]
fn typed<'a>(to: &str, value: FieldValue<'a>) -> FieldValue<'a> {
    match value {
        FieldValue::Str(text) => typed_text(to, text),
        FieldValue::Float(_) if is_count(to) => value.integer().map_or(value, FieldValue::Int),
        _ => value,
    }
}

fn typed_text<'a>(to: &str, text: &'a str) -> FieldValue<'a> {
    let value = FieldValue::Str(text);
    match to {
        names::STOP_SECS
        | names::AGO_SECS
        | names::METRICS_TTFB
        | names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK
        | names::METRICS_AUDIO_SECONDS
        | names::START_SECS
        | names::PLAYED_SECS => number_in(text)
            .or_else(|| seconds_of_duration(text))
            .map_or(value, FieldValue::Float),
        names::IS_FINAL | names::INTERRUPTED | names::TTS_INTERRUPTED => {
            text.parse().map_or(value, FieldValue::Bool)
        }
        _ if is_count(to) => text.trim().parse().map_or(value, FieldValue::Int),
        _ => value,
    }
}

fn is_count(field: &str) -> bool {
    field.starts_with("gen_ai.usage.")
        || matches!(field, names::METRICS_CHARACTER_COUNT | names::TURN_NUMBER)
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
