//! What a name or a message is compared with.

/// A text, or with `*` at its end the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    is_prefix: bool,
}

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Self {
                text: prefix.into(),
                is_prefix: true,
            },
            None => Self::exact(pattern),
        }
    }

    /// A text in which `*` means itself.
    pub(crate) fn exact(text: &str) -> Self {
        Self {
            text: text.into(),
            is_prefix: false,
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.is_prefix {
            text.starts_with(&*self.text)
        } else {
            *text == *self.text
        }
    }

    /// The text without `*`.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether `piece` may stand at `at` bytes of a text that matches, given that what is before it does.
    pub(crate) fn goes_on(&self, at: usize, piece: &[u8]) -> bool {
        let Some(rest) = self.text.as_bytes().get(at..) else {
            return self.is_prefix;
        };
        if piece.len() <= rest.len() {
            rest.starts_with(piece)
        } else {
            self.is_prefix && piece.starts_with(rest)
        }
    }

    /// Whether a text that has gone on like the pattern for `length` bytes, and ends there, matches.
    pub(crate) fn ends_at(&self, length: usize) -> bool {
        if self.is_prefix {
            length >= self.text.len()
        } else {
            length == self.text.len()
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}
