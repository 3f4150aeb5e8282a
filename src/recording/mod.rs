//! Spans of the layer as data, on their way from the layer to the exporter's processor.

mod context_span;
mod extras;
mod marks;
mod pending;
mod processor;
mod root_span;

pub(crate) use context_span::{ContextSpan, SpanTarget};
pub(crate) use extras::{SpanExtras, truncate};
pub(crate) use marks::{Identity, Marks};
pub(crate) use pending::{Decision, PendingTurn, Transcription, moved};
pub use processor::ConversationProcessor;
pub(crate) use root_span::{Ended, OwnedRoot, RootSpan};
