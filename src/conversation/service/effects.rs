//! What a recorded field means beyond the span that it is recorded on.

use crate::attribute_list::AttributeList;
use crate::content::ContentPolicy;
use std::sync::Arc;
use std::time::Duration;

/// What a recording means beyond the span.
#[derive(Default)]
pub(crate) struct Effects {
    /// The operation was recorded, and it is of another kind than thought.
    pub(crate) kind: bool,
    /// A transcript or its finality was recorded.
    pub(crate) transcript: bool,
    /// A sentence to be spoken.
    pub(crate) sentence: Option<Arc<str>>,
    /// The attribute under which a speech-to-speech service recorded what the user said.
    pub(crate) input: Option<&'static str>,
    /// An answer was recorded.
    pub(crate) answer: Option<Arc<str>>,
    /// So long after its start the service had its first byte, by its own account.
    pub(crate) first_byte_after: Option<Duration>,
    /// The service says that it is done.
    pub(crate) ended: bool,
}

impl Effects {
    /// Whether the conversation has to take anything in.
    #[inline]
    pub(crate) fn concern_conversation(&self) -> bool {
        self.kind
            || self.transcript
            || self.sentence.is_some()
            || self.input.is_some()
            || self.answer.is_some()
            || self.first_byte_after.is_some()
    }
}

/// A field that is being recorded: what it sets, and under which policy.
pub(super) struct Recording<'a> {
    pub(super) attributes: &'a mut AttributeList,
    pub(super) policy: &'a ContentPolicy,
    pub(super) effects: &'a mut Effects,
}
