//! A turn that was recorded.

use super::attributes::{count, duration, is_service, number, seconds, text, value};
use super::service::RecordedService;
use super::snapshot::{Snapshot, errors};
use super::tree::Tree;
use crate::names;
use crate::service_kind::ServiceKind;
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A turn that has ended, with the services in it that have ended. Cheap to clone.
#[derive(Clone)]
pub struct RecordedTurn {
    conversation: Snapshot,
    span: Arc<SpanData>,
}

impl RecordedTurn {
    pub(super) fn new(conversation: Snapshot, span: Arc<SpanData>) -> Self {
        Self { conversation, span }
    }

    /// Its number in the conversation, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        let number = count(&self.span, names::TURN_NUMBER).unwrap_or_default();
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// From the end of the user's speech to the bot's first audio (`turn.user_bot_latency_seconds`); of a greeting, from the
    /// client's connection.
    ///
    /// # Panics
    ///
    /// It was not measured: the bot did not speak in the turn, or nothing said when the user stopped.
    #[track_caller]
    #[must_use]
    pub fn latency(&self) -> Duration {
        let measured = seconds(&self.span, names::TURN_USER_BOT_LATENCY_SECONDS);
        let parts = || {
            let parts = self.latency_parts();
            (!parts.is_empty()).then(|| parts.iter().map(|(_, part)| part).sum())
        };
        match measured.or_else(parts) {
            Some(latency) => latency,
            None => self.fail(
                "no latency: it takes `vad_user_stopped_speaking` (or `user_stopped_speaking`) and then \
                 `bot_started_speaking`",
            ),
        }
    }

    /// The parts of the latency by their names (`llm_inference`), in the order of the attributes.
    #[must_use]
    pub fn latency_parts(&self) -> Vec<(String, Duration)> {
        let parts = self.span.attributes.iter().filter_map(|attribute| {
            let name = attribute.key.as_str().strip_prefix("turn.latency.")?;
            let Value::F64(seconds) = attribute.value else {
                return None;
            };
            Some((name.to_owned(), Duration::try_from_secs_f64(seconds).ok()?))
        });
        parts.collect()
    }

    /// One part of the latency, such as `llm_inference`; nothing if it did not occur.
    #[must_use]
    pub fn latency_part(&self, name: &str) -> Duration {
        let parts = self.latency_parts();
        let found = parts.into_iter().find(|(part, _)| part == name);
        found.map(|(_, part)| part).unwrap_or_default()
    }

    /// How long the turn lasted.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(&self.span)
    }

    /// When it started, since its conversation did.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.conversation.started(&self.span)
    }

    /// How long the user spoke (`turn.user_speech_seconds`).
    #[must_use]
    pub fn user_speech(&self) -> Duration {
        self.sum(names::TURN_USER_SPEECH_SECONDS)
    }

    /// How long the bot spoke (`turn.bot_speech_seconds`).
    #[must_use]
    pub fn bot_speech(&self) -> Duration {
        self.sum(names::TURN_BOT_SPEECH_SECONDS)
    }

    /// How long the user was left without an answer, beyond the first two seconds of each wait (`turn.dead_air_seconds`).
    #[must_use]
    pub fn dead_air(&self) -> Duration {
        self.sum(names::TURN_DEAD_AIR_SECONDS)
    }

    /// A sum that the turn lacks where it is zero.
    fn sum(&self, key: &str) -> Duration {
        seconds(&self.span, key).unwrap_or_default()
    }

    /// Whether the user interrupted the bot in it (`turn.end_reason`). A turn that the conversation's end cut short was not
    /// interrupted by the user.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.end_reason() == "interrupted"
    }

    /// Why it ended: `user_spoke`, `interrupted`, `silence`, `conversation_ended`, `conversation_lost`.
    #[must_use]
    pub fn end_reason(&self) -> String {
        self.text(names::TURN_END_REASON)
    }

    /// What the user said, or nothing.
    #[must_use]
    pub fn input(&self) -> String {
        self.text(names::TURN_INPUT)
    }

    /// What the bot said, or nothing.
    #[must_use]
    pub fn output(&self) -> String {
        self.text(names::TURN_OUTPUT)
    }

    /// What of that was heard, if the program reports it (`turn.heard_output`).
    #[must_use]
    pub fn heard_output(&self) -> Option<String> {
        text(&self.span, names::TURN_HEARD_OUTPUT)
    }

    fn text(&self, key: &str) -> String {
        text(&self.span, key).unwrap_or_default()
    }

    /// Its service spans, in the order of their start.
    #[must_use]
    pub fn services(&self) -> Vec<RecordedService> {
        let services = self.spans().filter(|span| is_service(span));
        services
            .map(|span| RecordedService::new(self.conversation.clone(), span.clone()))
            .collect()
    }

    /// The only service span that does this.
    ///
    /// # Panics
    ///
    /// There is none, or several. Of several, [`services`](Self::services) has each.
    #[track_caller]
    #[must_use]
    pub fn service(&self, kind: ServiceKind) -> RecordedService {
        self.only(kind.name(), |service| service.kind() == kind)
    }

    /// The only speech-to-text span; see [`service`](Self::service).
    #[track_caller]
    #[must_use]
    pub fn stt(&self) -> RecordedService {
        self.service(ServiceKind::Stt)
    }

    /// The only language model span; see [`service`](Self::service).
    #[track_caller]
    #[must_use]
    pub fn llm(&self) -> RecordedService {
        self.service(ServiceKind::Llm)
    }

    /// The only text-to-speech span; see [`service`](Self::service).
    #[track_caller]
    #[must_use]
    pub fn tts(&self) -> RecordedService {
        self.service(ServiceKind::Tts)
    }

    /// The only call of the tool with this name; see [`service`](Self::service).
    #[track_caller]
    #[must_use]
    pub fn tool(&self, name: &str) -> RecordedService {
        let is_it = |service: &RecordedService| service.tool_name().as_deref() == Some(name);
        self.only(&format!("tool {name:?}"), is_it)
    }

    #[track_caller]
    fn only(&self, what: &str, is_it: impl Fn(&RecordedService) -> bool) -> RecordedService {
        let services = self.services();
        let mut found = services.iter().filter(|service| is_it(service));
        let problem = match (found.next(), found.count()) {
            (Some(only), 0) => return only.clone(),
            (None, _) => format!("no {what} span"),
            (_, more) => format!("{} {what} spans", more + 1),
        };
        let names: Vec<&str> = services.iter().map(RecordedService::name).collect();
        match names.as_slice() {
            [] => self.fail(&format!("{problem}; no service span of it has ended")),
            names => self.fail(&format!(
                "{problem}; those that have ended: {}",
                names.join(", ")
            )),
        }
    }

    /// The names of the tools that were called, in the order of their start.
    #[must_use]
    pub fn tools(&self) -> Vec<String> {
        let services = self.services();
        services
            .iter()
            .filter_map(RecordedService::tool_name)
            .collect()
    }

    /// What went wrong in it: for each service that failed its name and the error, as in `llm: rate limited`.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        errors(self.spans())
    }

    /// What it cost in US dollars, as far as that is known.
    #[must_use]
    pub fn cost_usd(&self) -> Option<f64> {
        number(&self.span, names::USAGE_COST_USD)
    }

    /// An attribute of the turn's span.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Value> {
        value(&self.span, key).cloned()
    }

    /// What has ended of it, as a tree of text. Times are since the start of the first of its spans.
    pub fn tree(&self) -> Tree {
        Tree::of_recorded(self.spans().cloned().collect())
    }

    /// The span of the turn itself.
    #[must_use]
    pub fn span(&self) -> &SpanData {
        &self.span
    }

    fn spans(&self) -> impl Iterator<Item = &Arc<SpanData>> {
        let number = count(&self.span, names::TURN_NUMBER);
        let spans = self.conversation.spans().iter();
        spans.filter(move |span| count(span, names::TURN_NUMBER) == number)
    }

    #[track_caller]
    fn fail(&self, lack: &str) -> ! {
        let conversation = self.conversation.id();
        panic!(
            "turn {} of conversation {conversation:?} has {lack}",
            self.number()
        )
    }
}

impl fmt::Debug for RecordedTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.tree(), f)
    }
}
