//! Server-sent events, as far as language models use them: the `data` of each event.

/// Puts together events from pieces of a body that were split anywhere, also inside a character.
#[derive(Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    data: Option<String>,
}

/// A line longer than this is no event of a language model.
const LONGEST: usize = 1 << 20;

impl Events {
    /// The events that `bytes` completes, in order. `Err` when a line grows beyond all measure.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut from = 0;
        while let Some(length) = self.rest[from..].iter().position(|&byte| byte == b'\n') {
            let line = &self.rest[from..from + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                events.extend(self.data.take());
            } else if let Some(data) = line.strip_prefix(b"data:") {
                let text = String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data));
                match &mut self.data {
                    Some(lines) => {
                        lines.push('\n');
                        lines.push_str(&text);
                    }
                    none => *none = Some(text.into_owned()),
                }
            }
            from += length + 1;
        }
        self.rest.drain(..from);
        if self.rest.len() > LONGEST {
            Err("a line of the stream is longer than 1 MiB")
        } else {
            Ok(events)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_split() {
        let body =
            ": hello\r\ndata: {\"é\":1}\r\n\r\nevent: x\ndata: a\ndata: b\n\ndata:[DONE]\n\n"
                .as_bytes();
        for size in 1..=body.len() {
            let mut events = Events::default();
            let found: Vec<_> = body
                .chunks(size)
                .flat_map(|piece| events.push(piece).unwrap())
                .collect();
            assert_eq!(
                found,
                ["{\"é\":1}", "a\nb", "[DONE]"],
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; LONGEST + 1]).is_err());
    }
}
