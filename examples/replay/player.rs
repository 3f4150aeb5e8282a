//! Playing a timeline: every line becomes what a program would write with `tracing`.

use super::any_fields;
use super::timeline::{Fields, Op, Start, Step, What};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use tracing::{Span, info, info_span};
use tracing_conversation::ManualClock;

struct Player<'a> {
    scopes: HashMap<String, Span>,
    services: HashMap<String, Span>,
    finished: HashSet<String>,
    /// What is recorded on each span in the course of the timeline: a span has to declare it when it starts.
    recorded: HashMap<&'a str, HashSet<&'a str>>,
}

/// Plays the steps on `clock`. The error names the line.
pub(crate) fn play(steps: &[Step], clock: &ManualClock) -> Result<(), String> {
    let mut recorded: HashMap<&str, HashSet<&str>> = HashMap::new();
    for step in steps {
        if let What::Span {
            id,
            op: Op::Record(attributes) | Op::Start(Start { attributes, .. }),
        } = &step.what
        {
            recorded
                .entry(id)
                .or_default()
                .extend(attributes.keys().map(String::as_str));
        }
    }
    let (scopes, services, finished) = Default::default();
    let mut player = Player {
        scopes,
        services,
        finished,
        recorded,
    };
    let start = clock.wall();
    for step in steps {
        // A line that lies before the last one happens late, as events of a program do.
        clock.advance(
            (start + step.at)
                .duration_since(clock.wall())
                .unwrap_or_default(),
        );
        player
            .play(step)
            .map_err(|error| format!("line {}: {error}", step.line))?;
    }
    Ok(())
}

impl Player<'_> {
    fn play(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            What::Event { name, fields } => self.event(&step.conversation, name, fields),
            What::Span { id, op } => self.span(&step.conversation, id, op)?,
        }
        Ok(())
    }

    fn event(&mut self, conversation: &str, name: &str, fields: &Fields) {
        if name == "conversation_started" && !self.scopes.contains_key(conversation) {
            self.scopes
                .insert(conversation.to_owned(), scope(conversation, fields));
            return;
        }
        if name == "conversation_aborted" {
            self.scopes.remove(conversation);
            return;
        }
        match self.scopes.get(conversation) {
            Some(scope) => scope.in_scope(|| emit(None, name, fields)),
            None => emit(Some(conversation), name, fields),
        }
        if matches!(name, "conversation_ended" | "client_disconnected") {
            self.scopes.remove(conversation);
        }
    }

    fn span(&mut self, conversation: &str, id: &str, op: &Op) -> Result<(), String> {
        if let Op::Start(start) = op {
            if self.services.contains_key(id) {
                return Err(format!(
                    "span {id:?} is started, but has not ended since it was started before"
                ));
            }
            let span = self.start(conversation, id, start)?;
            self.services.insert(id.to_owned(), span);
            return Ok(());
        }
        let Some(span) = self.services.get(id) else {
            // A program cannot do anything to a span that it has let go of.
            let known = self.finished.contains(id);
            return if known {
                Ok(())
            } else {
                Err(format!("span {id:?} was never started"))
            };
        };
        match op {
            Op::Start(_) => {}
            Op::FirstByte { text: None } => {
                span.in_scope(|| info!(conversation.event = "first_byte"))
            }
            Op::FirstByte { text: Some(text) } => {
                span.in_scope(|| info!(conversation.event = "first_byte", text));
            }
            Op::Record(attributes) => any_fields::record(span, attributes),
            Op::End { error } => {
                if let Some(error) = error {
                    span.record("otel.status_code", "ERROR");
                    span.record("otel.status_description", error);
                }
                self.services.remove(id);
                self.finished.insert(id.to_owned());
            }
        }
        Ok(())
    }

    /// A service span, as a service would make it that knows what it is going to record.
    fn start(&self, conversation: &str, id: &str, start: &Start) -> Result<Span, String> {
        let operation = match &*start.service {
            "llm" => "chat",
            "tool" => "execute_tool",
            other => other,
        };
        let mut fields = json!({
            "gen_ai.operation.name": operation,
            "replay.span": id,
            "gen_ai.provider.name": start.provider,
            "gen_ai.request.model": start.model,
            "voice_id": start.voice,
            "gen_ai.tool.name": start.tool,
            "otel.status_code": null,
            "otel.status_description": null,
        });
        let Value::Object(fields) = &mut fields else {
            return Err("a span without fields".to_owned());
        };
        for later in self.recorded.get(id).into_iter().flatten() {
            fields.entry(*later).or_insert(Value::Null);
        }
        fields.extend(start.attributes.clone());
        let above = match &start.parent {
            Some(parent) => Some(
                self.services
                    .get(parent)
                    .ok_or_else(|| format!("parent {parent:?} is not open"))?,
            ),
            None => self.scopes.get(conversation),
        };
        if above.is_none() {
            fields.insert("conversation.id".to_owned(), conversation.into());
        }
        let make = || any_fields::span(&start.service, fields);
        Ok(above.map_or_else(make, |above| above.in_scope(make)))
    }
}

fn scope(conversation: &str, fields: &Fields) -> Span {
    match fields.get("attributes") {
        Some(Value::Object(attributes)) => {
            let mut fields = attributes.clone();
            fields.insert("conversation.id".to_owned(), conversation.into());
            any_fields::span("conversation", &fields)
        }
        _ => info_span!("conversation", conversation.id = conversation),
    }
}

fn emit(conversation: Option<&str>, name: &str, fields: &Fields) {
    let is_plain = fields
        .keys()
        .all(|key| matches!(&**key, "start_secs" | "stop_secs" | "reason"));
    let seconds = |key| fields.get(key).and_then(Value::as_f64);
    if is_plain {
        let reason = fields.get("reason").and_then(Value::as_str);
        info!(
            conversation.event = name,
            conversation.id = conversation,
            start_secs = seconds("start_secs"),
            stop_secs = seconds("stop_secs"),
            reason,
        );
    } else {
        let mut fields = fields.clone();
        fields.insert("conversation.event".to_owned(), name.into());
        if let Some(conversation) = conversation {
            fields.insert("conversation.id".to_owned(), conversation.into());
        }
        any_fields::event(&fields);
    }
}
