//! A telephone bot that knows only `tracing`: text stands in for audio.

use crate::menu::look_up_menu;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{Instrument as _, Span, field::Empty, info, info_span, instrument, warn};

pub(crate) async fn accept(
    upgrade: WebSocketUpgrade,
    Query(query): Query<HashMap<String, String>>,
    State(base): State<String>,
) -> Response {
    let sid = query.get("sid").cloned().unwrap_or_default();
    upgrade.on_upgrade(move |socket| {
        // The call outlives the request that began it.
        let call = info_span!(parent: None, "phone_call", call_sid = %sid, line = 7);
        converse(socket, base).instrument(call)
    })
}

async fn converse(mut socket: WebSocket, base: String) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(words) = message else {
            continue;
        };
        let heard = listen(&words).await;
        let answer = match complete(&heard, &base).await {
            Ok(answer) => answer,
            Err(error) => {
                warn!(%error, "the model failed");
                continue;
            }
        };
        if speak(&mut socket, &answer).await.is_err() {
            break;
        }
    }
}

async fn listen(words: &str) -> String {
    info!(target: "telephone", onset_ms = 100, "caller speaks");
    let recognize = info_span!("recognize", words = Empty);
    sleep(Duration::from_millis(80)).await;
    info!(target: "telephone", hangover_ms = 40, "caller is silent");
    sleep(Duration::from_millis(20)).await;
    recognize.record("words", words);
    words.to_owned()
}

#[instrument(skip_all, fields(model = "small-1", tokens, reply))]
async fn complete(question: &str, base: &str) -> Result<String, reqwest::Error> {
    sleep(Duration::from_millis(30)).await;
    info!(target: "model", "first token");
    let reply = if question.contains("lunch") {
        format!("There is {}.", look_up_menu(base).await?)
    } else {
        "It is on its way.".to_owned()
    };
    Span::current().record("tokens", reply.split(' ').count());
    Span::current().record("reply", &*reply);
    Ok(reply)
}

async fn speak(socket: &mut WebSocket, answer: &str) -> Result<(), axum::Error> {
    async { sleep(Duration::from_millis(15)).await }
        .instrument(info_span!("synthesize", words = answer))
        .await;
    info!(target: "telephone", "playback starts");
    sleep(Duration::from_millis(50)).await;
    info!(target: "telephone", "playback ends");
    socket.send(Message::Text(answer.into())).await
}
