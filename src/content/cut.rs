//! Cuts a text to a number of bytes, without splitting characters or breaking JSON, and adds a note that says
//! how much was cut.

use opentelemetry::StringValue;

/// Room for the longest note, including the quotes, colon and comma that JSON needs around it.
const NOTE_BYTES: usize = 48;

/// The smallest allowed limit: room for a note and some text.
pub(super) const MIN_LIMIT: usize = 64;

/// Returns the beginning of `text` and a note, at most `limit` bytes; `limit` is at least [`MIN_LIMIT`].
///
/// `missing` bytes have already been cut from the end of `text`.
pub(super) fn cut(text: &str, missing: usize, limit: usize) -> String {
    if let Some(cut) = cut_json(text, missing, limit) {
        return cut;
    }
    let end = floor_char_boundary(text, limit - NOTE_BYTES);
    let mut kept = String::with_capacity(limit);
    kept.push_str(&text[..end]);
    kept.push_str(&note(text.len() - end + missing));
    kept
}

/// Keeps the first elements that fit into `limit` bytes in total; the last element becomes a note.
pub(super) fn cut_list(texts: &mut Vec<StringValue>, limit: usize) {
    let total: usize = texts.iter().map(|text| text.as_str().len()).sum();
    if total <= limit {
        return;
    }
    let (mut kept, mut fitting) = (0, 0);
    for text in texts.iter() {
        if kept + text.as_str().len() > limit - NOTE_BYTES {
            break;
        }
        kept += text.as_str().len();
        fitting += 1;
    }
    let first_cut = texts[fitting].as_str();
    let end = floor_char_boundary(first_cut, limit - NOTE_BYTES - kept);
    let last = format!("{}{}", &first_cut[..end], note(total - kept - end));
    texts.truncate(fitting);
    texts.push(last.into());
}

fn note(bytes: usize) -> String {
    format!("… [{bytes} bytes cut]")
}

/// The last character boundary at or before `index`: `str::floor_char_boundary`, which Rust 1.88 does not have yet.
pub(crate) fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut end = text.len().min(index);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Like [`cut`], for a text that is valid JSON up to the cut; returns `None` for any other.
///
/// Reads no further than the cut, so the cost is bounded by the limit, not by the length of the text.
fn cut_json(text: &str, missing: usize, limit: usize) -> Option<String> {
    let json = text.trim();
    if !json.starts_with(['{', '[', '"']) {
        return None;
    }
    if missing == 0 && json.len() <= limit {
        return Some(json.to_owned());
    }
    let mut scanner = Scanner {
        text: json.as_bytes(),
        at: 0,
        limit,
        open: Vec::new(),
        kept: None,
    };
    scanner.scan()?;
    let (end, cut_point) = scanner.kept?;
    let mut kept = String::with_capacity(limit);
    kept.push_str(&json[..end]);
    if cut_point == CutPoint::AfterValue {
        kept.push(',');
    }
    if cut_point != CutPoint::InString {
        if scanner.open.last() == Some(&b'{') {
            kept.push_str("\"…\":");
        }
        kept.push('"');
    }
    kept.push_str(&note(text.len() - end + missing));
    kept.push('"');
    kept.extend(scanner.open.iter().rev().map(|bracket| match bracket {
        b'{' => '}',
        _ => ']',
    }));
    Some(kept)
}

/// What precedes a possible cut.
#[derive(Clone, Copy, PartialEq)]
enum CutPoint {
    InString,
    AfterValue,
    Opened,
}

/// Scans JSON up to the limit and tracks the last position where it may be cut.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limit: usize,
    /// The brackets that are open at `kept`.
    open: Vec<u8>,
    kept: Option<(usize, CutPoint)>,
}

impl Scanner<'_> {
    /// Scans up to the limit; returns `None` if the text is not JSON.
    fn scan(&mut self) -> Option<()> {
        let mut expected = Expected::Value;
        while !self.is_over_limit() {
            let byte = self.peek()?;
            expected = match (expected, byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => {
                    self.at += 1;
                    expected
                }
                (Expected::Value | Expected::ValueOrEnd, b'{' | b'[') => {
                    self.at += 1;
                    self.open.push(byte);
                    if self.is_over_limit() {
                        self.open.pop();
                        break;
                    }
                    self.keep(CutPoint::Opened);
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
                    self.end_value()?
                }
                (Expected::Value | Expected::ValueOrEnd, b'"') => {
                    if !self.string(true)? {
                        break;
                    }
                    self.end_value()?
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
                    if self.is_over_limit() {
                        break;
                    }
                    self.end_value()?
                }
                _ => return None,
            };
        }
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Returns whether there is no room left for a note and the closing brackets.
    fn is_over_limit(&self) -> bool {
        self.at + self.open.len() + NOTE_BYTES > self.limit
    }

    fn keep(&mut self, cut_point: CutPoint) {
        self.kept = Some((self.at, cut_point));
    }

    /// Marks the end of a value. Returns `None` if it is not inside any bracket: then it is the whole text, which needs no cut.
    fn end_value(&mut self) -> Option<Expected> {
        if self.open.is_empty() {
            return None;
        }
        self.keep(CutPoint::AfterValue);
        Some(Expected::CommaOrEnd)
    }

    /// Scans a string; returns whether it ends before the limit.
    fn string(&mut self, is_value: bool) -> Option<bool> {
        self.at += 1;
        loop {
            if self.is_over_limit() {
                return Some(false);
            }
            if is_value {
                self.keep(CutPoint::InString);
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(!self.is_over_limit());
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

    /// Returns the length of the escape sequence at this position. Surrogate pairs stay together.
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

    /// Scans a number, `true`, `false` or `null`.
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

/// The tokens that may come next.
#[derive(Clone, Copy)]
enum Expected {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}
