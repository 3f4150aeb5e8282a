//! Which spans and events reach the layer.

use crate::names;
use crate::rules::Rules;
use std::sync::Arc;
use tracing_core::{Interest, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// A level for the program's ordinary spans and events; whatever is addressed to the layer passes at any level.
#[derive(Debug, Clone)]
pub(crate) struct ConversationFilter {
    level: LevelFilter,
    /// False if there is no destination: then nothing is worth a span.
    active: bool,
    /// What they may match passes at any level too, and the spans that they look at above that.
    rules: Arc<Rules>,
}

impl ConversationFilter {
    pub(crate) fn new(level: LevelFilter, active: bool, rules: Rules) -> Self {
        Self {
            level,
            active,
            rules: Arc::new(rules),
        }
    }

    /// From where upwards ordinary spans and events pass.
    #[cfg(feature = "setup")]
    pub(crate) fn level(&self) -> LevelFilter {
        self.level
    }

    fn wants(&self, callsite: &Metadata<'_>) -> bool {
        let addressed = || {
            [
                names::CONVERSATION_EVENT,
                names::CONVERSATION_ID,
                names::GEN_AI_OPERATION_NAME,
            ]
            .iter()
            .any(|field| callsite.fields().field(field).is_some())
        };
        self.active
            && (*callsite.level() <= self.level || addressed() || self.rules.concern(callsite))
    }
}

impl<S: Subscriber> Filter<S> for ConversationFilter {
    fn enabled(&self, callsite: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.wants(callsite)
    }

    fn callsite_enabled(&self, callsite: &'static Metadata<'static>) -> Interest {
        if self.wants(callsite) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Any level may carry a boundary event, and each callsite is asked only once.
        Some(if self.active {
            LevelFilter::TRACE
        } else {
            LevelFilter::OFF
        })
    }
}
