//! What goes wrong at the stand-ins, and when.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Provider {
    Deepgram,
    OpenAi,
    Cartesia,
    Weather,
}

/// The `nth` exchange (from 1) of every conversation with `provider` goes wrong: a request to the language model, a
/// connection to speech-to-text, a context of text-to-speech, a connection to it for `Status`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) provider: Provider,
    pub(crate) nth: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Answers with this HTTP status and the provider's own form of explanation.
    Status(u16),
    /// Ends the connection after this many messages or pieces of the answer.
    Disconnect(usize),
    /// Sends what is no JSON.
    Malformed,
    /// Takes the request and never answers.
    Silence,
    /// Answers this many seconds later than usual.
    Slow(f64),
}

pub(super) struct Faults {
    planned: Vec<Fault>,
    counts: Mutex<HashMap<(Provider, String), u64>>,
}

impl Faults {
    pub(super) fn new(planned: &[Fault]) -> Self {
        Self {
            planned: planned.to_vec(),
            counts: Mutex::default(),
        }
    }

    /// Counts an exchange of `whose` with `provider`; returns what is to go wrong in it.
    pub(super) fn next(&self, provider: Provider, whose: &str) -> Option<Kind> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((provider, whose.to_owned())).or_default();
        *count += 1;
        self.planned
            .iter()
            .find(|fault| fault.provider == provider && fault.nth == *count)
            .map(|fault| fault.kind)
    }
}
