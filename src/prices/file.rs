//! Reads a file of prices, and says where it is wrong.

use super::rates::{Entry, TokenRates};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use std::collections::HashMap;
use std::fmt;

/// An entry that describes the others.
const SAMPLE: &str = "sample_spec";

/// The models of a file by their names in it, without those that have no price for text or speech. What is wrong comes with
/// its line and column.
pub(super) fn read(json: &str) -> Result<HashMap<Box<str>, Entry>, String> {
    serde_json::from_str(json)
        .map(|Models(models)| models)
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let text = error.to_string();
            let problem = text
                .strip_suffix(&format!(" at line {line} column {column}"))
                .unwrap_or(&text);
            format!("line {line}, column {column}: {problem}")
        })
}

struct Models(HashMap<Box<str>, Entry>);

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelsVisitor)
    }
}

struct ModelsVisitor;

impl<'de> Visitor<'de> for ModelsVisitor {
    type Value = Models;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an object of prices for each model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Models, A::Error> {
        let mut models = HashMap::new();
        while let Some(model) = map.next_key::<Box<str>>()? {
            if &*model == SAMPLE {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry = map.next_value_seed(EntrySeed(&model))?;
            if !entry.is_empty() {
                models.insert(model, entry);
            }
        }
        Ok(Models(models))
    }
}

/// The prices of the model of this name.
struct EntrySeed<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the prices of `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let model = self.0;
        let mut entry = Entry::default();
        let mut cache_hit = None;
        let mut above: Vec<(f64, TokenRates)> = Vec::new();
        let mut tiers = None;
        while let Some(key) = map.next_key::<Box<str>>()? {
            let price = PriceSeed { model, key: &key };
            if let Some((field, threshold)) = token_rate(&key) {
                let rate = map.next_value_seed(price)?;
                let rates = match threshold {
                    None => &mut entry.tokens,
                    Some(threshold) => tier(&mut above, threshold),
                };
                *field(rates) = rate;
                continue;
            }
            match &*key {
                "litellm_provider" => entry.provider = map.next_value()?,
                // The name that some entries have for `cache_read_input_token_cost`.
                "input_cost_per_token_cache_hit" => cache_hit = map.next_value_seed(price)?,
                "input_cost_per_character" => entry.character = map.next_value_seed(price)?,
                // Either, or both with the same price: audio is billed once.
                "input_cost_per_second" | "output_cost_per_second" => {
                    let second = map.next_value_seed(price)?;
                    entry.second = entry.second.into_iter().chain(second).reduce(f64::max);
                }
                "tiered_pricing" => tiers = map.next_value_seed(TiersSeed(model))?,
                _ => match UNSUPPORTED.iter().find(|name| **name == &*key) {
                    Some(name) => {
                        let OtherPrice(is_billed) = map.next_value()?;
                        if is_billed {
                            entry.billed_by = Some(name);
                        }
                    }
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        entry.tokens.cache_read = entry.tokens.cache_read.or(cache_hit);
        entry.tiers = tiers.unwrap_or(above);
        entry.tiers.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(entry)
    }
}

/// What a model may be billed by besides tokens, characters and seconds, or what makes its price depend on more than that.
const UNSUPPORTED: [&str; 4] = [
    "citation_cost_per_token",
    "input_cost_per_request",
    "input_cost_per_text_message",
    "off_peak_pricing",
];

type Field = fn(&mut TokenRates) -> &mut Option<f64>;

const TOKEN_RATES: [(&str, Field); 8] = [
    ("input_cost_per_token", |rates| &mut rates.input),
    ("output_cost_per_token", |rates| &mut rates.output),
    ("cache_read_input_token_cost", |rates| &mut rates.cache_read),
    ("cache_creation_input_token_cost", |rates| {
        &mut rates.cache_creation
    }),
    ("input_cost_per_audio_token", |rates| &mut rates.audio_input),
    ("output_cost_per_audio_token", |rates| {
        &mut rates.audio_output
    }),
    ("cache_read_input_audio_token_cost", |rates| {
        &mut rates.audio_cache_read
    }),
    ("output_cost_per_reasoning_token", |rates| {
        &mut rates.reasoning
    }),
];

/// The rate that a key is of, and above how many input tokens it holds: `input_cost_per_token_above_128k_tokens`.
///
/// Other endings are of batches, faster and slower processing, and caches that are kept for longer.
fn token_rate(key: &str) -> Option<(Field, Option<f64>)> {
    TOKEN_RATES.iter().find_map(|(name, field)| {
        let ending = key.strip_prefix(name)?;
        if ending.is_empty() {
            return Some((*field, None));
        }
        let number = ending.strip_prefix("_above_")?.strip_suffix("_tokens")?;
        let (number, scale) = match number.strip_suffix('k') {
            Some(thousands) => (thousands, 1e3),
            None => (number, 1.0),
        };
        let number: u32 = number.parse().ok()?;
        Some((*field, Some(f64::from(number) * scale)))
    })
}

/// The rates above a threshold, which are added if there are none.
fn tier(tiers: &mut Vec<(f64, TokenRates)>, threshold: f64) -> &mut TokenRates {
    let at = tiers.iter().position(|(above, _)| *above == threshold);
    let at = at.unwrap_or_else(|| {
        tiers.push((threshold, TokenRates::default()));
        tiers.len() - 1
    });
    &mut tiers[at].1
}

/// A price, or `null` for none.
struct PriceSeed<'a> {
    model: &'a str,
    key: &'a str,
}

impl<'de> DeserializeSeed<'de> for PriceSeed<'_> {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<f64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for PriceSeed<'_> {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, key } = self;
        write!(
            f,
            "a number of US dollars from 0 upwards as `{key}` of `{model}`"
        )
    }

    fn visit_f64<E: Error>(self, price: f64) -> Result<Option<f64>, E> {
        if price >= 0.0 {
            Ok(Some(price))
        } else {
            Err(E::invalid_value(Unexpected::Float(price), &self))
        }
    }

    fn visit_u64<E: Error>(self, price: u64) -> Result<Option<f64>, E> {
        Ok(Some(price as f64))
    }

    fn visit_i64<E: Error>(self, price: i64) -> Result<Option<f64>, E> {
        Err(E::invalid_value(Unexpected::Signed(price), &self))
    }

    fn visit_unit<E: Error>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }
}

/// `tiered_pricing` of the model of this name: `[{ "range": [0, 32000], "input_cost_per_token": … }, …]`.
struct TiersSeed<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for TiersSeed<'_> {
    type Value = Option<Vec<(f64, TokenRates)>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TiersSeed<'_> {
    type Value = Option<Vec<(f64, TokenRates)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of objects as `tiered_pricing` of `{}`", self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut tiers = Vec::new();
        while let Some(tier) = list.next_element_seed(TierSeed(self.0))? {
            tiers.extend(tier);
        }
        Ok(Some(tiers))
    }
}

/// One of them; `None` if it is not for a range of tokens.
struct TierSeed<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for TierSeed<'_> {
    type Value = Option<(f64, TokenRates)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TierSeed<'_> {
    type Value = Option<(f64, TokenRates)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `range` and prices of `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rates = TokenRates::default();
        let mut above = None;
        while let Some(key) = map.next_key::<Box<str>>()? {
            let price = PriceSeed {
                model: self.0,
                key: &key,
            };
            match (token_rate(&key), &*key) {
                (Some((field, None)), _) => *field(&mut rates) = map.next_value_seed(price)?,
                (_, "range") => above = Some(map.next_value::<(f64, f64)>()?.0),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(above.map(|above| (above, rates)))
    }
}

/// Whether a price that is not supported is one: not absent, and not zero.
struct OtherPrice(bool);

impl<'de> Deserialize<'de> for OtherPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(!value.is_null() && value.as_f64() != Some(0.0)))
    }
}
