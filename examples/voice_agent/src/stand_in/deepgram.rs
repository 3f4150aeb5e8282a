//! Stands in for Deepgram's streaming API: `Results` as the API reference's "Live Audio" shows them.

use super::ear::Heard;
use super::faults::{Kind, Provider};
use super::{Shared, authorised};
use crate::audio;
use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

/// What the stand-in writes down when it hears something else than the bundled recordings.
pub(super) const NOT_KNOWN: &str = "Something the stand-in does not understand.";

#[derive(Deserialize)]
pub(super) struct Parameters {
    encoding: String,
    sample_rate: u32,
    #[serde(default)]
    tag: String,
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
            Json(json!({"err_code": code, "err_msg": why, "request_id": "stand-in"})),
        )
            .into_response()
    };
    if !authorised(&headers, "Token") {
        let why = format!("Invalid credentials: {}.", super::given_key(&headers));
        return refuse(StatusCode::UNAUTHORIZED, "INVALID_AUTH", why);
    }
    if parameters.encoding != "linear16" || parameters.sample_rate != audio::RATE {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Bad Request",
            "only linear16 at 16000 Hz is stood in for".to_owned(),
        );
    }
    let fault = shared.faults.next(Provider::Deepgram, &parameters.tag);
    if let Some(Kind::Status(status)) = fault {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return refuse(status, "", "planned".to_owned());
    }
    upgrade.on_upgrade(async move |socket| serve(shared, parameters.tag, socket, fault).await)
}

async fn serve(shared: Arc<Shared>, tag: String, mut socket: WebSocket, fault: Option<Kind>) {
    let mut heard = Heard::default();
    let mut messages = 0;
    let mut finals: Vec<(Instant, Value)> = Vec::new();
    let mut told = 0.0;
    loop {
        let due = finals.first().map(|(at, _)| *at);
        let message = tokio::select! {
            message = socket.recv() => message,
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let (_, value) = finals.remove(0);
                if socket.send(Message::Text(value.to_string().into())).await.is_err() {
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
                heard.push(&audio::from_bytes(&bytes));
                // What is known so far, about once a second.
                if heard.seconds() >= told + 1.0 {
                    told = heard.seconds();
                    let guess = results(&tag, "", told, false, false);
                    if fault != Some(Kind::Silence)
                        && socket
                            .send(Message::Text(guess.to_string().into()))
                            .await
                            .is_err()
                    {
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
                    let heard = std::mem::take(&mut heard);
                    told = 0.0;
                    let transcript = shared.ear.transcript(&heard).unwrap_or(NOT_KNOWN);
                    shared.account(&tag, |account| {
                        account.transcripts.push(transcript.to_owned())
                    });
                    let mut wait = shared
                        .chance(Provider::Deepgram, &tag)
                        .around(shared.behaviour.delays.transcript);
                    if let Some(Kind::Slow(secs)) = fault {
                        wait += secs;
                    }
                    let value = results(&tag, transcript, heard.seconds(), true, true);
                    finals.push((Instant::now() + shared.pace().duration(wait), value));
                }
                Some(kind) if kind == "CloseStream" => {
                    let metadata = json!({"type": "Metadata", "request_id": tag, "duration": heard.seconds(), "channels": 1});
                    let _ = socket
                        .send(Message::Text(metadata.to_string().into()))
                        .await;
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

fn results(
    request: &str,
    transcript: &str,
    duration: f64,
    is_final: bool,
    from_finalize: bool,
) -> Value {
    let words: Vec<Value> = transcript
        .split_whitespace()
        .map(|word| json!({"word": word.trim_matches(['.', ',', '?']).to_lowercase(), "punctuated_word": word, "confidence": 0.99}))
        .collect();
    json!({
        "type": "Results",
        "channel_index": [0, 1],
        "duration": duration,
        "start": 0.0,
        "is_final": is_final,
        "speech_final": is_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.99, "words": words}]},
        "metadata": {"request_id": request, "model_info": {"name": "stand-in"}},
    })
}
