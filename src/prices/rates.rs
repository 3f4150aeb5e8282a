//! The prices of one model, and what usage costs at them.

use super::unpriced::Unpriced;
use crate::usage::Usage;

/// The prices of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// `litellm_provider`.
    pub(super) provider: Option<Box<str>>,
    pub(super) tokens: TokenRates,
    /// What the rates are from more than so many input tokens on, in ascending order. A rate that is absent is that of
    /// [`tokens`](Self::tokens).
    pub(super) tiers: Vec<(f64, TokenRates)>,
    /// US dollars a character.
    pub(super) character: Option<f64>,
    /// US dollars a second of audio.
    pub(super) second: Option<f64>,
    /// Something else that the model is billed by.
    pub(super) billed_by: Option<&'static str>,
}

/// US dollars a token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TokenRates {
    pub(super) input: Option<f64>,
    pub(super) output: Option<f64>,
    pub(super) cache_read: Option<f64>,
    pub(super) cache_creation: Option<f64>,
    pub(super) audio_input: Option<f64>,
    pub(super) audio_output: Option<f64>,
    pub(super) audio_cache_read: Option<f64>,
    pub(super) reasoning: Option<f64>,
}

impl TokenRates {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each rate, or where there is none that of `base`.
    fn or(self, base: Self) -> Self {
        Self {
            input: self.input.or(base.input),
            output: self.output.or(base.output),
            cache_read: self.cache_read.or(base.cache_read),
            cache_creation: self.cache_creation.or(base.cache_creation),
            audio_input: self.audio_input.or(base.audio_input),
            audio_output: self.audio_output.or(base.audio_output),
            audio_cache_read: self.audio_cache_read.or(base.audio_cache_read),
            reasoning: self.reasoning.or(base.reasoning),
        }
    }
}

impl Entry {
    /// Whether it says what anything costs, or why that cannot be known.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.tiers.is_empty()
            && self.character.is_none()
            && self.second.is_none()
            && self.billed_by.is_none()
    }

    /// What `usage` cost in US dollars: by tokens, else by characters, else by seconds; the first that the service recorded
    /// and the model is billed by.
    pub(super) fn cost(&self, usage: &Usage) -> Result<f64, Unpriced> {
        if let Some(key) = self.billed_by {
            return Err(Unpriced::BilledBy(key));
        }
        let used_tokens = has_tokens(usage);
        let characters = usage.characters.filter(|count| *count > 0);
        let seconds = usage.audio_seconds;
        let seconds = seconds.filter(|seconds| *seconds > 0.0 && seconds.is_finite());
        if used_tokens && !(self.tokens.is_empty() && self.tiers.is_empty()) {
            return self.rates(usage).cost(usage);
        }
        match (characters, self.character, seconds, self.second) {
            (Some(characters), Some(rate), ..) => Ok(characters as f64 * rate),
            (.., Some(seconds), Some(rate)) => Ok(seconds * rate),
            _ if used_tokens => Err(Unpriced::NoPriceFor("input_cost_per_token")),
            (Some(_), ..) => Err(Unpriced::NoPriceFor("input_cost_per_character")),
            (.., Some(_), None) => Err(Unpriced::NoPriceFor("input_cost_per_second")),
            _ => Ok(0.0),
        }
    }

    fn rates(&self, usage: &Usage) -> TokenRates {
        let input = usage.input_tokens.unwrap_or(0) as f64;
        let mut tiers = self.tiers.iter().rev();
        match tiers.find(|(above, _)| input > *above) {
            Some((_, rates)) => rates.or(self.tokens),
            None => self.tokens,
        }
    }
}

fn has_tokens(usage: &Usage) -> bool {
    let tokens = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.audio_input_tokens,
        usage.audio_cache_read_input_tokens,
        usage.audio_output_tokens,
        usage.reasoning_output_tokens,
    ];
    tokens.into_iter().flatten().any(|count| count > 0)
}

/// Adds up counts at their rates.
#[derive(Default)]
struct Bill(f64);

impl Bill {
    /// Adds `count` at `rate`, which is under `key` in the file.
    fn add(mut self, count: u64, rate: Option<f64>, key: &'static str) -> Result<Self, Unpriced> {
        if count > 0 {
            self.0 += count as f64 * rate.ok_or(Unpriced::NoPriceFor(key))?;
        }
        Ok(self)
    }
}

impl TokenRates {
    fn cost(&self, usage: &Usage) -> Result<f64, Unpriced> {
        Ok(self.input_cost(usage)? + self.output_cost(usage)?)
    }

    fn input_cost(&self, usage: &Usage) -> Result<f64, Unpriced> {
        const INCONSISTENT: Unpriced = Unpriced::Unclear(
            "gen_ai.usage.input_tokens is smaller than what it consists of: it has to include cached and audio tokens",
        );
        let input = usage.input_tokens.unwrap_or(0);
        let read = usage.cache_read_input_tokens.unwrap_or(0);
        let created = usage.cache_creation_input_tokens.unwrap_or(0);
        let audio = usage.audio_input_tokens.unwrap_or(0);
        // Cached audio is part of both. Where it is not recorded, at least and at most so much of it there was.
        let all = u128::from(read) + u128::from(created) + u128::from(audio);
        let least = u64::try_from(all.saturating_sub(u128::from(input))).unwrap_or(u64::MAX);
        let most = read.min(audio);
        let (least, most) = match usage.audio_cache_read_input_tokens {
            Some(recorded) if least <= recorded && recorded <= most => (recorded, recorded),
            None if least <= most => (least, most),
            _ => return Err(INCONSISTENT),
        };
        let cost = |audio_read: u64| {
            let text = u128::from(input) + u128::from(audio_read) - all;
            let text = u64::try_from(text).unwrap_or(u64::MAX);
            let bill = Bill::default()
                .add(text, self.input, "input_cost_per_token")?
                .add(
                    read - audio_read,
                    // What has no price of its own is billed like any other input.
                    self.cache_read.or(self.input),
                    "cache_read_input_token_cost",
                )?
                .add(
                    created,
                    self.cache_creation.or(self.input),
                    "cache_creation_input_token_cost",
                )?
                .add(
                    audio - audio_read,
                    self.audio_input,
                    "input_cost_per_audio_token",
                )?
                .add(
                    audio_read,
                    self.audio_cache_read,
                    "cache_read_input_audio_token_cost",
                )?;
            Ok(bill.0)
        };
        let (cost, other) = (cost(least)?, cost(most)?);
        if (cost - other).abs() > cost.max(other) * 1e-9 {
            return Err(Unpriced::Unclear(
                "which of its cached tokens are audio is not recorded as gen_ai.usage.audio.cache_read.input_tokens",
            ));
        }
        Ok(cost)
    }

    fn output_cost(&self, usage: &Usage) -> Result<f64, Unpriced> {
        const INCONSISTENT: Unpriced = Unpriced::Unclear(
            "gen_ai.usage.output_tokens is smaller than what it consists of: it has to include reasoning and audio tokens",
        );
        let output = usage.output_tokens.unwrap_or(0);
        let audio = usage.audio_output_tokens.unwrap_or(0);
        let reasoning = usage.reasoning_output_tokens.unwrap_or(0);
        let text = output
            .checked_sub(audio)
            .and_then(|rest| rest.checked_sub(reasoning))
            .ok_or(INCONSISTENT)?;
        let bill = Bill::default()
            .add(text, self.output, "output_cost_per_token")?
            .add(
                reasoning,
                self.reasoning.or(self.output),
                "output_cost_per_reasoning_token",
            )?
            .add(audio, self.audio_output, "output_cost_per_audio_token")?;
        Ok(bill.0)
    }
}
