//! The elements of a JSON list that was cut off.

use serde_json::{Deserializer, Value};

/// The complete elements of a list that may be cut off; `rest` is what follows its opening bracket.
pub(super) fn whole_elements(mut rest: &str) -> Vec<Value> {
    let mut elements = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        let mut stream = Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(element)) = stream.next() else {
            return elements;
        };
        elements.push(element);
        match rest.get(stream.byte_offset()..) {
            Some(after) if after.len() < rest.len() => rest = after,
            _ => return elements,
        }
    }
}
