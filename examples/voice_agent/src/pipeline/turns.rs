//! Turn-taking: who has the floor. Starts the bot's responses and, when the user speaks, cuts them off.

use crate::context::{Context, Message};
use crate::frames::{Floor, Response, Sentence, Think};
use crate::pace::Pace;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Seconds to wait after a transcript that ends a sentence, and after one that seems to stop in the middle of one.
const COMPLETE: f64 = 0.12;
const INCOMPLETE: f64 = 0.7;
/// Said when speech-to-text fails.
const NOT_HEARD: &str = "Sorry, I could not hear that. Could you say it again?";

pub(crate) struct Turns {
    pub(crate) pace: Pace,
    pub(crate) context: Context,
    /// Cancelled when the conversation ends, and every response with it.
    pub(crate) conversation: CancellationToken,
    pub(crate) think: mpsc::Sender<Think>,
    pub(crate) sentences: mpsc::Sender<Sentence>,
}

/// What turn-taking knows.
#[derive(Default)]
struct State {
    responses: u64,
    /// What the bot is saying, or about to say.
    current: Option<Response>,
    user_speaks: bool,
    heard: Vec<String>,
    not_heard: bool,
    /// When the user is taken to have finished, unless they go on.
    release: Option<Instant>,
}

impl Turns {
    /// Greets, then takes turns until the conversation ends.
    pub(crate) async fn run(self, mut floor: mpsc::Receiver<Floor>) {
        let mut state = State::default();
        self.respond(&mut state).await;
        loop {
            let release = state.release;
            tokio::select! {
                () = self.conversation.cancelled() => break,
                event = floor.recv() => match event {
                    Some(event) => self.event(&mut state, event),
                    None => break,
                },
                () = sleep_until(release.unwrap_or_else(Instant::now)), if release.is_some() => {
                    self.release(&mut state).await;
                }
            }
        }
    }

    fn event(&self, state: &mut State, event: Floor) {
        match event {
            Floor::SpeechStarted => {
                state.user_speaks = true;
                state.release = None;
                info!(conversation.event = "user_started_speaking");
                if let Some(response) = state.current.take() {
                    info!(conversation.event = "interruption");
                    response.cancel();
                    self.remember(&response);
                }
            }
            Floor::SpeechStopped => state.user_speaks = false,
            Floor::Transcript(text) => {
                let patience = if text.ends_with(['.', '?', '!']) {
                    COMPLETE
                } else {
                    INCOMPLETE
                };
                if !text.is_empty() {
                    state.heard.push(text);
                }
                self.user_done_in(state, self.pace.duration(patience));
            }
            Floor::TranscriptionFailed => {
                state.not_heard = true;
                self.user_done_in(state, Duration::ZERO);
            }
            Floor::Finished(response) => {
                if state.current.as_ref() == Some(&response) {
                    state.current = None;
                    self.remember(&response);
                }
            }
        }
    }

    fn user_done_in(&self, state: &mut State, wait: Duration) {
        if !state.user_speaks {
            state.release = Some(Instant::now() + wait);
        }
    }

    /// The user has finished: it is the bot's turn, if there is something to answer.
    async fn release(&self, state: &mut State) {
        state.release = None;
        info!(conversation.event = "user_stopped_speaking");
        let not_heard = std::mem::take(&mut state.not_heard);
        let heard = std::mem::take(&mut state.heard).join(" ");
        if !heard.is_empty() {
            self.context.push([Message::new("user", heard)]);
            self.respond(state).await;
        } else if not_heard {
            let response = self.begin(state);
            let _ = self
                .sentences
                .send(Sentence::Say(response.clone(), NOT_HEARD.to_owned()))
                .await;
            let _ = self.sentences.send(Sentence::End(response)).await;
        }
    }

    async fn respond(&self, state: &mut State) {
        let response = self.begin(state);
        let _ = self.think.send(Think(response)).await;
    }

    fn begin(&self, state: &mut State) -> Response {
        state.responses += 1;
        let response = Response::new(state.responses, &self.conversation);
        state.current = Some(response.clone());
        response
    }

    /// Only what the user has heard was said.
    fn remember(&self, response: &Response) {
        let spoken = response.spoken();
        if !spoken.is_empty() {
            self.context.push([Message::new("assistant", spoken)]);
        }
    }
}
