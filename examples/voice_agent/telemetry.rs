//! The only part of the agent that knows where its traces go.

use crate::transport::web::Update;
use opentelemetry::Value;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::{Map, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracerProvider, SimpleSpanProcessor};
use tracing_conversation::ConversationProcessor;
use tracing_subscriber::prelude::*;

/// Sets telemetry up from the environment. What this program adds: without any `OTEL_*` variable, turns are printed as
/// trees; without `RUST_LOG`, only warnings are logged beside them; `live` gets every span as well.
pub(crate) fn start(live: Option<Live>) -> Result<SdkTracerProvider, std::io::Error> {
    let mut provider = SdkTracerProvider::builder();
    if let Some(live) = live {
        provider = provider.with_span_processor(ConversationProcessor::new(SimpleSpanProcessor::new(live)));
    }
    let provider = provider.build();
    let layer = tracing_conversation::layer(provider.tracer("voice_agent"));
    tracing_subscriber::registry().with(layer).init();
    Ok(provider)
}

/// Shows spans to the web page as they end.
#[derive(Clone, Debug)]
pub(crate) struct Live(pub(crate) broadcast::Sender<Arc<Update>>);

impl SpanExporter for Live {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            // Fails when no page is open.
            let _ = self.0.send(Arc::new(shown(&span)));
        }
        Ok(())
    }
}

fn shown(span: &SpanData) -> Update {
    let attributes: Map<String, serde_json::Value> =
        span.attributes.iter().map(|attribute| (attribute.key.to_string(), plain(&attribute.value))).collect();
    let conversation = attributes.get("conversation.id").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
    let error = match &span.status {
        opentelemetry::trace::Status::Error { description } => Some(description.to_string()),
        _ => None,
    };
    let json = json!({
        "type": "span",
        "name": span.name,
        "id": span.span_context.span_id().to_string(),
        "parent": span.parent_span_id.to_string(),
        "start": seconds(span.start_time),
        "end": seconds(span.end_time),
        "error": error,
        "attributes": attributes,
    });
    Update { conversation, json: json.to_string() }
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        other => other.as_str().into(),
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
