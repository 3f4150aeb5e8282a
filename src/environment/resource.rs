//! What the program is: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};
use percent_encoding::percent_decode_str;

use super::{SetupError, Variables};

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const NAME: &str = "OTEL_SERVICE_NAME";
const SERVICE_NAME: &str = "service.name";

pub(super) fn read(variables: &Variables<'_>) -> Result<Resource, SetupError> {
    let mut attributes = Vec::new();
    if let Some(pairs) = variables.get(ATTRIBUTES)? {
        for (number, pair) in pairs.split(',').enumerate() {
            if pair.trim().is_empty() {
                continue;
            }
            let (key, value) = key_and_value(pair).ok_or_else(|| {
                // Not shown: among the attributes may be what others are not to read.
                let allowed = format!(
                    "key=value,key=value with percent-encoded values; entry {} is none",
                    number + 1
                );
                SetupError::variable(ATTRIBUTES, "…", allowed)
            })?;
            attributes.push(KeyValue::new(key, value));
        }
    }
    let is_among_attributes = attributes
        .iter()
        .any(|pair| pair.key.as_str() == SERVICE_NAME);
    if let Some(name) = variables.without_defaults().get(NAME)? {
        attributes.push(KeyValue::new(SERVICE_NAME, name));
    } else if !is_among_attributes {
        let name = variables.get(NAME)?.unwrap_or_else(unknown_service);
        attributes.push(KeyValue::new(SERVICE_NAME, name));
    }
    Ok(Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        // Later ones win, which gives the variable for the name its rank.
        .with_attributes(attributes)
        .build())
}

/// `key=value`, percent-decoded; none if it is no such pair.
pub(super) fn key_and_value(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (decode(key.trim())?, decode(value.trim())?);
    (!key.is_empty()).then_some((key, value))
}

/// Undoes percent-encoding; none if what comes out is no text. A lone percent sign stands for itself.
fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// What the conventions prescribe for a service without a name.
fn unknown_service() -> String {
    let program = std::env::current_exe().ok();
    match program.as_ref().and_then(|path| path.file_stem()) {
        Some(name) => format!("unknown_service:{}", name.to_string_lossy()),
        None => "unknown_service".into(),
    }
}
