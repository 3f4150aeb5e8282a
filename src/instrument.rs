//! Adapters that put a [`Future`] or a [`Stream`](futures_core::Stream) into a service span.
//!
//! A plain `.instrument(span)` ends with the function that made a stream, does not tell a dropped
//! future from a finished one, and knows nothing of first bytes. These adapters do:
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
//! let answer = chunks.traced_with(span, |chunk, seen| {
//!     seen.output(chunk.text);
//!     if let Some(tokens) = chunk.tokens {
//!         seen.usage(Usage::default().output_tokens(tokens));
//!     }
//! });
//! assert_eq!(answer.count().await, 2);
//! # }
//! ```
//!
//! What is recorded must be declared by the span, as the span macros do. Where nothing listens, an
//! adapter passes polls on after one comparison.

mod future;
mod observe;
#[doc(hidden)]
pub mod returned;
mod seen;
pub(crate) mod service;
mod stream;
mod usage;

pub use future::{TraceFuture, TracedFuture, TracedRequest};
pub use observe::{Anything, Observe, OkOf};
pub use seen::Seen;
pub use stream::{TraceStream, TracedStream};
pub use usage::Usage;
