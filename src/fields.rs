//! Field values on their way from `tracing` to OpenTelemetry.

use crate::content::ContentPolicy;
use opentelemetry::{Key, KeyValue, StringValue, Value};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;
use tracing_core::field::{Field, Visit};

/// A field's value as `tracing` gave it; nothing is copied or formatted before somebody wants it.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    Bool(bool),
    Int(i64),
    /// An integer beyond `i64`.
    Wide(i128),
    Float(f64),
    Str(&'a str),
    Debug(&'a dyn Debug),
    Error(&'a (dyn std::error::Error + 'static)),
}

impl<'a> Given<'a> {
    #[inline]
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Owned(value.to_string()),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Wide(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Debug(value) => Cow::Owned(format!("{value:?}")),
            Self::Error(value) => Cow::Owned(value.to_string()),
        }
    }

    /// A finite number, of whatever type.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(value as f64),
            Self::Wide(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    /// A whole number, also where it was given as a float.
    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
            _ => None,
        }
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The attribute's value, a text as far as `policy` allows. Integers stay integers as far as OTLP can carry them. What
    /// is not a number has no place in OTLP/JSON and says nothing, so it is left out.
    #[inline]
    pub(crate) fn value(self, policy: &ContentPolicy) -> Option<Value> {
        Some(match self {
            Self::Str(text) if text.len() <= policy.max_value_bytes() => {
                Value::String(StringValue::from(text.to_owned()))
            }
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::I64(value),
            Self::Float(value) if value.is_finite() => Value::F64(value),
            Self::Float(_) => return None,
            Self::Wide(value) => Value::String(StringValue::from(value.to_string())),
            Self::Str(_) | Self::Debug(_) | Self::Error(_) => {
                Value::String(StringValue::from(policy.bound(self.text().into_owned())))
            }
        })
    }

    /// The text, as far as `policy` allows.
    pub(crate) fn shared(self, policy: &ContentPolicy) -> Arc<str> {
        policy.bound_shared(Arc::from(&*self.text()))
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Str(_) | Self::Debug(_) | Self::Error(_))
    }
}

thread_local! {
    /// Names met last on this thread.
    static NAMES: RefCell<[Option<Arc<str>>; 256]> = const { RefCell::new([const { None }; 256]) };
}

/// Tells most names and keys apart, by their length, last byte and middle byte.
#[inline]
pub(crate) fn fingerprint(text: &str) -> usize {
    let bytes = text.as_bytes();
    let last = bytes.last().copied().unwrap_or(0);
    let middle = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
    bytes.len() + 5 * usize::from(last) + 29 * usize::from(middle)
}

/// A name of which there are few, of a model or a voice: kept once for all spans that carry it.
pub(crate) fn name(text: &str, policy: &ContentPolicy) -> StringValue {
    /// What is longer is hardly a name; any policy lets so much through.
    const LONGEST: usize = 64;
    if text.len() > LONGEST {
        return policy.bound(text.to_owned()).into();
    }
    let kept = NAMES.try_with(|names| {
        let mut names = names.borrow_mut();
        let slots = names.len();
        let known = &mut names[slot(text) % slots];
        match known {
            Some(known) if **known == *text => known.clone(),
            _ => known.insert(Arc::from(text)).clone(),
        }
    });
    kept.map_or_else(|_| text.to_owned().into(), StringValue::from)
}

/// Where a name is kept, by its length and its two ends, where names differ.
fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let ends = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            (u64::from(u32::from_le_bytes(*first)) << 32) | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes
            .iter()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    };
    let hash = (ends ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash >> 56) as usize
}

/// Hands every recorded field to a closure.
pub(crate) struct Fields<F>(pub(crate) F);

impl<F: FnMut(&'static str, Given<'_>)> Visit for Fields<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field.name(), Given::Float(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), Given::Int(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(
            field.name(),
            i64::try_from(value).map_or(Given::Wide(value.into()), Given::Int),
        );
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        (self.0)(
            field.name(),
            i64::try_from(value).map_or(Given::Wide(value), Given::Int),
        );
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        match i128::try_from(value) {
            Ok(value) => self.record_i128(field, value),
            Err(_) => (self.0)(field.name(), Given::Debug(&value)),
        }
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), Given::Bool(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), Given::Str(value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        (self.0)(field.name(), Given::Error(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        (self.0)(field.name(), Given::Debug(value));
    }
}

/// No span needs as many attributes; the SDK exports 128 unless told otherwise.
const MOST_ATTRIBUTES: usize = 256;

/// Sets an attribute: a key that is there already gets the new value. Past a bound there is no room for new ones.
pub(crate) fn set(attributes: &mut Vec<KeyValue>, key: impl Into<Key>, value: impl Into<Value>) {
    let (key, value) = (key.into(), value.into());
    let is_room = attributes.len() < MOST_ATTRIBUTES;
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(attribute) => attribute.value = value,
        None if is_room => attributes.push(KeyValue::new(key, value)),
        None => {}
    }
}

pub(crate) fn has(attributes: &[KeyValue], key: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.key.as_str() == key)
}

/// Sentences, the last of them apart: it may still be replaced, and is shared with whoever else keeps it.
#[derive(Default)]
pub(crate) struct Text {
    settled: String,
    last: Option<Arc<str>>,
}

impl Text {
    /// Adds a sentence. Past `limit` bytes nothing more is kept.
    pub(crate) fn add(&mut self, sentence: Arc<str>, limit: usize) {
        if let Some(last) = self.last.replace(sentence)
            && self.settled.len() <= limit
        {
            append(&mut self.settled, &last);
        }
    }

    pub(crate) fn last_mut(&mut self) -> &mut Option<Arc<str>> {
        &mut self.last
    }

    /// The whole, cut to what `policy` allows; `None` where there is nothing.
    pub(crate) fn take(&mut self, policy: &ContentPolicy) -> Option<StringValue> {
        let last = self.last.take().filter(|last| !last.is_empty());
        if self.settled.is_empty() {
            return last.map(|last| policy.bound_shared(last).into());
        }
        append(&mut self.settled, last.as_deref().unwrap_or_default());
        Some(policy.bound(std::mem::take(&mut self.settled)).into())
    }
}

/// Attributes with each key once, told apart at a glance.
#[derive(Default)]
pub(crate) struct Keyed {
    list: Vec<KeyValue>,
    /// A bit for each key that is there: where a new key's bit is free, there is no need to look through the list.
    seen: u64,
}

impl Keyed {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity),
            seen: 0,
        }
    }

    #[inline]
    fn bit(key: &str) -> u64 {
        1 << (fingerprint(key) % 64)
    }

    /// Like [`set`].
    #[inline]
    pub(crate) fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        let bit = Self::bit(key.as_str());
        if self.seen & bit == 0 && self.list.len() < MOST_ATTRIBUTES {
            self.seen |= bit;
            self.list.push(KeyValue::new(key, value));
        } else {
            set(&mut self.list, key, value);
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        if self.seen & Self::bit(key) == 0 {
            return None;
        }
        let mut list = self.list.iter();
        let found = list.find(|attribute| attribute.key.as_str() == key)?;
        Some(&found.value)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn into_list(self) -> Vec<KeyValue> {
        self.list
    }
}

/// Appends a sentence, with a space between the two unless there is one already.
pub(crate) fn append(text: &mut String, sentence: &str) {
    let spaced = text.ends_with(char::is_whitespace) || sentence.starts_with(char::is_whitespace);
    if !text.is_empty() && !sentence.is_empty() && !spaced {
        text.push(' ');
    }
    text.push_str(sentence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_with_its_last_value_however_alike_keys_look() {
        let mut keyed = Keyed::default();
        let keys = ["ab", "ba", "a", "b", "aab", "bab"];
        for round in 0..3_i64 {
            for (index, key) in keys.into_iter().enumerate() {
                keyed.set(key, round * 10 + index as i64);
                assert!(keyed.has(key));
            }
        }
        assert!(!keyed.has("bb"));
        let list = keyed.into_list();
        let told = list.iter().map(|attribute| attribute.key.as_str());
        assert_eq!(told.collect::<Vec<_>>(), keys);
        assert_eq!(list[1].value, Value::I64(21));
    }

    #[test]
    fn attributes_are_bounded() {
        let mut keyed = Keyed::default();
        for n in 0..1_000 {
            keyed.set(format!("key.{n}"), n);
        }
        assert_eq!(keyed.into_list().len(), MOST_ATTRIBUTES);
    }

    #[test]
    fn names_are_kept_apart_and_each_but_once() {
        let name = |text| name(text, &ContentPolicy::default());
        let names: Vec<_> = (0..2_000).map(|n| format!("model-{n}")).collect();
        for text in &names {
            assert_eq!(name(text).as_str(), text);
        }
        let once = name("sonic-2");
        let again = name("sonic-2");
        assert!(std::ptr::eq(once.as_str(), again.as_str()));
        let long = "x".repeat(1_000);
        assert_eq!(name(&long).as_str(), long);
        assert!(!std::ptr::eq(name(&long).as_str(), name(&long).as_str()));
    }
}
