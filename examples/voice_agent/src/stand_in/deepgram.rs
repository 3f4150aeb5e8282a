//! Stands in for Deepgram's streaming API: `Results` as the API reference's "Live Audio" shows them.

use super::ear::{Ear, Heard};
use super::faults::{Kind, Provider};
use super::{KEY, Shared, fresh_id, given_key};
use crate::audio;
use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;

/// What the stand-in writes down when it hears something else than the bundled recordings.
pub(super) const NOT_KNOWN: &str = "Something the stand-in does not understand.";

#[derive(Clone, Deserialize)]
pub(super) struct Parameters {
    encoding: Option<String>,
    sample_rate: Option<u32>,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    interim_results: bool,
    #[serde(default)]
    vad_events: bool,
    utterance_end_ms: Option<u64>,
}

pub(super) async fn listen(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refuse = |status: StatusCode, code: &str, why: String| {
        (
            status,
            Json(json!({"err_code": code, "err_msg": why, "request_id": fresh_id()})),
        )
            .into_response()
    };
    let key = given_key(&headers, &["Token", "Bearer"]).or_else(|| subprotocol_key(&headers));
    if key != Some(KEY) {
        let why = format!("Invalid credentials: {}.", key.unwrap_or_default());
        return refuse(StatusCode::UNAUTHORIZED, "INVALID_AUTH", why);
    }
    if parameters.encoding.as_deref() != Some("linear16")
        || parameters.sample_rate != Some(audio::RATE)
    {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Bad Request",
            "only linear16 at 16000 Hz is stood in for".to_owned(),
        );
    }
    if parameters.utterance_end_ms.is_some_and(|ms| ms < 1000)
        || (parameters.utterance_end_ms.is_some() && !parameters.interim_results)
    {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Bad Request",
            "utterance_end_ms is at least 1000 and needs interim_results".to_owned(),
        );
    }
    let fault = shared.faults.next(Provider::Deepgram, &parameters.tag);
    if let Some(Kind::Status(status)) = fault {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refuse(status, "", "planned".to_owned());
    }
    upgrade
        .protocols(["token"])
        .on_upgrade(async move |socket| serve(shared, parameters, socket, fault).await)
}

/// Browsers cannot set headers: there the key is a subprotocol after `token`.
fn subprotocol_key(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get("sec-websocket-protocol")?.to_str().ok()?;
    let (scheme, key) = given.split_once(',')?;
    (scheme.trim() == "token").then(|| key.trim())
}

/// One stream of audio, from its start or from the last final transcript on.
struct Stream {
    parameters: Parameters,
    request_id: String,
    model_uuid: String,
    heard: Heard,
    /// Seconds of audio in all.
    position: f64,
    /// Where the audio that is not final begins.
    begins: f64,
    /// Where its first sound and its last is.
    sound: Option<(f64, f64)>,
    /// Whether there was speech that no `UtteranceEnd` has been sent for.
    speech: bool,
    guessed: f64,
}

impl Stream {
    fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            request_id: fresh_id(),
            model_uuid: fresh_id(),
            heard: Heard::default(),
            position: 0.0,
            begins: 0.0,
            sound: None,
            speech: false,
            guessed: 0.0,
        }
    }

    /// Takes audio; returns what is to be said about it at once.
    fn push(&mut self, samples: &[i16]) -> Vec<Value> {
        let sounded = self.heard.seconds();
        self.heard.push(samples);
        self.position += audio::seconds(samples.len());
        let mut messages = Vec::new();
        if self.heard.seconds() > sounded {
            let (first, _) = self.sound.unwrap_or((self.position, self.position));
            self.sound = Some((first, self.position));
            // A click is no speech.
            if !self.speech && self.heard.seconds() > 0.1 {
                self.speech = true;
                if self.parameters.vad_events {
                    messages.push(
                        json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": first}),
                    );
                }
            }
        }
        if let (Some(ms), Some((_, last)), true) =
            (self.parameters.utterance_end_ms, self.sound, self.speech)
            && (self.position - last) * 1000.0 >= ms as f64
        {
            self.speech = false;
            messages
                .push(json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last}));
        }
        // What is known so far, about once a second.
        if self.parameters.interim_results && self.position >= self.guessed + 1.0 {
            self.guessed = self.position;
            messages.push(self.results("", false));
        }
        messages
    }

    /// What was heard since the last final transcript, which it starts anew.
    fn finalize(&mut self, ear: &Ear) -> (&'static str, Value) {
        let transcript = ear.transcript(&self.heard).unwrap_or(NOT_KNOWN);
        let results = self.results(transcript, true);
        self.heard = Heard::default();
        self.begins = self.position;
        self.sound = None;
        (transcript, results)
    }

    fn results(&self, transcript: &str, is_final: bool) -> Value {
        let (first, last) = self.sound.unwrap_or((self.begins, self.position));
        let count = transcript.split_whitespace().count().max(1) as f64;
        let words: Vec<Value> = transcript
            .split_whitespace()
            .enumerate()
            .map(|(index, word)| {
                let at = |index: usize| first + (last - first) * index as f64 / count;
                json!({
                    "word": word.trim_matches(['.', ',', '?']).to_lowercase(),
                    "punctuated_word": word,
                    "start": at(index),
                    "end": at(index + 1),
                    "confidence": 0.99,
                })
            })
            .collect();
        json!({
            "type": "Results",
            "channel_index": [0, 1],
            "start": self.begins,
            "duration": self.position - self.begins,
            "is_final": is_final,
            "speech_final": is_final,
            "from_finalize": is_final,
            "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.99, "words": words}]},
            "metadata": {
                "request_id": self.request_id,
                "model_info": {"name": self.model(), "version": "2026-01-01.0", "arch": "stand-in"},
                "model_uuid": self.model_uuid,
            },
        })
    }

    fn metadata(&self) -> Value {
        json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            // Has the form of a hash of the audio, and is none.
            "sha256": format!("{}{}", fresh_id(), fresh_id()).replace('-', ""),
            "created": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "duration": self.position,
            "channels": 1,
            "models": [self.model_uuid],
            "model_info": {
                self.model_uuid.as_str(): {"name": self.model(), "version": "2026-01-01.0", "arch": "stand-in"}
            },
        })
    }

    fn model(&self) -> &str {
        match self.parameters.model.as_str() {
            "" => "base",
            model => model,
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    parameters: Parameters,
    mut socket: WebSocket,
    fault: Option<Kind>,
) {
    let tag = parameters.tag.clone();
    let mut stream = Stream::new(parameters);
    let mut messages = 0;
    let mut finals: Vec<(Instant, Value)> = Vec::new();
    loop {
        let due = finals.first().map(|(at, _)| *at);
        let message = tokio::select! {
            message = socket.recv() => message,
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let (_, value) = finals.remove(0);
                if send(&mut socket, value).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(Ok(message)) = message else { return };
        messages += 1;
        match fault {
            Some(Kind::Disconnect(after)) if messages > after => return,
            // Whether it arrives shows in what comes back.
            Some(Kind::Malformed) if messages == 10 => {
                let _ = socket
                    .send(Message::Text("{\"type\": Results".into()))
                    .await;
            }
            _ => {}
        }
        match message {
            Message::Binary(bytes) => {
                for value in stream.push(&audio::from_bytes(&bytes)) {
                    if fault != Some(Kind::Silence) && send(&mut socket, value).await.is_err() {
                        return;
                    }
                }
            }
            Message::Text(text) => match serde_json::from_str::<Value>(&text)
                .ok()
                .as_ref()
                .map(|v| &v["type"])
            {
                Some(kind) if kind == "Finalize" && fault != Some(Kind::Silence) => {
                    let (transcript, value) = stream.finalize(&shared.ear);
                    shared.account(&tag, |account| {
                        account.transcripts.push(transcript.to_owned())
                    });
                    let mut wait = shared
                        .chance(Provider::Deepgram, &tag)
                        .around(shared.behaviour.delays.transcript);
                    if let Some(Kind::Slow(secs)) = fault {
                        wait += secs;
                    }
                    finals.push((Instant::now() + shared.pace().duration(wait), value));
                }
                Some(kind) if kind == "CloseStream" => {
                    for (_, value) in finals {
                        let _ = send(&mut socket, value).await;
                    }
                    let _ = send(&mut socket, stream.metadata()).await;
                    let _ = socket.send(Message::Close(None)).await;
                    return;
                }
                _ => {}
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

async fn send(socket: &mut WebSocket, value: Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(value.to_string().into())).await
}
