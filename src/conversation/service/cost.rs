//! What a service cost, by what it has recorded.

use crate::attribute_list::AttributeList;
use crate::conversation::Shared;
use crate::names;
use crate::prices::{Cost, PricedService, Prices};
use crate::usage::Usage;
use opentelemetry::Value;

/// What a service cost that has used `usage`, if there are prices.
#[inline]
pub(super) fn cost(shared: &Shared, usage: &Usage, attributes: &AttributeList) -> Cost {
    match &shared.settings.prices {
        Some(prices) => cost_at(prices, shared, usage, attributes),
        None => Cost::None,
    }
}

#[inline(never)]
fn cost_at(prices: &Prices, shared: &Shared, usage: &Usage, attributes: &AttributeList) -> Cost {
    // Its provider knows better.
    let recorded = match attributes.get(names::USAGE_COST_USD) {
        Some(Value::F64(cost)) => Some(*cost),
        Some(Value::I64(cost)) => Some(*cost as f64),
        _ => None,
    };
    if let Some(cost) = recorded.filter(|cost| cost.is_finite() && *cost >= 0.0) {
        return Cost::Usd(cost);
    }
    let name = |key| match attributes.get(key)? {
        Value::String(name) => Some(name.as_str()),
        _ => None,
    };
    let service = PricedService {
        provider: name(names::GEN_AI_PROVIDER_NAME),
        request_model: name(names::GEN_AI_REQUEST_MODEL),
        response_model: name(names::GEN_AI_RESPONSE_MODEL),
    };
    match prices.cost(service, usage) {
        Ok(Some(cost)) => Cost::Usd(cost),
        Ok(None) => Cost::None,
        Err(unpriced) => {
            shared.warn_of_unknown_cost(service, unpriced);
            Cost::Unknown
        }
    }
}
