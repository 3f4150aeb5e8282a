//! Speech-to-speech by OpenAI's Realtime API, in the place of speech-to-text, language model and text-to-speech.
//!
//! Wire format: OpenAI's API reference, "Realtime, Client events" and "Server events", and the guides "Realtime
//! conversations" and "Voice activity detection" (`turn_detection` null): the agent's own voice activity detection says
//! where an utterance ends. What was not heard of an answer is cut off by `conversation.item.truncate`.

mod events;

use super::openai::PROVIDER;
use super::socket::{Incoming, Socket};
use super::{Attempt, Patience, ServiceError, server_of};
use crate::audio::{self, RATE, Samples, resample, seconds};
use crate::frames::{Floor, Heard, Response, Speech};
use crate::pace::Pace;
use crate::secret::Secret;
use crate::tools::Tools;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Span, info, info_span, warn};

/// Samples a second on the wire.
pub(crate) const WIRE_RATE: u32 = 24_000;
/// Frames before a start of speech is confirmed: half a second.
const BEFORE: usize = 16;
/// Times a response is asked for at most.
const ATTEMPTS: u32 = 3;
/// Seconds before it is asked for again.
const BACKOFF: f64 = 0.4;
/// Times in one answer that tools may be run.
const ROUNDS: u32 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `wss://api.openai.com/v1`, or a server that speaks the same.
    pub(crate) url: String,
    pub(crate) key: Secret,
    pub(crate) model: String,
    pub(crate) voice: String,
    /// For the user's transcript, which the answer does not wait for.
    pub(crate) transcription: String,
    /// A language code such as `en`; none leaves it to the provider to find out.
    pub(crate) language: Option<String>,
}

/// What one conversation is held with.
pub(crate) struct Realtime {
    pub(crate) config: Config,
    pub(crate) instructions: &'static str,
    pub(crate) tools: Tools,
    pub(crate) conversation: String,
    pub(crate) patience: Patience,
    pub(crate) pace: Pace,
    pub(crate) ended: CancellationToken,
    pub(crate) speech: mpsc::Sender<Speech>,
}

/// What the bot is saying, from the request to its last sound.
struct Answer {
    response: Response,
    /// None once the provider has sent all of it.
    attempt: Option<Attempt>,
    /// Identifies this request in what the provider sends.
    number: u64,
    id: Option<String>,
    item: Option<String>,
    samples: usize,
    output: String,
    /// The part of a word that has come.
    word: String,
    tries: u32,
    rounds: u32,
    overdue: Instant,
}

/// Tools at work: the ids of their calls, and the results. Dropping it stops them.
type Running = AbortOnDropHandle<Vec<(String, String)>>;

struct Session {
    this: Realtime,
    socket: Option<Socket>,
    recent: VecDeque<Samples>,
    /// What the user has said since they started to speak.
    utterance: Option<Vec<Samples>>,
    /// Whether the socket that there is has had all of it.
    streamed: bool,
    answer: Option<Answer>,
    /// What the user said, until there is a span to record it.
    transcript: Option<String>,
    tools: Option<Running>,
    /// The results of tools that the answer under way goes on from.
    results: Option<Value>,
    again: Option<Instant>,
    responses: u64,
    requests: u64,
}

impl Realtime {
    /// Greets, then answers what is heard until `heard` ends.
    pub(crate) async fn run(
        self,
        mut heard: mpsc::Receiver<Heard>,
        mut floor: mpsc::Receiver<Floor>,
    ) {
        let mut session = Session {
            this: self,
            socket: None,
            recent: VecDeque::new(),
            utterance: None,
            streamed: true,
            answer: None,
            transcript: None,
            tools: None,
            results: None,
            again: None,
            responses: 0,
            requests: 0,
        };
        session.respond().await;
        loop {
            let overdue = session
                .answer
                .as_ref()
                .filter(|answer| answer.attempt.is_some() && session.again.is_none())
                .map(|answer| answer.overdue);
            let again = session.again;
            tokio::select! {
                frame = heard.recv() => match frame {
                    Some(frame) => session.hear(frame).await,
                    None => break,
                },
                event = floor.recv() => match event {
                    Some(Floor::Finished(response)) => session.finished(&response),
                    Some(_) => {}
                    None => break,
                },
                incoming = incoming(&mut session.socket) => session.incoming(incoming).await,
                results = running(&mut session.tools) => session.tools_finished(results).await,
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    session.socket = None;
                    let error = ServiceError::timeout("the answer", session.this.patience.silence);
                    session.failed(error).await;
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    session.again = None;
                    session.request().await;
                }
            }
        }
        if let Some(socket) = session.socket.take() {
            socket.close().await;
        }
    }
}

async fn incoming(socket: &mut Option<Socket>) -> Incoming {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn running(tools: &mut Option<Running>) -> Vec<(String, String)> {
    match tools {
        // A tool that panics has no result.
        Some(running) => running.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

impl Session {
    async fn connect(&self) -> Result<Socket, ServiceError> {
        let config = &self.this.config;
        let url = format!("{}/realtime?model={}", config.url, config.model);
        let headers = [("authorization", format!("Bearer {}", config.key.expose()))];
        let mut socket = Socket::open(&url, &headers, &config.key, self.this.patience).await?;
        // A function is described as for chat completions, without the level in between.
        let tools = self.this.tools.described().iter().map(|tool| {
            let mut function = tool["function"].clone();
            function["type"] = "function".into();
            function
        });
        let format = json!({"type": "audio/pcm", "rate": WIRE_RATE});
        let transcription = json!({"model": config.transcription, "language": config.language});
        let input =
            json!({"format": format, "turn_detection": null, "transcription": transcription});
        socket
            .send_json(&json!({
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "instructions": self.this.instructions,
                    "output_modalities": ["audio"],
                    "audio": {"input": input, "output": {"format": format, "voice": config.voice}},
                    "tools": tools.collect::<Vec<_>>(),
                    "tool_choice": "auto",
                },
            }))
            .await?;
        Ok(socket)
    }

    async fn send(&mut self, message: Value) -> Result<(), ServiceError> {
        if self.socket.is_none() {
            self.socket = Some(self.connect().await?);
        }
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let sent = socket.send_json(&message).await;
        if sent.is_err() {
            self.socket = None;
        }
        sent
    }

    async fn hear(&mut self, frame: Heard) {
        match frame {
            Heard::Audio(samples) => {
                if let Some(utterance) = &mut self.utterance {
                    utterance.push(samples.clone());
                    self.stream(&samples).await;
                }
                self.recent.push_back(samples);
                if self.recent.len() > BEFORE {
                    self.recent.pop_front();
                }
            }
            Heard::SpeechStarted => {
                self.interrupt().await;
                let before: Vec<_> = self.recent.iter().cloned().collect();
                self.streamed = self.socket.is_some();
                for samples in &before {
                    self.stream(samples).await;
                }
                self.utterance = Some(before);
            }
            Heard::SpeechStopped => {
                let Some(utterance) = self.utterance.take() else {
                    return;
                };
                info!(conversation.event = "user_stopped_speaking");
                self.transcript = None;
                if self.commit(&utterance).await.is_err() {
                    // The connection was lost meanwhile: all of it goes over another one.
                    self.streamed = false;
                    if let Err(error) = self.commit(&utterance).await {
                        warn!(%error, "speech-to-speech");
                    }
                }
                self.respond().await;
            }
        }
    }

    async fn stream(&mut self, samples: &[i16]) {
        if self.streamed && (self.socket.is_none() || self.send(append(samples)).await.is_err()) {
            self.streamed = false;
        }
    }

    async fn commit(&mut self, utterance: &[Samples]) -> Result<(), ServiceError> {
        if !self.streamed {
            for samples in utterance {
                self.send(append(samples)).await?;
            }
            self.streamed = true;
        }
        self.send(json!({"type": "input_audio_buffer.commit"}))
            .await
    }

    /// The user speaks: what is being said is cut off, here and at the provider.
    async fn interrupt(&mut self) {
        self.tools = None;
        self.again = None;
        let Some(answer) = self.answer.take() else {
            info!(conversation.event = "user_started_speaking");
            return;
        };
        info!(
            conversation.event = "user_started_speaking",
            text_heard = answer.response.heard()
        );
        info!(conversation.event = "interruption");
        answer.response.cancel();
        let played = seconds(answer.response.played().min(answer.samples));
        if answer.attempt.is_some() && answer.id.is_some() {
            let _ = self.send(json!({"type": "response.cancel"})).await;
        }
        if let Some(item) = answer.item {
            let _ = self
                .send(json!({
                    "type": "conversation.item.truncate",
                    "item_id": item,
                    "content_index": 0,
                    "audio_end_ms": (1000.0 * played) as u64,
                }))
                .await;
        }
    }

    fn finished(&mut self, response: &Response) {
        if self
            .answer
            .as_ref()
            .is_some_and(|answer| answer.response == *response)
        {
            self.answer = None;
        }
    }

    /// Answers the conversation as it stands.
    async fn respond(&mut self) {
        self.responses += 1;
        self.results = None;
        let response = Response::new(self.responses, &self.this.ended);
        self.answer = Some(Answer {
            response,
            attempt: None,
            number: 0,
            id: None,
            item: None,
            samples: 0,
            output: String::new(),
            word: String::new(),
            tries: 0,
            rounds: 0,
            overdue: Instant::now(),
        });
        self.request().await;
    }

    /// Asks for the answer, or for more of it.
    async fn request(&mut self) {
        self.requests += 1;
        let (number, span) = (self.requests, self.span());
        let Some(answer) = &mut self.answer else {
            return;
        };
        answer.attempt = Some(Attempt::new(span, &["interrupted"]));
        (answer.number, answer.id) = (number, None);
        answer.output.clear();
        answer.tries += 1;
        answer.overdue = Instant::now() + self.this.patience.silence;
        self.record_transcript();
        let metadata =
            json!({"conversation": self.this.conversation, "number": number.to_string()});
        let message = json!({"type": "response.create", "response": {"metadata": metadata}});
        if let Err(error) = self.send(message).await {
            self.failed(error).await;
        }
    }

    fn record_transcript(&mut self) {
        let attempt = self
            .answer
            .as_ref()
            .and_then(|answer| answer.attempt.as_ref());
        if let Some(attempt) = attempt
            && let Some(transcript) = self.transcript.take()
        {
            attempt.span.record("transcript", transcript.as_str());
        }
    }

    fn span(&self) -> Span {
        let config = &self.this.config;
        let described = self.this.tools.described();
        let tools = Value::from(described.to_vec()).to_string();
        let results = self.results.as_ref().map(Value::to_string);
        let (address, port) = server_of(&config.url).unzip();
        info_span!(
            "realtime",
            gen_ai.operation.name = "realtime",
            gen_ai.provider.name = PROVIDER,
            gen_ai.request.model = %config.model,
            gen_ai.request.stream = true,
            server.address = address,
            server.port = port,
            gen_ai.output.type = "speech",
            gen_ai.system_instructions = self.this.instructions,
            voice_id = %config.voice,
            language = config.language,
            tools = tools,
            tool_count = described.len(),
            tool_choice = "auto",
            input = results,
            transcript = Empty,
            output = Empty,
            gen_ai.output.messages = Empty,
            gen_ai.response.id = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.audio.input_tokens = Empty,
            gen_ai.usage.audio.output_tokens = Empty,
            interrupted = Empty,
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        )
    }
}

fn append(samples: &[i16]) -> Value {
    let wire = audio::to_bytes(&resample(samples, RATE, WIRE_RATE));
    json!({"type": "input_audio_buffer.append", "audio": BASE64_STANDARD.encode(wire)})
}
