//! Attribute values of which there may be many: a bounded number of them is told apart.

use std::{collections::HashSet, sync::Arc};

use opentelemetry::{KeyValue, StringValue, Value};

/// How many values of one attribute there are besides `_OTHER`.
const MOST: usize = 100;

/// What is longer is hardly a name.
const LONGEST: usize = 256;

/// Stands for the values that are not told apart.
const OTHER: &str = "_OTHER";

/// The values that one attribute has had.
pub(super) struct Names {
    key: &'static str,
    known: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn of(key: &'static str) -> Self {
        Self {
            key,
            known: HashSet::new(),
        }
    }

    /// The attribute with the value `name`, if that is among the first hundred and looks like a name; else with `_OTHER`.
    pub(super) fn attribute(&mut self, name: &Arc<str>) -> KeyValue {
        let value = match self.known.get(name) {
            Some(known) => known.clone().into(),
            None if self.known.len() < MOST && is_name(name) => {
                self.known.insert(name.clone());
                name.clone().into()
            }
            None => StringValue::from(OTHER),
        };
        KeyValue::new(self.key, Value::String(value))
    }
}

/// Whether a receiver, and a terminal, can be shown it.
fn is_name(text: &str) -> bool {
    text.len() <= LONGEST && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(names: &mut Names, name: &str) -> String {
        names.attribute(&Arc::from(name)).value.to_string()
    }

    #[test]
    fn the_first_hundred_names_stay_and_all_others_are_one() {
        let mut names = Names::of("model");
        for number in 0..MOST {
            assert_eq!(
                value(&mut names, &format!("m{number}")),
                format!("m{number}")
            );
        }
        assert_eq!(value(&mut names, "m100"), "_OTHER");
        assert_eq!(value(&mut names, "m0"), "m0");
        assert_eq!(value(&mut names, "m99"), "m99");
        assert_eq!(value(&mut names, "_OTHER"), "_OTHER");
    }

    #[test]
    fn what_is_no_name_takes_no_room() {
        let mut names = Names::of("model");
        assert_eq!(value(&mut names, &"m".repeat(LONGEST + 1)), "_OTHER");
        assert_eq!(value(&mut names, "\u{1b}[2J"), "_OTHER");
        assert!(names.known.is_empty());
        assert_eq!(value(&mut names, ""), "");
    }
}
