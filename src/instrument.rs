//! Adapters that run a [`Future`] or a [`Stream`](futures_core::Stream) inside a service span.
//!
//! A plain `.instrument(span)` ends when the function that creates a stream returns, does not distinguish a
//! dropped future from a completed one, and does not mark the first byte. These adapters handle all three:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use futures_util::{StreamExt, stream};
//! use tracing_conversation::instrument::{TraceStream, Usage};
//! use tracing_conversation::llm_span;
//!
//! struct Chunk { text: &'static str, tokens: Option<u64> }
//! let chunks = stream::iter([
//!     Chunk { text: "It is", tokens: None },
//!     Chunk { text: " sunny.", tokens: Some(4) },
//! ]);
//!
//! let span = llm_span!(gen_ai.provider.name = "openai", gen_ai.request.model = "gpt-4o");
//! let answer = chunks.traced_with(span, |chunk, recorder| {
//!     recorder.output(chunk.text);
//!     if let Some(tokens) = chunk.tokens {
//!         recorder.usage(Usage::default().output_tokens(tokens));
//!     }
//! });
//! assert_eq!(answer.count().await, 2);
//! # }
//! ```
//!
//! Recorded fields must be declared by the span, as the span macros do. If the span is disabled, an adapter
//! adds one comparison to each poll.

mod future;
mod record_item;
mod recorder;
#[doc(hidden)]
pub mod returned;
pub(crate) mod service_guard;
mod stream;
mod usage;

pub use future::{TraceFuture, TracedFuture, TracedRequest};
pub use record_item::{RecordItem, RecordNothing, RecordOk};
pub use recorder::Recorder;
pub use stream::{TraceStream, TracedStream};
pub use usage::Usage;
