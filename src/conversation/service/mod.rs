//! Service spans: what they record, and what is derived from it. What is particular to a kind of service is in a file of
//! its own.

mod cost;
mod effects;
mod llm;
mod realtime;
mod record;
mod remote;
mod span;
mod stt;
mod tts;

pub(crate) use effects::Effects;
pub(crate) use record::{ServiceRecord, ServiceStart, exported_value};
pub(crate) use span::{NewService, ServiceSpan};
