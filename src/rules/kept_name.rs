//! Names from rules as the rest of the crate has them: for the program's life, each once.

use crate::clock::lock;
use std::collections::HashMap;
use std::sync::Mutex;

static NAMES: Mutex<Option<HashMap<&'static str, KeptName>>> = Mutex::new(None);

/// A name for the program's life.
#[derive(Clone, Copy)]
pub(crate) struct KeptName(&'static [&'static str; 1]);

impl KeptName {
    pub(crate) fn as_str(self) -> &'static str {
        self.0[0]
    }

    /// As the only one of a set of names.
    pub(crate) fn alone(self) -> &'static [&'static str] {
        self.0
    }
}

/// `name` for the program's life. Rules are read at set-up and name few fields, so this is bounded by their text.
pub(crate) fn kept_name(name: &str) -> KeptName {
    let mut names = lock(&NAMES);
    let names = names.get_or_insert_default();
    match names.get(name) {
        Some(known) => *known,
        None => {
            let name: &'static str = Box::leak(name.into());
            let kept = KeptName(Box::leak(Box::new([name])));
            names.insert(name, kept);
            kept
        }
    }
}
