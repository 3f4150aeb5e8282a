//! Limits the size of a value in bytes: keeps whole messages, the latest ones, and valid JSON.

use serde_json::Value;

use super::{Message, Part, write};

/// Upper bound of the length of a note such as `… [1048 bytes cut]`.
const NOTE: usize = 40;

/// A value within a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limited {
    pub(crate) json: String,
    /// How many messages, parts or definitions were dropped.
    pub(crate) left_out: usize,
}

impl Limited {
    /// Messages as a JSON list of at most `limit` bytes. The oldest are dropped first; if the latest alone is too long, its
    /// end is cut. `messages` keeps what is in the list. `None` if nothing fits.
    pub(crate) fn messages(messages: &mut Vec<Message>, limit: usize) -> Option<Self> {
        let written: Vec<String> = messages.iter().map(write::message).collect();
        let kept = last_that_fit(&written, limit);
        let count = messages.len();
        if kept > 0 || count == 0 {
            messages.drain(..count - kept);
            return Some(Self {
                json: list(&written[count - kept..]),
                left_out: count - kept,
            });
        }
        let mut latest = messages.pop()?;
        messages.clear();
        let frame = write::frame(&latest).len() + "[]}]".len();
        latest.parts = fit(latest.parts, limit.checked_sub(frame)?);
        if latest.parts.is_empty() {
            return None;
        }
        let json = list(&[write::message(&latest)]);
        messages.push(latest);
        Some(Self {
            json,
            left_out: count - 1,
        })
    }

    /// System instructions as a JSON list of at most `limit` bytes; the first parts are kept.
    pub(crate) fn instructions(parts: &mut Vec<Part>, limit: usize) -> Option<Self> {
        let count = parts.len();
        *parts = fit(std::mem::take(parts), limit.checked_sub("[]".len())?);
        if parts.is_empty() {
            return None;
        }
        let written: Vec<String> = parts.iter().map(write::part).collect();
        Some(Self {
            json: list(&written),
            left_out: count.saturating_sub(parts.len()),
        })
    }

    /// Tool definitions as a JSON list of at most `limit` bytes. Their parameters are dropped first, then the last
    /// definitions.
    pub(crate) fn definitions(definitions: &mut Vec<Value>, limit: usize) -> Option<Self> {
        let mut written: Vec<String> = definitions.iter().map(write::definition).collect();
        if first_that_fit(&written, limit) < written.len() {
            for definition in definitions.iter_mut() {
                if let Some(fields) = definition.as_object_mut() {
                    fields.remove("parameters");
                }
            }
            written = definitions.iter().map(write::definition).collect();
        }
        let kept = first_that_fit(&written, limit);
        let left_out = definitions.len() - kept;
        definitions.truncate(kept);
        (kept > 0).then(|| Self {
            json: list(&written[..kept]),
            left_out,
        })
    }

    /// JSON values as a list of at most `limit` bytes; the first ones are dropped.
    pub(super) fn latest(written: &[String], limit: usize) -> Self {
        let left_out = written.len() - last_that_fit(written, limit);
        Self {
            json: list(&written[left_out..]),
            left_out,
        }
    }
}

fn list(written: &[String]) -> String {
    format!("[{}]", written.join(","))
}

fn last_that_fit(written: &[String], limit: usize) -> usize {
    fitting(written.iter().rev(), limit)
}

fn first_that_fit(written: &[String], limit: usize) -> usize {
    fitting(written.iter(), limit)
}

fn fitting<'a>(written: impl Iterator<Item = &'a String>, limit: usize) -> usize {
    // Both brackets, minus the comma that the first element does not have.
    let mut length = 1;
    written
        .take_while(|json| {
            length += json.len() + 1;
            length <= limit
        })
        .count()
}

/// The first parts that fit in `room` bytes. The first one that does not fit is shortened and ends in a note.
fn fit(parts: Vec<Part>, mut room: usize) -> Vec<Part> {
    let mut kept = Vec::with_capacity(parts.len());
    let total: usize = parts.iter().map(|part| write::part(part).len() + 1).sum();
    let mut taken = 0;
    for part in parts {
        let length = write::part(&part).len();
        // If not everything fits, reserve room for the note.
        let comma = usize::from(!kept.is_empty());
        let reserve = if total > room + taken + 1 {
            FRAME + NOTE + 1
        } else {
            0
        };
        if length + comma + reserve <= room {
            room -= length + comma;
            taken += length + comma;
            kept.push(part);
            continue;
        }
        kept.extend(shorten(
            part,
            room.saturating_sub(comma),
            total.saturating_sub(taken),
        ));
        return kept;
    }
    kept
}

/// `{"type":"text","content":""}`.
const FRAME: usize = 28;

/// The beginning of a part and a note, in `room` bytes; `missing` is the number of bytes to report if the part cannot be
/// shortened.
fn shorten(part: Part, room: usize, missing: usize) -> Option<Part> {
    let cut = |text: &str, frame: usize| {
        let room = room.checked_sub(frame + NOTE)?;
        let kept = beginning(text, room);
        let missing = text.len() - kept.len();
        Some(format!("{kept}… [{missing} bytes cut]"))
    };
    let read = match &part {
        Part::Text(text) => cut(text, FRAME).map(Part::Text),
        Part::Reasoning(text) => {
            let frame = write::part(&Part::Reasoning(String::new())).len();
            cut(text, frame).map(Part::Reasoning)
        }
        Part::ToolResponse {
            id,
            response: Value::String(text),
        } => {
            let empty = Part::ToolResponse {
                id: id.clone(),
                response: "".into(),
            };
            cut(text, write::part(&empty).len()).map(|response| Part::ToolResponse {
                id: id.clone(),
                response: response.into(),
            })
        }
        _ => None,
    };
    read.or_else(|| (FRAME + NOTE <= room).then(|| Part::Text(format!("… [{missing} bytes cut]"))))
}

/// The longest prefix of a text whose JSON form has at most `room` bytes.
fn beginning(text: &str, room: usize) -> &str {
    let mut length = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        length += escaped_length(c);
        (length > room).then_some(at)
    });
    end.map_or(text, |end| &text[..end])
}

fn escaped_length(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}
