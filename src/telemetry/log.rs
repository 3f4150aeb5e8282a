//! The log of a program whose registry this crate sets up: standard error, in `fmt`'s form.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt as _, filter_fn},
    registry::LookupSpan,
};

use super::log_fields::LogFields;
use crate::{
    ContentPolicy,
    environment::{SetupError, Variables},
    event::is_boundary,
};

/// What is logged, from `RUST_LOG`.
pub(super) struct Log {
    filter: EnvFilter,
    /// Nobody has asked for anything: boundary events, which a trace shows better, would drown what is worth reading.
    brief: bool,
}

impl Log {
    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, SetupError> {
        const NAME: &str = "RUST_LOG";
        let Some(value) = variables.get(NAME)? else {
            return Ok(Self {
                filter: EnvFilter::new("info"),
                brief: true,
            });
        };
        let filter = EnvFilter::builder().parse(&value).map_err(|_| {
            let allowed = "levels and targets such as info or warn,my_crate=debug";
            SetupError::variable(NAME, &value, allowed)
        })?;
        Ok(Self {
            filter,
            brief: false,
        })
    }

    /// The layer that logs. Where content is not to leave the process, fields that carry it are not logged either. No
    /// character of a value drives the terminal.
    pub(super) fn layer<S>(self, content: &ContentPolicy) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && !no_color)
            // Its complaint about a closed standard error would go there, and panic.
            .log_internal_errors(false);
        let brief = self.brief;
        let filter = self
            .filter
            .and(filter_fn(move |callsite| !(brief && is_boundary(callsite))));
        layer
            .fmt_fields(LogFields(content.clone()))
            .with_filter(filter)
            .boxed()
    }
}
