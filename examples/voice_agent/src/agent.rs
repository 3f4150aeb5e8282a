//! One conversation: the pipeline between a user's line and the services.
//!
//! This and everything below it emits plain `tracing` and knows nothing of what listens: the span `conversation` is the
//! scope, events with `conversation.event` say what happens in it, spans with `gen_ai.operation.name` are services at work.

use crate::context::Context;
use crate::frames::{Floor, Heard, Speech};
use crate::pace::Pace;
use crate::pipeline::listen::listen;
use crate::pipeline::sentences::aggregate;
use crate::pipeline::speak::Speaker;
use crate::pipeline::think::Mind;
use crate::pipeline::turns::Turns;
use crate::services::openai::OpenAi;
use crate::services::realtime::Realtime;
use crate::services::{Patience, cartesia, deepgram, openai, realtime};
use crate::tools::{Tools, Weather};
use crate::transport::Connection;
use crate::vad::Vad;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};

const INSTRUCTIONS: &str = "You are a friendly travel assistant on the telephone. What you write is spoken: answer in one \
    to three short sentences, without lists, markup or emoji. Begin the conversation by greeting the caller.";

/// Seconds of speech, and of silence, that voice activity detection takes for certain.
const START_SECS: f64 = 0.2;
const STOP_SECS: f64 = 0.3;

/// Frames, words and sentences that wait between two stages at most. Speech has more room: it is made faster than played.
const QUEUE: usize = 64;
const SPEECH_QUEUE: usize = 1024;

/// How long the stages may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What every conversation of a process shares.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) http: reqwest::Client,
    pub(crate) deepgram: deepgram::Config,
    pub(crate) openai: openai::Config,
    pub(crate) cartesia: cartesia::Config,
    /// Speech-to-speech, in the place of the three.
    pub(crate) realtime: Option<realtime::Config>,
    pub(crate) weather: (String, String),
    pub(crate) patience: Patience,
    pub(crate) pace: Pace,
}

impl Agent {
    /// Talks with the user on `connection` until they hang up.
    pub(crate) async fn converse(&self, id: String, channel: &'static str, connection: Connection) {
        let scope = info_span!("conversation", conversation.id = %id, channel);
        async {
            info!(conversation.event = "client_connected");
            self.run(id, connection).await;
        }
        .instrument(scope)
        .await;
    }

    async fn run(&self, id: String, connection: Connection) {
        let Connection {
            microphone,
            speaker,
        } = connection;
        let conversation = CancellationToken::new();
        // Whatever ends this function ends what is being said.
        let _ended = conversation.clone().drop_guard();
        let weather = Weather::new(
            self.http.clone(),
            self.weather.0.clone(),
            self.weather.1.clone(),
        );
        let tools = Tools::new(weather);
        let (heard, to_service) = mpsc::channel(QUEUE);
        let (floor, to_turns) = mpsc::channel(QUEUE);
        let (speech, to_speaker) = mpsc::channel(SPEECH_QUEUE);
        let speaking = Speaker {
            pace: self.pace,
            playback: speaker,
            floor: floor.clone(),
        };
        let mut stages = JoinSet::new();
        match &self.realtime {
            Some(config) => {
                let service = Realtime {
                    config: config.clone(),
                    instructions: INSTRUCTIONS,
                    tools,
                    conversation: id,
                    patience: self.patience,
                    pace: self.pace,
                    ended: conversation.clone(),
                    speech,
                };
                stages.spawn(service.run(to_service, to_turns).in_current_span());
            }
            None => {
                let cascade = Cascade {
                    heard: to_service,
                    floor: floor.clone(),
                    events: to_turns,
                    speech,
                };
                self.cascade(&mut stages, id, tools, &conversation, cascade);
            }
        }
        stages.spawn(speaking.run(to_speaker).in_current_span());

        let vad = Vad::new(START_SECS, STOP_SECS);
        tokio::select! {
            () = listen(microphone, vad, self.pace, heard, floor) => {}
            // A stage that ends before the user does has failed; there is no conversation without it.
            _ = stages.join_next() => {}
        }
        info!(conversation.event = "client_disconnected");
        conversation.cancel();
        // Each stage ends when the one before it has, and says goodbye to its provider. None is waited for long.
        let ended = async { while stages.join_next().await.is_some() {} };
        if timeout(FAREWELL, ended).await.is_err() {
            stages.shutdown().await;
        }
    }

    /// Speech-to-text, turn-taking, language model and text-to-speech, each a stage.
    fn cascade(
        &self,
        stages: &mut JoinSet<()>,
        id: String,
        tools: Tools,
        conversation: &CancellationToken,
        ends: Cascade,
    ) {
        let context = Context::new(INSTRUCTIONS);
        let (think, to_mind) = mpsc::channel(4);
        let (words, to_sentences) = mpsc::channel(QUEUE);
        let (sentences, to_tts) = mpsc::channel(QUEUE);
        let turns = Turns {
            pace: self.pace,
            context: context.clone(),
            conversation: conversation.clone(),
            think,
            sentences: sentences.clone(),
        };
        let mind = Mind {
            model: OpenAi::new(self.http.clone(), self.openai.clone(), self.patience),
            tools,
            context,
            conversation: id.clone(),
            pace: self.pace,
        };
        let (deepgram, cartesia) = (self.deepgram.clone(), self.cartesia.clone());
        let transcribe =
            deepgram::transcribe(deepgram, id.clone(), self.patience, ends.heard, ends.floor);
        let synthesise = cartesia::synthesise(cartesia, id, self.patience, to_tts, ends.speech);
        stages.spawn(turns.run(ends.events).in_current_span());
        stages.spawn(mind.run(to_mind, words).in_current_span());
        stages.spawn(aggregate(to_sentences, sentences).in_current_span());
        stages.spawn(transcribe.in_current_span());
        stages.spawn(synthesise.in_current_span());
    }
}

/// What the cascade of services is joined to.
struct Cascade {
    heard: mpsc::Receiver<Heard>,
    floor: mpsc::Sender<Floor>,
    events: mpsc::Receiver<Floor>,
    speech: mpsc::Sender<Speech>,
}
