//! Text-to-speech by Cartesia's WebSocket.
//!
//! Wire format: Cartesia's API reference, "Text to Speech (WebSocket)" (`/tts/websocket`), and the guides "Contexts",
//! "Buffering", "Stream inputs using continuations" and "API errors" of version 2026-03-01. A response of the bot is one
//! context: its sentences are sent with `continue: true` as they become known, an empty one with `continue: false` ends
//! it. A context expires a second after its last audio; what the response has to say later goes into another one.

use super::socket::{Incoming, Socket};
use super::{Attempt, Patience, ServiceError, server_of};
use crate::audio::{self, RATE};
use crate::frames::{Response, Sentence, Speech, cut_off};
use crate::secret::Secret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::field::Empty;
use tracing::{info, info_span, warn};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `wss://api.cartesia.ai`, or a server that speaks the same.
    pub(crate) url: String,
    pub(crate) key: Secret,
    pub(crate) model: String,
    pub(crate) voice: String,
    /// A language code such as `en`. None leaves it to the voice.
    pub(crate) language: Option<String>,
}

const VERSION: &str = "2026-03-01";
/// Attempts at a response of which nothing has been heard yet.
const ATTEMPTS: u32 = 2;
/// A context without audio for this long is not continued, as it is about to expire after 1 s.
const EXPIRING: Duration = Duration::from_millis(800);

/// A response that is being spoken.
struct Utterance {
    response: Response,
    attempt: Attempt,
    context: Context,
    sentences: Vec<String>,
    /// Samples of it so far.
    samples: usize,
    /// Whether its last sentence has been sent.
    complete: bool,
    sounded: bool,
    tries: u32,
    /// When the provider has been silent for too long. Not while it waits for a sentence of ours.
    overdue: Instant,
}

/// A context of Cartesia's.
struct Context {
    id: String,
    /// Samples of the response that came before it.
    begins: usize,
    /// When it last brought audio.
    sounded: Option<Instant>,
    /// Sentences sent since then: they are lost if it expires.
    unheard: Vec<String>,
    /// Whether it has ended, which is no end of the response.
    ended: bool,
}

struct Synthesiser {
    config: Config,
    conversation: String,
    patience: Patience,
    speech: mpsc::Sender<Speech>,
    socket: Option<Socket>,
    contexts: u64,
    utterance: Option<Utterance>,
    /// The last response that was given up; what still comes of it is dropped.
    abandoned: Option<Response>,
}

/// Speaks one conversation's sentences. Ends with its input.
pub(crate) async fn synthesise(
    config: Config,
    conversation: String,
    patience: Patience,
    mut sentences: mpsc::Receiver<Sentence>,
    speech: mpsc::Sender<Speech>,
) {
    let mut this = Synthesiser {
        config,
        conversation,
        patience,
        speech,
        socket: None,
        contexts: 0,
        utterance: None,
        abandoned: None,
    };
    // A connection in good time spares the first sentence the handshake. If it fails, so will the first sentence, which reports it.
    this.socket = this.connect().await.ok();
    loop {
        let response = this
            .utterance
            .as_ref()
            .map(|utterance| utterance.response.clone());
        let waits = this
            .utterance
            .as_ref()
            .is_some_and(|utterance| utterance.complete || !utterance.sounded);
        let overdue = this
            .utterance
            .as_ref()
            .map_or_else(Instant::now, |utterance| utterance.overdue);
        tokio::select! {
            // What cuts a response off goes before what continues it.
            biased;
            () = cut_off(response.as_ref()) => this.cut_off().await,
            incoming = incoming(&mut this.socket) => this.incoming(incoming).await,
            sentence = sentences.recv() => match sentence {
                Some(sentence) => this.sentence(sentence).await,
                None => break,
            },
            () = sleep_until(overdue), if waits => {
                this.failed(ServiceError::timeout("speech", patience.silence)).await;
            }
        }
    }
    if let Some(socket) = this.socket.take() {
        socket.close().await;
    }
}

async fn incoming(socket: &mut Option<Socket>) -> Incoming {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn connect(config: &Config, patience: Patience) -> Result<Socket, ServiceError> {
    let url = format!("{}/tts/websocket", config.url);
    let headers = [
        ("authorization", format!("Bearer {}", config.key.expose())),
        ("cartesia-version", VERSION.to_owned()),
    ];
    Socket::open(&url, &headers, &config.key, patience).await
}

/// Whether the provider can be reached with the key.
pub(crate) async fn check(config: &Config, patience: Patience) -> Result<(), ServiceError> {
    connect(config, patience).await?.close().await;
    Ok(())
}

impl Synthesiser {
    async fn connect(&self) -> Result<Socket, ServiceError> {
        connect(&self.config, self.patience).await
    }

    async fn sentence(&mut self, sentence: Sentence) {
        match sentence {
            Sentence::Say(response, text) => {
                if response.is_cancelled() || self.abandoned.as_ref() == Some(&response) {
                    return;
                }
                if self
                    .utterance
                    .as_ref()
                    .is_none_or(|utterance| utterance.response != response)
                {
                    self.cut_off().await;
                    self.utterance = Some(self.begin(response, 1));
                }
                let silence = self.patience.silence;
                let Some(utterance) = &mut self.utterance else {
                    return;
                };
                utterance.overdue = Instant::now() + silence;
                utterance.add(text.clone());
                self.say(text).await;
            }
            Sentence::End(response) => match &mut self.utterance {
                Some(utterance) if utterance.response == response => {
                    utterance.complete = true;
                    if utterance.context.is_over() {
                        self.over().await;
                    } else {
                        self.request("", false).await;
                    }
                }
                // Nothing was to be said, or nothing could be.
                _ => {
                    if !response.is_cancelled() && self.abandoned.as_ref() != Some(&response) {
                        self.deliver(Speech::End(response)).await;
                    }
                }
            },
        }
    }

    fn begin(&mut self, response: Response, tries: u32) -> Utterance {
        let (address, port) = server_of(&self.config.url).unzip();
        let span = info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            gen_ai.provider.name = "cartesia",
            gen_ai.request.model = %self.config.model,
            server.address = address,
            server.port = port,
            gen_ai.output.type = "speech",
            voice_id = %self.config.voice,
            text = Empty,
            metrics.character_count = Empty,
            tts.interrupted = Empty,
            interrupted = Empty,
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        Utterance {
            context: self.context(&response, 0),
            attempt: Attempt::new(span, &["interrupted", "tts.interrupted"]),
            response,
            sentences: Vec::new(),
            samples: 0,
            complete: false,
            sounded: false,
            tries,
            overdue: Instant::now() + self.patience.silence,
        }
    }

    /// A new context for what `response` says after its first `begins` samples.
    fn context(&mut self, response: &Response, begins: usize) -> Context {
        self.contexts += 1;
        let (conversation, number) = (&self.conversation, response.number());
        Context {
            id: format!("{conversation}-{number}-{}", self.contexts),
            begins,
            sounded: None,
            unheard: Vec::new(),
            ended: false,
        }
    }

    /// Sends a sentence of the current response.
    async fn say(&mut self, sentence: String) {
        let Some(mut utterance) = self.utterance.take() else {
            return;
        };
        if utterance.context.is_over() {
            utterance.context = self.context(&utterance.response, utterance.samples);
        }
        let transcript = format!("{sentence} ");
        utterance.context.unheard.push(sentence);
        self.utterance = Some(utterance);
        self.request(&transcript, true).await;
    }

    /// The context is over, and the response with it if it is complete. What was sent too late goes into another context.
    async fn over(&mut self) {
        let Some(mut utterance) = self.utterance.take() else {
            return;
        };
        let late = std::mem::take(&mut utterance.context.unheard);
        // What brings no audio in a context of its own is nothing that sounds.
        if !late.is_empty() && utterance.context.sounded.is_some() {
            let complete = utterance.complete;
            utterance.context = self.context(&utterance.response, utterance.samples);
            self.utterance = Some(utterance);
            self.say(late.join(" ")).await;
            if complete {
                self.request("", false).await;
            }
        } else if utterance.complete {
            utterance.attempt.done();
            self.deliver(Speech::End(utterance.response)).await;
        } else {
            utterance.context.ended = true;
            self.utterance = Some(utterance);
        }
    }

    /// Sends a part of the current response; connects first if need be.
    async fn request(&mut self, transcript: &str, more: bool) {
        let Some(utterance) = &self.utterance else {
            return;
        };
        let (response, context_id) = (utterance.response.clone(), utterance.context.id.clone());
        let mut message = json!({
            "model_id": self.config.model,
            "transcript": transcript,
            "voice": {"mode": "id", "id": self.config.voice},
            "context_id": context_id,
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
            "add_timestamps": true,
            "continue": more,
            // Sentences come whole: the guide calls it a mistake to buffer them once more.
            "max_buffer_delay_ms": 0,
        });
        if let Some(language) = &self.config.language {
            message["language"] = language.as_str().into();
        }
        let sent = async {
            if self.socket.is_none() {
                self.socket = Some(self.connect().await?);
            }
            match &mut self.socket {
                Some(socket) => socket.send_json(&message).await,
                None => Ok(()),
            }
        };
        let result = tokio::select! {
            result = sent => result,
            () = response.cancelled() => return,
        };
        if let Err(error) = result {
            // Boxed, as a failure may lead to another request.
            Box::pin(self.failed(error)).await;
        }
    }

    async fn incoming(&mut self, incoming: Incoming) {
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Lost(error) => {
                self.socket = None;
                if self.utterance.is_some() {
                    self.failed(error).await;
                }
                return;
            }
        };
        let message: Message = match serde_json::from_str(&text) {
            Ok(message) => message,
            Err(error) => {
                self.socket = None;
                self.failed(ServiceError::malformed(format!(
                    "Cartesia sent what is no message: {error}"
                )))
                .await;
                return;
            }
        };
        let silence = self.patience.silence;
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        if message
            .context_id
            .as_deref()
            .is_some_and(|id| id != utterance.context.id)
        {
            return;
        }
        utterance.overdue = Instant::now() + silence;
        match message.kind.as_str() {
            "chunk" => {
                let Ok(bytes) = BASE64_STANDARD.decode(message.data.unwrap_or_default()) else {
                    self.failed(ServiceError::malformed(
                        "Cartesia sent audio that is no base64",
                    ))
                    .await;
                    return;
                };
                if !utterance.sounded {
                    utterance.sounded = true;
                    utterance
                        .attempt
                        .span
                        .in_scope(|| info!(conversation.event = "first_byte"));
                }
                let samples = audio::from_bytes(&bytes);
                utterance.samples += samples.len();
                utterance.context.sounded = Some(Instant::now());
                utterance.context.unheard.clear();
                let audio = Speech::Audio(utterance.response.clone(), samples);
                self.deliver(audio).await;
            }
            "timestamps" => {
                let response = utterance.response.clone();
                let begins = audio::seconds(utterance.context.begins);
                let times = message.word_timestamps.unwrap_or_default();
                for (word, start) in times.words.into_iter().zip(times.start) {
                    self.deliver(Speech::Word(response.clone(), word, begins + start))
                        .await;
                }
            }
            "done" => self.over().await,
            // The answer to what came too late for an expired context.
            "error"
                if utterance.context.is_expiring()
                    && message.status_code.is_some_and(|status| status < 500) =>
            {
                self.over().await
            }
            "error" => {
                let kind = message
                    .error_code
                    .unwrap_or_else(|| message.status_code.unwrap_or(500).to_string());
                let said = [message.title, message.message, message.error]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>();
                let status = message.status_code.unwrap_or(500);
                self.failed(ServiceError {
                    kind,
                    message: said.join(": "),
                    transient: status == 429 || status >= 500,
                    retry_after: None,
                    unauthorized: false,
                })
                .await;
            }
            _ => {}
        }
    }

    /// The user spoke, or another response is to be said.
    async fn cut_off(&mut self) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        let (cancel, ended) = (
            json!({"context_id": utterance.context.id, "cancel": true}),
            utterance.context.ended,
        );
        drop(utterance);
        if ended {
            return;
        }
        if let Some(socket) = &mut self.socket
            && socket.send_json(&cancel).await.is_err()
        {
            self.socket = None;
        }
    }

    /// The response failed. If nothing of it has been heard, it may be tried once more; else it ends where it is.
    async fn failed(&mut self, error: ServiceError) {
        let error = error.redacted(&self.config.key);
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        warn!(error = %error, "text-to-speech");
        let Utterance {
            response,
            attempt,
            sentences,
            complete,
            sounded,
            tries,
            ..
        } = utterance;
        attempt.failed(&error);
        if error.kind == "connection_lost" || error.kind == "timeout" {
            self.socket = None;
        }
        if error.transient && !sounded && tries < ATTEMPTS {
            let text = sentences.join(" ");
            let mut again = self.begin(response, tries + 1);
            sentences
                .into_iter()
                .for_each(|sentence| again.add(sentence));
            self.utterance = Some(again);
            self.say(text).await;
            if complete && let Some(utterance) = &mut self.utterance {
                utterance.complete = true;
                self.request("", false).await;
            }
            return;
        }
        self.abandoned = Some(response.clone());
        self.deliver(Speech::End(response)).await;
    }

    /// Passes speech on. The speaker plays no faster than sound, so this may wait; not for what is cancelled meanwhile.
    async fn deliver(&self, speech: Speech) {
        let (Speech::Audio(response, _) | Speech::Word(response, ..) | Speech::End(response)) =
            &speech;
        let response = response.clone();
        tokio::select! {
            _ = self.speech.send(speech) => {}
            () = response.cancelled() => {}
        }
    }
}

impl Context {
    /// Whether it takes no more, or is about to.
    fn is_over(&self) -> bool {
        self.ended || self.unheard.is_empty() && self.is_expiring()
    }

    fn is_expiring(&self) -> bool {
        self.sounded.is_some_and(|at| at.elapsed() >= EXPIRING)
    }
}

impl Utterance {
    /// One more sentence to be said. Each is recorded by itself; the span ends up with all of them.
    fn add(&mut self, sentence: String) {
        let span = &self.attempt.span;
        span.record("text", sentence.as_str());
        span.record("metrics.character_count", sentence.chars().count());
        self.sentences.push(sentence);
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    context_id: Option<String>,
    data: Option<String>,
    word_timestamps: Option<WordTimestamps>,
    status_code: Option<u16>,
    error_code: Option<String>,
    title: Option<String>,
    message: Option<String>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct WordTimestamps {
    words: Vec<String>,
    start: Vec<f64>,
}
