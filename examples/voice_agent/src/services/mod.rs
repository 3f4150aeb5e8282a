//! Thin clients of the providers. They know `tracing` and nothing of what becomes of it.

pub(crate) mod cartesia;
pub(crate) mod deepgram;
pub(crate) mod openai;
mod socket;
#[cfg(test)]
mod tests;

use crate::settings::Secret;
use std::fmt;
use std::time::Duration;
use tracing::Span;

/// How long a provider may take to accept a connection, and how long to go on silently in the middle of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(8),
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
}

impl ServiceError {
    fn lost(what: impl fmt::Display) -> Self {
        Self {
            kind: "connection_lost".into(),
            message: what.to_string(),
            transient: true,
            retry_after: None,
        }
    }

    fn timeout(what: &str, limit: Duration) -> Self {
        let message = format!("{what} took longer than {} s", limit.as_secs_f64());
        Self {
            kind: "timeout".into(),
            message,
            transient: true,
            retry_after: None,
        }
    }

    fn malformed(what: impl fmt::Display) -> Self {
        Self {
            kind: "malformed_response".into(),
            message: what.to_string(),
            transient: true,
            retry_after: None,
        }
    }

    /// An answer that is an HTTP failure. `body` is the provider's explanation, of whatever form.
    fn status(status: u16, body: &str, secret: &Secret) -> Self {
        let explained: Explanation = serde_json::from_str(body).unwrap_or_default();
        let detail = explained.error.unwrap_or(explained.flat);
        let kind = detail
            .code
            .or(detail.error_code)
            .or(detail.err_code)
            .filter(|code| !code.is_empty());
        let said = detail
            .message
            .or(detail.err_msg)
            .unwrap_or_else(|| body.chars().take(200).collect());
        Self {
            kind: kind.unwrap_or_else(|| status.to_string()),
            message: format!("HTTP {status}: {}", secret.redact(said.trim())),
            transient: status == 429 || status == 408 || status >= 500,
            retry_after: None,
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

/// The error bodies of all three providers: OpenAI wraps its own in `error`.
#[derive(Default, serde::Deserialize)]
struct Explanation {
    error: Option<Detail>,
    #[serde(flatten)]
    flat: Detail,
}

#[derive(Default, serde::Deserialize)]
struct Detail {
    code: Option<String>,
    message: Option<String>,
    error_code: Option<String>,
    err_code: Option<String>,
    err_msg: Option<String>,
}

/// A service span that is told how it ended. One that is dropped untold was cut off, and says so.
struct Attempt {
    span: Span,
    told: bool,
    /// Further fields that are true when the work was cut off.
    cut_off: &'static [&'static str],
}

impl Attempt {
    fn new(span: Span, cut_off: &'static [&'static str]) -> Self {
        Self {
            span,
            told: false,
            cut_off,
        }
    }

    fn done(mut self) {
        self.told = true;
    }

    fn failed(mut self, error: &ServiceError) {
        self.told = true;
        error.record(&self.span);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.told {
            for field in self.cut_off {
                self.span.record(*field, true);
            }
        }
    }
}
