//! What flows through a service, and what becomes of it on its span.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::{self, Display};

use tracing::Span;
use tracing::field::display;

use super::Usage;
use crate::content::{ContentPolicy, Gathered};
use crate::{event, names};

/// Takes note of what an item of a stream, or the output of a future, holds.
///
/// The adapters of this module hand it to your closure for each item:
///
/// ```
/// # struct Chunk { text: String, input_tokens: Option<u64> }
/// use tracing_conversation::instrument::{Seen, Usage};
///
/// fn look(chunk: &Chunk, seen: &mut Seen<'_>) {
///     seen.output(&chunk.text);
///     if let Some(tokens) = chunk.input_tokens {
///         seen.usage(Usage::default().input_tokens(tokens));
///     }
/// }
/// ```
///
/// Texts that have to be put together are kept up to the limit of the [`ContentPolicy`]; with
/// capture off none is copied.
pub struct Seen<'a> {
    span: &'a Span,
    state: &'a mut State,
}

/// What has been seen so far.
pub(super) struct State {
    /// `None` where content is not captured.
    texts: Option<Texts>,
    /// Speech is told as it goes: a turn that the user interrupts ends before the service does.
    output_is_spoken: bool,
    usage: Usage,
    characters: Option<u64>,
    audio_seconds: Option<f64>,
    item: Item,
    gave_output: bool,
    called_tool: bool,
    failed: bool,
    complete: bool,
}

struct Texts {
    output: Gathered,
    /// How long `output` was when it was last recorded.
    told: usize,
    /// The final transcripts.
    heard: Gathered,
}

/// What the present item is.
#[derive(PartialEq)]
enum Item {
    Output,
    ToolCall,
    Nothing,
}

impl State {
    pub(super) fn new(span: &Span) -> Self {
        let policy = |policy: &ContentPolicy| {
            policy.captures().then(|| Texts {
                output: policy.gather(),
                told: 0,
                heard: policy.gather(),
            })
        };
        // The layer that the span belongs to answers with its policy.
        let texts = span
            .with_subscriber(|(_, dispatch)| dispatch.downcast_ref().map(policy))
            .flatten()
            .unwrap_or_else(|| policy(&ContentPolicy::default()));
        Self {
            texts,
            output_is_spoken: span
                .metadata()
                .is_some_and(|span| span.name() == "realtime"),
            usage: Usage::default(),
            characters: None,
            audio_seconds: None,
            item: Item::Output,
            gave_output: false,
            called_tool: false,
            failed: false,
            complete: false,
        }
    }

    /// Lets `look` see an item, then marks the first byte if it is one.
    pub(super) fn item(&mut self, span: &Span, look: impl FnOnce(&mut Seen<'_>)) {
        self.item = Item::Output;
        look(&mut Seen { span, state: self });
        match self.item {
            Item::Output if !self.gave_output => {
                self.gave_output = true;
                event::in_span(span).first_byte();
            }
            Item::ToolCall if !self.called_tool => {
                self.called_tool = true;
                event::in_span(span).first_byte_of_tool_call();
            }
            _ => {}
        }
    }

    /// Records what was gathered. `reached_end` is false when the work was dropped before.
    pub(super) fn end(&mut self, span: &Span, reached_end: bool) {
        self.tell_output(span);
        if let Some(characters) = self.characters {
            span.record(names::METRICS_CHARACTER_COUNT, characters);
        }
        if let Some(seconds) = self.audio_seconds {
            span.record(names::METRICS_AUDIO_SECONDS, seconds);
        }
        self.usage.record(span);
        if !reached_end && !self.complete && !self.failed {
            if std::thread::panicking() {
                self.fail(span, "panic", None);
            } else {
                span.record(names::INTERRUPTED, true);
            }
        }
        span.record(names::SERVICE_ENDED, true);
    }

    fn tell_output(&mut self, span: &Span) {
        if let Some(texts) = &mut self.texts
            && texts.output.len() > texts.told
        {
            texts.told = texts.output.len();
            span.record(names::OUTPUT, &*texts.output.text());
        }
    }

    pub(super) fn fail(&mut self, span: &Span, error_type: &str, text: Option<&dyn Display>) {
        self.failed = true;
        span.record(names::ERROR_TYPE, error_type);
        span.record(names::OTEL_STATUS_CODE, "ERROR");
        // Error texts tend to quote the request.
        if self.texts.is_some()
            && let Some(text) = text
        {
            span.record(names::OTEL_STATUS_DESCRIPTION, display(text));
        }
    }
}

impl fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("span", self.span).finish()
    }
}

impl Seen<'_> {
    /// A piece of a model's answer; the pieces become `output`. An empty one is
    /// [no output](Self::not_output).
    pub fn output(&mut self, piece: &str) -> &mut Self {
        if piece.is_empty() {
            return self.not_output();
        }
        if let Some(texts) = &mut self.state.texts {
            texts.output.push(piece);
            // Sentence by sentence, but seldom enough that telling it anew stays cheap.
            let is_due = piece.ends_with(['.', '!', '?', '\n'])
                && texts.output.len() - texts.told > texts.told / 8;
            if self.state.output_is_spoken && is_due {
                self.state.tell_output(self.span);
            }
        }
        self
    }

    /// A sentence that is spoken. Recorded at once as `text`; the layer joins the sentences and
    /// counts their characters.
    pub fn text(&mut self, sentence: &str) -> &mut Self {
        self.span.record(names::TEXT, sentence);
        self
    }

    /// What was heard. Recorded at once as `transcript` and `is_final`: a final transcript is
    /// added to the final ones before it, an interim one stands until the next.
    pub fn transcript(&mut self, words: &str, is_final: bool) -> &mut Self {
        let so_far = match &mut self.state.texts {
            Some(texts) if is_final => {
                texts.heard.push_sentence(words);
                texts.heard.text()
            }
            Some(texts) if !texts.heard.is_empty() => {
                Cow::Owned(format!("{} {words}", texts.heard.text()))
            }
            _ => Cow::Borrowed(words),
        };
        // In one go: the transcript is read together with its finality.
        tracing::record_all!(self.span, transcript = &*so_far, is_final = is_final);
        self
    }

    /// Characters that the provider says it has spoken; their sum becomes
    /// `metrics.character_count` instead of those the layer counts in [`text`](Self::text).
    pub fn characters(&mut self, characters: u64) -> &mut Self {
        let sum = self.state.characters.get_or_insert(0);
        *sum = sum.saturating_add(characters);
        self
    }

    /// Seconds of audio that were transcribed or spoken; their sum becomes
    /// `metrics.audio_seconds`.
    pub fn audio_seconds(&mut self, seconds: f64) -> &mut Self {
        *self.state.audio_seconds.get_or_insert(0.0) += seconds;
        self
    }

    /// A report that tells the state so far: each kind of token in it replaces the one before.
    /// That is what OpenAI, Anthropic and Gemini mean when they report within one response.
    pub fn usage(&mut self, so_far: Usage) -> &mut Self {
        self.state.usage.replace(&so_far);
        self
    }

    /// A report that tells what was used since the one before: each kind of token in it is added.
    pub fn add_usage(&mut self, since: Usage) -> &mut Self {
        self.state.usage.add(&since);
        self
    }

    /// The result of a tool, recorded as `gen_ai.tool.call.result`. With capture off it is not
    /// even formatted.
    pub fn tool_result(&mut self, result: impl Display) -> &mut Self {
        if self.captures() {
            self.span
                .record(names::GEN_AI_TOOL_CALL_RESULT, display(result));
        }
        self
    }

    /// The model starts to call a tool with this item: the first such is marked as the first byte
    /// of a tool call, not of text.
    pub fn tool_call(&mut self) -> &mut Self {
        self.state.item = Item::ToolCall;
        self
    }

    /// This item is no output, such as a role, a keep-alive or a header of audio: it does not
    /// count as the first byte.
    pub fn not_output(&mut self) -> &mut Self {
        if self.state.item == Item::Output {
            self.state.item = Item::Nothing;
        }
        self
    }

    /// This item is the last: a stream that is dropped after it was not interrupted.
    pub fn complete(&mut self) -> &mut Self {
        self.state.complete = true;
        self
    }

    /// The work has failed with `error`: sets the status, and `error.type` to the name of its
    /// type.
    pub fn error<E: Display>(&mut self, error: &E) -> &mut Self {
        self.failed(type_name::<E>(), error)
    }

    /// The work has failed: `error_type` names the kind of failure in few words (`timeout`,
    /// `429`), `text` becomes the description of the status.
    pub fn failed(&mut self, error_type: &str, text: &dyn Display) -> &mut Self {
        self.state.item = Item::Nothing;
        self.state.fail(self.span, error_type, Some(text));
        self
    }

    /// Whether content is captured, for work that only capture needs.
    pub fn captures(&self) -> bool {
        self.state.texts.is_some()
    }

    /// The service span, to record fields that have no method here.
    pub fn span(&self) -> &Span {
        self.span
    }
}
