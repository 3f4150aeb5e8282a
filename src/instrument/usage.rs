//! Token usage, as a provider reports it.

use tracing::Span;

use crate::names;

const KINDS: [&str; 8] = [
    names::GEN_AI_USAGE_INPUT_TOKENS,
    names::GEN_AI_USAGE_OUTPUT_TOKENS,
    names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
    names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS,
    names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
    names::GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
];

/// The token counts of one report. A kind that was not reported is not recorded, which differs from 0.
///
/// ```
/// use tracing_conversation::{instrument::Usage, llm_span};
///
/// let span = llm_span!();
/// Usage::default()
///     .input_tokens(120)
///     .cache_read_tokens(100)
///     .output_tokens(30)
///     .record(&span);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    tokens: [Option<u64>; KINDS.len()],
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $index:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $kind(mut self, tokens: impl Into<Option<u64>>) -> Self {
            self.tokens[$index] = tokens.into();
            self
        }
    )*};
}

impl Usage {
    kinds! {
        /// `gen_ai.usage.input_tokens`: the whole prompt, cached tokens included. Providers that report those
        /// separately (Anthropic) need them added.
        input_tokens 0;
        /// `gen_ai.usage.output_tokens`: the whole answer, reasoning included.
        output_tokens 1;
        /// `gen_ai.usage.cache_read.input_tokens`: prompt tokens read from a cache.
        cache_read_tokens 2;
        /// `gen_ai.usage.cache_creation.input_tokens`: prompt tokens written to a cache.
        cache_creation_tokens 3;
        /// `gen_ai.usage.reasoning.output_tokens`: answer tokens spent on reasoning.
        reasoning_tokens 4;
        /// `gen_ai.usage.audio.input_tokens`: audio tokens of the prompt.
        audio_input_tokens 5;
        /// `gen_ai.usage.audio.output_tokens`: audio tokens of the answer.
        audio_output_tokens 6;
        /// `gen_ai.usage.audio.cache_read.input_tokens`: audio tokens of the prompt read from a cache.
        audio_cache_read_tokens 7;
    }

    /// Records the reported kinds on `span`, which has to declare the fields.
    pub fn record(&self, span: &Span) {
        for (kind, tokens) in KINDS.iter().zip(&self.tokens) {
            if let Some(tokens) = tokens {
                span.record(*kind, *tokens);
            }
        }
    }

    /// Replaces the kinds that `later` reports; keeps the others.
    pub(super) fn replace(&mut self, later: &Self) {
        for (tokens, later) in self.tokens.iter_mut().zip(later.tokens) {
            *tokens = later.or(*tokens);
        }
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (tokens, more) in self.tokens.iter_mut().zip(more.tokens) {
            *tokens = match (*tokens, more) {
                (Some(tokens), Some(more)) => Some(tokens.saturating_add(more)),
                (tokens, more) => tokens.or(more),
            };
        }
    }
}
