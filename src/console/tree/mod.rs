//! The tree view: spans are collected by conversation and turn ([`collect`]); each turn and each conversation's end is
//! laid out as lines ([`turn`], [`summary`], [`rows`]) and written with one call.

mod bars;
mod collect;
mod figures;
mod record;
mod rows;
mod speech;
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

use self::collect::{Block, Capacity, Collector, Frame, Placement};
use self::record::Record;
use self::rows::View;
use self::style::{Line, Role};
use super::output::Output;

/// Shows each turn, and each conversation's summary, in human-readable form when it ends:
///
/// ```text
#[doc = include_str!("../../../docs/tree.txt")]
/// ```
///
/// A turn's first line shows why it ended, the time from the end of the user's speech to the bot's first audio, and
/// the turn's duration. Below it is who said what, then a row for each service span: provider, model, voice or tool,
/// a bar on the turn's time axis (light until the first output, heavy from then on), the time to the first byte, the
/// total time, and usage. `✗` marks failed services, `~` interrupted ones. Of an interrupted turn, words that were not heard
/// (`turn.heard_output` says what was) are struck through, or without colour in brackets. Ordinary spans are nested below their
/// parents, two below each and a count of the rest. The last bar divides the latency into its `turn.latency.*` parts.
///
/// # Late spans
///
/// A turn is shown at the end of the batch that contains its span. With batches a moment apart, spans that end just
/// after their turn, as on an interruption, are still shown in it. Later ones are shown separately, on the time axis
/// of their turn; no span is omitted.
///
/// # Bounds
///
/// At most 10,000 spans wait for their turn to end, and 1,000 conversations for their own end; beyond that, the spans
/// of the least recently updated conversation are shown early. Texts are cut at 600 characters, of which three lines
/// are shown. Text from users cannot control the terminal: line breaks become spaces, control characters are replaced
/// by their pictures.
#[derive(Debug)]
pub struct TreeExporter {
    collector: Mutex<Collector>,
    output: Output,
    colour: bool,
    /// `None` means the terminal's width.
    width: Option<usize>,
}

const MIN_WIDTH: usize = 64;
const MAX_WIDTH: usize = 160;
/// Width if the output is not a terminal.
const DEFAULT_WIDTH: usize = 100;

impl TreeExporter {
    /// Writes to standard output, as wide as the terminal at the time of writing, or 100 columns into a file or pipe.
    ///
    /// In colour on a terminal, unless [`NO_COLOR`](https://no-color.org), `CLICOLOR=0` or `TERM=dumb` is set;
    /// elsewhere only if `CLICOLOR_FORCE` or `FORCE_COLOR` is set, which `NO_COLOR` overrides.
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
            collector: Mutex::new(Collector::new(Capacity::default())),
            output: Output::new(writer),
            colour: false,
            width: Some(DEFAULT_WIDTH),
        }
    }

    /// Sets the width in columns, clamped to 64 to 160, instead of using the terminal's.
    #[must_use]
    pub fn with_width(self, columns: usize) -> Self {
        Self {
            width: Some(columns),
            ..self
        }
    }

    /// Turns colour on or off, regardless of the environment.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    fn view(&self) -> View {
        let width = self.width.or_else(terminal_width).unwrap_or(DEFAULT_WIDTH);
        View::new(width.clamp(MIN_WIDTH, MAX_WIDTH), self.colour)
    }

    /// Writes all blocks and returns the first error.
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
        let blocks = self.with_collector(Collector::finish);
        self.write(blocks)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.output.flush()
    }
}

/// Lays out a block, followed by a blank line.
fn lines(block: &Block, view: View) -> Vec<Line> {
    let mut lines = match block {
        Block::Turn {
            conversation,
            turn,
            spans,
        } => turn::turn(conversation, turn, spans, view),
        Block::Loose {
            conversation,
            placement,
            axis,
            spans,
        } => {
            let turn =
                |turn: &Option<u64>| turn.map_or("turn".to_owned(), |turn| format!("turn {turn}"));
            let title = match placement {
                Placement::Late { turn: None } => "late".to_owned(),
                Placement::Late { turn: of } => format!("{}, late", turn(of)),
                Placement::Unfinished { turn: of } => format!("{}, not ended", turn(of)),
                Placement::Between => "between turns".to_owned(),
            };
            if !spans.iter().any(Record::is_always_shown) {
                return compact(&format!("{title} · {conversation} · "), spans, view);
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
        Block::Outside { spans } => return compact("", spans, view),
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

/// Returns one line for each of `spans`, without heading and scale.
fn compact(prefix: &str, spans: &[Record], view: View) -> Vec<Line> {
    let shown = spans.iter().map(|span| {
        let text = format!(
            "· {prefix}{} {}",
            span.name,
            figures::seconds(span.seconds())
        );
        let mut line = Line::default();
        let failed = span.failure.is_some();
        let room = if failed { view.width / 2 } else { view.width };
        line.put(Role::Dimmed, text::cut(&text, room));
        if let Some(failure) = &span.failure {
            let room = view.width.saturating_sub(line.width() + 3);
            line.put(Role::Failure, " ✗ ")
                .put(Role::Failure, text::cut(failure, room));
        }
        line
    });
    shown.collect()
}
