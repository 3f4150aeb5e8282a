//! Invariants of costs, for arbitrary usage and prices.

use super::rates::TokenRates;
use super::*;
use proptest::prelude::*;

/// Tokens by what each of them costs.
#[derive(Clone, Copy, Debug)]
struct Parts {
    text: u64,
    cached: u64,
    created: u64,
    audio: u64,
    output: u64,
    reasoning: u64,
    speech: u64,
}

impl Parts {
    fn usage(self) -> Usage {
        Usage {
            input_tokens: Some(self.text + self.cached + self.created + self.audio),
            output_tokens: Some(self.output + self.reasoning + self.speech),
            cache_read_input_tokens: Some(self.cached),
            cache_creation_input_tokens: Some(self.created),
            audio_input_tokens: Some(self.audio),
            audio_output_tokens: Some(self.speech),
            reasoning_output_tokens: Some(self.reasoning),
            ..Usage::default()
        }
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let count = || 0..100_000_u64;
    (
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
    )
        .prop_map(
            |(text, cached, created, audio, output, reasoning, speech)| Parts {
                text,
                cached,
                created,
                audio,
                output,
                reasoning,
                speech,
            },
        )
}

fn rate() -> impl Strategy<Value = f64> {
    (0..10_000_u32).prop_map(|rate| f64::from(rate) * 1e-8)
}

fn rates() -> impl Strategy<Value = TokenRates> {
    proptest::array::uniform8(rate()).prop_map(|rates| {
        let [
            input,
            output,
            cache_read,
            cache_creation,
            audio_input,
            audio_output,
            audio_cache_read,
            reasoning,
        ] = rates.map(Some);
        TokenRates {
            input,
            output,
            cache_read,
            cache_creation,
            audio_input,
            audio_output,
            audio_cache_read,
            reasoning,
        }
    })
}

fn entry(tokens: TokenRates) -> Entry {
    Entry {
        tokens,
        ..Entry::default()
    }
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let count = || proptest::option::of(prop_oneof![0..50_u64, any::<u64>()]);
    (
        proptest::array::uniform9(count()),
        proptest::option::of(any::<f64>()),
    )
        .prop_map(|(counts, audio_seconds)| {
            let [
                input,
                output,
                read,
                created,
                audio,
                audio_read,
                speech,
                reasoning,
                characters,
            ] = counts;
            Usage {
                input_tokens: input,
                output_tokens: output,
                cache_read_input_tokens: read,
                cache_creation_input_tokens: created,
                audio_input_tokens: audio,
                audio_cache_read_input_tokens: audio_read,
                audio_output_tokens: speech,
                reasoning_output_tokens: reasoning,
                characters,
                audio_seconds,
                ..Usage::default()
            }
        })
}

proptest! {
    #[test]
    fn cost_is_each_token_at_its_own_price(mut parts in parts(), rates in rates(), of_audio in any::<bool>()) {
        // Which cached tokens are audio is not recorded: one of the two it has to be.
        if of_audio { parts.cached = 0 } else { parts.audio = 0 }
        let each = [
            (parts.text, rates.input),
            (parts.cached, rates.cache_read),
            (parts.created, rates.cache_creation),
            (parts.audio, rates.audio_input),
            (parts.output, rates.output),
            (parts.reasoning, rates.reasoning),
            (parts.speech, rates.audio_output),
        ];
        let expected: f64 = each.iter().map(|(count, rate)| *count as f64 * rate.unwrap()).sum();
        let cost = entry(rates).cost(&parts.usage());
        prop_assert!(is_near(cost.unwrap(), expected), "{cost:?} is not {expected}");
    }

    #[test]
    fn cached_tokens_and_audio_have_a_cost_only_if_it_is_the_same_however_they_overlap(
        parts in parts(), rates in rates(), audio_read in 0.0..1.0_f64,
    ) {
        let usage = parts.usage();
        let most = parts.cached.min(parts.audio);
        let least = 0;
        let at = |read: u64| {
            // So many cached tokens are audio, and so many more of the input are text.
            let (text, cached, audio) = (parts.text + read, parts.cached - read, parts.audio - read);
            let rate = |rate: Option<f64>| rate.unwrap();
            text as f64 * rate(rates.input) + cached as f64 * rate(rates.cache_read)
                + audio as f64 * rate(rates.audio_input) + read as f64 * rate(rates.audio_cache_read)
                + parts.created as f64 * rate(rates.cache_creation)
        };
        let output = Usage { output_tokens: usage.output_tokens, audio_output_tokens: usage.audio_output_tokens,
            reasoning_output_tokens: usage.reasoning_output_tokens, ..Usage::default() };
        let output = entry(rates).cost(&output).unwrap();
        match entry(rates).cost(&usage) {
            Ok(cost) => {
                let read = (most as f64 * audio_read) as u64;
                prop_assert!(is_near(cost, at(read) + output), "{cost} is not {}", at(read) + output);
            }
            Err(unpriced) => {
                prop_assert!(matches!(unpriced, Unpriced::Unclear(_)), "{unpriced:?}");
                prop_assert!(at(least) != at(most));
                let read = (most as f64 * audio_read) as u64;
                let told = Usage { audio_cache_read_input_tokens: Some(read), ..usage };
                prop_assert!(is_near(entry(rates).cost(&told).unwrap(), at(read) + output));
                let too_many = Usage { audio_cache_read_input_tokens: Some(most + 1), ..usage };
                prop_assert!(entry(rates).cost(&too_many).is_err());
            }
        }
    }

    #[test]
    fn missing_price_is_missed_only_where_it_is_needed(parts in parts(), rates in rates(), missing in 0..3) {
        let mut parts = Parts { cached: 0, ..parts };
        let mut rates = rates;
        let (count, rate) = match missing {
            0 => (&mut parts.text, &mut rates.input),
            1 => (&mut parts.audio, &mut rates.audio_input),
            _ => (&mut parts.speech, &mut rates.audio_output),
        };
        *rate = None;
        *count += 1;
        let needed = entry(rates).cost(&parts.usage());
        prop_assert!(matches!(needed, Err(Unpriced::NoPriceFor(_))), "{needed:?}");
        match missing {
            // What is written to a cache is billed as input where it has no price.
            0 => parts.text = 0,
            1 => parts.audio = 0,
            _ => parts.speech = 0,
        }
        prop_assert!(entry(rates).cost(&parts.usage()).is_ok());
    }

    #[test]
    fn any_usage_has_a_cost_from_0_upwards_or_none(usage in any_usage(), rates in rates(), by in any::<[bool; 3]>()) {
        let entry = Entry {
            tokens: if by[0] { rates } else { TokenRates::default() },
            tiers: vec![(10.0, rates)],
            character: by[1].then_some(1e-5),
            second: by[2].then_some(1e-4),
            ..Entry::default()
        };
        if let Ok(cost) = entry.cost(&usage) {
            prop_assert!(cost >= 0.0, "{cost}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_with_its_position(text in "[\\{\\}\\[\\]\",:0-9a-z_ \\n-]{0,60}") {
        if let Err(error) = Prices::from_json(&text) {
            prop_assert!(error.to_string().starts_with("prices cannot be read: line "), "{error}");
        }
    }
}
