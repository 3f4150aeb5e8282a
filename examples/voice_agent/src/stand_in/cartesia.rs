//! Stands in for Cartesia's WebSocket: messages as "Text to Speech (WebSocket)" of the API reference shows them.

use super::faults::{Kind, Provider};
use super::{Shared, authorised};
use crate::audio::{self, RATE};
use axum::Json;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Samples in a message: 100 ms.
const CHUNK: usize = RATE as usize / 10;
/// How many times faster than sound speech is made.
const SPEED: f64 = 3.0;
/// A context takes no more this long after its last audio. Not sped up, as limits are not.
const EXPIRES: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Request {
    context_id: String,
    #[serde(default)]
    transcript: String,
    #[serde(default, rename = "continue")]
    more: bool,
    #[serde(default)]
    cancel: bool,
    output_format: Option<OutputFormat>,
    #[serde(default)]
    add_timestamps: bool,
}

#[derive(Deserialize)]
struct OutputFormat {
    encoding: String,
    sample_rate: u32,
}

pub(super) async fn speak(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refuse = |status: StatusCode, code: Value, why: String| {
        let body = json!({"error_code": code, "title": "Refused", "message": why, "request_id": "stand-in"});
        (status, Json(body)).into_response()
    };
    if !authorised(&headers, "Bearer") {
        let why = format!("Invalid API key: {}.", super::given_key(&headers));
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized".into(), why);
    }
    if headers.get("cartesia-version").is_none() {
        return refuse(
            StatusCode::BAD_REQUEST,
            Value::Null,
            "the header Cartesia-Version is missing".to_owned(),
        );
    }
    if let Some(Kind::Status(status)) = shared.faults.next(Provider::Cartesia, "connection") {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refuse(status, Value::Null, "planned".to_owned());
    }
    upgrade.on_upgrade(async move |socket| serve(shared, socket).await)
}

/// A context that is being spoken: where its sentences go, and the task that speaks them.
struct Context {
    sentences: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
}

async fn serve(shared: Arc<Shared>, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (out, mut messages) = mpsc::channel::<Option<Value>>(64);
    let writer = tokio::spawn(async move {
        while let Some(Some(value)) = messages.recv().await {
            // What is no object stands for what is no JSON.
            let text = if value.is_object() {
                value.to_string()
            } else {
                "{\"type\": chunk".to_owned()
            };
            if sink.send(Message::Text(text.into())).await.is_err() {
                break;
            }
        }
    });
    let mut contexts: HashMap<String, Context> = HashMap::new();
    let mut over: HashSet<String> = HashSet::new();
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = out.closed() => break,
        };
        let Some(Ok(message)) = message else { break };
        let Message::Text(text) = message else {
            continue;
        };
        let Ok(request) = serde_json::from_str::<Request>(&text) else {
            let _ = out
                .send(Some(error(
                    None,
                    400,
                    "invalid_request",
                    "the message cannot be read",
                )))
                .await;
            continue;
        };
        if request.cancel {
            if let Some(context) = contexts.remove(&request.context_id) {
                context.task.abort();
            }
            continue;
        }
        let fits =
            |format: &OutputFormat| format.encoding == "pcm_s16le" && format.sample_rate == RATE;
        if !request.output_format.as_ref().is_some_and(fits) {
            let why = "only pcm_s16le at 16000 Hz is stood in for";
            let _ = out
                .send(Some(error(
                    Some(&request.context_id),
                    400,
                    "invalid_output_format",
                    why,
                )))
                .await;
            continue;
        }
        contexts.retain(|id, context| {
            let finished = context.task.is_finished();
            if finished {
                over.insert(id.clone());
            }
            !finished
        });
        if over.contains(&request.context_id) {
            let why = "the context has been closed; a new one is needed";
            let refusal = error(Some(&request.context_id), 400, "context_closed", why);
            let _ = out.send(Some(refusal)).await;
            continue;
        }
        let (id, last) = (request.context_id.clone(), !request.more);
        let characters = request.transcript.trim().chars().count() as u64;
        shared.account(conversation_of(&id), |account| {
            account.characters += characters
        });
        let context = contexts.entry(id.clone()).or_insert_with(|| {
            let (sentences, waiting) = mpsc::unbounded_channel();
            let task = tokio::spawn(say(shared.clone(), id.clone(), waiting, out.clone()));
            Context { sentences, task }
        });
        let _ = context.sentences.send(request);
        if last {
            // The task goes on until it has said what it was given.
            contexts.remove(&id);
            over.insert(id);
        }
    }
    for context in contexts.values() {
        context.task.abort();
    }
    writer.abort();
}

/// The agent's context ids begin with the conversation's.
fn conversation_of(context: &str) -> &str {
    context.rsplitn(3, '-').nth(2).unwrap_or_default()
}

/// Speaks one context's sentences in order.
async fn say(
    shared: Arc<Shared>,
    id: String,
    mut sentences: mpsc::UnboundedReceiver<Request>,
    out: mpsc::Sender<Option<Value>>,
) {
    let mut chance = shared.chance(Provider::Cartesia, conversation_of(&id));
    let fault = shared.faults.next(Provider::Cartesia, conversation_of(&id));
    let (mut sent, mut begun) = (0, 0.0);
    loop {
        let next = if sent == 0 {
            Ok(sentences.recv().await)
        } else {
            timeout(EXPIRES, sentences.recv()).await
        };
        let Ok(Some(request)) = next else { break };
        let text = request.transcript.trim();
        if !text.is_empty() {
            let mut wait = chance.around(shared.behaviour.delays.first_audio);
            match fault {
                Some(Kind::Slow(secs)) if sent == 0 => wait += secs,
                Some(Kind::Silence) => return std::future::pending().await,
                Some(Kind::Malformed) => {
                    let _ = out.send(Some(Value::Null)).await;
                    return;
                }
                _ => {}
            }
            shared.pace().sleep(wait).await;
            let spoken = shared.voice.say(text);
            if request.add_timestamps {
                let starts: Vec<f64> = spoken
                    .words
                    .iter()
                    .map(|(_, start)| begun + start)
                    .collect();
                let words: Vec<&str> = spoken.words.iter().map(|(word, _)| word.as_str()).collect();
                let times = json!({"words": words, "start": starts, "end": starts});
                let message = json!({"type": "timestamps", "done": false, "status_code": 206, "context_id": id, "word_timestamps": times});
                if out.send(Some(message)).await.is_err() {
                    return;
                }
            }
            begun += audio::seconds(spoken.samples.len());
            for chunk in spoken.samples.chunks(CHUNK) {
                if let Some(Kind::Disconnect(after)) = fault
                    && sent == after
                {
                    let _ = out.send(None).await;
                    return;
                }
                let data = BASE64_STANDARD.encode(audio::to_bytes(chunk));
                let message = json!({"type": "chunk", "done": false, "status_code": 206, "step_time": 20.0, "context_id": id, "data": data});
                if out.send(Some(message)).await.is_err() {
                    return;
                }
                sent += 1;
                shared
                    .pace()
                    .sleep(audio::seconds(chunk.len()) / SPEED)
                    .await;
            }
        }
        if !request.more {
            break;
        }
    }
    let _ = out
        .send(Some(
            json!({"type": "done", "done": true, "status_code": 206, "context_id": id}),
        ))
        .await;
}

fn error(context: Option<&str>, status: u16, code: &str, why: &str) -> Value {
    json!({
        "type": "error",
        "done": true,
        "status_code": status,
        "error_code": code,
        "title": "Refused",
        "message": why,
        "context_id": context,
        "request_id": "stand-in",
    })
}
