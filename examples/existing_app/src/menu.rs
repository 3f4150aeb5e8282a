//! The other service: what is on the menu, asked over HTTP with `traceparent`.

use axum::Json;
use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::{Value, json};
use std::collections::HashMap;
use tracing::{Span, instrument};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// Has the span of a request continue the trace that its headers carry.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        // Fails for a span that is switched off.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
}

pub(crate) async fn serve() -> Json<Value> {
    Json(json!({ "dish": "risotto" }))
}

/// Asks the service at `base`.
#[instrument(skip(base), fields(dish))]
pub(crate) async fn look_up_menu(base: &str) -> Result<String, reqwest::Error> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    let mut request = reqwest::Client::new().get(format!("{base}/menu"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let menu: Value = request.send().await?.json().await?;
    let dish = menu["dish"].as_str().unwrap_or_default().to_owned();
    Span::current().record("dish", &*dish);
    Ok(dish)
}
