//! The tree view.

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

use self::collect::{Block, Collector, Limits, Place};
use self::record::{Kind, Record};
use self::rows::View;
use self::style::{Line, Role};
use self::summary::frame_of;
use super::output::Output;

/// Shows each turn when it ends, and each conversation's summary when it ends, for people to read.
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
    /// Writes to standard output, as wide as the terminal, in colour where that is wanted.
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

    fn write(&self, blocks: Vec<Block>) -> OTelSdkResult {
        let view = self.view();
        for block in blocks {
            let mut text = style::render(&lines(&block, view), self.colour);
            text.push('\n');
            self.output.write_block(text.as_bytes())?;
        }
        Ok(())
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

fn lines(block: &Block, view: View) -> Vec<Line> {
    match block {
        Block::Turn {
            conversation,
            turn,
            spans,
        } => match &turn.kind {
            Kind::Turn(facts) => turn::turn(conversation, turn, facts, spans, view),
            _ => Vec::new(),
        },
        Block::Loose {
            conversation,
            place,
            spans,
        } => {
            let (title, frame) = match place {
                Place::Late { turn, frame } => (format!("turn {turn}, late"), *frame),
                Place::Unfinished { turn } => (format!("turn {turn}, not ended"), None),
                Place::Between => ("between turns".to_owned(), None),
                Place::Afterwards => ("afterwards".to_owned(), None),
            };
            let mut lines = vec![turn::heading(&title, conversation, &[], view)];
            lines.extend(rows::rows(
                spans,
                frame.unwrap_or_else(|| frame_of(spans)),
                view,
            ));
            lines
        }
        Block::Summary {
            conversation,
            totals,
            span,
            spans,
        } => summary::summary(conversation, totals, span.as_ref(), spans, view),
        Block::Outside { spans } => outside(spans),
    }
}

/// Spans that have nothing to do with conversations: a quiet line each.
fn outside(spans: &[Record]) -> Vec<Line> {
    let shown = spans.iter().map(|span| {
        let mut line = Line::default();
        line.put(
            Role::Quiet,
            format!(
                "· {} {}",
                text::cut(&span.name, 40),
                figures::seconds(span.seconds())
            ),
        );
        line
    });
    shown.collect()
}
