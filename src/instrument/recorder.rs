//! Records the items of a stream, or the output of a future, on a service span.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::{self, Display};

use tracing::Span;
use tracing::field::display;

use super::Usage;
use crate::content::{ContentPolicy, TextBuffer};
use crate::{event, names};

/// Records on a service span what an item of a stream, or the output of a future, contains.
///
/// The adapters of this module pass it to your closure for each item:
///
/// ```
/// # struct Chunk { text: String, input_tokens: Option<u64> }
/// use tracing_conversation::instrument::{Recorder, Usage};
///
/// fn record(chunk: &Chunk, recorder: &mut Recorder<'_>) {
///     recorder.output(&chunk.text);
///     if let Some(tokens) = chunk.input_tokens {
///         recorder.usage(Usage::default().input_tokens(tokens));
///     }
/// }
/// ```
///
/// Text that arrives in pieces is buffered up to the limit of the [`ContentPolicy`]; with capture off nothing is
/// buffered.
pub struct Recorder<'a> {
    span: &'a Span,
    state: &'a mut State,
}

/// What has been recorded so far.
pub(super) struct State {
    /// `None` where content is not captured.
    texts: Option<Texts>,
    /// Spoken output is recorded while it arrives: a turn that the user interrupts ends before the service does.
    output_is_spoken: bool,
    usage: Usage,
    characters: Option<u64>,
    audio_seconds: Option<f64>,
    item: Item,
    has_first_byte: bool,
    has_tool_call: bool,
    failed: bool,
    complete: bool,
}

struct Texts {
    output: TextBuffer,
    /// Length of `output` in bytes when it was last recorded.
    recorded_bytes: usize,
    /// Final transcripts.
    transcript: TextBuffer,
}

/// What the current item is.
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
                output: policy.text_buffer(),
                recorded_bytes: 0,
                transcript: policy.text_buffer(),
            })
        };
        // Only the subscriber of the span knows the policy that applies to it.
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
            has_first_byte: false,
            has_tool_call: false,
            failed: false,
            complete: false,
        }
    }

    /// Calls `record` for an item, then marks the first byte if this item is the first output.
    pub(super) fn item(&mut self, span: &Span, record: impl FnOnce(&mut Recorder<'_>)) {
        self.item = Item::Output;
        record(&mut Recorder { span, state: self });
        match self.item {
            Item::Output if !self.has_first_byte => {
                self.has_first_byte = true;
                event::in_span(span).first_byte();
            }
            Item::ToolCall if !self.has_tool_call => {
                self.has_tool_call = true;
                event::in_span(span).first_byte_of_tool_call();
            }
            _ => {}
        }
    }

    /// Records the accumulated fields and ends the span. `is_complete` is false if the work was dropped.
    pub(super) fn end(&mut self, span: &Span, is_complete: bool) {
        self.record_output(span);
        if let Some(characters) = self.characters {
            span.record(names::METRICS_CHARACTER_COUNT, characters);
        }
        if let Some(seconds) = self.audio_seconds {
            span.record(names::METRICS_AUDIO_SECONDS, seconds);
        }
        self.usage.record(span);
        if !is_complete && !self.complete && !self.failed {
            if std::thread::panicking() {
                self.fail(span, "panic", None);
            } else {
                span.record(names::INTERRUPTED, true);
            }
        }
        span.record(names::SERVICE_ENDED, true);
    }

    fn record_output(&mut self, span: &Span) {
        if let Some(texts) = &mut self.texts
            && texts.output.len() > texts.recorded_bytes
        {
            texts.recorded_bytes = texts.output.len();
            span.record(names::OUTPUT, &*texts.output.text());
        }
    }

    pub(super) fn fail(&mut self, span: &Span, error_type: &str, text: Option<&dyn Display>) {
        self.failed = true;
        span.record(names::ERROR_TYPE, error_type);
        span.record(names::OTEL_STATUS_CODE, "ERROR");
        // Error messages often quote the request.
        if self.texts.is_some()
            && let Some(text) = text
        {
            span.record(names::OTEL_STATUS_DESCRIPTION, display(text));
        }
    }
}

impl fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("span", self.span).finish()
    }
}

impl Recorder<'_> {
    /// A piece of a model's answer; the concatenated pieces become `output`. An empty piece is
    /// [no output](Self::not_output).
    pub fn output(&mut self, piece: &str) -> &mut Self {
        if piece.is_empty() {
            return self.not_output();
        }
        if let Some(texts) = &mut self.state.texts {
            texts.output.push(piece);
            // At each sentence, but less often as the text grows: recording copies all of it.
            let is_due = piece.ends_with(['.', '!', '?', '\n'])
                && texts.output.len() - texts.recorded_bytes > texts.recorded_bytes / 8;
            if self.state.output_is_spoken && is_due {
                self.state.record_output(self.span);
            }
        }
        self
    }

    /// A sentence that is spoken. Recorded immediately as `text`; the layer joins the sentences and
    /// counts their characters.
    pub fn text(&mut self, sentence: &str) -> &mut Self {
        self.span.record(names::TEXT, sentence);
        self
    }

    /// A transcript of the user's speech. Recorded immediately as `transcript` and `is_final`: a final transcript
    /// is appended to the final ones before it; an interim one is replaced by the next.
    pub fn transcript(&mut self, words: &str, is_final: bool) -> &mut Self {
        let so_far = match &mut self.state.texts {
            Some(texts) if is_final => {
                texts.transcript.push_sentence(words);
                texts.transcript.text()
            }
            Some(texts) if !texts.transcript.is_empty() => {
                Cow::Owned(format!("{} {words}", texts.transcript.text()))
            }
            _ => Cow::Borrowed(words),
        };
        // In one call: the layer reads both fields together.
        tracing::record_all!(self.span, transcript = &*so_far, is_final = is_final);
        self
    }

    /// Characters that the provider reports as spoken; their sum becomes
    /// `metrics.character_count`, overriding the layer's count of [`text`](Self::text).
    pub fn characters(&mut self, characters: u64) -> &mut Self {
        let sum = self.state.characters.get_or_insert(0);
        *sum = sum.saturating_add(characters);
        self
    }

    /// Seconds of audio transcribed or spoken; their sum becomes
    /// `metrics.audio_seconds`.
    pub fn audio_seconds(&mut self, seconds: f64) -> &mut Self {
        *self.state.audio_seconds.get_or_insert(0.0) += seconds;
        self
    }

    /// Cumulative usage: each kind of token in it replaces the previous value. OpenAI, Anthropic and Gemini report
    /// this within one response.
    pub fn usage(&mut self, so_far: Usage) -> &mut Self {
        self.state.usage.replace(&so_far);
        self
    }

    /// Usage since the previous report: each kind of token in it is added.
    pub fn add_usage(&mut self, since: Usage) -> &mut Self {
        self.state.usage.add(&since);
        self
    }

    /// The result of a tool, recorded as `gen_ai.tool.call.result`. With capture off it is not even formatted.
    pub fn tool_result(&mut self, result: impl Display) -> &mut Self {
        if self.captures() {
            self.span
                .record(names::GEN_AI_TOOL_CALL_RESULT, display(result));
        }
        self
    }

    /// This item starts a tool call: the first one is marked as the first byte of a tool call, not of text.
    pub fn tool_call(&mut self) -> &mut Self {
        self.state.item = Item::ToolCall;
        self
    }

    /// This item is not output, such as a role, a keep-alive or an audio header: it does not
    /// count as the first byte.
    pub fn not_output(&mut self) -> &mut Self {
        if self.state.item == Item::Output {
            self.state.item = Item::Nothing;
        }
        self
    }

    /// This item is the last: dropping the stream after it does not set `interrupted`.
    pub fn complete(&mut self) -> &mut Self {
        self.state.complete = true;
        self
    }

    /// The work has failed with `error`: sets the status, and `error.type` to the name of its type.
    pub fn error<E: Display>(&mut self, error: &E) -> &mut Self {
        self.failed(type_name::<E>(), error)
    }

    /// The work has failed: `error_type` is a short identifier of the kind of failure (`timeout`,
    /// `429`), `text` becomes the status description.
    pub fn failed(&mut self, error_type: &str, text: &dyn Display) -> &mut Self {
        self.state.item = Item::Nothing;
        self.state.fail(self.span, error_type, Some(text));
        self
    }

    /// Returns whether content is captured, to skip work that only capture needs.
    pub fn captures(&self) -> bool {
        self.state.texts.is_some()
    }

    /// Returns the service span, to record fields that have no method here.
    pub fn span(&self) -> &Span {
        self.span
    }
}
