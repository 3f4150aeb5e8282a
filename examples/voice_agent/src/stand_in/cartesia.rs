//! Stands in for Cartesia's WebSocket: messages as "Text to Speech (WebSocket)" of the API reference shows them.

use super::faults::{Kind, Provider};
use super::{KEY, Shared, fresh_id, given_key};
use crate::audio::{self, RATE};
use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
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
    model_id: String,
    voice: Option<Voice>,
    #[serde(default)]
    flush: bool,
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
struct Voice {
    mode: String,
    id: String,
}

/// What browsers put into the address, as they cannot set headers.
#[derive(Deserialize)]
pub(super) struct Parameters {
    api_key: Option<String>,
    cartesia_version: Option<String>,
}

#[derive(Deserialize)]
struct OutputFormat {
    encoding: String,
    sample_rate: u32,
}

pub(super) async fn speak(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refuse = |status: StatusCode, code: Value, why: String| {
        let body = json!({"error_code": code, "title": "Refused", "message": why, "request_id": fresh_id()});
        (status, Json(body)).into_response()
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let key = given_key(&headers, &["Bearer"])
        .or_else(|| header("x-api-key"))
        .or(parameters.api_key.as_deref());
    if key != Some(KEY) {
        let why = format!("Invalid API key: {}.", key.unwrap_or_default());
        return refuse(StatusCode::UNAUTHORIZED, "unauthorized".into(), why);
    }
    if header("cartesia-version").is_none() && parameters.cartesia_version.is_none() {
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
        if let Some((code, why)) = refused(&request) {
            let refusal = error(Some(&request.context_id), 400, code, why);
            let _ = out.send(Some(refusal)).await;
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

/// Why a request cannot be answered.
fn refused(request: &Request) -> Option<(&'static str, &'static str)> {
    let fits = |format: &OutputFormat| format.encoding == "pcm_s16le" && format.sample_rate == RATE;
    let named = |voice: &Voice| voice.mode == "id" && !voice.id.is_empty();
    if request.model_id.is_empty() {
        Some(("model_not_found", "a model_id is needed"))
    } else if !request.voice.as_ref().is_some_and(named) {
        Some((
            "voice_not_found",
            "a voice with mode `id` and its id is needed",
        ))
    } else if !request.output_format.as_ref().is_some_and(fits) {
        Some((
            "invalid_output_format",
            "only pcm_s16le at 16000 Hz is stood in for",
        ))
    } else {
        None
    }
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
    let (mut sent, mut begun, mut flushes) = (0, 0.0, 1);
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
                let length = begun + audio::seconds(spoken.samples.len());
                let ends: Vec<f64> = starts.iter().skip(1).copied().chain([length]).collect();
                let words: Vec<&str> = spoken.words.iter().map(|(word, _)| word.as_str()).collect();
                let times = json!({"words": words, "start": starts, "end": ends});
                let message = json!({"type": "timestamps", "done": false, "status_code": 206, "context_id": id, "flush_id": flushes, "word_timestamps": times});
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
                let message = json!({"type": "chunk", "done": false, "status_code": 206, "step_time": 20.0, "context_id": id, "flush_id": flushes, "data": data});
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
        if request.flush {
            let message = json!({"type": "flush_done", "done": false, "flush_done": true, "flush_id": flushes, "status_code": 206, "context_id": id});
            if out.send(Some(message)).await.is_err() {
                return;
            }
            flushes += 1;
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
        "request_id": fresh_id(),
    })
}
