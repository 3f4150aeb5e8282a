//! Converts the messages, instructions and tools that a language model's span records to the conventions' form.

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::kind::{Kind, text_of, value_of};
use crate::messages::{self, Limited, Message, Part, Shape};
use crate::{ContentPolicy, names};

const INPUT_MESSAGES: &str = "gen_ai.input.messages";
const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
const INSTRUCTIONS: &str = "gen_ai.system_instructions";
const DEFINITIONS: &str = "gen_ai.tool.definitions";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
const TOOLS: &str = "tools";
/// How many of the oldest messages were dropped to keep to the limit.
const MESSAGES_CUT: &str = "messages_cut";

/// The request and the answers of a language model.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) instructions: Vec<Part>,
    pub(super) input: Vec<Message>,
    pub(super) output: Vec<Message>,
    pub(super) tools: Vec<serde_json::Value>,
    input_text: Option<StringValue>,
    output_text: Option<StringValue>,
}

impl Words {
    /// Converts what the span records. Removes `input` and `tools` in their provider's form unless `with_pipecat`.
    pub(super) fn convert(
        span: &mut SpanData,
        kind: Kind,
        limit: usize,
        with_pipecat: bool,
    ) -> Self {
        let mut words = Self::default();
        if !kind.has_messages() {
            return words;
        }
        let otherwise = if matches!(span.status, Status::Error { .. }) {
            Some("error")
        } else if value_of(&span.attributes, names::INTERRUPTED) == Some(&Value::Bool(true)) {
            Some("interrupted")
        } else {
            None
        };
        let mut record = Record {
            attributes: &mut span.attributes,
            limit,
        };
        words.convert_input(&mut record, kind, with_pipecat);
        words.convert_output(&mut record, otherwise);
        words
    }

    fn convert_input(&mut self, record: &mut Record<'_>, kind: Kind, with_pipecat: bool) {
        // A speech-to-speech model is given what the user said.
        let spoken = (kind == Kind::Realtime)
            .then(|| text_of(record.attributes, names::TRANSCRIPT).map(owned))
            .flatten();
        let given = record.take(names::INPUT).or(spoken);
        let given_tools = record.take(TOOLS);
        // An empty request has no messages.
        let source = record.take(INPUT_MESSAGES).or_else(|| given.clone());
        let source = source.filter(|text| !text.as_str().is_empty());
        let mut missing = 0;
        if let Some(source) = &source {
            let request = messages::input(source.as_str());
            self.input = request.messages;
            self.instructions = request.instructions;
            self.tools = request.tools;
            missing = request.missing;
            if let Some(limited) = Limited::messages(&mut self.input, record.limit) {
                missing += limited.left_out;
                if !self.input.is_empty() {
                    record.put(INPUT_MESSAGES, as_recorded(source, limited.json));
                }
            }
        }
        if missing > 0 {
            record.put_value(MESSAGES_CUT, i64::try_from(missing).unwrap_or(i64::MAX));
        }
        let instructions = record.take(INSTRUCTIONS);
        if let Some(text) = &instructions {
            self.instructions = messages::instructions(text.as_str());
        }
        if let Some(limited) = Limited::instructions(&mut self.instructions, record.limit) {
            let json = match &instructions {
                Some(text) => as_recorded(text, limited.json),
                None => limited.json.into(),
            };
            record.put(INSTRUCTIONS, json);
        }
        let recorded = record.take(DEFINITIONS);
        let definitions = recorded.clone().or_else(|| given_tools.clone());
        if let Some(text) = &definitions {
            match messages::definitions(text.as_str()) {
                Some(tools) => self.tools = tools,
                // Unreadable definitions are kept as they are.
                None => {
                    let key = recorded.as_ref().map_or(TOOLS, |_| DEFINITIONS);
                    record.put(key, text.clone());
                }
            }
        }
        if let Some(limited) = Limited::definitions(&mut self.tools, record.limit) {
            let json = match &definitions {
                Some(text) => as_recorded(text, limited.json),
                None => limited.json.into(),
            };
            record.put(DEFINITIONS, json);
        }
        let messages = text_of(record.attributes, INPUT_MESSAGES).map(owned);
        self.input_text = given
            .clone()
            .filter(|text| text.as_str().len() <= record.limit)
            .or(messages);
        if with_pipecat {
            self.put_pipecat(record, given, given_tools);
        }
    }

    /// Sets `input` and `tools`. Pipecat uses OpenAI's form of messages and tools.
    fn put_pipecat(
        &self,
        record: &mut Record<'_>,
        given: Option<StringValue>,
        given_tools: Option<StringValue>,
    ) {
        let limit = record.limit;
        let fits = |text: &StringValue| text.as_str().len() <= limit;
        let chat = || messages::chat_messages(&[], &self.input, &[], Shape::List, limit);
        let input = given.filter(fits).or_else(|| chat().map(Into::into));
        let definitions = || {
            let list: Vec<_> = self.tools.iter().map(messages::chat_definition).collect();
            (!list.is_empty()).then(|| serde_json::Value::from(list).to_string().into())
        };
        let tools = given_tools.filter(fits).or_else(definitions).filter(fits);
        for (key, text) in [(names::INPUT, input), (TOOLS, tools)] {
            if let Some(text) = text
                && value_of(record.attributes, key).is_none()
            {
                record.put(key, text);
            }
        }
    }

    fn convert_output(&mut self, record: &mut Record<'_>, otherwise: Option<&str>) {
        let given = text_of(record.attributes, names::OUTPUT).map(owned);
        if let Some(text) = &given
            && text.as_str().len() > record.limit
        {
            let policy = ContentPolicy::default().with_max_value_bytes(record.limit);
            record.take(names::OUTPUT);
            record.put(names::OUTPUT, policy.bound(text.as_str().to_owned()).into());
        }
        // An empty answer has no messages.
        let answer = given.filter(|text| !text.as_str().is_empty());
        if let Some(source) = record.take(OUTPUT_MESSAGES).or(answer) {
            self.output = messages::output(source.as_str());
            let reasons = finish_reasons(record.attributes);
            messages::complete_finish_reasons(&mut self.output, &reasons, otherwise);
            if let Some(limited) = Limited::messages(&mut self.output, record.limit) {
                record.put(OUTPUT_MESSAGES, as_recorded(&source, limited.json));
            }
        }
        let text = |key| text_of(record.attributes, key).map(owned);
        self.output_text = text(names::OUTPUT)
            .filter(|text| !text.as_str().is_empty())
            .or_else(|| text(OUTPUT_MESSAGES));
    }

    /// The request as recorded, else `gen_ai.input.messages`.
    pub(super) fn input_text(&self) -> Option<StringValue> {
        self.input_text.clone()
    }

    /// The answer as recorded, else `gen_ai.output.messages`.
    pub(super) fn output_text(&self) -> Option<StringValue> {
        self.output_text.clone()
    }

    /// The request in the form of OpenAI's chat API.
    pub(super) fn chat_input(&self, shape: Shape, limit: usize) -> Option<String> {
        messages::chat_messages(&self.instructions, &self.input, &self.tools, shape, limit)
    }

    /// The answers in the form of OpenAI's chat API.
    pub(super) fn chat_output(&self, shape: Shape, limit: usize) -> Option<String> {
        messages::chat_messages(&[], &self.output, &[], shape, limit)
    }

    /// The answer's text, if there is one answer that consists of one text.
    pub(super) fn only_text(&self) -> Option<&str> {
        match self.output.as_slice() {
            [Message { parts, .. }] => match parts.as_slice() {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Attributes of the span under conversion.
struct Record<'a> {
    attributes: &'a mut Vec<KeyValue>,
    limit: usize,
}

impl Record<'_> {
    /// Removes and returns a string attribute. Attributes of other types are kept.
    fn take(&mut self, key: &str) -> Option<StringValue> {
        let text = text_of(self.attributes, key).map(owned)?;
        self.attributes.retain(|pair| pair.key.as_str() != key);
        Some(text)
    }

    fn put(&mut self, key: &'static str, text: StringValue) {
        self.put_value(key, text);
    }

    /// Sets an attribute and replaces one of another type.
    fn put_value(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.retain(|pair| pair.key.as_str() != key);
        self.attributes.push(KeyValue::new(key, value));
    }
}

fn owned(text: &str) -> StringValue {
    text.to_owned().into()
}

/// The recorded text if it is equal to `json`, else `json`: what is in the conventions' form already is exported
/// unchanged.
fn as_recorded(text: &StringValue, json: String) -> StringValue {
    let parse = serde_json::from_str::<serde_json::Value>;
    match (parse(text.as_str()), parse(&json)) {
        (Ok(recorded), Ok(converted)) if recorded == converted => text.clone(),
        _ => json.into(),
    }
}

fn finish_reasons(attributes: &[KeyValue]) -> Vec<String> {
    match value_of(attributes, FINISH_REASONS) {
        Some(Value::Array(Array::String(reasons))) => {
            reasons.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}
