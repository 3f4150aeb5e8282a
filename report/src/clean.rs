//! Text of the input, made harmless for a terminal.

use unicode_width::UnicodeWidthStr as _;

/// `text` on one line, at most `most` characters of it: white space becomes single spaces, control characters their
/// pictures (`␛`), and what reorders or hides text `�`.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    let mut kept = 0;
    for char in text.trim().chars() {
        if kept == most {
            clean.push('…');
            break;
        }
        if char.is_whitespace() && clean.ends_with(' ') {
            continue;
        }
        clean.push(harmless(char));
        kept += 1;
    }
    clean
}

fn harmless(char: char) -> char {
    match char {
        char if char.is_whitespace() => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
        '\x7f' => '␡',
        char if is_hidden(char) => '\u{fffd}',
        char => char,
    }
}

/// Characters that a terminal obeys, or shows as nothing or elsewhere on the line. Joiners are not among them: emoji and
/// many scripts need them.
fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON whose strings have the same characters as escapes: `serde_json` escapes those below U+0020 only.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if char == '\x7f' || is_hidden(char) {
            // Outside of strings JSON has no such characters.
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Columns that `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `columns`, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    for char in text.chars() {
        kept.push(char);
        if width(&kept) + 1 > columns {
            kept.pop();
            break;
        }
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// `text` broken between words into at most `lines` of `columns`; the last is cut where that does not do.
pub(crate) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let mut wrapped = vec![String::new()];
    for word in text.split(' ') {
        let is_last = wrapped.len() == lines;
        match wrapped.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if is_last || width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    wrapped.iter().map(|line| cut(line, columns)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_text_becomes_one_harmless_line() {
        assert_eq!(clean("  two\r\n\tlines \n", 80), "two lines");
        assert_eq!(
            clean("\x1b[31mred\x1b[0m \u{9b}2J \x07\x7f", 80),
            "␛[31mred␛[0m �2J ␇␡"
        );
        assert_eq!(clean("abc\u{202e}fed", 80), "abc�fed");
        assert_eq!(clean("abcdef", 3), "abc…");
    }

    #[test]
    fn texts_are_cut_by_columns() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello there", 7), "hello…");
        assert_eq!(cut("今日は晴れ", 8), "今日は…");
        assert_eq!(cut("今日", 1), "…");
    }

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(
            wrap("one two three four", 9, 3),
            ["one two", "three", "four"]
        );
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three…"]);
        assert_eq!(wrap("incomprehensible", 7, 2), ["incomp…"]);
        assert_eq!(wrap("", 7, 2), [""]);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "\x1b[0m\u{9b}2J\x7f\u{202e}é\u{e0041}\n\"";
        let json = escape_json(&serde_json::to_string(text).unwrap());
        assert!(json.chars().all(|char| !char.is_control()), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text in any::<String>(), most in 0..50_usize) {
            let clean = clean(&text, most);
            prop_assert!(clean.chars().all(|char| !char.is_control() && !is_hidden(char)));
            prop_assert!(clean.chars().count() <= most + 1);
            let cut = cut(&clean, most);
            prop_assert!(width(&cut) <= most.max(1), "{cut:?}");
        }
    }
}
