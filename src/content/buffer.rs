use std::borrow::Cow;

use super::cut;

/// Text that arrives in pieces, of which at most a limit is kept.
#[derive(Debug)]
pub(crate) struct TextBuffer {
    kept: String,
    missing: usize,
    limit: usize,
}

impl TextBuffer {
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

    /// Returns the number of bytes pushed.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.missing
    }

    pub(crate) fn push(&mut self, piece: &str) {
        let room = match self.missing {
            0 => self.limit - self.kept.len(),
            _ => 0,
        };
        let end = cut::floor_char_boundary(piece, room);
        self.kept.push_str(&piece[..end]);
        self.missing += piece.len() - end;
    }

    /// Like [`push`](Self::push), separated by a space from the text so far.
    pub(crate) fn push_sentence(&mut self, sentence: &str) {
        if !self.kept.is_empty()
            && !self.kept.ends_with(char::is_whitespace)
            && !sentence.starts_with(char::is_whitespace)
        {
            self.push(" ");
        }
        self.push(sentence);
    }

    /// Returns the whole text, or its beginning and a note that says how much was cut.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self.missing {
            0 => Cow::Borrowed(&self.kept),
            missing => Cow::Owned(cut::cut(&self.kept, missing, self.limit)),
        }
    }
}
