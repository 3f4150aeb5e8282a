//! What OTLP answers mean: which to try again, when, and what was rejected.

#[cfg(feature = "http")]
use std::time::{Duration, SystemTime};

use crate::terminal::is_unsafe;

/// A server's message, cut to one line of a log.
pub(crate) fn words(bytes: &[u8]) -> String {
    const ENOUGH: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut line: String = text
        .chars()
        .map(|c| {
            if is_unsafe(c) || c == char::REPLACEMENT_CHARACTER {
                ' '
            } else {
                c
            }
        })
        .take(ENOUGH)
        .collect();
    line.truncate(line.trim_end().len());
    line.trim_start().to_owned()
}

/// An error with its causes: "error sending request" alone does not distinguish a refused connection from a bad name.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Reads `Retry-After`: seconds, or a date.
#[cfg(feature = "http")]
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The content of a partial success: how many `items` were rejected, and a remark if there is one.
pub(crate) fn partial(rejected: i64, items: &str, message: &str) -> super::Answer {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    super::Answer::Taken {
        rejected,
        remark: (rejected > 0 || !message.is_empty()).then(|| {
            format!(
                "partial success, {rejected} {items} rejected: {}",
                words(message.as_bytes())
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_one_line_of_bounded_length() {
        assert_eq!(
            words("\n\x0a\x05no such\r\nproject\u{202e} \x00".as_bytes()),
            "no such  project"
        );
        assert_eq!(words("é".repeat(5000).as_bytes()).chars().count(), 200);
    }

    #[cfg(feature = "http")]
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let of = |value| retry_after(value, now);
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of(" 0 "), Some(Duration::ZERO));
        assert_eq!(
            of("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(of("Sat, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-5"), None);
    }
}
