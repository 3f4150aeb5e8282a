//! A call as it happens, for the page: a `tracing` layer that passes on boundary events and the words that services record.
//!
//! It needs nothing of the traces, and they nothing of it: what is final comes to the page as spans.

use crate::transport::web::Update;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Fields that carry words.
const WORDS: [&str; 3] = ["transcript", "output", "text"];

pub(crate) struct Live {
    pub(crate) updates: broadcast::Sender<Arc<Update>>,
    /// Whether words may be passed on.
    pub(crate) words: bool,
}

/// What is kept with a span.
#[derive(Clone)]
struct Scope {
    conversation: Arc<str>,
    /// The span's name if it is a service at work.
    service: Option<&'static str>,
}

impl Live {
    fn send(&self, conversation: &str, mut message: Value) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        message["at"] = at.unwrap_or_default().as_secs_f64().into();
        // Fails when no page is open.
        let _ = self.updates.send(Arc::new(Update {
            conversation: conversation.to_owned(),
            json: message.to_string(),
        }));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Live {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Scope>().cloned());
        let conversation = match (fields.get("conversation.id"), parent) {
            (Some(id), _) => Arc::from(id),
            (None, Some(parent)) => parent.conversation,
            (None, None) => return,
        };
        let service = attributes
            .metadata()
            .fields()
            .field("gen_ai.operation.name")
            .map(|_| attributes.metadata().name());
        if let Some(service) = service {
            self.send(
                &conversation,
                json!({"type": "started", "service": service}),
            );
        }
        span.extensions_mut().insert(Scope {
            conversation,
            service,
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|_| self.words) else {
            return;
        };
        let Some(scope) = span.extensions().get::<Scope>().cloned() else {
            return;
        };
        let Some(service) = scope.service else { return };
        let mut fields = Fields::default();
        record.record(&mut fields);
        for name in WORDS {
            if let Some(words) = fields.get(name) {
                let message =
                    json!({"type": "words", "service": service, "field": name, "words": words});
                self.send(&scope.conversation, message);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event
            .metadata()
            .fields()
            .field("conversation.event")
            .is_none()
        {
            return;
        }
        let Some(scope) = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Scope>().cloned())
        else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut message = json!({"type": "event", "event": fields.get("conversation.event"), "service": scope.service});
        if let Some(secs) = fields.get("stop_secs") {
            message["stop_secs"] = secs.parse::<f64>().unwrap_or_default().into();
        }
        if let Some(heard) = fields.get("text_heard").filter(|_| self.words) {
            message["text_heard"] = heard.into();
        }
        self.send(&scope.conversation, message);
    }
}

/// The fields that matter here, as text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(other, _)| *other == name);
        field.map(|(_, value)| value.as_str())
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The id of a conversation is recorded by its `Display`. Whatever else is recorded so is not for the page.
        if field.name() == "conversation.id" {
            self.0.push((field.name(), format!("{value:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::field::Empty;
    use tracing::{info, info_span};
    use tracing_subscriber::prelude::*;

    fn updates(words: bool) -> Vec<(String, Value)> {
        let (updates, mut seen) = broadcast::channel(16);
        let live = Live { updates, words };
        let _installed = tracing_subscriber::registry().with(live).set_default();
        let conversation = info_span!("conversation", conversation.id = %"c1");
        conversation.in_scope(|| {
            info!("not for the page");
            info!(
                conversation.event = "vad_user_stopped_speaking",
                stop_secs = 0.25
            );
            let span = info_span!("llm", gen_ai.operation.name = "chat", output = Empty);
            span.in_scope(|| info!(conversation.event = "first_byte"));
            span.record("output", "Hello.");
        });
        info!(conversation.event = "of no conversation");
        let mut all = Vec::new();
        while let Ok(update) = seen.try_recv() {
            let mut json: Value = serde_json::from_str(&update.json).unwrap();
            assert!(json["at"].take().as_f64().is_some_and(|at| at > 1e9));
            all.push((update.conversation.clone(), json));
        }
        all
    }

    #[test]
    fn boundary_events_and_words_of_a_conversation_are_passed_on() {
        let expected = [
            json!({"type": "event", "event": "vad_user_stopped_speaking", "service": null, "stop_secs": 0.25, "at": null}),
            json!({"type": "started", "service": "llm", "at": null}),
            json!({"type": "event", "event": "first_byte", "service": "llm", "at": null}),
            json!({"type": "words", "service": "llm", "field": "output", "words": "Hello.", "at": null}),
        ];
        let expected = expected.map(|json| ("c1".to_owned(), json));
        assert_eq!(updates(true), expected);
        assert_eq!(updates(false), expected[..3]);
    }
}
