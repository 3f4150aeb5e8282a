//! Attributes with each key once.

use opentelemetry::{Key, KeyValue, Value};
use std::collections::HashMap;

/// No span needs as many attributes; the SDK exports 128 unless told otherwise.
pub(crate) const MAX_ATTRIBUTES: usize = 256;

/// Few spans have more.
const USUAL_ATTRIBUTES: usize = 16;

/// From so many attributes on, keys are found through a map.
const INDEXED_FROM: usize = 32;

/// Words of the set of bits of a list's keys: with two, two keys of a usual span hardly ever share one.
const WORDS: usize = 2;

/// Where each key of a list is.
struct Index(HashMap<Key, usize>);

/// Attributes in the order in which their keys were first set. Past a bound there is no room for new keys.
#[derive(Default)]
pub(crate) struct AttributeList {
    list: Vec<KeyValue>,
    /// A bit for each key: where a new key's bit is free, there is no need to search.
    seen: [u64; WORDS],
    /// Where each key is, of a list too long to be searched.
    index: Option<Box<Index>>,
    dropped: u32,
}

impl AttributeList {
    /// An empty list with room for the attributes of most spans, made at once.
    pub(crate) fn with_room() -> Self {
        Self {
            list: Vec::with_capacity(USUAL_ATTRIBUTES),
            ..Self::default()
        }
    }

    /// Sets an attribute: a key that is there already gets the new value.
    #[inline]
    pub(crate) fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        self.insert(KeyValue::new(key, value));
    }

    /// Like [`set`](Self::set).
    #[inline]
    pub(crate) fn insert(&mut self, attribute: KeyValue) {
        let (word, bit) = bit(attribute.key.as_str());
        if self.seen[word] & bit == 0 && self.list.len() < INDEXED_FROM {
            self.seen[word] |= bit;
            self.list.push(attribute);
        } else {
            self.insert_by_search(attribute);
        }
    }

    #[inline(never)]
    fn insert_by_search(&mut self, attribute: KeyValue) {
        match self.position(attribute.key.as_str()) {
            Some(at) => self.list[at].value = attribute.value,
            None if self.list.len() >= MAX_ATTRIBUTES => {
                self.dropped = self.dropped.saturating_add(1);
            }
            None => {
                let (word, bit) = bit(attribute.key.as_str());
                self.seen[word] |= bit;
                if let Some(index) = &mut self.index {
                    index.0.insert(attribute.key.clone(), self.list.len());
                }
                self.list.push(attribute);
                if self.index.is_none() && self.list.len() >= INDEXED_FROM {
                    let keys = self.list.iter().map(|attribute| attribute.key.clone());
                    self.index = Some(Box::new(Index(keys.zip(0..).collect())));
                }
            }
        }
    }

    /// Removes an attribute. Its place is taken by those after it.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(at) = self.position(key) {
            self.list.remove(at);
            if let Some(index) = &mut self.index {
                index.0.retain(|_, place| *place != at);
                for place in index.0.values_mut().filter(|place| **place > at) {
                    *place -= 1;
                }
            }
        }
    }

    /// Inlined, a constant key costs a bit's test where the list does not have it.
    #[inline]
    fn position(&self, key: &str) -> Option<usize> {
        let (word, bit) = bit(key);
        if self.seen[word] & bit == 0 {
            return None;
        }
        self.search(key)
    }

    #[inline(never)]
    fn search(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.0.get(key).copied(),
            None => {
                let mut list = self.list.iter();
                list.position(|attribute| attribute.key.as_str() == key)
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        Some(&self.list[self.position(key)?].value)
    }

    #[inline]
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, KeyValue> {
        self.list.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The attributes, and how many found no room.
    pub(crate) fn into_parts(self) -> (Vec<KeyValue>, u32) {
        (self.list, self.dropped)
    }
}

impl FromIterator<KeyValue> for AttributeList {
    fn from_iter<I: IntoIterator<Item = KeyValue>>(attributes: I) -> Self {
        let mut list = Self::default();
        list.extend(attributes);
        list
    }
}

impl Extend<KeyValue> for AttributeList {
    fn extend<I: IntoIterator<Item = KeyValue>>(&mut self, attributes: I) {
        for attribute in attributes {
            self.insert(attribute);
        }
    }
}

impl IntoIterator for AttributeList {
    type Item = KeyValue;
    type IntoIter = std::vec::IntoIter<KeyValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[inline]
fn bit(key: &str) -> (usize, u64) {
    let mark = fingerprint(key);
    (mark / 64 % WORDS, 1 << (mark % 64))
}

/// Tells most keys apart, by their length, last byte and middle byte.
#[inline]
pub(crate) fn fingerprint(key: &str) -> usize {
    let bytes = key.as_bytes();
    let last = bytes.last().copied().unwrap_or(0);
    let middle = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
    bytes.len() + 5 * usize::from(last) + 29 * usize::from(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_with_their_last_value_however_alike_they_are() {
        let mut attributes = AttributeList::default();
        let keys = ["ab", "ba", "a", "b", "aab", "bab"];
        for round in 0..3_i64 {
            for (index, key) in keys.into_iter().enumerate() {
                attributes.set(key, round * 10 + index as i64);
                assert!(attributes.contains(key));
            }
        }
        assert!(!attributes.contains("bb"));
        let (list, dropped) = attributes.into_parts();
        let names = list.iter().map(|attribute| attribute.key.as_str());
        assert_eq!(names.collect::<Vec<_>>(), keys);
        assert_eq!(list[1].value, Value::I64(21));
        assert_eq!(dropped, 0);
    }

    #[test]
    fn long_lists_are_bounded_unique_and_in_order() {
        let mut attributes = AttributeList::default();
        for round in 0..2 {
            for n in 0..1_000 {
                attributes.set(format!("key.{n}"), n + round);
            }
        }
        attributes.remove("key.1");
        attributes.remove("key.999");
        attributes.set("key.3", -1_i64);
        assert_eq!(attributes.get("key.2"), Some(&Value::I64(3)));
        let (list, dropped) = attributes.into_parts();
        assert_eq!((list.len(), dropped), (MAX_ATTRIBUTES - 1, 2 * 744));
        assert_eq!(list[2], KeyValue::new("key.3", -1_i64));
        assert_eq!(list.last().unwrap().key.as_str(), "key.255");
    }
}
