//! Characters that a terminal acts on instead of showing them.

use std::fmt;

/// Whether a terminal may act on `character`: controls (C0, delete, C1), which move the cursor, set colours, the title or
/// the clipboard, and the format characters that reorder a line or hide in it. Joiners are not among them: emoji and many
/// scripts need them.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Writes text with unsafe characters as Rust writes them, `\u{1b}`. Line feed and tab stay: they lay out what is printed.
pub(crate) struct Escaping<W>(pub(crate) W);

impl<W: fmt::Write> fmt::Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                // Not `escape_debug`, which lets pass what some version of Unicode calls printable.
                match character {
                    '\r' => self.0.write_str("\\r")?,
                    _ => write!(self.0, "\\u{{{:x}}}", u32::from(character))?,
                }
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether [`Escaping`] would change the text.
#[cfg(feature = "console")]
pub(crate) fn needs_escaping(text: &str) -> bool {
    text.contains(is_escaped)
}

fn is_escaped(character: char) -> bool {
    !matches!(character, '\n' | '\t') && is_unsafe(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_leaves_no_unsafe_character_but_line_feed_and_tab() {
        let mut escaped = String::new();
        let mut escaping = Escaping(&mut escaped);
        fmt::Write::write_str(&mut escaping, "a\u{1b}]0;b\u{7}\r\n\tc\u{9b}2J\u{202e}é今").unwrap();
        assert_eq!(escaped, "a\\u{1b}]0;b\\u{7}\\r\n\tc\\u{9b}2J\\u{202e}é今");
    }

    #[test]
    fn controls_and_direction_marks_are_unsafe_and_text_is_not() {
        for character in "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{9d}\u{202e}\u{2066}\u{feff}".chars() {
            assert!(is_unsafe(character), "{character:?}");
        }
        for character in "aß今👩\u{200d}e\u{301} ".chars() {
            assert!(!is_unsafe(character), "{character:?}");
        }
    }
}
