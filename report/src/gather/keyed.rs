//! Totals by name, of which the input decides how many there are.

use std::collections::BTreeMap;

/// How many names are kept apart; the contract's metrics have the same bound.
const NAMES: usize = 100;

/// What the names beyond that are called.
pub(crate) const OTHER: &str = "_OTHER";

/// How many characters of a name are kept.
const NAME_CHARS: usize = 100;

/// A value for each name of `N` words.
#[derive(Debug)]
pub(crate) struct Keyed<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<const N: usize, V: Default> Keyed<[String; N], V> {
    /// The value of this name, and the name under which it is counted.
    pub(crate) fn entry(&mut self, name: [&str; N]) -> ([String; N], &mut V) {
        let mut name = name.map(|word| match word.char_indices().nth(NAME_CHARS) {
            Some((end, _)) => word[..end].to_owned(),
            None => word.to_owned(),
        });
        if self.0.len() >= NAMES && !self.0.contains_key(&name) {
            name = std::array::from_fn(|_| OTHER.to_owned());
        }
        (name.clone(), self.0.entry(name).or_default())
    }
}

impl<K, V> Keyed<K, V> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }
}
