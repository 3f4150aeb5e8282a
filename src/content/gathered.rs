use std::borrow::Cow;

use super::cut;

/// A text that grows piece by piece and keeps no more than a limit of it.
#[derive(Debug)]
pub(crate) struct Gathered {
    kept: String,
    missing: usize,
    limit: usize,
}

impl Gathered {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            kept: String::new(),
            missing: 0,
            limit,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes that were pushed.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.missing
    }

    pub(crate) fn push(&mut self, piece: &str) {
        let room = match self.missing {
            0 => self.limit - self.kept.len(),
            _ => 0,
        };
        let end = cut::char_boundary(piece, piece.len().min(room));
        self.kept.push_str(&piece[..end]);
        self.missing += piece.len() - end;
    }

    /// Like [`push`](Self::push), with a space between it and what is there unless there is one.
    pub(crate) fn push_sentence(&mut self, sentence: &str) {
        if !self.kept.is_empty()
            && !self.kept.ends_with(char::is_whitespace)
            && !sentence.starts_with(char::is_whitespace)
        {
            self.push(" ");
        }
        self.push(sentence);
    }

    /// All of it, or its beginning and a note that says how much is missing.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self.missing {
            0 => Cow::Borrowed(&self.kept),
            missing => Cow::Owned(cut::cut(&self.kept, missing, self.limit)),
        }
    }
}
