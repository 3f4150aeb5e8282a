//! Speech-to-text by Deepgram's streaming API.
//!
//! Wire format: Deepgram's API reference, "Speech-to-Text, Live Audio" (`GET /v1/listen` as a WebSocket), and the guides
//! "Finalize", "Audio Keep Alive", "Endpointing and Interim Results". Audio goes up as binary messages, control as JSON
//! text; `Results` come down. The agent's own voice activity detection says where speech ends, so that `Finalize` is
//! sent right then instead of waiting for Deepgram's endpointing.

use super::socket::{Incoming, Socket};
use super::{Attempt, Patience, ServiceError, server_of};
use crate::audio::{self, RATE, Samples};
use crate::frames::{Floor, Heard};
use crate::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tracing::field::Empty;
use tracing::{info, info_span, warn};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `wss://api.deepgram.com`, or a server that speaks the same.
    pub(crate) url: String,
    pub(crate) key: Secret,
    pub(crate) model: String,
    pub(crate) language: String,
}

/// Audio kept from before a start of speech is confirmed, for a connection that has to be opened anew: half a second.
const BEFORE: usize = 16;
/// The longest speech that is sent anew over another connection: about 30 s.
const REPLAY: usize = 1000;
/// Connection attempts before the speech under way is given up.
const ATTEMPTS: u32 = 3;

type Connecting = Pin<Box<dyn Future<Output = Result<Socket, ServiceError>> + Send>>;

enum Line {
    Connecting(Connecting),
    Up(Box<Socket>),
    /// The key or the request is refused: trying again would only annoy.
    Refused(ServiceError),
}

/// Speech that is being transcribed: from its start until its final transcript.
struct Utterance {
    attempt: Attempt,
    sent: VecDeque<Samples>,
    /// Samples of it so far, replays left out.
    samples: usize,
    /// When its final transcript is overdue; known once the user is silent.
    overdue: Option<Instant>,
    /// What Deepgram has called final so far.
    transcript: String,
    /// Whether something final, be it without words, has come since the user is silent.
    answered: bool,
    losses: u32,
}

struct Transcriber {
    config: Config,
    conversation: String,
    patience: Patience,
    floor: mpsc::Sender<Floor>,
    line: Line,
    failures: u32,
    recent: VecDeque<Samples>,
    utterance: Option<Utterance>,
    last_sent: Instant,
}

/// Transcribes one conversation's speech. Ends with its input.
pub(crate) async fn transcribe(
    config: Config,
    conversation: String,
    patience: Patience,
    mut heard: mpsc::Receiver<Heard>,
    floor: mpsc::Sender<Floor>,
) {
    let line = Line::Connecting(connect(&config, &conversation, patience, Duration::ZERO));
    let mut this = Transcriber {
        config,
        conversation,
        patience,
        floor,
        line,
        failures: 0,
        recent: VecDeque::new(),
        utterance: None,
        last_sent: Instant::now(),
    };
    loop {
        let overdue = this
            .utterance
            .as_ref()
            .and_then(|utterance| utterance.overdue);
        let keep_alive = this.last_sent + patience.keep_alive;
        let wake = overdue.map_or(keep_alive, |overdue| overdue.min(keep_alive));
        tokio::select! {
            frame = heard.recv() => match frame {
                Some(frame) => this.hear(frame).await,
                None => break,
            },
            event = this.line.event() => this.event(event).await,
            () = sleep_until(wake) => this.wake().await,
        }
    }
    if let Some(utterance) = this.utterance.take() {
        utterance
            .attempt
            .span
            .record("metrics.audio_seconds", audio::seconds(utterance.samples));
    }
    if let Line::Up(mut socket) = this.line {
        let _ = socket.send_json(&json!({"type": "CloseStream"})).await;
        socket.close().await;
    }
}

fn connect(config: &Config, conversation: &str, patience: Patience, after: Duration) -> Connecting {
    let config = config.clone();
    let conversation = conversation.to_owned();
    Box::pin(async move {
        tokio::time::sleep(after).await;
        let query = [
            ("model", config.model.as_str()),
            ("language", &config.language),
            ("encoding", "linear16"),
            ("sample_rate", &RATE.to_string()),
            ("channels", "1"),
            ("interim_results", "true"),
            ("punctuate", "true"),
            ("smart_format", "true"),
            ("endpointing", "false"),
            ("tag", &conversation),
        ];
        let url = reqwest::Url::parse_with_params(&format!("{}/v1/listen", config.url), query)
            .map_err(|error| ServiceError::malformed(format!("{}: {error}", config.url)))?;
        let headers = [("authorization", format!("Token {}", config.key.expose()))];
        Socket::open(url.as_str(), &headers, &config.key, patience).await
    })
}

/// Whether the provider can be reached with the key.
pub(crate) async fn check(config: &Config, patience: Patience) -> Result<(), ServiceError> {
    connect(config, "check", patience, Duration::ZERO)
        .await?
        .close()
        .await;
    Ok(())
}

enum Event {
    Connected(Box<Result<Socket, ServiceError>>),
    Incoming(Incoming),
}

impl Line {
    async fn event(&mut self) -> Event {
        match self {
            Self::Connecting(connecting) => Event::Connected(Box::new(connecting.await)),
            Self::Up(socket) => Event::Incoming(socket.next().await),
            Self::Refused(_) => std::future::pending().await,
        }
    }
}

impl Transcriber {
    async fn hear(&mut self, frame: Heard) {
        match frame {
            Heard::Audio(samples) => {
                if let Some(utterance) = &mut self.utterance {
                    if utterance.overdue.is_none() {
                        utterance.samples += samples.len();
                    }
                    utterance.sent.push_back(samples.clone());
                    if utterance.sent.len() > REPLAY {
                        utterance.sent.pop_front();
                    }
                }
                self.recent.push_back(samples.clone());
                if self.recent.len() > BEFORE {
                    self.recent.pop_front();
                }
                self.send(Message::binary(audio::to_bytes(&samples))).await;
            }
            Heard::SpeechStarted => {
                // Speech goes on before the transcript of what was said just now has come: it is one utterance.
                if let Some(utterance) = &mut self.utterance {
                    utterance.overdue = None;
                    utterance.answered = false;
                    return;
                }
                let samples = self.recent.iter().map(|samples| samples.len()).sum();
                self.utterance = Some(self.begin(self.recent.clone(), samples, 0));
            }
            Heard::SpeechStopped => {
                let Some(utterance) = &mut self.utterance else {
                    return;
                };
                let wait = if utterance.transcript.is_empty() {
                    self.patience.silence
                } else {
                    self.patience.settle
                };
                utterance.overdue = Some(Instant::now() + wait);
                if let Line::Refused(error) = &self.line {
                    let error = error.clone();
                    self.give_up(&error).await;
                } else {
                    self.finalize().await;
                }
            }
        }
    }

    fn begin(&self, sent: VecDeque<Samples>, samples: usize, losses: u32) -> Utterance {
        let (address, port) = server_of(&self.config.url).unzip();
        let span = info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            gen_ai.provider.name = "deepgram",
            gen_ai.request.model = %self.config.model,
            server.address = address,
            server.port = port,
            gen_ai.response.id = Empty,
            transcript = Empty,
            is_final = Empty,
            language = Empty,
            metrics.audio_seconds = Empty,
            stt.incomplete = Empty,
            interrupted = Empty,
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        let attempt = Attempt::new(span, &["stt.incomplete"]);
        Utterance {
            attempt,
            sent,
            samples,
            overdue: None,
            transcript: String::new(),
            answered: false,
            losses,
        }
    }

    async fn finalize(&mut self) {
        self.send(Message::text(json!({"type": "Finalize"}).to_string()))
            .await;
    }

    async fn send(&mut self, message: Message) {
        let Line::Up(socket) = &mut self.line else {
            return;
        };
        self.last_sent = Instant::now();
        if let Err(error) = socket.send(message).await {
            self.lost(error).await;
        }
    }

    async fn wake(&mut self) {
        let overdue = self.utterance.as_ref().filter(|utterance| {
            utterance
                .overdue
                .is_some_and(|overdue| overdue <= Instant::now())
        });
        match overdue.map(|utterance| utterance.answered || !utterance.transcript.is_empty()) {
            Some(true) => self.complete().await,
            Some(false) => {
                self.give_up(&ServiceError::timeout(
                    "the final transcript",
                    self.patience.silence,
                ))
                .await;
            }
            None => {}
        }
        if self.last_sent.elapsed() >= self.patience.keep_alive {
            self.last_sent = Instant::now();
            self.send(Message::text(json!({"type": "KeepAlive"}).to_string()))
                .await;
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Connected(result) => match *result {
                Ok(socket) => {
                    self.failures = 0;
                    self.line = Line::Up(Box::new(socket));
                    self.last_sent = Instant::now();
                    self.replay().await;
                }
                Err(error) => self.lost(error).await,
            },
            Event::Incoming(Incoming::Lost(error)) => self.lost(error).await,
            Event::Incoming(Incoming::Text(text)) => match serde_json::from_str::<Answer>(&text) {
                Ok(answer) => self.answer(answer).await,
                Err(error) => {
                    self.lost(ServiceError::malformed(format!(
                        "Deepgram sent what is no message: {error}"
                    )))
                    .await
                }
            },
        }
    }

    /// Speech that began over a connection that is gone, or before there was one.
    async fn replay(&mut self) {
        let Some(utterance) = &self.utterance else {
            return;
        };
        let stopped = utterance.overdue.is_some();
        let sent: Vec<u8> = utterance
            .sent
            .iter()
            .flat_map(|samples| audio::to_bytes(samples))
            .collect();
        for second in sent.chunks(2 * RATE as usize) {
            self.send(Message::binary(second.to_vec())).await;
        }
        if stopped {
            self.finalize().await;
        }
    }

    /// The connection is gone or could not be had.
    async fn lost(&mut self, error: ServiceError) {
        let error = error.redacted(&self.config.key);
        self.failures += 1;
        if error.transient {
            let wait = error
                .retry_after
                .unwrap_or(0.1 * f64::from(1 << self.failures.min(6)));
            let wait = Duration::from_secs_f64(wait.min(5.0));
            self.line = Line::Connecting(connect(
                &self.config,
                &self.conversation,
                self.patience,
                wait,
            ));
        } else {
            self.line = Line::Refused(error.clone());
        }
        warn!(error = %error, transient = error.transient, "speech-to-text connection");
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        if !error.transient || utterance.losses + 1 >= ATTEMPTS {
            let speaking = utterance.overdue.is_none();
            self.utterance = Some(utterance);
            // While the user still speaks nobody waits for the transcript yet.
            if !speaking {
                self.give_up(&error).await;
            }
            return;
        }
        // The failed attempt is a span of its own; the speech goes into the next.
        utterance
            .attempt
            .span
            .record("metrics.audio_seconds", audio::seconds(utterance.samples));
        let overdue = utterance
            .overdue
            .map(|_| Instant::now() + self.patience.silence);
        let (sent, samples, losses) = (utterance.sent, utterance.samples, utterance.losses);
        utterance.attempt.failed(&error);
        let mut again = self.begin(sent, samples, losses + 1);
        again.overdue = overdue;
        self.utterance = Some(again);
    }

    async fn answer(&mut self, answer: Answer) {
        let Answer::Results(results) = answer else {
            return;
        };
        let said = results
            .channel
            .alternatives
            .into_iter()
            .next()
            .map(|best| best.transcript)
            .unwrap_or_default();
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        let id = results.metadata.and_then(|metadata| metadata.request_id);
        utterance.attempt.span.record("gen_ai.response.id", id);
        if results.is_final != Some(true) {
            return;
        }
        if !said.is_empty() {
            if !utterance.transcript.is_empty() {
                utterance.transcript.push(' ');
            }
            utterance.transcript.push_str(&said);
        }
        let Some(overdue) = &mut utterance.overdue else {
            return;
        };
        if results.from_finalize == Some(true) {
            self.complete().await;
        } else {
            // `from_finalize` typically comes, says the guide; what is final may be all that there is.
            utterance.answered = true;
            *overdue = Instant::now() + self.patience.settle;
        }
    }

    async fn complete(&mut self) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        let span = utterance.attempt.span.clone();
        span.record("metrics.audio_seconds", audio::seconds(utterance.samples));
        span.record("language", self.config.language.as_str());
        span.record("is_final", true);
        span.record("transcript", utterance.transcript.as_str());
        utterance.attempt.done();
        drop(span);
        info!(characters = utterance.transcript.len(), "transcribed");
        let _ = self
            .floor
            .send(Floor::Transcript(utterance.transcript))
            .await;
    }

    async fn give_up(&mut self, error: &ServiceError) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        utterance
            .attempt
            .span
            .record("metrics.audio_seconds", audio::seconds(utterance.samples));
        utterance.attempt.span.record("stt.incomplete", true);
        utterance.attempt.failed(error);
        let _ = self.floor.send(Floor::TranscriptionFailed).await;
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Answer {
    Results(Results),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Results {
    channel: Channel,
    metadata: Option<Metadata>,
    is_final: Option<bool>,
    from_finalize: Option<bool>,
}

#[derive(Deserialize)]
struct Metadata {
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
}
