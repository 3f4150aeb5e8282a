//! Thin clients of the providers. They know `tracing` and nothing of what becomes of it.

pub(crate) mod cartesia;
pub(crate) mod deepgram;
pub(crate) mod http;
pub(crate) mod openai;
pub(crate) mod realtime;
mod socket;
#[cfg(test)]
mod tests;

use crate::context::ToolCall;
use crate::secret::Secret;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tracing::Span;

/// How long to wait for a provider. Not sped up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection to be accepted.
    pub(crate) connect: Duration,
    /// For an answer to begin, or to go on.
    pub(crate) silence: Duration,
    /// For more of a final transcript, once there is one.
    pub(crate) settle: Duration,
    /// Before a connection that nothing is sent on is kept alive.
    pub(crate) keep_alive: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(8),
            settle: Duration::from_millis(700),
            // Deepgram closes a connection after 10 s without a message.
            keep_alive: Duration::from_secs(4),
        }
    }
}

/// What went wrong with a provider.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceError {
    /// For `error.type`: the provider's code, else the HTTP status, else what happened.
    pub(crate) kind: String,
    pub(crate) message: String,
    /// Whether the same request may succeed later.
    pub(crate) transient: bool,
    /// Seconds the provider asks to wait before that.
    pub(crate) retry_after: Option<f64>,
    /// Whether it is the key that is refused.
    pub(crate) unauthorized: bool,
}

/// Characters of an error that are shown at most: some providers answer with a whole page.
const LONGEST: usize = 300;

impl ServiceError {
    fn lost(what: impl fmt::Display) -> Self {
        Self {
            kind: "connection_lost".into(),
            message: what.to_string(),
            transient: true,
            retry_after: None,
            unauthorized: false,
        }
    }

    fn timeout(what: &str, limit: Duration) -> Self {
        let message = format!("{what} took longer than {} s", limit.as_secs_f64());
        Self {
            kind: "timeout".into(),
            message,
            transient: true,
            retry_after: None,
            unauthorized: false,
        }
    }

    fn malformed(what: impl fmt::Display) -> Self {
        Self {
            kind: "malformed_response".into(),
            message: what.to_string(),
            transient: true,
            retry_after: None,
            unauthorized: false,
        }
    }

    /// The error fit to be shown: without `secret`, which may be in whatever a provider sent, and of bounded length.
    fn redacted(self, secret: &Secret) -> Self {
        let shown = |text: &str| secret.redact(text).chars().take(LONGEST).collect();
        Self {
            kind: shown(&self.kind),
            message: shown(&self.message),
            ..self
        }
    }

    /// An answer that is an HTTP failure. `body` is the provider's explanation, of whatever form.
    fn status(status: u16, body: &str) -> Self {
        let explained: Value = serde_json::from_str(body).unwrap_or_default();
        // OpenAI wraps its explanation in `error`; some servers like it send a mere text there.
        let detail = match &explained["error"] {
            Value::Object(_) => &explained["error"],
            _ => &explained,
        };
        let first = |keys: &[&str]| {
            let mut values = keys.iter().map(|key| match &detail[*key] {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => String::new(),
            });
            values.find(|text| !text.is_empty())
        };
        let kind = first(&["code", "error_code", "err_code"]);
        let said = first(&["message", "err_msg", "error"]).unwrap_or_else(|| body.to_owned());
        Self {
            kind: kind.unwrap_or_else(|| status.to_string()),
            message: format!("HTTP {status}: {}", said.trim()),
            transient: status == 429 || status == 408 || status >= 500,
            retry_after: None,
            unauthorized: status == 401 || status == 403,
        }
    }

    /// Marks the service span that it ends.
    fn record(&self, span: &Span) {
        span.record("error.type", self.kind.as_str());
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", self.message.as_str());
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for ServiceError {}

/// Host and port of an address, for `server.address` and `server.port`.
pub(crate) fn server_of(url: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(url).ok()?;
    // An address of version 6 without its brackets.
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}

/// An answer that calls tools, as `gen_ai.output.messages` is to have it: a text alone is recorded as `output`.
fn answer_with_calls(text: &str, calls: &[ToolCall]) -> String {
    let text = (!text.is_empty()).then(|| json!({"type": "text", "content": text}));
    let calls = calls.iter().map(|call| {
        let function = &call.function;
        // What is no JSON goes as the model wrote it.
        let arguments = serde_json::from_str(&function.arguments)
            .unwrap_or_else(|_| Value::from(function.arguments.as_str()));
        json!({"type": "tool_call", "id": call.id, "name": function.name, "arguments": arguments})
    });
    let parts: Vec<_> = text.into_iter().chain(calls).collect();
    json!([{"role": "assistant", "parts": parts, "finish_reason": "tool_call"}]).to_string()
}

/// A service span whose outcome is recorded. One that is dropped without an outcome was cut off, and says so.
struct Attempt {
    span: Span,
    ended: bool,
    /// Further fields that are true when the work was cut off.
    cut_off: &'static [&'static str],
}

impl Attempt {
    fn new(span: Span, cut_off: &'static [&'static str]) -> Self {
        Self {
            span,
            ended: false,
            cut_off,
        }
    }

    fn done(mut self) {
        self.ended = true;
    }

    fn failed(mut self, error: &ServiceError) {
        self.ended = true;
        error.record(&self.span);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            for field in self.cut_off {
                self.span.record(*field, true);
            }
        }
    }
}
