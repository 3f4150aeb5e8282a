//! What passes between the stages of the pipeline.

use crate::audio::Samples;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// From voice activity detection to speech-to-text. Audio flows all the time; the marks say where speech is in it.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Audio(Samples),
    SpeechStarted,
    SpeechStopped,
}

/// To turn-taking, from everywhere.
#[derive(Clone, Debug)]
pub(crate) enum Floor {
    SpeechStarted,
    SpeechStopped,
    /// Speech-to-text is done with the speech that last stopped. Empty when there were no words in it.
    Transcript(String),
    /// Speech-to-text gave up on the speech that last stopped.
    TranscriptionFailed,
    /// The bot has said all of a response, or all of it that could be said.
    Finished(Response),
}

/// From turn-taking to the language model: answer the conversation as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Think(pub(crate) Response);

/// From the language model to the sentence aggregator.
#[derive(Clone, Debug)]
pub(crate) enum Words {
    Delta(Response, String),
    /// Nothing follows for now: what has come is to be said as it is.
    Pause(Response),
    End(Response),
}

/// From the sentence aggregator to text-to-speech.
#[derive(Clone, Debug)]
pub(crate) enum Sentence {
    Say(Response, String),
    End(Response),
}

/// From text-to-speech to the speaker.
#[derive(Clone, Debug)]
pub(crate) enum Speech {
    Audio(Response, Vec<i16>),
    /// A word, and how many seconds into the response's audio it begins.
    Word(Response, String, f64),
    End(Response),
}

/// One thing the bot sets out to say. It travels with every frame that is part of it, so that cancelling it once makes
/// every stage drop what it holds of it, however far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Response(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    cancelled: CancellationToken,
    spoken: Mutex<Spoken>,
}

#[derive(Debug, Default)]
struct Spoken {
    /// The words that the user has heard.
    words: Vec<String>,
    /// Samples that the user has heard.
    samples: usize,
    /// How many words, heard or not, the conversation's context has already.
    in_context: usize,
}

impl Response {
    /// The `number`th response of a conversation; it ends with `conversation` at the latest.
    pub(crate) fn new(number: u64, conversation: &CancellationToken) -> Self {
        Self(Arc::new(Inner {
            number,
            cancelled: conversation.child_token(),
            spoken: Mutex::default(),
        }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn cancel(&self) {
        self.0.cancelled.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    pub(crate) async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// The user hears `word` now.
    pub(crate) fn spoke(&self, word: &str) {
        self.lock().words.push(word.to_owned());
    }

    /// The user hears `samples` more now.
    pub(crate) fn play(&self, samples: usize) {
        self.lock().samples += samples;
    }

    /// Samples that the user has heard.
    pub(crate) fn played(&self) -> usize {
        self.lock().samples
    }

    /// `text`, which is part of the response, is in the conversation's context.
    pub(crate) fn put_in_context(&self, text: &str) {
        self.lock().in_context += text.split_whitespace().count();
    }

    /// All that the user has heard of the response so far.
    pub(crate) fn heard(&self) -> String {
        self.lock().words.join(" ")
    }

    /// What the user has heard of the response so far, without what the context has already.
    pub(crate) fn spoken(&self) -> String {
        let spoken = self.lock();
        let words = spoken.words.get(spoken.in_context..).unwrap_or_default();
        words.join(" ")
    }

    fn lock(&self) -> MutexGuard<'_, Spoken> {
        self.0.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Response {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Waits until `response` is cancelled; for ever if there is none.
pub(crate) async fn cut_off(response: Option<&Response>) {
    match response {
        Some(response) => response.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_into_the_context_once() {
        let response = Response::new(1, &CancellationToken::new());
        for word in ["Let", "me"] {
            response.spoke(word);
        }
        assert_eq!(response.spoken(), "Let me");
        response.put_in_context("Let me  look.");
        assert_eq!(response.spoken(), "");
        for word in ["look.", "It", "rains."] {
            response.spoke(word);
        }
        assert_eq!(response.spoken(), "It rains.");
    }
}
