//! Lines of bounded length.

use std::io::{self, BufRead};

/// The longest line that is read. A collector sends a few MiB at once, our exporter 2.
pub(super) const MOST: usize = 64 << 20;

/// A buffer that has grown beyond this for one line is given back before the next.
const KEPT: usize = 4 << 20;

pub(super) enum Line<'a> {
    /// Without its end, and without white space around it.
    Whole(&'a [u8]),
    /// Skipped, without being held.
    TooLong,
    End,
}

pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    most: usize,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            most: MOST,
        }
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        self.line.shrink_to(KEPT);
        let mut too_long = false;
        let mut some = false;
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            if available.is_empty() {
                break;
            }
            some = true;
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            too_long |= self.line.len() + part.len() > self.most;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !some {
            return Ok(Line::End);
        }
        self.number += 1;
        if too_long {
            return Ok(Line::TooLong);
        }
        let line = self
            .line
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.line);
        Ok(Line::Whole(line.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &[u8], most: usize) -> Vec<String> {
        // Three bytes at once, so that lines come in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(3, text));
        lines.most = most;
        let mut read = Vec::new();
        loop {
            let number = lines.number() + 1;
            match lines.next().unwrap() {
                Line::End => return read,
                Line::TooLong => read.push(format!("{number} too long")),
                Line::Whole(line) => {
                    read.push(format!("{number} {}", String::from_utf8_lossy(line)));
                }
            }
        }
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_with_neither() {
        assert_eq!(
            read(b"\xef\xbb\xbfone\r\n\n two \nthree", 100),
            ["1 one", "2 ", "3 two", "4 three"]
        );
        assert_eq!(read(b"", 100), [""; 0]);
        assert_eq!(read(b"one\n", 100), ["1 one"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        assert_eq!(
            read(b"short\nmuch too long\nshort", 5),
            ["1 short", "2 too long", "3 short"]
        );
    }
}
