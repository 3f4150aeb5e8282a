//! Styled lines, and whether to use colour.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};

use super::text;

/// The role of a piece of text, which determines its style. Only the sixteen basic colours, which follow the terminal's
/// theme, light or dark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Plain,
    Strong,
    /// Secondary information.
    Dimmed,
    /// Words that were cut off before anybody heard them.
    Unheard,
    Failure,
    Interruption,
    /// Endpointing and turn detection.
    Waiting,
    TurnDetection,
    /// Speech-to-text.
    Stt,
    /// Language models, and aggregation of their output into a sentence or a tool call.
    Llm,
    LlmOutput,
    /// Tools.
    Tool,
    /// Text-to-speech, and transport of its audio.
    Tts,
    Transport,
    /// Any other service.
    Other,
}

impl Role {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| colour.on_default();
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Dimmed => Style::new().dimmed(),
            Self::Unheard => Style::new().dimmed().strikethrough(),
            Self::Failure => colour(AnsiColor::Red),
            Self::Interruption => colour(AnsiColor::Yellow),
            Self::Waiting => colour(AnsiColor::Blue),
            Self::TurnDetection => colour(AnsiColor::Blue).dimmed(),
            Self::Stt => colour(AnsiColor::Cyan),
            Self::Llm => colour(AnsiColor::Magenta),
            Self::LlmOutput => colour(AnsiColor::Magenta).dimmed(),
            Self::Tool => colour(AnsiColor::BrightYellow),
            Self::Tts => colour(AnsiColor::Green),
            Self::Transport => colour(AnsiColor::Green).dimmed(),
            Self::Other => colour(AnsiColor::BrightBlue),
        }
    }
}

/// A line being built, with its width in columns.
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

    /// Fills the line with `char` up to `column`.
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

    /// Appends `piece`, right-aligned before `column`.
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

/// Renders `lines` without trailing blanks.
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

/// Returns whether to use colour: never with `NO_COLOR`, always with `CLICOLOR_FORCE` or `FORCE_COLOR`, not with
/// `CLICOLOR=0` or `TERM=dumb`, otherwise on a terminal.
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
    fn colour_is_used_on_terminals_unless_environment_overrides() {
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
