//! The only part of the agent that knows where its traces go.

use crate::live::Live;
use crate::marks::Marks;
use crate::transport::web::Update;
use opentelemetry::Value;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::{Map, json};
use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use tracing_conversation::Telemetry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Sets telemetry up from the environment. What this program adds: where no variable says where spans go, turns are printed
/// as trees; without `RUST_LOG`, only warnings are logged beside them; the pages that follow `updates` get every span as well,
/// and what happens until it ends; `marks` gets what it follows.
pub(crate) fn start(
    updates: Option<broadcast::Sender<Arc<Update>>>,
    marks: Option<Marks>,
) -> Result<Telemetry, Box<dyn Error>> {
    let mut builder = Telemetry::builder()
        .default_variable("OTEL_SERVICE_NAME", "voice_agent")
        .default_variable("OTEL_CONSOLE_EXPORT", "tree")
        .default_variable("RUST_LOG", "warn");
    if let Some(marks) = marks {
        builder = builder.exporter(marks);
    }
    let Some(updates) = updates else {
        return Ok(builder.init()?);
    };
    let telemetry = builder.exporter(Finished(updates.clone())).build()?;
    let log = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env()?;
    let words = !std::env::var(CAPTURE)
        .is_ok_and(|value| ["false", "no_content"].contains(&value.to_lowercase().as_str()));
    tracing_subscriber::registry()
        .with(telemetry.layer())
        .with(Live { updates, words })
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_filter(log),
        )
        .try_init()?;
    Ok(telemetry)
}

/// Where content is not to leave the process, the page gets none either.
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Shows spans to the web page as they end.
#[derive(Clone, Debug)]
struct Finished(broadcast::Sender<Arc<Update>>);

impl SpanExporter for Finished {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            // Fails when no page is open.
            let _ = self.0.send(Arc::new(shown(&span)));
        }
        Ok(())
    }
}

fn shown(span: &SpanData) -> Update {
    let attributes: Map<String, serde_json::Value> = span
        .attributes
        .iter()
        .map(|attribute| (attribute.key.to_string(), plain(&attribute.value)))
        .collect();
    let conversation = attributes
        .get("conversation.id")
        .and_then(|id| id.as_str())
        .unwrap_or_default()
        .to_owned();
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
    Update {
        conversation,
        json: json.to_string(),
    }
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
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
