//! Sanitizes text for a terminal, measures it in columns, cuts and wraps it.

use unicode_width::UnicodeWidthStr;

/// Maximum length of a text: more than three lines of the widest view.
const MAX_TEXT_CHARS: usize = 600;
/// Maximum length of a name.
const MAX_NAME_CHARS: usize = 100;

/// Converts text to one line that cannot move the cursor, change colours, reorder the line or hide: runs of white space
/// become single spaces, control characters their pictures (`␛`), bidirectional controls and other formatting `�`.
pub(super) fn clean(text: &str) -> String {
    clean_up_to(MAX_TEXT_CHARS, text)
}

/// Like [`clean`], for names of services, models and the like.
pub(super) fn name(name: &str) -> String {
    clean_up_to(MAX_NAME_CHARS, name)
}

fn clean_up_to(most: usize, text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    let mut kept = 0;
    for char in text.chars() {
        if kept == most {
            clean.push('…');
            break;
        }
        let char = match char {
            char if char.is_whitespace() => {
                if clean.is_empty() || clean.ends_with(' ') {
                    continue;
                }
                ' '
            }
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
            '\x7f' => '␡',
            char if is_invisible(char) => '\u{fffd}',
            char => char,
        };
        clean.push(char);
        kept += 1;
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Returns whether a terminal does not display the character, or uses it to reorder the line. Joiners are allowed:
/// emoji and many scripts need them.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the width of `text` in terminal columns.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts `text` to at most `columns`, with an ellipsis if anything is cut.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = fitting(text, columns.saturating_sub(1))
        .trim_end()
        .to_owned();
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Wraps `text` between words into at most `lines` of at most `columns`; the last line is cut if necessary.
pub(super) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut rest = text;
    while width(rest) > columns && wrapped.len() + 1 < lines {
        let fits = fitting(rest, columns);
        // The line may also break at a space right after the text that fits.
        let line = match rest[..fits.len() + usize::from(rest[fits.len()..].starts_with(' '))]
            .rfind(' ')
        {
            // Breaks inside a long word rather than leave most of the line empty.
            Some(space) if width(&rest[..space]) * 2 >= columns => &rest[..space],
            _ => fits,
        };
        if line.is_empty() {
            break;
        }
        wrapped.push(line.trim_end().to_owned());
        rest = rest[line.len()..].trim_start();
    }
    wrapped.push(cut(rest, columns));
    wrapped
}

/// Returns the longest prefix of `text` that fits into `columns`.
fn fitting(text: &str, columns: usize) -> &str {
    // Measures the whole prefix each time: the width of a character depends on those before it.
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    let end = ends
        .take_while(|end| width(&text[..*end]) <= columns)
        .last();
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_neutralized() {
        assert_eq!(clean("  two\r\n\tlines \n"), "two lines");
        assert_eq!(
            clean("\x1b[31mred\x1b[0m \u{9b}2J \x07\x7f"),
            "␛[31mred␛[0m �2J ␇␡"
        );
        assert_eq!(clean("abc\u{202e}fed\u{2066}\u{feff}"), "abc�fed��");
        assert_eq!(clean("👩\u{200d}🚒 e\u{301}"), "👩\u{200d}🚒 e\u{301}");
    }

    #[test]
    fn long_text_is_cut() {
        let text = clean(&"word ".repeat(200_000));
        assert_eq!(
            (text.chars().count(), text.ends_with('…')),
            (MAX_TEXT_CHARS + 1, true)
        );
    }

    #[test]
    fn text_is_cut_by_columns_not_characters() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("hello there", 7), "hello…");
        assert_eq!(cut("今日は晴れ", 10), "今日は晴れ");
        assert_eq!(cut("今日は晴れ", 8), "今日は…");
        assert_eq!(cut("❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}", 5), "❤\u{fe0f}❤\u{fe0f}…");
        assert_eq!(
            (cut("hello", 1), cut("hello", 0)),
            ("…".to_owned(), String::new())
        );
    }

    #[test]
    fn text_wraps_between_words_and_long_words_anywhere() {
        assert_eq!(
            wrap("one two three four", 9, 3),
            ["one two", "three", "four"]
        );
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three…"]);
        assert_eq!(wrap("今日は晴れです", 6, 3), ["今日は", "晴れで", "す"]);
        assert_eq!(wrap("", 9, 3), [""]);
        assert_eq!(wrap("今", 1, 3), ["…"]);
    }
}
