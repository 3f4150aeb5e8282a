//! Stands in for OpenAI's Realtime API: events as the API reference's "Realtime" shows them, for sessions that detect turns
//! themselves and speak PCM.

use super::dialogue::{Reply, reply};
use super::ear::Heard;
use super::faults::{Kind, Provider};
use super::{KEY, Shared, fresh_id, given_key};
use crate::audio::{self, RATE, resample};
use crate::context::{Function, Message, ToolCall};
use crate::services::realtime::WIRE_RATE;
use axum::Json;
use axum::extract::ws::{Message as Wire, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Samples in a piece of audio: 100 ms.
const PIECE: usize = RATE as usize / 10;
/// How many times faster than sound speech is made.
const SPEED: f64 = 3.0;

#[derive(Deserialize)]
pub(super) struct Parameters {
    model: Option<String>,
}

pub(super) async fn converse(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refuse = |status: StatusCode, code: &str, why: String| {
        let error =
            json!({"message": why, "type": "invalid_request_error", "param": null, "code": code});
        (status, Json(json!({"error": error}))).into_response()
    };
    let key = given_key(&headers, &["Bearer"]);
    if key != Some(KEY) {
        let why = format!("Incorrect API key provided: {}.", key.unwrap_or_default());
        return refuse(StatusCode::UNAUTHORIZED, "invalid_api_key", why);
    }
    let Some(model) = parameters.model.filter(|model| !model.is_empty()) else {
        let why = "you must provide a model parameter".to_owned();
        return refuse(StatusCode::BAD_REQUEST, "missing_required_parameter", why);
    };
    upgrade.on_upgrade(async move |socket| serve(shared, model, socket).await)
}

/// One connection's session.
struct Session {
    shared: Arc<Shared>,
    out: mpsc::Sender<Value>,
    heard: Heard,
    messages: Vec<Message>,
    tools: bool,
    /// The conversation, as the responses' metadata name it.
    whose: String,
    /// The response that is being made: its id, and the task that makes it.
    response: Option<(String, JoinHandle<()>)>,
}

async fn serve(shared: Arc<Shared>, model: String, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (out, mut events) = mpsc::channel::<Value>(64);
    let writer = tokio::spawn(async move {
        while let Some(mut event) = events.recv().await {
            // What is no object stands for what is no JSON.
            let text = if event.is_object() {
                event["event_id"] = format!("event_{}", fresh_id()).into();
                event.to_string()
            } else {
                "{\"type\": response".to_owned()
            };
            if sink.send(Wire::Text(text.into())).await.is_err() {
                break;
            }
        }
    });
    let session = json!({"type": "realtime", "object": "realtime.session", "id": format!("sess_{}", fresh_id()), "model": model});
    let _ = out
        .send(json!({"type": "session.created", "session": session}))
        .await;
    let mut session = Session {
        shared,
        out: out.clone(),
        heard: Heard::default(),
        messages: vec![Message::new("system", "")],
        tools: false,
        whose: String::new(),
        response: None,
    };
    // What a response has said goes into the conversation, by the response's id.
    let (said, mut spoken) = mpsc::channel::<(String, Message)>(4);
    loop {
        tokio::select! {
            // A response has been said before the client learns that it is done, and asks for another.
            biased;
            Some((id, message)) = spoken.recv() => {
                session.messages.push(message);
                session.response.take_if(|(other, _)| *other == id);
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                let Wire::Text(text) = message else { continue };
                let event = serde_json::from_str(&text).unwrap_or_default();
                if session.event(event, &said).await.is_none() {
                    break;
                }
            }
            () = out.closed() => break,
        }
    }
    if let Some((_, task)) = session.response {
        task.abort();
    }
    writer.abort();
}

impl Session {
    /// None when the connection is to end.
    async fn event(&mut self, event: Value, said: &mpsc::Sender<(String, Message)>) -> Option<()> {
        let kind = event["type"].as_str().unwrap_or_default();
        match kind {
            "session.update" => {
                let session = &event["session"];
                let formats = [
                    &session["audio"]["input"]["format"],
                    &session["audio"]["output"]["format"],
                ];
                let fits =
                    |format: &Value| format["type"] == "audio/pcm" && format["rate"] == WIRE_RATE;
                if session["type"] != "realtime" || !formats.into_iter().all(fits) {
                    return self
                        .error(
                            "invalid_value",
                            "only realtime sessions with audio/pcm at 24000 Hz are stood in for",
                        )
                        .await;
                }
                self.messages[0] = Message::new(
                    "system",
                    session["instructions"].as_str().unwrap_or_default(),
                );
                self.tools = session["tools"]
                    .as_array()
                    .is_some_and(|tools| !tools.is_empty());
                self.send(json!({"type": "session.updated", "session": session}))
                    .await
            }
            "input_audio_buffer.append" => {
                let bytes = BASE64_STANDARD.decode(event["audio"].as_str().unwrap_or_default());
                let Ok(bytes) = bytes else {
                    return self.error("invalid_value", "the audio is no base64").await;
                };
                self.heard
                    .push(&resample(&audio::from_bytes(&bytes), WIRE_RATE, RATE));
                Some(())
            }
            "input_audio_buffer.commit" => self.commit().await,
            "conversation.item.create" => {
                let item = &event["item"];
                let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
                self.messages.push(Message {
                    tool_call_id: Some(text("call_id")),
                    ..Message::new("tool", text("output"))
                });
                self.send(json!({"type": "conversation.item.added", "previous_item_id": null, "item": item})).await
            }
            "response.create" => self.respond(&event["response"]["metadata"], said).await,
            "response.cancel" => match self.response.take() {
                Some((id, task)) => {
                    task.abort();
                    let response = json!({"object": "realtime.response", "id": id, "status": "cancelled", "status_details": {"type": "cancelled", "reason": "client_cancelled"}, "output": []});
                    self.send(json!({"type": "response.done", "response": response}))
                        .await
                }
                None => {
                    self.error(
                        "response_cancel_not_active",
                        "there is no response that could be cancelled",
                    )
                    .await
                }
            },
            "conversation.item.truncate" => {
                let end = event["audio_end_ms"].as_u64().unwrap_or_default();
                self.shared
                    .account(&self.whose, |account| account.truncated.push(end));
                // The words in it stay: how many were heard is not known here.
                self.send(json!({"type": "conversation.item.truncated", "item_id": event["item_id"], "content_index": 0, "audio_end_ms": end})).await
            }
            _ => {
                self.error("invalid_value", "the event is not stood in for")
                    .await
            }
        }
    }

    async fn send(&self, event: Value) -> Option<()> {
        self.out.send(event).await.ok()
    }

    async fn error(&self, code: &str, why: &str) -> Option<()> {
        let error = json!({"type": "invalid_request_error", "code": code, "message": why, "param": null, "event_id": null});
        self.send(json!({"type": "error", "error": error})).await
    }

    async fn commit(&mut self) -> Option<()> {
        let heard = std::mem::take(&mut self.heard);
        let transcript = self.shared.ear.transcript(&heard);
        let transcript = transcript.unwrap_or(super::deepgram::NOT_KNOWN);
        self.messages.push(Message::new("user", transcript));
        let item = format!("item_{}", fresh_id());
        self.send(json!({"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": null})).await?;
        let (out, pace) = (self.out.clone(), self.shared.pace());
        let wait = self.shared.behaviour.delays.transcript;
        tokio::spawn(async move {
            pace.sleep(wait).await;
            let usage = json!({"type": "duration", "seconds": heard.seconds()});
            let event = json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": item, "content_index": 0, "transcript": transcript, "usage": usage});
            let _ = out.send(event).await;
        });
        Some(())
    }

    async fn respond(
        &mut self,
        metadata: &Value,
        said: &mpsc::Sender<(String, Message)>,
    ) -> Option<()> {
        if self.response.is_some() {
            return self
                .error(
                    "conversation_already_has_active_response",
                    "there is a response already",
                )
                .await;
        }
        self.whose = metadata["conversation"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let whose = &self.whose;
        let id = format!("resp_{}", fresh_id());
        let response = json!({"object": "realtime.response", "id": id, "status": "in_progress", "status_details": null, "output": [], "metadata": metadata, "usage": null});
        self.send(json!({"type": "response.created", "response": response}))
            .await?;
        let fault = self.shared.faults.next(Provider::OpenAi, whose);
        match fault {
            Some(Kind::Disconnect(_)) => return None,
            Some(Kind::Silence) => return Some(()),
            Some(Kind::Malformed) => return self.send(Value::Null).await,
            Some(Kind::Status(status)) => {
                let code = if status == 429 {
                    "rate_limit_exceeded"
                } else {
                    "server_error"
                };
                let error = json!({"type": code, "code": code, "message": "planned"});
                let response = json!({"object": "realtime.response", "id": id, "status": "failed", "status_details": {"type": "failed", "error": error}, "output": []});
                return self
                    .send(json!({"type": "response.done", "response": response}))
                    .await;
            }
            Some(Kind::Slow(_)) | None => {}
        }
        let slow = match fault {
            Some(Kind::Slow(secs)) => secs,
            _ => 0.0,
        };
        let making = Making {
            shared: Arc::clone(&self.shared),
            out: self.out.clone(),
            id: id.clone(),
            whose: whose.clone(),
            said: said.clone(),
            input: self
                .messages
                .iter()
                .map(|message| message.content.as_deref().unwrap_or_default().len() as u64 / 4 + 4)
                .sum(),
            slow,
        };
        let reply = reply(&self.messages, self.tools);
        let task = tokio::spawn(async move {
            // None when the connection is gone, and nobody waits for it.
            let _ = making.make(reply).await;
        });
        self.response = Some((id, task));
        Some(())
    }
}

/// A response that is being made.
struct Making {
    shared: Arc<Shared>,
    out: mpsc::Sender<Value>,
    id: String,
    whose: String,
    said: mpsc::Sender<(String, Message)>,
    input: u64,
    slow: f64,
}

impl Making {
    async fn make(&self, reply: Reply) -> Option<()> {
        let delays = self.shared.behaviour.delays;
        let mut chance = self.shared.chance(Provider::OpenAi, &self.whose);
        let wait = chance.around(delays.first_token) + self.slow;
        self.shared.pace().sleep(wait).await;
        let item = format!("item_{}", fresh_id());
        match reply {
            Reply::Says(text) => {
                self.speak(&text, &item).await?;
                let content = json!([{"type": "output_audio", "transcript": text}]);
                let output = json!({"id": item, "object": "realtime.item", "type": "message", "status": "completed", "role": "assistant", "content": content});
                let tokens = text.split_whitespace().count() as u64;
                self.add(Message::new("assistant", text)).await?;
                self.done(output, tokens, 8 * tokens).await
            }
            Reply::Calls { tool, arguments } => {
                let call = format!("call_{}", fresh_id());
                let output = json!({"id": item, "object": "realtime.item", "type": "function_call", "status": "completed", "name": tool, "call_id": call, "arguments": arguments});
                self.send(json!({"type": "response.function_call_arguments.done", "response_id": self.id, "item_id": item, "output_index": 0, "call_id": call, "name": tool, "arguments": arguments})).await?;
                let function = Function {
                    name: tool.to_owned(),
                    arguments,
                };
                self.add(Message {
                    content: None,
                    tool_calls: vec![ToolCall {
                        id: call,
                        kind: "function".to_owned(),
                        function,
                    }],
                    ..Message::new("assistant", "")
                })
                .await?;
                self.done(output, 3, 0).await
            }
        }
    }

    /// What the response adds to the conversation.
    async fn add(&self, message: Message) -> Option<()> {
        self.said.send((self.id.clone(), message)).await.ok()
    }

    /// Sends sound and words, each word when its sound begins.
    async fn speak(&self, text: &str, item: &str) -> Option<()> {
        let spoken = self.shared.voice.say(text);
        let mut words = spoken.words.iter().peekable();
        for (index, piece) in spoken.samples.chunks(PIECE).enumerate() {
            let ends = audio::seconds(index * PIECE + piece.len());
            while let Some((word, _)) = words.next_if(|(_, begins)| *begins < ends) {
                let delta = if index == 0 && words.len() + 1 == spoken.words.len() {
                    word.clone()
                } else {
                    format!(" {word}")
                };
                self.part("response.output_audio_transcript.delta", item, &delta)
                    .await?;
            }
            let wire = audio::to_bytes(&resample(piece, RATE, WIRE_RATE));
            self.part(
                "response.output_audio.delta",
                item,
                &BASE64_STANDARD.encode(wire),
            )
            .await?;
            self.shared
                .pace()
                .sleep(audio::seconds(piece.len()) / SPEED)
                .await;
        }
        let ids =
            json!({"response_id": self.id, "item_id": item, "output_index": 0, "content_index": 0});
        for (kind, transcript) in [
            ("response.output_audio.done", None),
            ("response.output_audio_transcript.done", Some(text)),
        ] {
            let mut event = ids.clone();
            event["type"] = kind.into();
            if let Some(transcript) = transcript {
                event["transcript"] = transcript.into();
            }
            self.send(event).await?;
        }
        Some(())
    }

    async fn part(&self, kind: &str, item: &str, delta: &str) -> Option<()> {
        self.send(json!({"type": kind, "response_id": self.id, "item_id": item, "output_index": 0, "content_index": 0, "delta": delta})).await
    }

    async fn done(&self, output: Value, text: u64, sound: u64) -> Option<()> {
        let usage = json!({
            "input_tokens": self.input,
            "output_tokens": text + sound,
            "total_tokens": self.input + text + sound,
            "input_token_details": {"text_tokens": self.input / 2, "audio_tokens": self.input - self.input / 2, "cached_tokens": 0},
            "output_token_details": {"text_tokens": text, "audio_tokens": sound},
        });
        self.shared.account(&self.whose, |account| {
            account.usage.push((self.input, text + sound))
        });
        let response = json!({"object": "realtime.response", "id": self.id, "status": "completed", "status_details": null, "output": [output], "usage": usage});
        self.send(json!({"type": "response.done", "response": response}))
            .await
    }

    async fn send(&self, event: Value) -> Option<()> {
        self.out.send(event).await.ok()
    }
}
