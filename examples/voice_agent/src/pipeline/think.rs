//! The language model's turn: asks, runs the tools it wants, asks again; tries again when the provider fails.

use crate::context::{Context, Message};
use crate::frames::{Response, Think, Words};
use crate::pace::Pace;
use crate::services::ServiceError;
use crate::services::openai::{Answer, OpenAi};
use crate::tools::Tools;
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Times one request is sent at most.
const ATTEMPTS: u32 = 3;
/// Seconds before the second attempt, when the provider does not say how long; doubled for the third.
const BACKOFF: f64 = 0.4;
/// The longest wait that a provider may ask for while a user waits for an answer.
const LONGEST_WAIT: f64 = 3.0;
/// Times in one turn that tools may be run.
const ROUNDS: u32 = 4;
/// Said when the provider fails for good.
const APOLOGY: &str =
    "I am sorry, I cannot think straight right now. Please ask me again in a moment.";

pub(crate) struct Mind {
    pub(crate) model: OpenAi,
    pub(crate) tools: Tools,
    pub(crate) context: Context,
    pub(crate) conversation: String,
    pub(crate) pace: Pace,
}

impl Mind {
    /// Answers until `requests` ends.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<Think>, words: mpsc::Sender<Words>) {
        while let Some(Think(response)) = requests.recv().await {
            tokio::select! {
                // Dropping the answer under way ends its spans as interrupted.
                () = response.cancelled() => {}
                () = self.respond(&response, &words) => {}
            }
        }
    }

    async fn respond(&self, response: &Response, words: &mpsc::Sender<Words>) {
        if let Err(error) = self.answer(response, words).await {
            warn!(%error, "the language model failed for good");
            let _ = words
                .send(Words::Delta(response.clone(), APOLOGY.to_owned()))
                .await;
        }
        let _ = words.send(Words::End(response.clone())).await;
    }

    async fn answer(
        &self,
        response: &Response,
        words: &mpsc::Sender<Words>,
    ) -> Result<(), ServiceError> {
        for round in 0..=ROUNDS {
            let answer = self.ask(round < ROUNDS, response, words).await?;
            if answer.tool_calls.is_empty() {
                return Ok(());
            }
            let mut messages = vec![Message {
                tool_calls: answer.tool_calls.clone(),
                content: Some(answer.text).filter(|text| !text.is_empty()),
                ..Message::new("assistant", "")
            }];
            for call in &answer.tool_calls {
                let result = self.tools.run(call).await;
                messages.push(Message {
                    tool_call_id: Some(call.id.clone()),
                    ..Message::new("tool", result)
                });
            }
            // All at once: an interruption in between must not leave a call without its result.
            self.context.push(messages);
        }
        Ok(())
    }

    /// One request, with second attempts where they may help: not once part of an answer has been passed on.
    async fn ask(
        &self,
        with_tools: bool,
        response: &Response,
        words: &mpsc::Sender<Words>,
    ) -> Result<Answer, ServiceError> {
        let tools = if with_tools {
            self.tools.described()
        } else {
            &[]
        };
        let mut attempt = 1;
        loop {
            let messages = self.context.messages();
            let (heard, mut deltas) = mpsc::channel(16);
            let mut begun = false;
            let forward = async {
                while let Some(delta) = deltas.recv().await {
                    begun = true;
                    if words.send(delta).await.is_err() {
                        break;
                    }
                }
            };
            let chat = async {
                let answer = self
                    .model
                    .chat(&messages, tools, &self.conversation, response, &heard)
                    .await;
                drop(heard);
                answer
            };
            let (answer, ()) = tokio::join!(chat, forward);
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.transient || begun || attempt == ATTEMPTS {
                return Err(error);
            }
            let wait = error
                .retry_after
                .unwrap_or(BACKOFF * f64::from(attempt))
                .min(LONGEST_WAIT);
            info!(%error, attempt, wait_secs = wait, "asking the language model again");
            self.pace.sleep(wait).await;
            attempt += 1;
        }
    }
}
