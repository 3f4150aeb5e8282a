//! Stands in for OpenAI's chat completions: chunks as "The chat completion chunk object" shows them.

use super::dialogue::{Reply, reply};
use super::faults::{Kind, Provider};
use super::{KEY, Shared, fresh_id, given_key};
use crate::context::Message;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    model: String,
    #[serde(deserialize_with = "messages")]
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Messages whose content is a text, a list of parts, or nothing.
fn messages<'de, D: Deserializer<'de>>(given: D) -> Result<Vec<Message>, D::Error> {
    let mut given: Vec<Value> = Vec::deserialize(given)?;
    for message in &mut given {
        if let Some(parts) = message["content"].as_array() {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            message["content"] = texts.collect::<Vec<_>>().join("\n").into();
        }
    }
    serde_json::from_value(given.into()).map_err(D::Error::custom)
}

/// The models there are: what a client asks for to see whether its key is good.
pub(super) async fn models(headers: HeaderMap) -> Response {
    match key_refused(&headers) {
        Some(refusal) => refusal,
        None => {
            let model = json!({"id": "gpt-4o-mini", "object": "model", "created": 0, "owned_by": "stand-in"});
            Json(json!({"object": "list", "data": [model]})).into_response()
        }
    }
}

fn key_refused(headers: &HeaderMap) -> Option<Response> {
    let key = given_key(headers, &["Bearer"]);
    (key != Some(KEY)).then(|| {
        let why = format!("Incorrect API key provided: {}.", key.unwrap_or_default());
        refuse(StatusCode::UNAUTHORIZED, "invalid_api_key", &why)
    })
}

pub(super) async fn complete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Response {
    if let Some(refusal) = key_refused(&headers) {
        return refusal;
    }
    if request.model.is_empty() {
        return refuse(
            StatusCode::BAD_REQUEST,
            "missing_required_parameter",
            "you must provide a model parameter",
        );
    }
    let mut chance = shared.chance(Provider::OpenAi, &request.user);
    let mut first = chance.around(shared.behaviour.delays.first_token);
    let fault = shared.faults.next(Provider::OpenAi, &request.user);
    match fault {
        Some(Kind::Status(429)) => {
            shared.pace().sleep(first / 4.0).await;
            let why = "Rate limit reached for requests. Please try again in 1s.";
            let refused = refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", why);
            return ([(header::RETRY_AFTER, "1")], refused).into_response();
        }
        Some(Kind::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return refuse(
                status,
                "server_error",
                "The server had an error while processing your request.",
            );
        }
        Some(Kind::Silence) => return std::future::pending::<Response>().await,
        Some(Kind::Slow(secs)) => first += secs,
        _ => {}
    }
    // The head of a real answer comes not long before its first token.
    shared.pace().sleep(0.9 * first).await;
    let answer = Answer::to(&request);
    let tokens = (answer.input, answer.output);
    shared.account(&request.user, |account| account.usage.push(tokens));
    if !request.stream {
        return Json(answer.whole(&request)).into_response();
    }
    let mut events = answer.events(&request);
    match fault {
        Some(Kind::Malformed) => events.insert(2, "{\"choices\": [".to_owned()),
        Some(Kind::Disconnect(after)) => events.truncate(after),
        _ => {}
    }
    let broken = matches!(fault, Some(Kind::Disconnect(_)));
    let waits = (0.1 * first, shared.behaviour.delays.token);
    let body = stream::unfold(
        (events.into_iter().enumerate(), chance),
        move |(mut events, mut chance)| {
            let pace = shared.pace();
            async move {
                let Some((index, event)) = events.next() else {
                    // An error here closes the connection in the middle of the body; what came before it has left by then.
                    pace.sleep(chance.around(waits.1)).await;
                    return broken.then(|| (Err(io::Error::other("planned")), (events, chance)));
                };
                match index {
                    0 => {}
                    1 => pace.sleep(waits.0).await,
                    _ => pace.sleep(chance.around(waits.1)).await,
                }
                Some((
                    Ok::<_, io::Error>(format!("data: {event}\n\n")),
                    (events, chance),
                ))
            }
        },
    );
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

fn refuse(status: StatusCode, code: &str, why: &str) -> Response {
    let kind = if status.is_client_error() {
        "invalid_request_error"
    } else {
        "server_error"
    };
    (
        status,
        Json(json!({"error": {"message": why, "type": kind, "param": null, "code": code}})),
    )
        .into_response()
}

/// An answer, and the tokens it took and gave.
struct Answer {
    id: String,
    created: u64,
    reply: Reply,
    call: String,
    input: u64,
    cached: u64,
    output: u64,
}

impl Answer {
    fn to(request: &Request) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let reply = reply(&request.messages, !request.tools.is_empty());
        Self {
            id: format!("chatcmpl-{}", fresh_id()),
            created: since.unwrap_or_default().as_secs(),
            output: match &reply {
                Reply::Says(text) => text.split_inclusive(' ').count() as u64,
                Reply::Calls { .. } => 3,
            },
            reply,
            call: format!("call_{}", fresh_id()),
            input: request.messages.iter().map(tokens).sum(),
            cached: request.messages.first().map(tokens).unwrap_or_default(),
        }
    }

    /// Event by event: the role, the tokens or the tool call, the reason it ended, the usage if it is asked for, the end.
    fn events(&self, request: &Request) -> Vec<String> {
        let with_usage = request
            .stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage);
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": request.model,
                "choices": choices,
            });
            if with_usage {
                chunk["usage"] = usage;
            }
            chunk.to_string()
        };
        let delta = |delta: Value, finish: Option<&str>| {
            chunk(
                json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
                Value::Null,
            )
        };
        let mut events = vec![delta(json!({"role": "assistant", "content": ""}), None)];
        match &self.reply {
            Reply::Says(text) => {
                // A token is a word with the space before it, as in most tokenisers.
                let tokens = text.split_inclusive(' ');
                events.extend(tokens.map(|token| delta(json!({"content": token}), None)));
            }
            Reply::Calls { tool, arguments } => {
                let head = json!({"index": 0, "id": self.call, "type": "function", "function": {"name": tool, "arguments": ""}});
                events.push(delta(json!({"tool_calls": [head]}), None));
                let (one, other) = arguments.split_at(arguments.len() / 2);
                for part in [one, other] {
                    let part = json!({"index": 0, "function": {"arguments": part}});
                    events.push(delta(json!({"tool_calls": [part]}), None));
                }
            }
        }
        events.push(delta(json!({}), Some(self.finish_reason())));
        if with_usage {
            events.push(chunk(json!([]), self.usage()));
        }
        events.push("[DONE]".to_owned());
        events
    }

    /// The answer to a request that does not stream.
    fn whole(&self, request: &Request) -> Value {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null});
        match &self.reply {
            Reply::Says(text) => message["content"] = text.as_str().into(),
            Reply::Calls { tool, arguments } => {
                message["tool_calls"] = json!([{"id": self.call, "type": "function", "function": {"name": tool, "arguments": arguments}}]);
            }
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": request.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason()}],
            "usage": self.usage(),
        })
    }

    fn finish_reason(&self) -> &'static str {
        match self.reply {
            Reply::Says(_) => "stop",
            Reply::Calls { .. } => "tool_calls",
        }
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        })
    }
}

/// About four characters to a token, and four tokens to frame a message.
fn tokens(message: &Message) -> u64 {
    message
        .content
        .as_deref()
        .unwrap_or_default()
        .chars()
        .count() as u64
        / 4
        + 4
}
