//! What services use: tokens, characters, seconds of audio. Pure.

use crate::names;
use std::ops::AddAssign;

/// What a service used, as far as it recorded it; what it did not record is `None`.
///
/// Tokens are counted as in OpenTelemetry's GenAI conventions: those that were cached, that are audio or that were spent on
/// reasoning are part of [`input_tokens`](Self::input_tokens) or [`output_tokens`](Self::output_tokens).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Usage {
    /// `gen_ai.usage.input_tokens`.
    pub input_tokens: Option<u64>,
    /// `gen_ai.usage.output_tokens`.
    pub output_tokens: Option<u64>,
    /// Of the input, read from a cache: `gen_ai.usage.cache_read.input_tokens`.
    pub cache_read_input_tokens: Option<u64>,
    /// Of the input, written to a cache: `gen_ai.usage.cache_creation.input_tokens`.
    pub cache_creation_input_tokens: Option<u64>,
    /// Of the input, audio: `gen_ai.usage.audio.input_tokens`.
    pub audio_input_tokens: Option<u64>,
    /// Of the audio of the input, read from a cache: `gen_ai.usage.audio.cache_read.input_tokens`.
    pub audio_cache_read_input_tokens: Option<u64>,
    /// Of the output, audio: `gen_ai.usage.audio.output_tokens`.
    pub audio_output_tokens: Option<u64>,
    /// Of the output, spent on reasoning: `gen_ai.usage.reasoning.output_tokens`.
    pub reasoning_output_tokens: Option<u64>,
    /// Characters that were synthesized: `metrics.character_count`.
    pub characters: Option<u64>,
    /// Seconds of audio that were transcribed: `metrics.audio_seconds`.
    pub audio_seconds: Option<f64>,
}

/// Some of the figures of a [`Usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures(u16);

impl Figures {
    const AUDIO_SECONDS: Self = Self(1 << COUNTS);
    /// What that cost, which is no figure of a [`Usage`].
    pub(crate) const COST: Self = Self(1 << (COUNTS + 1));

    fn count(index: usize) -> Self {
        Self(1 << index)
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn others(self) -> Self {
        Self(!self.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How many figures are counts; one more is in seconds.
const COUNTS: usize = 9;

impl Usage {
    /// Returns whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.figures().is_empty()
    }

    /// Reads a usage from attributes: `count` and `seconds` return the value of one, if it has one.
    #[inline]
    pub(crate) fn read(
        count: impl Fn(&'static str) -> Option<u64>,
        seconds: impl Fn(&'static str) -> Option<f64>,
    ) -> Self {
        Self {
            input_tokens: count(names::GEN_AI_USAGE_INPUT_TOKENS),
            output_tokens: count(names::GEN_AI_USAGE_OUTPUT_TOKENS),
            cache_read_input_tokens: count(names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
            cache_creation_input_tokens: count(names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS),
            audio_input_tokens: count(names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS),
            audio_cache_read_input_tokens: count(names::GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS),
            audio_output_tokens: count(names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS),
            reasoning_output_tokens: count(names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
            characters: count(names::METRICS_CHARACTER_COUNT),
            audio_seconds: seconds(names::METRICS_AUDIO_SECONDS),
        }
    }

    fn counts(&self) -> [&Option<u64>; COUNTS] {
        [
            &self.input_tokens,
            &self.output_tokens,
            &self.cache_read_input_tokens,
            &self.cache_creation_input_tokens,
            &self.audio_input_tokens,
            &self.audio_cache_read_input_tokens,
            &self.audio_output_tokens,
            &self.reasoning_output_tokens,
            &self.characters,
        ]
    }

    fn counts_mut(&mut self) -> [&mut Option<u64>; COUNTS] {
        [
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.cache_read_input_tokens,
            &mut self.cache_creation_input_tokens,
            &mut self.audio_input_tokens,
            &mut self.audio_cache_read_input_tokens,
            &mut self.audio_output_tokens,
            &mut self.reasoning_output_tokens,
            &mut self.characters,
        ]
    }

    /// Returns which figures were recorded.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for (index, count) in self.counts().into_iter().enumerate() {
            if count.is_some() {
                figures = figures.and(Figures::count(index));
            }
        }
        if self.audio_seconds.is_some() {
            figures = figures.and(Figures::AUDIO_SECONDS);
        }
        figures
    }

    /// Returns the usage without some of its figures.
    pub(crate) fn without(mut self, figures: Figures) -> Self {
        for (index, count) in self.counts_mut().into_iter().enumerate() {
            count.take_if(|_| figures.contains(Figures::count(index)));
        }
        let seconds = &mut self.audio_seconds;
        seconds.take_if(|_| figures.contains(Figures::AUDIO_SECONDS));
        self
    }

    /// Returns some of its figures.
    pub(crate) fn only(self, figures: Figures) -> Self {
        self.without(figures.others())
    }

    /// Takes back what was added.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (own, other) in self.counts_mut().into_iter().zip(other.counts()) {
            if let (Some(own), Some(other)) = (own, other) {
                *own = own.saturating_sub(*other);
            }
        }
        if let (Some(own), Some(other)) = (&mut self.audio_seconds, other.audio_seconds) {
            *own = (*own - other).max(0.0);
        }
    }
}

impl AddAssign<&Self> for Usage {
    fn add_assign(&mut self, other: &Self) {
        for (own, other) in self.counts_mut().into_iter().zip(other.counts()) {
            if let Some(other) = other {
                *own = Some(own.unwrap_or(0).saturating_add(*other));
            }
        }
        if let Some(other) = other.audio_seconds {
            self.audio_seconds = Some(self.audio_seconds.unwrap_or(0.0) + other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: Option<u64>, characters: Option<u64>, seconds: Option<f64>) -> Usage {
        Usage {
            input_tokens: input,
            characters,
            audio_seconds: seconds,
            ..Usage::default()
        }
    }

    #[test]
    fn sums_have_the_figures_that_either_has() {
        let mut sum = Usage::default();
        assert!(sum.is_empty());
        sum += &usage(Some(3), None, Some(0.5));
        sum += &usage(Some(u64::MAX), Some(0), None);
        assert_eq!(sum, usage(Some(u64::MAX), Some(0), Some(0.5)));
        assert!(!sum.is_empty());
    }

    #[test]
    fn what_is_taken_out_or_back_leaves_the_rest() {
        let all = usage(Some(3), Some(7), Some(0.5));
        let told = usage(Some(1), None, Some(9.0)).figures();
        assert_eq!(all.without(told), usage(None, Some(7), None));
        let mut rest = all;
        rest.subtract(&usage(Some(1), Some(9), Some(0.25)));
        assert_eq!(rest, usage(Some(2), Some(0), Some(0.25)));
    }
}
