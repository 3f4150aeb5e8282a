//! Lays out what was said, and which words of it nobody heard.

use super::rows::View;
use super::style::{Line, Role};
use super::text::wrap;

/// Maximum number of lines of one speaker's text.
const MAX_LINES: usize = 3;

/// Lays out what `who` said. With `heard`, as much of the text was heard, and the rest is struck through; without colour it
/// is in brackets.
pub(super) fn speech(
    who: &str,
    text: Option<&str>,
    heard: Option<&str>,
    view: View,
    lines: &mut Vec<Line>,
) {
    let Some(text) = text else {
        return;
    };
    let unheard = heard.map_or("", |heard| unheard(text, heard));
    let heard = &text[..text.len() - unheard.len()];
    let left = view.left + 5;
    let columns = view.width - left;
    let pieces = match unheard {
        "" => wrap(text, columns, MAX_LINES),
        _ if view.colour => wrap(text, columns, MAX_LINES),
        _ => wrap(
            &format!("{heard}[not heard: {unheard}]"),
            columns,
            MAX_LINES,
        ),
    };
    // Lines end where spaces were.
    let is_letter = |char: &char| *char != ' ';
    let mut letters_heard = match view.colour {
        true => heard.chars().filter(is_letter).count(),
        false => usize::MAX,
    };
    for (at, piece) in pieces.into_iter().enumerate() {
        let letters = piece.chars().filter(is_letter).count();
        let mut ends = piece.char_indices().filter(|(_, char)| is_letter(char));
        let end = match ends.nth(letters_heard) {
            Some((end, _)) => end,
            None => piece.len(),
        };
        letters_heard = letters_heard.saturating_sub(letters);
        let (plain, struck) = piece.split_at(end);
        let mut line = Line::default();
        line.pad(view.left)
            .put(Role::Strong, if at == 0 { who } else { "" })
            .pad(left)
            .put(Role::Plain, plain)
            .put(Role::Unheard, struck);
        lines.push(line);
    }
}

/// The rest of `text` after what was heard of it: a beginning of it, or else as many words, since what synthesis reports
/// may be spelt differently.
fn unheard<'a>(text: &'a str, heard: &str) -> &'a str {
    let heard = heard.trim_end_matches('…').trim_end();
    let rest = match text.strip_prefix(heard) {
        Some(rest) => rest,
        None => match text
            .match_indices(' ')
            .nth(heard.split(' ').count().saturating_sub(1))
        {
            Some((end, _)) => &text[end..],
            None => "",
        },
    };
    rest.trim_start()
}

#[cfg(test)]
mod tests {
    use super::super::style::render;
    use super::*;

    fn shown(text: &str, heard: Option<&str>, colour: bool) -> String {
        let mut lines = Vec::new();
        speech("bot", Some(text), heard, View::new(64, colour), &mut lines);
        render(&lines, colour)
            .replace("\x1b[2m\x1b[9m", "<s>")
            .replace("\x1b[1mbot\x1b[0m", "bot")
            .replace("\x1b[0m", "</s>")
    }

    #[test]
    fn rest_after_what_was_heard_is_unheard() {
        let text = "It is 13 degrees in Paris.";
        for (heard, rest) in [
            ("", text),
            ("It is 13", "degrees in Paris."),
            ("It is 13 deg", "rees in Paris."),
            ("It is 13 degrees in Paris.", ""),
            ("it is thirteen", "degrees in Paris."),
            ("all of it and something more than that", ""),
            ("It is 13…", "degrees in Paris."),
        ] {
            assert_eq!(unheard(text, heard), rest, "{heard}");
        }
        assert_eq!(unheard("今日は晴れ", "今日は"), "晴れ");
        assert_eq!(unheard("", "heard"), "");
    }

    #[test]
    fn unheard_words_are_struck_through_or_in_brackets_without_colour() {
        let text = "There is a lot to see in Paris. Start in the old town, and climb the tower.";
        let heard = Some("There is a lot to see in");
        assert_eq!(
            shown(text, heard, true),
            "  bot  There is a lot to see in <s>Paris. Start in the old town,</s>\n       <s>and climb the tower.</s>\n"
        );
        assert_eq!(
            shown(text, heard, false),
            "  bot  There is a lot to see in [not heard: Paris. Start in the\n       old town, and climb the tower.]\n"
        );
        assert_eq!(
            shown("Hello there.", Some(""), true),
            "  bot  <s>Hello there.</s>\n"
        );
        assert_eq!(
            shown("Hello there.", Some(""), false),
            "  bot  [not heard: Hello there.]\n"
        );
        for colour in [true, false] {
            let all = "  bot  Hello there.\n";
            assert_eq!(shown("Hello there.", Some("Hello there."), colour), all);
            assert_eq!(shown("Hello there.", None, colour), all);
        }
    }
}
