//! The tools that the language model may call.

mod weather;

use crate::context::ToolCall;
use serde_json::{Value, json};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
pub(crate) use weather::Weather;

/// The longest a tool may take.
const LIMIT: Duration = Duration::from_secs(8);

#[derive(Clone, Debug)]
pub(crate) struct Tools {
    weather: Weather,
    described: Vec<Value>,
}

impl Tools {
    pub(crate) fn new(weather: Weather) -> Self {
        let described = vec![json!({
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather in a city, right now.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "description": "The city's name, without its country."}},
                    "required": ["city"],
                    "additionalProperties": false,
                },
            },
        })];
        Self { weather, described }
    }

    /// The tools as OpenAI's API wants them described.
    pub(crate) fn described(&self) -> &[Value] {
        &self.described
    }

    /// Runs a call. A failure is an answer too: the model tells the user.
    pub(crate) async fn run(&self, call: &ToolCall) -> String {
        let span = info_span!(
            "tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = %call.function.name,
            gen_ai.tool.type = "function",
            gen_ai.tool.call.id = %call.id,
            gen_ai.tool.call.arguments = %call.function.arguments,
            gen_ai.tool.call.result = Empty,
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        let outcome = tokio::time::timeout(LIMIT, self.call(call))
            .instrument(span.clone())
            .await;
        let result = match outcome {
            Ok(Ok(value)) => value,
            failed => {
                let (kind, why) = match failed {
                    Ok(Err(why)) => ("tool_error", why),
                    _ => ("timeout", format!("no answer within {} s", LIMIT.as_secs())),
                };
                span.record("error.type", kind);
                span.record("otel.status_code", "ERROR");
                span.record("otel.status_description", why.as_str());
                json!({"error": why})
            }
        }
        .to_string();
        span.record("gen_ai.tool.call.result", result.as_str());
        result
    }

    async fn call(&self, call: &ToolCall) -> Result<Value, String> {
        let arguments: Value = serde_json::from_str(&call.function.arguments)
            .map_err(|error| format!("the arguments are no JSON: {error}"))?;
        match call.function.name.as_str() {
            "get_weather" => {
                let city = arguments["city"]
                    .as_str()
                    .ok_or("the argument `city` is missing")?;
                self.weather.now(city).await
            }
            other => Err(format!("there is no tool `{other}`")),
        }
    }
}
