//! Why usage has no cost.

use std::fmt;

/// Why usage has no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpriced {
    NoModel,
    NotListed,
    /// The model is billed by something that is not known here.
    BilledBy(&'static str),
    /// There is no price for what was used.
    NoPriceFor(&'static str),
    /// It is not known which of the tokens had which price.
    Unclear(&'static str),
}

impl fmt::Display for Unpriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModel => f.write_str("the service records no model"),
            Self::NotListed => f.write_str("the model has no price in the file"),
            Self::BilledBy(key) => write!(f, "the file has `{key}` for it, which is not supported"),
            Self::NoPriceFor(key) => write!(f, "the file has no `{key}` for it"),
            Self::Unclear(what) => f.write_str(what),
        }
    }
}
