//! A program read from bytes: each two or three are one call of `tracing`, of a handle or of the clock, in any order.

use super::kept_stage;
use crate::stage::Stage;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::Conversation;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// More are dropped from the oldest on.
const OPEN_SPANS: usize = 24;

pub(crate) fn run(data: &[u8]) {
    kept_stage::play(|stage, number| {
        let mut program = Program {
            stage,
            serial: number,
            ids: [
                format!("{number}a"),
                format!("{number}b"),
                String::new(),
                format!("{number}a\nb"),
            ],
            bytes: data.iter(),
            spans: Vec::new(),
            entered: Vec::new(),
            depth: 0,
        };
        while program.step().is_some() {}
        // What is left entered would be the next program's context.
        for span in program.entered.iter().rev() {
            span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        }
    });
}

struct Program<'a> {
    stage: &'a Stage,
    /// No other program on the stage has it.
    serial: u64,
    ids: [String; 4],
    bytes: std::slice::Iter<'a, u8>,
    spans: Vec<Span>,
    /// Kept open as guards keep them.
    entered: Vec<Span>,
    /// Of calls within the scope of a handle.
    depth: usize,
}

/// Where a span or an event is.
enum Parent {
    Contextual,
    Given(Option<tracing::Id>),
}

/// `span!(parent, …)` and `event!(parent, …)`, each with its own callsites.
macro_rules! at {
    ($macro:ident, $parent:expr, $($fields:tt)*) => {
        match $parent {
            Parent::Contextual => $macro!($($fields)*),
            Parent::Given(id) => $macro!(parent: id, $($fields)*),
        }
    };
}

impl Program<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.bytes.next().copied()
    }

    fn span(&mut self) -> Option<Span> {
        let byte = usize::from(self.byte()?);
        self.spans.get(byte % self.spans.len().max(1)).cloned()
    }

    fn id(&mut self) -> Option<String> {
        let byte = usize::from(self.byte()?);
        Some(self.ids[byte % self.ids.len()].clone())
    }

    fn number(&mut self) -> Option<f64> {
        const NUMBERS: [f64; 8] = [0.0, 0.2, 1e-9, 3.5, -1.0, f64::NAN, f64::INFINITY, 1e300];
        Some(NUMBERS[usize::from(self.byte()?) % NUMBERS.len()])
    }

    fn parent(&mut self) -> Option<Parent> {
        Some(match self.byte()? {
            0..160 => Parent::Contextual,
            160..192 => Parent::Given(None),
            _ => Parent::Given(self.span().and_then(|span| span.id())),
        })
    }

    /// Makes the next call; `None` where the bytes are used up.
    fn step(&mut self) -> Option<()> {
        match self.byte()? % 16 {
            0..=3 => self.open()?,
            4 | 5 => self.record()?,
            6..=8 => self.emit()?,
            9 => {
                let span = self.span()?;
                span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
                self.entered.push(span);
            }
            10 => {
                let span = self.span()?;
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                let last = self.entered.iter().rposition(|entered| *entered == span);
                last.map(|at| self.entered.remove(at));
            }
            11 => {
                let at = usize::from(self.byte()?);
                if !self.spans.is_empty() {
                    drop(self.spans.swap_remove(at % self.spans.len()));
                }
            }
            12 => {
                const STEPS: [u64; 8] = [0, 1, 20, 200, 2_500, 3_000, 60_000, 4_000_000];
                let step = STEPS[usize::from(self.byte()?) % STEPS.len()];
                self.stage.clock.advance(Duration::from_millis(step));
            }
            13 => {
                let (one, other) = (self.span()?, self.span()?);
                one.follows_from(&other);
            }
            14 => {
                // A clone that the registry counts, and one that it stops counting.
                self.span()?.with_subscriber(|(id, dispatch)| {
                    let copy = dispatch.clone_span(id);
                    dispatch.try_close(copy);
                });
            }
            _ => self.handle()?,
        }
        Some(())
    }

    fn open(&mut self) -> Option<()> {
        let kind = self.byte()?;
        let parent = self.parent()?;
        let span = match kind % 12 {
            0 => {
                let id = self.id()?;
                at!(
                    info_span,
                    parent,
                    "conversation",
                    conversation.id = id,
                    tier = Empty
                )
            }
            1 => at!(
                info_span,
                parent,
                "stt",
                gen_ai.operation.name = "stt",
                transcript = Empty,
                is_final = Empty,
                metrics.ttfb = Empty,
                turn.number = Empty
            ),
            2 => at!(
                info_span,
                parent,
                "llm",
                gen_ai.operation.name = "chat",
                input = Empty,
                output = Empty,
                metrics.ttfb = Empty,
                gen_ai.usage.input_tokens = Empty,
                otel.status_code = Empty,
                turn.number = Empty
            ),
            3 => at!(
                info_span,
                parent,
                "tts",
                gen_ai.operation.name = "tts",
                text = Empty,
                metrics.character_count = Empty,
                interrupted = Empty
            ),
            4 => at!(
                info_span,
                parent,
                "tool",
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = "weather",
                error = Empty
            ),
            5 => at!(
                info_span,
                parent,
                "realtime",
                gen_ai.operation.name = "realtime",
                output = Empty
            ),
            6 => at!(
                info_span,
                parent,
                "agent",
                gen_ai.operation.name = "invoke_agent",
                gen_ai.usage.input_tokens = Empty
            ),
            7 => {
                let id = self.id()?;
                at!(
                    info_span,
                    parent,
                    "llm",
                    gen_ai.operation.name = "chat",
                    conversation.id = id,
                    output = Empty,
                    text = Empty
                )
            }
            8 => {
                let id = self.id()?;
                at!(info_span, parent, "task", conversation.id = id)
            }
            9 => {
                let turn = self.byte()?;
                at!(
                    info_span,
                    parent,
                    "llm",
                    gen_ai.operation.name = "chat",
                    turn.number = turn,
                    output = Empty
                )
            }
            10 => at!(
                info_span,
                parent,
                "POST",
                otel.name = Empty,
                otel.kind = Empty
            ),
            _ => at!(info_span, parent, "conversation", conversation.id = Empty),
        };
        if self.spans.len() == OPEN_SPANS {
            self.spans.remove(0);
        }
        self.spans.push(span);
        Some(())
    }

    fn record(&mut self) -> Option<()> {
        let span = self.span()?;
        match self.byte()? % 16 {
            0 => span.record("gen_ai.usage.input_tokens", u64::MAX),
            1 => span.record("output", "words"),
            2 => span.record(
                "input",
                r#"[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]"#,
            ),
            3 => span.record("text", "a sentence."),
            4 => span.record("transcript", "hello"),
            5 => span.record("is_final", self.byte()? % 2 == 0),
            6 => span.record("metrics.ttfb", self.number()?),
            7 => span.record("turn.number", u64::from(self.byte()?)),
            8 => span.record("turn.number", i64::MIN),
            9 => span.record("otel.status_code", "ERROR"),
            10 => span.record("metrics.character_count", self.number()?),
            11 => span.record("conversation.id", self.id()?),
            12 => span.record("error", "timeout"),
            13 => span.record("interrupted", true),
            14 => span.record("tier", tracing::field::debug(Some(1))),
            _ => span.record("otel.name", "renamed"),
        };
        Some(())
    }

    fn emit(&mut self) -> Option<()> {
        const NAMES: [&str; 16] = [
            "conversation_started",
            "conversation_ended",
            "client_connected",
            "client_disconnected",
            "user_started_speaking",
            "user_started_speaking",
            "user_stopped_speaking",
            "vad_user_started_speaking",
            "vad_user_stopped_speaking",
            "bot_started_speaking",
            "bot_started_speaking",
            "bot_stopped_speaking",
            "interruption",
            "first_byte",
            "annotate",
            "no such event",
        ];
        let name = NAMES[usize::from(self.byte()?) % NAMES.len()];
        let parent = self.parent()?;
        match self.byte()? % 6 {
            0 | 1 => at!(info, parent, conversation.event = name),
            2 => {
                let id = self.id()?;
                at!(
                    info,
                    parent,
                    conversation.event = name,
                    conversation.id = id,
                    reason = "why"
                );
            }
            3 => {
                let seconds = self.number()?;
                at!(
                    info,
                    parent,
                    conversation.event = name,
                    stop_secs = seconds,
                    start_secs = seconds,
                    ago_secs = seconds
                );
            }
            4 => {
                let seconds = self.number()?;
                at!(
                    info,
                    parent,
                    conversation.event = name,
                    played_secs = seconds,
                    text_heard = "as much as",
                    text = false
                );
            }
            _ => {
                let number = self.serial;
                at!(info, parent, conversation.event = name, conversation.id = number, stop_secs = "soon", text = 1, reason = ?Some(2))
            }
        }
        Some(())
    }

    fn handle(&mut self) -> Option<()> {
        let found = match self.byte()? % 4 {
            0 => Conversation::current(),
            1 => Conversation::of(&self.span()?),
            _ => Conversation::by_id(&self.id()?),
        };
        let conversation = found?;
        match self.byte()? % 4 {
            0 => conversation.set_attribute("tier", "gold"),
            1 => conversation.set_turn_attribute("mood", "good"),
            2 => drop((
                conversation.context(),
                conversation.turn_context(),
                self.span()?.context(),
            )),
            _ if self.depth < 4 => {
                self.depth += 1;
                let steps = self.byte()? % 8;
                conversation.in_scope(|| (0..steps).try_for_each(|_| self.step()));
                self.depth -= 1;
            }
            _ => {}
        }
        Some(())
    }
}
