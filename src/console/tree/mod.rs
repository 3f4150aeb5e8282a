//! The tree view: spans are gathered by conversation and turn ([`collect`]), each turn and each conversation's end is
//! laid out as lines ([`turn`], [`summary`], [`rows`]), and written in one piece.

mod bars;
mod collect;
mod figures;
mod record;
mod rows;
mod style;
mod summary;
mod text;
mod totals;
mod turn;

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use self::collect::{Block, Collector, Frame, Limits, Place};
use self::record::Record;
use self::rows::View;
use self::style::{Line, Role};
use super::output::Output;

/// Shows each turn when it ends, and each conversation's summary when it ends, for people to read:
///
/// ```text
#[doc = include_str!("../../../docs/tree.txt")]
/// ```
///
/// In a turn's first line stand what ended it, the time from the end of the user's speech to the bot's first sound, and
/// the turn's length. Below it, who said what; then a row for each service span: provider, model, voice or tool, a bar on
/// the turn's time axis (light while waiting for the first output, heavy from then on), the time to the first byte, the
/// whole time, and what was used. `✗` marks what failed, `~` what was cut off. Ordinary spans are nested in the spans
/// that made them, two of them at each place and a count of the rest. The last bar divides the latency into its
/// `turn.latency.*` parts.
///
/// # Spans that come late
///
/// A turn is shown at the end of the batch that brings its span, so exporting in batches a moment apart lets spans
/// that end just after their turn, as an interruption makes them do, still be shown in it. Those that come later are
/// shown by themselves, on the time axis of their turn; nothing is left out.
///
/// # Bounds
///
/// At most 10,000 spans wait for their turn to end, and 1,000 conversations for their own end; past that, what belongs
/// to the conversation that has been quiet longest is shown as it stands. Texts are kept to 600 characters, and three
/// lines of them are shown. Text that comes from users cannot control the terminal: line breaks become spaces,
/// control characters are shown as pictures of them.
#[derive(Debug)]
pub struct TreeExporter {
    collector: Mutex<Collector>,
    output: Output,
    colour: bool,
    /// `None`: the terminal's.
    width: Option<usize>,
}

const NARROWEST: usize = 64;
const WIDEST: usize = 160;
/// Where the output is no terminal.
const USUAL: usize = 100;

impl TreeExporter {
    /// Writes to standard output: as wide as the terminal at that moment, or 100 columns into a file or pipe.
    ///
    /// In colour on a terminal, unless [`NO_COLOR`](https://no-color.org), `CLICOLOR=0` or `TERM=dumb` is set;
    /// elsewhere only under `CLICOLOR_FORCE` or `FORCE_COLOR`, which `NO_COLOR` overrules.
    pub fn stdout() -> Self {
        let colour = style::colour_wanted(
            |name| std::env::var_os(name),
            std::io::stdout().is_terminal(),
        );
        Self {
            width: None,
            ..Self::to_writer(std::io::stdout())
        }
        .with_colour(colour)
    }

    /// Writes to `writer`, 100 columns wide and without colour.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Self {
        Self {
            collector: Mutex::new(Collector::new(Limits::default())),
            output: Output::new(writer),
            colour: false,
            width: Some(USUAL),
        }
    }

    /// Sets the width in columns instead of asking the terminal; between 64 and 160.
    #[must_use]
    pub fn with_width(self, columns: usize) -> Self {
        Self {
            width: Some(columns),
            ..self
        }
    }

    /// Turns colour on or off, whatever the environment says.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    fn view(&self) -> View {
        let width = self.width.or_else(terminal_width).unwrap_or(USUAL);
        View::new(width.clamp(NARROWEST, WIDEST), self.colour)
    }

    /// Writes what it can and gives back the first failure.
    fn write(&self, blocks: Vec<Block>) -> OTelSdkResult {
        let view = self.view();
        let mut result = Ok(());
        for block in blocks {
            let text = style::render(&lines(&block, view), self.colour);
            result = result.and(self.output.write_block(text.as_bytes()));
        }
        result
    }

    fn with_collector<T>(&self, act: impl FnOnce(&mut Collector) -> T) -> T {
        act(&mut self
            .collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(width.0))
}

impl SpanExporter for TreeExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let blocks = self.with_collector(|collector| collector.take(&batch));
        self.write(blocks)
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        let blocks = self.with_collector(Collector::rest);
        self.write(blocks)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.output.flush()
    }
}

/// What is written of a block, with a blank line after it.
fn lines(block: &Block, view: View) -> Vec<Line> {
    let mut lines = match block {
        Block::Turn {
            conversation,
            turn,
            spans,
        } => turn::turn(conversation, turn, spans, view),
        Block::Loose {
            conversation,
            place,
            axis,
            spans,
        } => {
            let turn =
                |turn: &Option<u64>| turn.map_or("turn".to_owned(), |turn| format!("turn {turn}"));
            let title = match place {
                Place::Late { turn: None } => "late".to_owned(),
                Place::Late { turn: of } => format!("{}, late", turn(of)),
                Place::Unfinished { turn: of } => format!("{}, not ended", turn(of)),
                Place::Between => "between turns".to_owned(),
            };
            if !spans.iter().any(Record::matters) {
                return quiet(&format!("{title} · {conversation} · "), spans, view);
            }
            with_heading(&title, conversation, spans, *axis, view)
        }
        Block::Summary {
            conversation,
            totals,
            span,
            spans,
        } => summary::summary(conversation, totals, span.as_ref(), spans, view),
        Block::Outside { spans } if spans.iter().any(|span| span.service().is_some()) => {
            with_heading("services", "no conversation", spans, Frame::of(spans), view)
        }
        Block::Outside { spans } => return quiet("", spans, view),
    };
    lines.push(Line::default());
    lines
}

fn with_heading(
    title: &str,
    conversation: &str,
    spans: &[Record],
    axis: Frame,
    view: View,
) -> Vec<Line> {
    let mut lines = vec![turn::heading(title, conversation, &[], view)];
    lines.extend(rows::rows(spans, axis, view));
    lines
}

/// A line for each of `spans`, without a heading and a scale that would make more of them than they are.
fn quiet(whose: &str, spans: &[Record], view: View) -> Vec<Line> {
    let shown = spans.iter().map(|span| {
        let text = format!(
            "· {whose}{} {}",
            span.name,
            figures::seconds(span.seconds())
        );
        let mut line = Line::default();
        let failed = span.failure.is_some();
        let room = if failed { view.width / 2 } else { view.width };
        line.put(Role::Quiet, text::cut(&text, room));
        if let Some(failure) = &span.failure {
            let room = view.width.saturating_sub(line.width() + 3);
            line.put(Role::Failure, " ✗ ")
                .put(Role::Failure, text::cut(failure, room));
        }
        line
    });
    shown.collect()
}
