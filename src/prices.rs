//! What services cost: the prices of models, and the cost of one service's usage. Pure, but for reading the file.
//!
//! Prices come from a JSON file in the format of LiteLLM's `model_prices_and_context_window.json`. How a model is looked up
//! and what its price covers stands in [docs/prices.md]. A price is never guessed: where the file does not say what some of
//! the usage costs, the whole has no cost.
//!
//! ```
//! use tracing_conversation::prices::Prices;
//!
//! let prices = Prices::from_json(
//!     r#"{
//!         "gpt-4o-mini": {
//!             "litellm_provider": "openai",
//!             "input_cost_per_token": 1.5e-07,
//!             "output_cost_per_token": 6e-07
//!         },
//!         "cartesia/sonic-2": { "input_cost_per_character": 3e-05 }
//!     }"#,
//! )?;
//! assert_eq!(prices.len(), 2);
//!
//! let error = Prices::from_json("{\n  \"sonic-2\": { \"input_cost_per_character\": \"free\" }\n}").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "prices cannot be read: line 2, column 49: invalid type: string \"free\", expected a number of US dollars from 0 \
//!      upwards as `input_cost_per_character` of `sonic-2`"
//! );
//! # Ok::<(), tracing_conversation::prices::PricesError>(())
//! ```
//!
//! [docs/prices.md]: https://github.com/tracing-conversation/tracing-conversation/blob/main/docs/prices.md

mod file;
mod provider;
mod rates;
mod unpriced;

use crate::usage::Usage;
use provider::ProviderNames;
use rates::Entry;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub(crate) use unpriced::Unpriced;

/// The prices of models, by the names that providers have for them. Cheap to clone.
///
/// Set with [`LayerBuilder::prices`](crate::LayerBuilder::prices), `Builder::prices` or the variable
/// `CONVERSATION_PRICES`. Service, turn and conversation spans then carry `usage.cost_usd`.
#[derive(Clone, Default)]
pub struct Prices(Arc<HashMap<Box<str>, Entry>>);

/// What a service cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Cost {
    /// It used nothing, or nobody asks.
    #[default]
    None,
    /// US dollars.
    Usd(f64),
    /// It used something that has no price.
    Unknown,
}

/// A service as far as its price depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PricedService<'a> {
    /// `gen_ai.provider.name`.
    pub(crate) provider: Option<&'a str>,
    /// `gen_ai.request.model`.
    pub(crate) request_model: Option<&'a str>,
    /// `gen_ai.response.model`.
    pub(crate) response_model: Option<&'a str>,
}

impl Prices {
    /// Reads prices from JSON text in the format of LiteLLM's `model_prices_and_context_window.json`.
    ///
    /// # Errors
    ///
    /// The text is not JSON, or a price is not a number of US dollars from 0 upwards; with line and column.
    pub fn from_json(json: &str) -> Result<Self, PricesError> {
        match file::read(json) {
            Ok(entries) => Ok(Self(Arc::new(entries))),
            Err(problem) => Err(PricesError {
                path: None,
                problem,
            }),
        }
    }

    /// Reads prices from a file, as [`from_json`](Self::from_json) does from text.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or those of [`from_json`](Self::from_json); with the path.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, PricesError> {
        let path = path.as_ref();
        let read = || {
            // A pipe or a device could block or never end.
            if std::fs::metadata(path)?.is_file() {
                std::fs::read_to_string(path)
            } else {
                Err(std::io::Error::other("it is no regular file"))
            }
        };
        let result = match read() {
            Ok(json) => Self::from_json(&json),
            Err(error) => Err(PricesError {
                path: None,
                problem: error.to_string(),
            }),
        };
        result.map_err(|error| PricesError {
            path: Some(path.to_owned()),
            ..error
        })
    }

    /// Adds the prices of `more`, which stand in front of those that are there: for what a public list does not have, or
    /// what a contract of one's own says.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        let more = Arc::unwrap_or_clone(more.0);
        Arc::make_mut(&mut self.0).extend(more);
        self
    }

    /// How many models have a price.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no model has a price.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `usage` of a service cost in US dollars; `None` if nothing was used.
    pub(crate) fn cost(
        &self,
        service: PricedService<'_>,
        usage: &Usage,
    ) -> Result<Option<f64>, Unpriced> {
        if usage.is_empty() {
            return Ok(None);
        }
        let models = [service.request_model, service.response_model];
        let mut models = models.into_iter().flatten().peekable();
        if models.peek().is_none() {
            return Err(Unpriced::NoModel);
        }
        let provider = service.provider.map(ProviderNames::of);
        let entry = models.find_map(|model| self.entry(provider.as_ref(), model));
        entry.ok_or(Unpriced::NotListed)?.cost(usage).map(Some)
    }

    fn entry(&self, provider: Option<&ProviderNames<'_>>, model: &str) -> Option<&Entry> {
        let Some(provider) = provider else {
            return self.0.get(model);
        };
        let prefixed = |model: &str| {
            let mut keys = provider.iter().map(|name| format!("{name}/{model}"));
            keys.find_map(|key| self.0.get(key.as_str()))
        };
        let bare = |model: &str| {
            let entry = self.0.get(model)?;
            let listed = entry.provider.as_deref();
            listed
                .is_none_or(|listed| provider.is(listed))
                .then_some(entry)
        };
        let of = |model: &str| prefixed(model).or_else(|| bare(model));
        of(model).or_else(|| of(provider.strip_from(model)?))
    }
}

/// The provider and the models, as they are recorded.
impl fmt::Display for PricedService<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.request_model, self.response_model) {
            (Some(model), Some(answered)) if model != answered => {
                write!(f, "{model:?} ({answered:?})")?;
            }
            (Some(model), _) | (None, Some(model)) => write!(f, "{model:?}")?,
            (None, None) => f.write_str("a service")?,
        }
        match self.provider {
            Some(provider) => write!(f, " of {provider:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prices")
            .field("models", &self.len())
            .finish()
    }
}

/// Why prices cannot be read. One line that names the file, the position, what is wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricesError {
    path: Option<PathBuf>,
    problem: String,
}

impl PricesError {
    /// What is wrong, without the path.
    #[cfg(feature = "setup")]
    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for PricesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("prices cannot be read")?;
        if let Some(path) = &self.path {
            write!(f, " from {}", path.display())?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for PricesError {}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
