//! Text that grows by sentences.

use crate::content::ContentPolicy;
use opentelemetry::StringValue;
use std::sync::Arc;

/// Sentences, the last of them apart: it may still be replaced, and is shared with whoever else keeps it.
#[derive(Default)]
pub(crate) struct Sentences {
    settled: String,
    last: Option<Arc<str>>,
}

impl Sentences {
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

/// Appends a sentence, with a space between the two unless there is one already.
fn append(text: &mut String, sentence: &str) {
    let spaced = text.ends_with(char::is_whitespace) || sentence.starts_with(char::is_whitespace);
    if !text.is_empty() && !sentence.is_empty() && !spaced {
        text.push(' ');
    }
    text.push_str(sentence);
}
