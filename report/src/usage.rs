//! What services used, each token counted once.

use std::num::NonZeroUsize;

use lru::LruCache;
use serde::Serialize;

use crate::otlp::{Span, Value};

/// For how many spans that are still to come the usage of their descendants is remembered.
const AWAITED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// Sums; none where no span had such a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    pub(crate) input_tokens: Option<u64>,
    /// Part of the input tokens.
    pub(crate) cached_input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) characters: Option<u64>,
    pub(crate) audio_seconds: Option<f64>,
    pub(crate) cost_usd: Option<f64>,
    /// A service's price was not known.
    pub(crate) cost_is_partial: bool,
}

/// The figures that a span has, a bit each.
type Figures = u8;

impl Usage {
    /// What a service span says of itself, and how many of its figures cannot be used.
    pub(crate) fn of_service(span: &Span<'_>) -> (Self, u64) {
        Self::read(
            span,
            [
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.output_tokens",
                "metrics.character_count",
                "metrics.audio_seconds",
            ],
        )
    }

    /// What a conversation span sums up.
    pub(crate) fn of_conversation(span: &Span<'_>) -> (Self, u64) {
        Self::read(
            span,
            [
                "conversation.usage.input_tokens",
                // Not summed up by the layer; no attribute has an empty name.
                "",
                "conversation.usage.output_tokens",
                "conversation.usage.characters",
                "conversation.usage.audio_seconds",
            ],
        )
    }

    fn read(span: &Span<'_>, [input, cached, output, characters, audio]: [&str; 5]) -> (Self, u64) {
        let mut unusable = 0;
        let mut count = |key| {
            let value = span.get(key)?;
            let count = value.count();
            unusable += u64::from(count.is_none());
            count
        };
        let mut usage = Self {
            input_tokens: count(input),
            cached_input_tokens: count(cached),
            output_tokens: count(output),
            characters: count(characters),
            ..Self::default()
        };
        let mut amount = |key| {
            let value = span.get(key)?;
            let amount = value
                .number()
                .filter(|amount| (0.0..=crate::distribution::MOST).contains(amount));
            unusable += u64::from(amount.is_none());
            amount
        };
        usage.audio_seconds = amount(audio);
        usage.cost_usd = amount("usage.cost_usd");
        usage.cost_is_partial = span
            .get("usage.cost_is_partial")
            .and_then(Value::bool)
            .unwrap_or(false);
        (usage, unusable)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        fn sum<T: Copy>(total: &mut Option<T>, other: Option<T>, add: impl Fn(T, T) -> T) {
            if let Some(other) = other {
                *total = Some(total.map_or(other, |total| add(total, other)));
            }
        }
        sum(
            &mut self.input_tokens,
            other.input_tokens,
            u64::saturating_add,
        );
        sum(
            &mut self.cached_input_tokens,
            other.cached_input_tokens,
            u64::saturating_add,
        );
        sum(
            &mut self.output_tokens,
            other.output_tokens,
            u64::saturating_add,
        );
        sum(&mut self.characters, other.characters, u64::saturating_add);
        sum(&mut self.audio_seconds, other.audio_seconds, |a, b| a + b);
        sum(&mut self.cost_usd, other.cost_usd, |a, b| a + b);
        self.cost_is_partial |= other.cost_is_partial;
    }

    /// Each figure, or where there is none that of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.or(other.cached_input_tokens),
            output_tokens: self.output_tokens.or(other.output_tokens),
            characters: self.characters.or(other.characters),
            audio_seconds: self.audio_seconds.or(other.audio_seconds),
            cost_usd: self.cost_usd.or(other.cost_usd),
            cost_is_partial: self.cost_is_partial || other.cost_is_partial,
        }
    }

    fn figures(&self) -> Figures {
        [
            self.input_tokens.is_some(),
            self.cached_input_tokens.is_some(),
            self.output_tokens.is_some(),
            self.characters.is_some(),
            self.audio_seconds.is_some(),
            self.cost_usd.is_some(),
        ]
        .into_iter()
        .enumerate()
        .map(|(bit, has)| Figures::from(has) << bit)
        .sum()
    }

    fn without(self, figures: Figures) -> Self {
        fn unless<T>(figures: Figures, bit: u8, value: Option<T>) -> Option<T> {
            value.filter(|_| figures & (1 << bit) == 0)
        }
        Self {
            input_tokens: unless(figures, 0, self.input_tokens),
            cached_input_tokens: unless(figures, 1, self.cached_input_tokens),
            output_tokens: unless(figures, 2, self.output_tokens),
            characters: unless(figures, 3, self.characters),
            audio_seconds: unless(figures, 4, self.audio_seconds),
            cost_usd: unless(figures, 5, self.cost_usd),
            cost_is_partial: self.cost_is_partial,
        }
    }
}

/// Leaves out what a service reports as a total over services below it, as agents do over their requests.
///
/// A span is exported when it ends and so after those below it: what they used is noted for their parent, and handed up
/// from there through spans that are no services. Where a span comes before one below it, both count.
#[derive(Debug)]
pub(crate) struct Deduplication {
    below: LruCache<(u128, u64), Figures>,
}

impl Default for Deduplication {
    fn default() -> Self {
        Self {
            below: LruCache::new(AWAITED),
        }
    }
}

impl Deduplication {
    /// Of what the service `span` says it used, the part that no service below it has said. To be called for every span
    /// that may stand between two services, with nothing used.
    pub(crate) fn counted(&mut self, span: &Span<'_>, used: Usage) -> Usage {
        let (Some(trace), Some(id)) = (span.trace_id, span.span_id) else {
            return used;
        };
        let below = self.below.pop(&(trace, id)).unwrap_or(0);
        let figures = below | used.figures();
        if let Some(parent) = span.parent.filter(|_| figures != 0) {
            *self.below.get_or_insert_mut((trace, parent), || 0) |= figures;
        }
        used.without(below)
    }

    /// `span` is above all services: what was noted for it is of no use.
    pub(crate) fn forget(&mut self, span: &Span<'_>) {
        if let (Some(trace), Some(id)) = (span.trace_id, span.span_id) {
            self.below.pop(&(trace, id));
        }
    }
}
