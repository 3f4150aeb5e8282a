//! Stands in for OpenAI's chat completions: chunks as "The chat completion chunk object" shows them.

use super::dialogue::{Reply, reply};
use super::faults::{Kind, Provider};
use super::{Shared, authorised};
use crate::context::Message;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    user: String,
}

pub(super) async fn complete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Response {
    if !authorised(&headers, "Bearer") {
        let why = format!(
            "Incorrect API key provided: {}.",
            super::given_key(&headers)
        );
        return refuse(StatusCode::UNAUTHORIZED, "invalid_api_key", &why);
    }
    if !request.stream {
        return refuse(
            StatusCode::BAD_REQUEST,
            "unsupported",
            "only streamed answers are stood in for",
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
    let (mut events, input, output) = answer(&request);
    shared.account(&request.user, |account| account.usage.push((input, output)));
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

/// The whole answer, event by event: the role, the tokens or the tool call, the reason it ended, the usage, the end; and
/// the tokens it took and gave.
fn answer(request: &Request) -> (Vec<String>, u64, u64) {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-stand-in",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": request.model,
            "choices": choices,
            "usage": usage,
        })
        .to_string()
    };
    let delta = |delta: Value, finish: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
            Value::Null,
        )
    };
    let mut events = vec![delta(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    let finish = match reply(&request.messages, !request.tools.is_empty()) {
        Reply::Says(text) => {
            // A token is a word with the space before it, as in most tokenisers.
            let tokens = text.split_inclusive(' ');
            events.extend(tokens.map(|token| delta(json!({"content": token}), Value::Null)));
            "stop"
        }
        Reply::Calls { tool, arguments } => {
            let head = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": ""}});
            events.push(delta(json!({"tool_calls": [head]}), Value::Null));
            let (one, other) = arguments.split_at(arguments.len() / 2);
            for part in [one, other] {
                let part = json!({"index": 0, "function": {"arguments": part}});
                events.push(delta(json!({"tool_calls": [part]}), Value::Null));
            }
            "tool_calls"
        }
    };
    let output = events.len() as u64 - 1;
    let input = request.messages.iter().map(tokens).sum::<u64>();
    let instructions = request.messages.first().map(tokens).unwrap_or_default();
    events.push(delta(json!({}), finish.into()));
    let usage = json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": instructions},
        "completion_tokens_details": {"reasoning_tokens": 0},
    });
    events.push(chunk(json!([]), usage));
    events.push("[DONE]".to_owned());
    (events, input, output)
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
