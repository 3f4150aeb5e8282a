//! `OTEL_METRICS_EXPORTER` and what belongs to it.

use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::{Exporters, METRICS, Otlp, SetupError, Variables};

const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where metrics go, and how often.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "OTLP alone reads all of it")
)]
pub(crate) struct MetricsSettings {
    pub(crate) otlp: Option<Otlp>,
    pub(crate) console: bool,
    /// From one export to the next.
    pub(crate) interval: Duration,
    /// How long one export is tried.
    pub(crate) timeout: Duration,
    pub(crate) temporality: Temporality,
    /// Whether histograms are exponential, in place of the explicit boundaries.
    pub(crate) exponential: bool,
}

/// `None` if no metrics are to be exported.
pub(super) fn read(variables: &Variables<'_>) -> Result<Option<MetricsSettings>, SetupError> {
    const TEMPORALITIES: &[(&str, Temporality)] = &[
        ("cumulative", Temporality::Cumulative),
        ("delta", Temporality::Delta),
        ("lowmemory", Temporality::LowMemory),
    ];
    const AGGREGATIONS: &[(&str, bool)] = &[
        ("explicit_bucket_histogram", false),
        ("base2_exponential_bucket_histogram", true),
    ];
    let Some(exporters) = Exporters::read(variables, METRICS.exporter)?
        .filter(|exporters| exporters.otlp || exporters.console)
    else {
        return Ok(None);
    };
    if exporters.console && !cfg!(feature = "console") {
        return Err(SetupError::variable(
            METRICS.exporter,
            "console",
            "otlp or none, as long as this program is built without the feature `console` of tracing-conversation",
        ));
    }
    Ok(Some(MetricsSettings {
        otlp: exporters
            .otlp
            .then(|| Otlp::read(variables, &METRICS))
            .transpose()?,
        console: exporters.console,
        interval: variables
            .milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 1)?
            .unwrap_or(INTERVAL),
        timeout: variables
            .milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", 1)?
            .unwrap_or(TIMEOUT),
        temporality: variables
            .choice(
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                TEMPORALITIES,
            )?
            .unwrap_or_default(),
        exponential: variables
            .choice(
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                AGGREGATIONS,
            )?
            .unwrap_or(false),
    }))
}

#[cfg(all(test, feature = "console", feature = "http"))]
mod tests;
