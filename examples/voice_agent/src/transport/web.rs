//! A browser as the user: a page with a microphone, and beside it what is traced of the call.

use super::{Playback, caller, line, record};
use crate::agent::Agent;
use crate::audio;
use crate::marks::{Marks, Recording};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tracing::warn;

/// The longest message that a page sends: a second of sound.
const LONGEST: usize = 64 * 1024;
/// After the end of a call, this long for its last spans to come.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// How long a page may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(5);

/// Something that was traced, for the page of the conversation that it is part of.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) conversation: String,
    /// A JSON object.
    pub(crate) json: String,
}

/// What the pages are served with.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) agent: Agent,
    pub(crate) updates: broadcast::Sender<Arc<Update>>,
    /// Where calls are recorded: the first at this path, later ones beside it; and what their marks are made of.
    pub(crate) record: Option<(PathBuf, Marks)>,
    /// The names of the keys that there are not.
    pub(crate) stood_in: Vec<&'static str>,
}

/// Serves the page on `listener` until the task is dropped; each page is a call of its own.
pub(crate) async fn serve(listener: TcpListener, served: Served) -> io::Result<()> {
    axum::serve(listener, router(served)).await
}

fn router(served: Served) -> Router {
    let shared = Arc::new(Shared {
        served,
        calls: AtomicU64::new(0),
    });
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/about", get(about))
        .route("/speech/{number}", get(speech))
        .route("/call", get(call))
        .with_state(shared)
}

struct Shared {
    served: Served,
    calls: AtomicU64,
}

/// What the page says of the service that hears: the phrases there are recordings of, and whether it understands others.
async fn about(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let phrases = caller::script().map(|line| line.says);
    let served = &shared.served;
    let hears = match served.agent.realtime {
        Some(_) => "OPENAI_API_KEY",
        None => "DEEPGRAM_API_KEY",
    };
    Json(json!({"phrases": phrases, "no_others": served.stood_in.contains(&hears)}))
}

/// The recording of a phrase.
async fn speech(Path(number): Path<usize>) -> Response {
    match caller::script().get(number) {
        Some(line) => ([(CONTENT_TYPE, "audio/wav")], line.recording).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn call(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if is_foreign(&headers) {
        let why = "calls are for the page of this server only";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    upgrade
        .max_message_size(LONGEST)
        .on_upgrade(async move |socket| talk(shared, socket).await)
}

/// Whether another site's page asks: any page may open a WebSocket to anywhere, and would listen in with our keys.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let Some(origin) = text(ORIGIN) else {
        // No browser.
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text(HOST)
}

/// Where the `number`th call is recorded: `call.wav`, `call-2.wav`, …
fn numbered(path: &std::path::Path, number: u64) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}-{number}", part(path.file_stem()));
    let mut numbered = path.with_file_name(name);
    if let Some(extension) = path.extension() {
        numbered.set_extension(extension);
    }
    numbered
}

async fn talk(shared: Arc<Shared>, socket: WebSocket) {
    let served = &shared.served;
    let id = crate::fresh_id();
    let mut updates = served.updates.subscribe();
    let (page, mut from_page) = socket.split();
    let mut page = Page(page);
    let (mut connection, said, mut heard) = line();
    if let Some((path, marks)) = &served.record {
        let path = numbered(path, 1 + shared.calls.fetch_add(1, Ordering::Relaxed));
        let recording = Recording {
            marks: marks.clone(),
            conversation: id.clone(),
            labels: None,
        };
        connection = match record::tap(connection, &path, served.agent.pace, recording) {
            Ok((tapped, _)) => tapped,
            Err(error) => {
                let why = format!("{}: {error}", path.display());
                warn!(why, "the call cannot be recorded");
                let message = json!({"type": "failed", "why": why}).to_string();
                page.send(Message::Text(message.into())).await;
                return;
            }
        };
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
        std::future::pending().await
    };
    let speaker = async {
        loop {
            let sent = tokio::select! {
                playback = heard.recv() => match playback {
                    Some(playback) => page.send(message(&playback)).await,
                    None => break,
                },
                update = updates.recv() => page.forward(update, &id).await,
            };
            if sent.is_none() {
                // With the line the conversation ends.
                drop(heard);
                return;
            }
        }
        let _ = timeout(AFTERWARDS, async {
            while page.forward(updates.recv().await, &id).await.is_some() {}
        })
        .await;
        let _ = timeout(STALLED, page.0.close()).await;
    };
    let conversation = served.agent.converse(id.clone(), "web", connection);
    let spoken = async { tokio::join!(speaker, conversation) };
    // The call is over when the conversation is: a page that has stalled may never say that it hangs up.
    tokio::select! {
        () = microphone => {}
        _ = spoken => {}
    }
    // To leave before the page has answered the close would reset the connection, which the page takes for a fault.
    let _ = timeout(STALLED, async {
        while let Some(Ok(_)) = from_page.next().await {}
    })
    .await;
}

/// The way to the page.
struct Page(SplitSink<WebSocket, Message>);

impl Page {
    /// None when the page is gone, or takes nothing for too long.
    async fn send(&mut self, message: Message) -> Option<()> {
        timeout(STALLED, self.0.send(message)).await.ok()?.ok()
    }

    async fn forward(
        &mut self,
        update: Result<Arc<Update>, broadcast::error::RecvError>,
        id: &str,
    ) -> Option<()> {
        match update {
            Ok(update) if update.conversation == id => {
                self.send(Message::Text(update.json.as_str().into())).await
            }
            // A page that does not keep up misses some; the traces do not.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Some(()),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

fn message(playback: &Playback) -> Message {
    match playback {
        Playback::Audio(samples) => Message::Binary(audio::to_bytes(samples).into()),
        Playback::Clear => Message::Text(json!({"type": "clear"}).to_string().into()),
        Playback::Finished => Message::Text(json!({"type": "finished"}).to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Pace;
    use crate::services::Patience;
    use crate::stand_in::{Behaviour, Delays, StandIns};
    use crate::tests::record;
    use tokio_tungstenite::tungstenite;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn calls_from_pages_of_other_sites_are_refused() {
        let host = "127.0.0.1:8080";
        for origin in [
            None,
            Some("http://127.0.0.1:8080"),
            Some("https://127.0.0.1:8080"),
        ] {
            assert!(!is_foreign(&headers(host, origin)), "{origin:?}");
        }
        for origin in ["http://evil.example", "http://127.0.0.1:8081", "null", ""] {
            assert!(is_foreign(&headers(host, Some(origin))), "{origin}");
        }
    }

    #[tokio::test]
    async fn page_of_another_site_gets_no_call() {
        let (_recorder, _installed) = record();
        let stand_ins = StandIns::start(Behaviour {
            seed: 1,
            pace: Pace::times(1.0),
            delays: Delays::default(),
            faults: Vec::new(),
        })
        .await
        .unwrap();
        let served = Served {
            agent: Agent {
                http: crate::http_client().unwrap(),
                deepgram: stand_ins.deepgram(),
                openai: stand_ins.openai(),
                cartesia: stand_ins.cartesia(),
                weather: stand_ins.weather(),
                realtime: None,
                patience: Patience::default(),
                pace: Pace::times(1.0),
            },
            updates: broadcast::Sender::new(16),
            record: None,
            stood_in: vec!["DEEPGRAM_API_KEY"],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, served));
        for (origin, status) in [
            (format!("http://{address}"), 101),
            ("http://evil.example".to_owned(), 403),
        ] {
            let mut request = format!("ws://{address}/call")
                .into_client_request()
                .unwrap();
            request
                .headers_mut()
                .insert(ORIGIN, origin.parse().unwrap());
            let answered = match tokio_tungstenite::connect_async(request).await {
                Ok((_, answer)) => answer.status(),
                Err(tungstenite::Error::Http(answer)) => answer.status(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(answered, status, "{origin}");
        }
        let http = crate::http_client().unwrap();
        let about: Value = http
            .get(format!("http://{address}/about"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(about["no_others"], true);
        for (number, _) in about["phrases"].as_array().unwrap().iter().enumerate() {
            let url = format!("http://{address}/speech/{number}");
            let sound = http.get(url).send().await.unwrap().bytes().await.unwrap();
            assert!(audio::read_wav(&sound).is_ok(), "{number}");
        }
    }

    #[test]
    fn later_calls_are_recorded_beside_the_first() {
        for (number, path) in [
            (1, "a/call.wav"),
            (2, "a/call-2.wav"),
            (10, "a/call-10.wav"),
        ] {
            assert_eq!(numbered("a/call.wav".as_ref(), number), PathBuf::from(path));
        }
    }
}
