//! How the log writes the fields of a span or event: without content where that is not captured, and without any character
//! that drives a terminal.

use std::{
    error::Error,
    fmt::{self, Debug, Write as _},
};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::{FormatFields, format::Writer};

use crate::{ContentPolicy, terminal::Escaping};

/// Writes `message name=value name=value`.
///
/// Numbers and booleans are always written: they carry no words. So is the message, without which there is no log.
#[derive(Debug)]
pub(super) struct LogFields(pub(super) ContentPolicy);

impl<'writer> FormatFields<'writer> for LogFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer: Escaping(writer),
            content: &self.0,
            is_first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer, 'a> {
    writer: Escaping<Writer<'writer>>,
    content: &'a ContentPolicy,
    is_first: bool,
    result: fmt::Result,
}

impl Visitor<'_, '_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Where a record of the `log` crate comes from: written by the form of the line already.
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        let space = if self.is_first { "" } else { " " };
        self.is_first = false;
        self.result = match field.name() {
            "message" => write!(self.writer, "{space}{value}"),
            // Keywords as fields: `r#type`.
            name => write!(
                self.writer,
                "{space}{}={value}",
                name.trim_start_matches("r#")
            ),
        };
    }

    fn write_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" || self.content.admits_text(field.name()) {
            self.write(field, value);
        }
    }
}

impl Visit for Visitor<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, format_args!("{value}"));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.write(field, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.write(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.write_text(field, format_args!("{value}"));
        } else {
            self.write_text(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if let Some(source) = value.source() {
            self.write_text(field, format_args!("{value} ({source})"));
        } else {
            self.write_text(field, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_text(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{Layer, Registry, layer::Context, prelude::*};

    use super::*;

    /// Keeps what is written of each event.
    struct Lines(Arc<Mutex<Vec<String>>>, LogFields);

    impl Layer<Registry> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
            let mut line = String::new();
            self.1.format_fields(Writer::new(&mut line), event).unwrap();
            self.0.lock().unwrap().push(line);
        }
    }

    fn line(capture: bool, emit: impl FnOnce()) -> String {
        let lines = Arc::default();
        let policy = ContentPolicy::default().with_capture(capture);
        let layer = Lines(Arc::clone(&lines), LogFields(policy));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), emit);
        lines.lock().unwrap().concat()
    }

    #[test]
    fn message_comes_first_and_texts_are_quoted() {
        let error: &(dyn Error + 'static) = &fmt::Error;
        let emit = || {
            tracing::info!(text = "a \"b\"", shown = %"c", count = 3, ratio = 1.0, ok = true, error, r#type = 1, "said {}", "d");
        };
        assert_eq!(
            line(true, emit),
            "said d text=\"a \\\"b\\\"\" shown=c count=3 ratio=1.0 ok=true error=an error occurred when formatting an \
             argument type=1"
        );
    }

    #[test]
    fn content_is_withheld_and_numbers_are_not() {
        let emit = || {
            tracing::info!(input = "secret", output = %"secret", text = ?"secret", tokens = 3, gen_ai.request.model = "m", other = "secret", "done");
        };
        assert_eq!(
            line(false, emit),
            "done tokens=3 gen_ai.request.model=\"m\""
        );
    }

    #[test]
    fn nothing_drives_a_terminal() {
        let hostile = "\u{1b}[2J\r\u{9b}\u{202e}";
        let emit = || tracing::info!(language = %hostile, "{hostile}");
        assert_eq!(
            line(false, emit),
            r"\u{1b}[2J\r\u{9b}\u{202e} language=\u{1b}[2J\r\u{9b}\u{202e}"
        );
    }
}
