//! A browser as the user: a page with a microphone, and beside it what is traced of the call.

use super::{Playback, line};
use crate::agent::Agent;
use crate::audio;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::timeout;

/// The longest message that a page sends: a second of sound.
const LONGEST: usize = 64 * 1024;
/// After the end of a call, this long for its last spans to come.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Something that was traced, for the page of the conversation that it is part of.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) conversation: String,
    /// A JSON object.
    pub(crate) json: String,
}

#[derive(Clone)]
struct Served {
    agent: Agent,
    updates: broadcast::Sender<Arc<Update>>,
}

/// Serves the page on `listener` until the task is dropped; each page is a call of its own.
pub(crate) async fn serve(
    listener: TcpListener,
    agent: Agent,
    updates: broadcast::Sender<Arc<Update>>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/call", get(call))
        .with_state(Served { agent, updates });
    axum::serve(listener, router).await
}

async fn call(State(served): State<Served>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(LONGEST)
        .on_upgrade(async move |socket| talk(served, socket).await)
        .into_response()
}

async fn talk(served: Served, socket: WebSocket) {
    let id = crate::fresh_id();
    let mut updates = served.updates.subscribe();
    let (mut page, mut from_page) = socket.split();
    let (connection, said, mut heard) = line();
    let greeting = json!({"type": "conversation", "id": id}).to_string();
    if page.send(Message::Text(greeting.into())).await.is_err() {
        return;
    }
    let microphone = async {
        // Ends when the page hangs up or is gone; with it the line to the agent.
        while let Some(Ok(message)) = from_page.next().await {
            match message {
                Message::Binary(bytes) => {
                    if said.send(audio::from_bytes(&bytes).into()).await.is_err() {
                        break;
                    }
                }
                Message::Text(_) | Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        drop(said);
    };
    let speaker = async {
        loop {
            let sent = tokio::select! {
                playback = heard.recv() => match playback {
                    Some(playback) => page.send(message(&playback)).await,
                    None => break,
                },
                update = updates.recv() => forward(&mut page, update, &id).await,
            };
            if sent.is_err() {
                break;
            }
        }
        let _ = timeout(AFTERWARDS, async {
            while forward(&mut page, updates.recv().await, &id).await.is_ok() {}
        })
        .await;
        let _ = page.close().await;
    };
    let conversation = served.agent.converse(id.clone(), "web", connection);
    tokio::join!(microphone, speaker, conversation);
}

fn message(playback: &Playback) -> Message {
    match playback {
        Playback::Audio(samples) => Message::Binary(audio::to_bytes(samples).into()),
        Playback::Clear => Message::Text(json!({"type": "clear"}).to_string().into()),
        Playback::Finished => Message::Text(json!({"type": "finished"}).to_string().into()),
    }
}

async fn forward(
    page: &mut SplitSink<WebSocket, Message>,
    update: Result<Arc<Update>, broadcast::error::RecvError>,
    id: &str,
) -> Result<(), axum::Error> {
    match update {
        Ok(update) if update.conversation == id => {
            page.send(Message::Text(update.json.as_str().into())).await
        }
        // A page that does not keep up misses some; the traces do not.
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
        Err(error @ broadcast::error::RecvError::Closed) => Err(axum::Error::new(error)),
    }
}
