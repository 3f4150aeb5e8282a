//! What a layer is told to do.

use crate::clock::ManualClock;
use crate::prices::Prices;
use crate::rules::Rules;
use std::time::Duration;
use tracing_core::LevelFilter;

/// What is one trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceMode {
    /// A conversation: its turns are children of its span.
    #[default]
    Conversation,
    /// A turn: the root of its own trace, linked to the span of its conversation.
    Turn,
}

#[derive(Clone, Debug)]
pub(crate) struct LayerSettings {
    pub(crate) turn_end_timeout: Duration,
    pub(crate) idle_limit: Duration,
    pub(crate) conversation_type: String,
    pub(crate) trace_mode: TraceMode,
    pub(crate) inherited: Vec<String>,
    /// Whether a conversation is a trace of its own that links to its caller, instead of continuing the caller's trace.
    pub(crate) links_to_caller: bool,
    pub(crate) prices: Option<Prices>,
    /// What the program's own names mean.
    pub(crate) rules: Rules,
    /// From which level upwards the layer is to have ordinary spans and events.
    pub(crate) level: LevelFilter,
    /// In place of the machine's clock.
    pub(crate) clock: Option<ManualClock>,
}

impl Default for LayerSettings {
    fn default() -> Self {
        Self {
            turn_end_timeout: Duration::from_millis(2_500),
            idle_limit: Duration::from_secs(60 * 60),
            conversation_type: "voice".to_owned(),
            trace_mode: TraceMode::default(),
            inherited: Vec::new(),
            links_to_caller: false,
            prices: None,
            rules: Rules::new(),
            level: LevelFilter::TRACE,
            clock: None,
        }
    }
}
