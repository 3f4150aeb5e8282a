//! Reading a timeline: a line of JSON for each thing that happens.

use serde_json::{Map, Value};
use std::time::Duration;

/// Times far beyond it cannot be added to a date.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

pub(crate) type Fields = Map<String, Value>;

/// One line.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) at: Duration,
    pub(crate) conversation: String,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Event { name: String, fields: Fields },
    Span { id: String, op: Op },
}

#[derive(Debug)]
pub(crate) enum Op {
    Start(Start),
    FirstByte { text: Option<bool> },
    Record(Fields),
    End { error: Option<String> },
}

#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) service: String,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) voice: Option<String>,
    pub(crate) tool: Option<String>,
    /// The timeline id of the span that it is started in.
    pub(crate) parent: Option<String>,
    pub(crate) attributes: Fields,
}

/// Reads all lines. The error names the line and what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Vec<Step>, String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            read_line(index + 1, line).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect()
}

fn read_line(line: usize, text: &str) -> Result<Step, String> {
    let mut fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return Err(format!("{other} is not a JSON object")),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let at = match fields.remove("at") {
        Some(Value::Number(at)) => at
            .as_f64()
            .and_then(|at| Duration::try_from_secs_f64(at).ok())
            .filter(|at| *at <= LONGEST),
        _ => None,
    }
    .ok_or("\"at\" has to be a number of seconds from 0 to 1e9")?;
    let conversation = required(&mut fields, "conversation")?;
    let what = match (
        optional(&mut fields, "event")?,
        optional(&mut fields, "span")?,
    ) {
        (Some(name), None) => What::Event { name, fields },
        (None, Some(id)) => What::Span {
            id,
            op: read_op(fields)?,
        },
        (Some(_), Some(_)) => return Err("\"event\" and \"span\" exclude each other".to_owned()),
        (None, None) => return Err("neither \"event\" nor \"span\" is there".to_owned()),
    };
    Ok(Step {
        line,
        at,
        conversation,
        what,
    })
}

fn read_op(mut fields: Fields) -> Result<Op, String> {
    let op = required(&mut fields, "op")?;
    let attributes = match fields.remove("attributes") {
        None => Fields::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(other) => return Err(format!("\"attributes\" has to be an object, not {other}")),
    };
    let op = match &*op {
        "start" => {
            let mut start = Start {
                service: required(&mut fields, "service")?,
                provider: optional(&mut fields, "provider")?,
                model: optional(&mut fields, "model")?,
                voice: optional(&mut fields, "voice")?,
                tool: optional(&mut fields, "tool")?,
                parent: optional(&mut fields, "parent")?,
                attributes,
            };
            // Whatever else a line says of a span are fields of it.
            start.attributes.extend(fields);
            Op::Start(start)
        }
        "first_byte" => {
            let text = match fields.remove("text") {
                None => None,
                Some(Value::Bool(text)) => Some(text),
                Some(other) => {
                    return Err(format!("\"text\" has to be true or false, not {other}"));
                }
            };
            Op::FirstByte { text }
        }
        "record" => Op::Record(attributes),
        "end" => Op::End {
            error: optional(&mut fields, "error")?,
        },
        other => {
            return Err(format!(
                "\"op\" is {other:?}; it is one of start, first_byte, record, end"
            ));
        }
    };
    Ok(op)
}

fn required(fields: &mut Fields, key: &str) -> Result<String, String> {
    optional(fields, key)?.ok_or_else(|| format!("{key:?} is missing"))
}

fn optional(fields: &mut Fields, key: &str) -> Result<Option<String>, String> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{key:?} has to be a string, not {other}")),
    }
}
