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
            let _ = words.send(Words::Pause(response.clone())).await;
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
            // What the model says before it calls is said while the tools run.
            let _ = words.send(Words::Pause(response.clone())).await;
            let mut messages = vec![Message {
                tool_calls: answer.tool_calls.clone(),
                content: Some(answer.text.clone()).filter(|text| !text.is_empty()),
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
            response.put_in_context(&answer.text);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Sentence;
    use crate::pipeline::sentences::aggregate;
    use crate::secret::Secret;
    use crate::services::{Patience, openai};
    use crate::tests::record;
    use crate::tools::Weather;
    use axum::extract::State;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    /// A language model that says something before it calls a tool, and a weather service that waits to be let go on.
    #[derive(Default)]
    struct Peer {
        requests: Mutex<Vec<Value>>,
        go_on: Notify,
    }

    async fn complete(State(peer): State<Arc<Peer>>, Json(request): Json<Value>) -> String {
        let mut requests = peer.requests.lock().unwrap();
        requests.push(request);
        let call = json!({"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}});
        let deltas = match requests.len() {
            1 => vec![
                json!({"content": "Let me look."}),
                json!({"tool_calls": [call]}),
            ],
            _ => vec![json!({"content": "It is sunny."})],
        };
        let events = deltas
            .into_iter()
            .map(|delta| format!("data: {}\n\n", json!({"choices": [{"delta": delta}]})));
        events.collect::<String>() + "data: [DONE]\n\n"
    }

    async fn search(State(peer): State<Arc<Peer>>) -> Json<Value> {
        peer.go_on.notified().await;
        Json(json!({"results": [{"name": "Paris", "latitude": 1.0, "longitude": 2.0}]}))
    }

    async fn forecast() -> Json<Value> {
        Json(json!({"current": {"temperature_2m": 20.0, "weather_code": 0}}))
    }

    async fn next(sentences: &mut mpsc::Receiver<Sentence>) -> String {
        let next = tokio::time::timeout(Duration::from_secs(20), sentences.recv()).await;
        match next.unwrap().unwrap() {
            Sentence::Say(_, text) => text,
            Sentence::End(_) => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn text_before_a_tool_call_is_said_while_the_tool_runs_and_is_in_the_context_once() {
        let (_recorder, _installed) = record();
        let peer = Arc::new(Peer::default());
        let router = Router::new()
            .route("/chat/completions", post(complete))
            .route("/v1/search", get(search))
            .route("/v1/forecast", get(forecast))
            .with_state(Arc::clone(&peer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = crate::http_client().unwrap();
        let config = openai::Config {
            base_url: url.clone(),
            key: Secret::default(),
            model: "m".to_owned(),
            temperature: None,
            max_completion_tokens: openai::MAX_COMPLETION_TOKENS,
        };
        let context = Context::new("Be kind.");
        context.push([Message::new("user", "What is the weather like?")]);
        let mind = Mind {
            model: OpenAi::new(http.clone(), config, Patience::default()),
            tools: Tools::new(Weather::new(http, url.clone(), url)),
            context: context.clone(),
            conversation: "c1".to_owned(),
            pace: Pace::times(1.0),
        };
        let (think, requests) = mpsc::channel(1);
        let (words, pieces) = mpsc::channel(16);
        let (say, mut sentences) = mpsc::channel(16);
        tokio::spawn(mind.run(requests, words));
        tokio::spawn(aggregate(pieces, say));
        let response = Response::new(1, &CancellationToken::new());
        think.send(Think(response.clone())).await.unwrap();

        assert_eq!(next(&mut sentences).await, "Let me look.");
        peer.go_on.notify_one();
        assert_eq!(next(&mut sentences).await, "It is sunny.");
        assert_eq!(next(&mut sentences).await, "end");
        "Let me look. It is sunny."
            .split(' ')
            .for_each(|word| response.spoke(word));
        context.push([Message::new("assistant", response.spoken())]);
        let said: Vec<_> = context
            .messages()
            .into_iter()
            .map(|message| (message.role, message.content.unwrap_or_default()))
            .collect();
        let mut said: Vec<_> = said
            .iter()
            .map(|(role, content)| (role.as_str(), content.as_str()))
            .collect();
        let (role, result) = said.remove(3);
        let result: Value = serde_json::from_str(result).unwrap();
        assert_eq!(
            (role, &result["temperature_celsius"]),
            ("tool", &json!(20.0))
        );
        assert_eq!(
            said,
            [
                ("system", "Be kind."),
                ("user", "What is the weather like?"),
                ("assistant", "Let me look."),
                ("assistant", "It is sunny."),
            ]
        );
        let requests = peer.requests.lock().unwrap();
        assert_eq!(requests[1]["messages"][2]["content"], "Let me look.");
    }
}
