//! The content policy: whether content is exported, redacted, and how long a value may be.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use opentelemetry::trace::{Event, Status};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

mod allowed;
mod buffer;
mod cut;

pub(crate) use buffer::TextBuffer;
pub(crate) use cut::floor_char_boundary;

/// Keys passed to the redaction hook for values that are not attributes.
const STATUS_DESCRIPTION: &str = "otel.status_description";
const EVENT_NAME: &str = "message";

/// Replaces an event name that may quote content.
const NEUTRAL_EVENT_NAME: &str = "event";

/// Replaces a value whose redaction panicked.
const REDACTION_FAILED: &str = "[redaction failed]";

type Redaction = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// Policy for content, which is what is said, prompted, answered and passed to tools: whether it is exported, how
/// it is redacted, and how long a value may be.
///
/// The default exports content unchanged, with each value cut at 64 KiB.
///
/// ```
/// use tracing_conversation::ContentPolicy;
///
/// let policy = ContentPolicy::default()
///     .with_redaction(|_key, value| value.contains('@').then(|| "[address]".to_owned()))
///     .with_max_value_bytes(16 * 1024);
/// # let _ = policy;
/// ```
///
/// With capture off, the following never leaves the process, and this crate does not even read it:
///
/// - content attributes: `input`, `output`, `text`, `transcript`, `tools`,
///   `turn.input`, `turn.output`, `turn.heard_output`, `gen_ai.system_instructions`, `gen_ai.input.messages`,
///   `gen_ai.output.messages`, `gen_ai.tool.call.arguments`, `gen_ai.tool.call.result`,
///   `exception.message`, `exception.stacktrace` and their equivalents in other conventions;
/// - any other text under a key that is not known to carry none (such as names of models, methods, hosts, ids) and that
///   the program has not [named](Self::with_allowed_keys); numbers and booleans are kept;
/// - the description of an error status, which often quotes the request; the status itself and
///   `error.type` are kept;
/// - the message and the string fields of log events inside a span; their level, target and source
///   location are kept.
#[derive(Clone)]
pub struct ContentPolicy {
    capture: bool,
    max_value_bytes: usize,
    redaction: Option<Redaction>,
    /// Keys of the program's whose text is no content.
    named: Arc<[String]>,
}

/// The limits that the values of a span already satisfy.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    max_value_bytes: usize,
}

impl Default for ContentPolicy {
    fn default() -> Self {
        Self {
            capture: true,
            max_value_bytes: 64 * 1024,
            redaction: None,
            named: Arc::default(),
        }
    }
}

impl fmt::Debug for ContentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentPolicy")
            .field("capture", &self.capture)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("redaction", &self.redaction.is_some())
            .field("named", &self.named)
            .finish()
    }
}

impl ContentPolicy {
    /// Sets whether content is exported at all. Default: `true`.
    ///
    /// `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` sets it from the environment.
    #[must_use]
    pub fn with_capture(mut self, capture: bool) -> Self {
        self.capture = capture;
        self
    }

    /// Sets a hook that is called with the key and the value of every string before export, content or not; the
    /// returned string replaces the value, and `None` keeps it.
    ///
    /// The description of an error status has the key `otel.status_description`, the message of
    /// a log event the key `message`. List elements are passed one by one. The hook runs on
    /// the thread that closes the span, before the value is cut to size. A value whose redaction
    /// panics is replaced by `[redaction failed]`.
    #[must_use]
    pub fn with_redaction(
        mut self,
        redact: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.redaction = Some(Arc::new(redact));
        self
    }

    /// Sets the maximum length of a string value in bytes. Default: 64 KiB; minimum: 64 bytes.
    ///
    /// A longer value is cut at the end and gets a note such as `… [1048 bytes cut]`, which
    /// counts towards the limit. Characters are never split, and valid JSON stays valid: the string
    /// or list that is cut contains the note. A list of strings counts as one value.
    #[must_use]
    pub fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes.max(cut::MIN_LIMIT);
        self
    }

    /// Names attributes of the program's own whose text is exported with capture off too, such as a tenant or a version.
    /// Default: none.
    #[must_use]
    pub fn with_allowed_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.named = keys.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn max_value_bytes(&self) -> usize {
        self.max_value_bytes
    }

    /// Returns whether content may be read and kept.
    pub(crate) fn captures(&self) -> bool {
        self.capture
    }

    /// Returns an empty buffer that grows up to the limit.
    pub(crate) fn text_buffer(&self) -> TextBuffer {
        TextBuffer::new(self.max_value_bytes)
    }

    /// Returns whether a text under `key` may be exported.
    pub(crate) fn admits_text(&self, key: &str) -> bool {
        self.capture || !is_content(key) && allowed::is_allowed(key, &self.named)
    }

    /// Returns whether an attribute may be exported.
    fn keeps(&self, attribute: &KeyValue) -> bool {
        let key = attribute.key.as_str();
        match attribute.value {
            Value::String(_) | Value::Array(Array::String(_)) => self.admits_text(key),
            _ => self.admits(key),
        }
    }

    /// Returns whether a value under `key` may be read and kept, unless it is a text that
    /// [`admits_text`](Self::admits_text) excludes.
    pub(crate) fn admits(&self, key: &str) -> bool {
        self.capture || !is_content(key)
    }

    /// Cuts `value` to the limit. A value within the limit is returned unchanged, so cutting is idempotent.
    pub(crate) fn bound(&self, value: String) -> String {
        if value.len() <= self.max_value_bytes {
            value
        } else {
            cut::cut(&value, 0, self.max_value_bytes)
        }
    }

    /// Like [`bound`](Self::bound), for a borrowed text; copies at most the limit.
    pub(crate) fn bounded<'a>(&self, value: &'a str) -> Cow<'a, str> {
        if value.len() <= self.max_value_bytes {
            Cow::Borrowed(value)
        } else {
            Cow::Owned(cut::cut(value, 0, self.max_value_bytes))
        }
    }

    /// Like [`bound`](Self::bound), for a shared text.
    pub(crate) fn bound_shared(&self, text: Arc<str>) -> Arc<str> {
        if text.len() <= self.max_value_bytes {
            text
        } else {
            cut::cut(&text, 0, self.max_value_bytes).into()
        }
    }

    /// Returns up to which length the policy keeps every text unchanged, whatever its key; `None` if it may change any.
    #[inline]
    pub(crate) fn limit_of_texts(&self) -> Option<usize> {
        (self.capture && self.redaction.is_none()).then_some(self.max_value_bytes)
    }

    /// Returns the limits that every value admitted by the policy satisfies.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            max_value_bytes: self.max_value_bytes,
        }
    }

    /// Returns whether the policy keeps every value unchanged that satisfies `bounds`.
    pub(crate) fn passes_all(&self, bounds: Bounds) -> bool {
        self.redaction.is_none() && self.capture && bounds.max_value_bytes <= self.max_value_bytes
    }

    /// Applies the policy to a finished span, its events, links and status.
    pub(crate) fn apply(&self, span: &mut SpanData) {
        self.apply_to_root(&mut span.attributes, &mut span.status);
        self.apply_to_events_and_links(span);
    }

    /// Applies the policy to the attributes and the status of a root span.
    pub(crate) fn apply_to_root(&self, attributes: &mut Vec<KeyValue>, status: &mut Status) {
        if !self.capture {
            attributes.retain(|attribute| self.keeps(attribute));
        }
        self.apply_to_attributes(attributes);
        if let Status::Error { description } = status {
            if !self.capture {
                *description = Cow::Borrowed("");
            } else if let Some(replaced) = self.replacement(STATUS_DESCRIPTION, description) {
                *description = replaced.into();
            }
        }
    }

    /// Applies the policy to the events and links of a finished span.
    pub(crate) fn apply_to_events_and_links(&self, span: &mut SpanData) {
        for event in &mut span.events.events {
            if !self.capture {
                remove_content(event);
            }
            if let Some(name) = self.replacement(EVENT_NAME, &event.name) {
                event.name = name.into();
            }
            self.apply_to_attributes(&mut event.attributes);
        }
        for link in &mut span.links.links {
            if !self.capture {
                link.attributes.retain(|attribute| self.keeps(attribute));
            }
            self.apply_to_attributes(&mut link.attributes);
        }
    }

    fn apply_to_attributes(&self, attributes: &mut [KeyValue]) {
        for KeyValue { key, value, .. } in attributes {
            match value {
                Value::String(text) => {
                    if let Some(replaced) = self.replacement(key.as_str(), text.as_str()) {
                        *text = replaced.into();
                    }
                }
                Value::Array(Array::String(texts)) => self.apply_to_list(key.as_str(), texts),
                _ => {}
            }
        }
    }

    fn apply_to_list(&self, key: &str, texts: &mut Vec<StringValue>) {
        if self.redaction.is_some() {
            for text in texts.iter_mut() {
                if let Some(replaced) = self.redact(key, text.as_str()) {
                    *text = replaced.into();
                }
            }
        }
        cut::cut_list(texts, self.max_value_bytes);
    }

    /// Returns the replacement of `value`, if the policy changes it.
    pub(crate) fn replacement(&self, key: &str, value: &str) -> Option<String> {
        match self.redact(key, value) {
            Some(redacted) => Some(self.bound(redacted)),
            None => (value.len() > self.max_value_bytes)
                .then(|| cut::cut(value, 0, self.max_value_bytes)),
        }
    }

    fn redact(&self, key: &str, value: &str) -> Option<String> {
        let redact = self.redaction.as_deref()?;
        // A span may close anywhere, even while locks are held that a panic would poison.
        catch_unwind(AssertUnwindSafe(|| redact(key, value)))
            .unwrap_or_else(|_| Some(REDACTION_FAILED.to_owned()))
    }
}

/// Returns whether a value under `key` is content: words of the user, the bot, a prompt or a tool.
///
/// Error messages count as content, because they often quote the request.
pub(crate) fn is_content(key: &str) -> bool {
    // The first byte rules out most keys.
    match key.as_bytes().first() {
        Some(b'g') => key.strip_prefix("gen_ai.").is_some_and(|name| match name {
            "system_instructions"
            | "prompt"
            | "completion"
            | "tool.definitions"
            | "tool.description"
            | "tool.call.arguments"
            | "tool.call.result"
            | "retrieval.query.text"
            | "retrieval.documents"
            | "evaluation.explanation" => true,
            "output.type" => false,
            _ => ["input.", "output.", "prompt.", "completion."]
                .iter()
                .any(|group| name.starts_with(group)),
        }),
        Some(b'i') => matches!(key, "input" | "input.value" | "instructions"),
        Some(b'o') => matches!(key, "output" | "output.value" | STATUS_DESCRIPTION),
        Some(b't') => matches!(
            key,
            "text"
                | "transcript"
                | "tools"
                | "turn.input"
                | "turn.output"
                | "turn.heard_output"
                | "tool.parameters"
                | "traceloop.entity.input"
                | "traceloop.entity.output"
        ),
        Some(b'l') => {
            matches!(
                key,
                "langfuse.observation.input"
                    | "langfuse.observation.output"
                    | "langfuse.trace.input"
                    | "langfuse.trace.output"
            ) || [
                "llm.input_messages",
                "llm.output_messages",
                "llm.prompts",
                "llm.prompt_template",
                "llm.tools",
            ]
            .iter()
            .any(|group| key.starts_with(group))
        }
        Some(b'e') => matches!(
            key,
            "exception.message"
                | "exception.stacktrace"
                | "error"
                | "error.message"
                | "error.chain"
                | "err"
        ),
        Some(b'p') => matches!(key, "prompt" | "prompts"),
        Some(b'c') => matches!(
            key,
            "content" | "completion" | "conversation.input" | "conversation.output"
        ),
        Some(b'm') => matches!(key, "message" | "messages"),
        Some(b'q') => key == "query",
        Some(b'a') => key == "arguments",
        Some(b'r') => matches!(key, "result" | "return" | "response"),
        Some(b's') => matches!(key, "system_prompt" | "system_instructions"),
        _ => false,
    }
}

/// Removes every string of a log event except its metadata: any of them may quote content, whatever its key.
fn remove_content(event: &mut Event) {
    // A borrowed name is static metadata; an owned one is a formatted message.
    if matches!(event.name, Cow::Owned(_)) {
        event.name = Cow::Borrowed(NEUTRAL_EVENT_NAME);
    }
    event.attributes.retain(|kv| {
        let key = kv.key.as_str();
        match kv.value {
            Value::String(_) | Value::Array(Array::String(_)) => {
                matches!(
                    key,
                    "level" | "target" | "error.type" | "exception.type" | "conversation.id"
                ) || key.starts_with("code.") && allowed::is_allowed(key, &[])
            }
            _ => !is_content(key),
        }
    });
}

#[cfg(test)]
mod tests;
