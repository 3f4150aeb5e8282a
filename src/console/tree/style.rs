//! Lines of styled text, and whether the styles are shown.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};

use super::text;

/// What a piece of text is, which decides how it looks. The sixteen basic colours only: they follow the terminal's
/// theme, light or dark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Plain,
    Strong,
    /// There for those who look for it.
    Quiet,
    Failure,
    Interruption,
    /// Waiting until the user is silent for long enough, and deciding that it is the bot's turn.
    Waiting,
    Deciding,
    /// Speech-to-text.
    Hearing,
    /// Language models, and the way from their first words to a sentence or a tool's call.
    Thinking,
    Composing,
    /// Tools.
    Acting,
    /// Text-to-speech, and the way of its sound.
    Speaking,
    Sending,
    /// Any other service.
    Other,
}

impl Role {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| colour.on_default();
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Failure => colour(AnsiColor::Red),
            Self::Interruption => colour(AnsiColor::Yellow),
            Self::Waiting => colour(AnsiColor::Blue),
            Self::Deciding => colour(AnsiColor::Blue).dimmed(),
            Self::Hearing => colour(AnsiColor::Cyan),
            Self::Thinking => colour(AnsiColor::Magenta),
            Self::Composing => colour(AnsiColor::Magenta).dimmed(),
            Self::Acting => colour(AnsiColor::BrightYellow),
            Self::Speaking => colour(AnsiColor::Green),
            Self::Sending => colour(AnsiColor::Green).dimmed(),
            Self::Other => colour(AnsiColor::BrightBlue),
        }
    }
}

/// A line in the making, which knows how wide it is.
#[derive(Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(Role, String)>,
    width: usize,
}

impl Line {
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn put(&mut self, role: Role, piece: impl Into<String>) -> &mut Self {
        let piece = piece.into();
        self.width += text::width(&piece);
        self.pieces.push((role, piece));
        self
    }

    /// Repeats `char` up to `column`.
    pub(super) fn fill(&mut self, role: Role, char: char, column: usize) -> &mut Self {
        let missing = column.saturating_sub(self.width);
        if missing > 0 {
            self.put(role, char.to_string().repeat(missing));
        }
        self
    }

    pub(super) fn pad(&mut self, column: usize) -> &mut Self {
        self.fill(Role::Plain, ' ', column)
    }

    /// Puts `piece` so that it ends right before `column`.
    pub(super) fn put_right(
        &mut self,
        role: Role,
        piece: impl Into<String>,
        column: usize,
    ) -> &mut Self {
        let piece = piece.into();
        self.pad(column.saturating_sub(text::width(&piece)))
            .put(role, piece)
    }
}

/// Writes `lines` one below the other, without blanks at their ends.
pub(super) fn render(lines: &[Line], colour: bool) -> String {
    let mut out = String::new();
    for line in lines {
        for (role, piece) in &line.pieces {
            let style = role.style();
            if colour && style != Style::new() && !piece.trim().is_empty() {
                out.push_str(&format!("{style}{piece}{style:#}"));
            } else {
                out.push_str(piece);
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// Whether to use colour: never under `NO_COLOR`, always under `CLICOLOR_FORCE` or `FORCE_COLOR`, not under `CLICOLOR=0`
/// or `TERM=dumb`, else on a terminal.
pub(super) fn colour_wanted(variable: impl Fn(&str) -> Option<OsString>, terminal: bool) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let on = |name| set(name).is_some_and(|value| value != "0" && value != "false");
    if set("NO_COLOR").is_some() {
        return false;
    }
    if on("CLICOLOR_FORCE") || on("FORCE_COLOR") {
        return true;
    }
    let off = |name, value: &str| set(name).is_some_and(|is| is == value);
    terminal && !off("CLICOLOR", "0") && !off("FORCE_COLOR", "0") && !off("TERM", "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)], terminal: bool) -> bool {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        };
        colour_wanted(find, terminal)
    }

    #[test]
    fn colour_is_for_terminals_unless_the_environment_says_otherwise() {
        assert!(wanted(&[], true));
        assert!(!wanted(&[], false));
        assert!(wanted(&[("NO_COLOR", "")], true));
        assert!(!wanted(&[("NO_COLOR", "1")], true));
        assert!(!wanted(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(wanted(&[("CLICOLOR_FORCE", "1")], false));
        assert!(wanted(&[("FORCE_COLOR", "true")], false));
        assert!(!wanted(&[("FORCE_COLOR", "0")], true));
        assert!(!wanted(&[("CLICOLOR", "0")], true));
        assert!(!wanted(&[("TERM", "dumb")], true));
    }
}
