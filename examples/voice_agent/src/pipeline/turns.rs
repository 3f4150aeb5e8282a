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
/// Said when speech-to-text fails, and when there are no words in what cut the bot off.
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
    /// What the user cut off since they last said a word.
    cut_off: Option<Response>,
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
                match state.current.take() {
                    Some(response) => {
                        info!(
                            conversation.event = "user_started_speaking",
                            text_heard = response.heard()
                        );
                        info!(conversation.event = "interruption");
                        response.cancel();
                        self.remember(&response);
                        state.cut_off = Some(response);
                    }
                    None => info!(conversation.event = "user_started_speaking"),
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
        let cut_off = state.cut_off.take();
        if !heard.is_empty() {
            self.context.push([Message::new("user", heard)]);
            self.respond(state).await;
            return;
        }
        match cut_off {
            // A noise before the bot had said anything: it still owes its answer.
            Some(response) if !not_heard && response.heard().is_empty() => {
                self.respond(state).await;
            }
            None if !not_heard => {}
            // Whoever is cut off by a noise must not stay silent for ever.
            _ => self.ask_again(state).await,
        }
    }

    async fn ask_again(&self, state: &mut State) {
        let response = self.begin(state);
        let _ = self
            .sentences
            .send(Sentence::Say(response.clone(), NOT_HEARD.to_owned()))
            .await;
        let _ = self.sentences.send(Sentence::End(response)).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::record;

    /// Turn-taking that has greeted: the sender of its events, the answers that it asks for, what it says itself, and the greeting.
    async fn greeted() -> (
        mpsc::Sender<Floor>,
        mpsc::Receiver<Think>,
        mpsc::Receiver<Sentence>,
        Response,
    ) {
        let (floor, events) = mpsc::channel(8);
        let (think, mut thoughts) = mpsc::channel(8);
        let (sentences, said) = mpsc::channel(8);
        let turns = Turns {
            pace: Pace::times(50.0),
            context: Context::new("Be kind."),
            conversation: CancellationToken::new(),
            think,
            sentences,
        };
        tokio::spawn(turns.run(events));
        let Think(greeting) = thoughts.recv().await.unwrap();
        (floor, thoughts, said, greeting)
    }

    async fn cough(floor: &mpsc::Sender<Floor>) {
        for event in [
            Floor::SpeechStarted,
            Floor::SpeechStopped,
            Floor::Transcript(String::new()),
        ] {
            floor.send(event).await.unwrap();
        }
    }

    async fn next<T>(from: &mut mpsc::Receiver<T>) -> T {
        let next = tokio::time::timeout(Duration::from_secs(20), from.recv()).await;
        next.unwrap().unwrap()
    }

    #[tokio::test]
    async fn bot_cut_off_by_a_noise_asks_again() {
        let (_recorder, _installed) = record();
        let (floor, mut thoughts, mut said, greeting) = greeted().await;
        greeting.spoke("Hello,");
        cough(&floor).await;
        let Sentence::Say(response, text) = next(&mut said).await else {
            panic!("nothing is said");
        };
        assert!(greeting.is_cancelled() && !response.is_cancelled());
        assert_eq!(text, NOT_HEARD);
        assert!(thoughts.try_recv().is_err());
    }

    #[tokio::test]
    async fn answer_cut_off_by_a_noise_before_its_first_word_is_made_again() {
        let (_recorder, _installed) = record();
        let (floor, mut thoughts, mut said, greeting) = greeted().await;
        cough(&floor).await;
        let Think(again) = next(&mut thoughts).await;
        assert!(greeting.is_cancelled() && !again.is_cancelled());
        assert!(said.try_recv().is_err());
    }

    #[tokio::test]
    async fn noise_while_the_bot_is_silent_is_not_answered() {
        let (_recorder, _installed) = record();
        let (floor, mut thoughts, mut said, greeting) = greeted().await;
        floor.send(Floor::Finished(greeting)).await.unwrap();
        cough(&floor).await;
        // What is said later is answered, and it alone.
        floor.send(Floor::SpeechStarted).await.unwrap();
        floor.send(Floor::SpeechStopped).await.unwrap();
        floor
            .send(Floor::Transcript("Hello.".to_owned()))
            .await
            .unwrap();
        let Think(answer) = next(&mut thoughts).await;
        assert_eq!(answer.number(), 2);
        assert!(thoughts.try_recv().is_err() && said.try_recv().is_err());
    }
}
