//! Cutting a text to a number of bytes: characters stay whole, JSON stays JSON, and a note says
//! how much is missing.

use opentelemetry::StringValue;

/// The longest note, with the quotes, colon and comma that JSON needs around it.
const NOTE: usize = 48;

/// The least limit: room for a note and some text.
pub(super) const LEAST: usize = 64;

/// The beginning of `text` and a note, `limit` bytes at most; `limit` is at least [`LEAST`].
///
/// `missing` bytes have already been cut from the end of `text`.
pub(super) fn cut(text: &str, missing: usize, limit: usize) -> String {
    if let Some(cut) = cut_json(text, missing, limit) {
        return cut;
    }
    let end = char_boundary(text, text.len().min(limit - NOTE));
    let mut kept = String::with_capacity(limit);
    kept.push_str(&text[..end]);
    kept.push_str(&note(text.len() - end + missing));
    kept
}

/// Keeps the first elements that fit in `limit` bytes together; a note is the last one.
pub(super) fn cut_list(texts: &mut Vec<StringValue>, limit: usize) {
    let total: usize = texts.iter().map(|text| text.as_str().len()).sum();
    if total <= limit {
        return;
    }
    let (mut kept, mut fitting) = (0, 0);
    for text in texts.iter() {
        if kept + text.as_str().len() > limit - NOTE {
            break;
        }
        kept += text.as_str().len();
        fitting += 1;
    }
    let first_cut = texts[fitting].as_str();
    let end = char_boundary(first_cut, limit - NOTE - kept);
    let last = format!("{}{}", &first_cut[..end], note(total - kept - end));
    texts.truncate(fitting);
    texts.push(last.into());
}

fn note(bytes: usize) -> String {
    format!("… [{bytes} bytes cut]")
}

pub(super) fn char_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// As [`cut`], for a text that reads as JSON up to the cut; `None` for any other.
///
/// It reads no further than the cut, so a value of megabytes costs no more than one of the limit.
fn cut_json(text: &str, missing: usize, limit: usize) -> Option<String> {
    let json = text.trim();
    if !json.starts_with(['{', '[', '"']) {
        return None;
    }
    if missing == 0 && json.len() <= limit {
        return Some(json.to_owned());
    }
    let mut reader = Reader {
        text: json.as_bytes(),
        at: 0,
        limit,
        open: Vec::new(),
        kept: None,
    };
    reader.read()?;
    let (end, place) = reader.kept?;
    let mut kept = String::with_capacity(limit);
    kept.push_str(&json[..end]);
    if place == Place::AfterValue {
        kept.push(',');
    }
    if place != Place::InString {
        if reader.open.last() == Some(&b'{') {
            kept.push_str("\"…\":");
        }
        kept.push('"');
    }
    kept.push_str(&note(text.len() - end + missing));
    kept.push('"');
    kept.extend(reader.open.iter().rev().map(|bracket| match bracket {
        b'{' => '}',
        _ => ']',
    }));
    Some(kept)
}

/// Where a cut may fall.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    InString,
    AfterValue,
    Opened,
}

/// Reads JSON until the limit, remembering the last place where it may be cut.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    limit: usize,
    /// The brackets that are open where `kept` is.
    open: Vec<u8>,
    kept: Option<(usize, Place)>,
}

impl Reader<'_> {
    /// Reads up to the limit; `None` if what stands there is not JSON.
    fn read(&mut self) -> Option<()> {
        let mut expected = Expected::Value;
        while !self.over() {
            let byte = self.peek()?;
            expected = match (expected, byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => {
                    self.at += 1;
                    expected
                }
                (Expected::Value | Expected::ValueOrEnd, b'{' | b'[') => {
                    self.at += 1;
                    self.open.push(byte);
                    if self.over() {
                        self.open.pop();
                        break;
                    }
                    self.keep(Place::Opened);
                    if byte == b'{' {
                        Expected::KeyOrEnd
                    } else {
                        Expected::ValueOrEnd
                    }
                }
                (Expected::ValueOrEnd, b']')
                | (Expected::KeyOrEnd, b'}')
                | (Expected::CommaOrEnd, b']' | b'}') => {
                    let opener = if byte == b'}' { b'{' } else { b'[' };
                    if self.open.pop() != Some(opener) {
                        return None;
                    }
                    self.at += 1;
                    self.value_read()?
                }
                (Expected::Value | Expected::ValueOrEnd, b'"') => {
                    if !self.string(true)? {
                        break;
                    }
                    self.value_read()?
                }
                (Expected::Key | Expected::KeyOrEnd, b'"') => {
                    if !self.string(false)? {
                        break;
                    }
                    Expected::Colon
                }
                (Expected::Colon, b':') => {
                    self.at += 1;
                    Expected::Value
                }
                (Expected::CommaOrEnd, b',') => {
                    self.at += 1;
                    if self.open.last() == Some(&b'{') {
                        Expected::Key
                    } else {
                        Expected::Value
                    }
                }
                (Expected::Value | Expected::ValueOrEnd, _) => {
                    self.scalar()?;
                    if self.over() {
                        break;
                    }
                    self.value_read()?
                }
                _ => return None,
            };
        }
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Whether what has been read leaves no room for a note and the closing brackets.
    fn over(&self) -> bool {
        self.at + self.open.len() + NOTE > self.limit
    }

    fn keep(&mut self, place: Place) {
        self.kept = Some((self.at, place));
    }

    /// A value ends here. One outside any bracket is the whole text: nothing of it is too long.
    fn value_read(&mut self) -> Option<Expected> {
        if self.open.is_empty() {
            return None;
        }
        self.keep(Place::AfterValue);
        Some(Expected::CommaOrEnd)
    }

    /// Reads a string; says whether it ends before the limit.
    fn string(&mut self, is_value: bool) -> Option<bool> {
        self.at += 1;
        loop {
            if self.over() {
                return Some(false);
            }
            if is_value {
                self.keep(Place::InString);
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(!self.over());
                }
                b'\\' => self.at += self.escape()?,
                0..0x20 => return None,
                0x20..0x80 => self.at += 1,
                0xc0..0xe0 => self.at += 2,
                0xe0..0xf0 => self.at += 3,
                _ => self.at += 4,
            }
        }
    }

    /// The length of the escape sequence here. Halves of a surrogate pair stay together.
    fn escape(&self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        match rest {
            [
                b'\\',
                b'u',
                b'd' | b'D',
                b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B',
                _,
                _,
                b'\\',
                b'u',
                ..,
            ] => Some(12),
            [b'\\', b'u', ..] => Some(6),
            [b'\\', _, ..] => Some(2),
            _ => None,
        }
    }

    /// Reads a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        for literal in ["true", "false", "null"] {
            if rest.starts_with(literal.as_bytes()) {
                self.at += literal.len();
                return Some(());
            }
        }
        let length = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        self.at += length;
        (length > 0).then_some(())
    }
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expected {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}
