//! Characters that a terminal acts on instead of showing them.

/// Whether a terminal may act on `character`: controls (C0, delete, C1), which move the cursor, set colours, the title or
/// the clipboard, and the format characters that reorder a line or hide in it. Joiners are not among them: emoji and many
/// scripts need them.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
