//! The little JSON that profiles write. The layer is built without a JSON library.

use std::fmt::Write;

/// `{"messages":[…]}` with one message of that text, or with the messages that the text already is.
pub(super) fn messages(role: &str, text: &str) -> String {
    let trimmed = text.trim();
    if trimmed.starts_with("[{") && trimmed.ends_with("}]") {
        return format!("{{\"messages\":{trimmed}}}");
    }
    let mut json = String::with_capacity(text.len() + 48);
    let _ = write!(json, "{{\"messages\":[{{\"role\":\"{role}\",\"content\":");
    quote(&mut json, text);
    json.push_str("}]}");
    json
}

/// Whether a text is most likely an object or a list of them.
pub(super) fn looks_like(text: &str) -> bool {
    let text = text.trim();
    [("{\"", "}"), ("[{", "}]")]
        .iter()
        .any(|(start, end)| text.starts_with(start) && text.ends_with(end))
}

fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_message() {
        assert_eq!(
            messages("user", "say \"hi\"\n\\ é"),
            r#"{"messages":[{"role":"user","content":"say \"hi\"\u000a\\ é"}]}"#
        );
    }

    #[test]
    fn messages_stay_messages() {
        let list = r#"[{"role":"system","content":"short"}]"#;
        assert_eq!(messages("user", list), format!("{{\"messages\":{list}}}"));
        assert_eq!(
            messages("user", "[laughs]"),
            r#"{"messages":[{"role":"user","content":"[laughs]"}]}"#
        );
    }
}
