//! What the provider sends, and what becomes of it.

use super::{ATTEMPTS, BACKOFF, ROUNDS, Running, Session, WIRE_RATE};
use crate::audio::{self, RATE, resample, seconds};
use crate::context::{Function, ToolCall};
use crate::frames::Speech;
use crate::services::socket::Incoming;
use crate::services::{ServiceError, answer_with_calls};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{Instrument, Span, info, warn};

impl Session {
    pub(super) async fn incoming(&mut self, incoming: Incoming) {
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Lost(error) => {
                self.socket = None;
                self.streamed = false;
                self.failed(error).await;
                return;
            }
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(event) => self.event(&event).await,
            Err(error) => {
                self.socket = None;
                let what = format!("OpenAI sent what is no message: {error}");
                self.failed(ServiceError::malformed(what)).await;
            }
        }
    }

    async fn event(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        let silence = self.this.patience.silence;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if kind == "conversation.item.input_audio_transcription.completed" {
            self.transcript = Some(text(&event["transcript"]));
            self.record_transcript();
            return;
        }
        let Some(answer) = &mut self.answer else {
            return;
        };
        if kind == "error" {
            let error = ServiceError::status(500, &event.to_string());
            // Most errors are about one message of ours, and the session goes on.
            if answer.attempt.is_some() && answer.id.is_none() {
                self.failed(error).await;
            } else {
                warn!(error = %error.redacted(&self.this.config.key), "speech-to-speech");
            }
            return;
        }
        if kind == "response.created" {
            let number = answer.number.to_string();
            if event["response"]["metadata"]["number"] == number.as_str() {
                let id = text(&event["response"]["id"]);
                if let Some(attempt) = &answer.attempt {
                    attempt.span.record("gen_ai.response.id", id.as_str());
                }
                answer.id = Some(id);
            }
            return;
        }
        let id = event["response_id"]
            .as_str()
            .or_else(|| event["response"]["id"].as_str());
        if id.is_none() || id != answer.id.as_deref() {
            return;
        }
        answer.overdue = Instant::now() + silence;
        match kind {
            "response.output_audio.delta" => {
                answer.item = Some(text(&event["item_id"]));
                let Ok(bytes) = BASE64_STANDARD.decode(text(&event["delta"])) else {
                    let what = "OpenAI sent audio that is no base64";
                    self.failed(ServiceError::malformed(what)).await;
                    return;
                };
                if answer.samples == 0
                    && let Some(attempt) = &answer.attempt
                {
                    attempt
                        .span
                        .in_scope(|| info!(conversation.event = "first_byte"));
                }
                let samples = resample(&audio::from_bytes(&bytes), WIRE_RATE, RATE);
                answer.samples += samples.len();
                let audio = Speech::Audio(answer.response.clone(), samples);
                self.deliver(audio).await;
            }
            "response.output_audio_transcript.delta" => {
                let delta = text(&event["delta"]);
                answer.output.push_str(&delta);
                if let Some(attempt) = &answer.attempt {
                    attempt.span.record("output", answer.output.as_str());
                }
                answer.word.push_str(&delta);
                self.words(false).await;
            }
            "response.output_audio_transcript.done" => self.words(true).await,
            "response.done" => self.done(&event["response"]).await,
            _ => {}
        }
    }

    /// Passes whole words on. Each is taken to begin where the audio had come to when it came.
    async fn words(&mut self, last: bool) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let whole = match answer.word.rfind(char::is_whitespace) {
            _ if last => answer.word.len(),
            Some(end) => end,
            None => 0,
        };
        let words: String = answer.word.drain(..whole).collect();
        let (response, at) = (answer.response.clone(), seconds(answer.samples));
        for word in words.split_whitespace() {
            self.deliver(Speech::Word(response.clone(), word.to_owned(), at))
                .await;
        }
    }

    async fn done(&mut self, response: &Value) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(attempt) = answer.attempt.take() else {
            return;
        };
        record(&response["usage"], &attempt.span);
        if response["status"] == "failed" {
            let error = ServiceError::status(500, &response["status_details"].to_string());
            answer.attempt = Some(attempt);
            self.failed(error).await;
            return;
        }
        let calls: Vec<ToolCall> = response["output"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|item| item["type"] == "function_call")
            .map(|item| {
                let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
                ToolCall {
                    id: text("call_id"),
                    kind: "function".to_owned(),
                    function: Function {
                        name: text("name"),
                        arguments: text("arguments"),
                    },
                }
            })
            .collect();
        if !calls.is_empty() {
            let whole = answer_with_calls(&answer.output, &calls);
            attempt.span.record("gen_ai.output.messages", whole);
        }
        let reason = match response["status_details"]["reason"].as_str() {
            Some(reason) => reason,
            None if calls.is_empty() => "stop",
            None => "tool_calls",
        };
        attempt
            .span
            .record("gen_ai.response.finish_reasons", reason);
        attempt.done();
        answer.tries = 0;
        if calls.is_empty() || answer.rounds == ROUNDS {
            let end = Speech::End(answer.response.clone());
            self.deliver(end).await;
            return;
        }
        answer.rounds += 1;
        let tools = self.this.tools.clone();
        let run = async move {
            let mut results = Vec::new();
            for call in calls {
                let result = tools.run(&call).await;
                results.push((call.id, result));
            }
            results
        };
        self.tools = Some(Running::new(tokio::spawn(run.in_current_span())));
    }

    /// Sends the results, and asks for the rest of the answer.
    pub(super) async fn tools_finished(&mut self, results: Vec<(String, String)>) {
        self.tools = None;
        let items = results.into_iter().map(|(call, result)| json!({"type": "function_call_output", "call_id": call, "output": result}));
        let items: Vec<Value> = items.collect();
        self.results = Some(items.clone().into());
        for item in items {
            let message = json!({"type": "conversation.item.create", "item": item});
            if let Err(error) = self.send(message).await {
                warn!(%error, "speech-to-speech");
            }
        }
        self.request().await;
    }

    /// The request failed. If nothing has been heard of its answer it may be made again, else the answer ends there.
    pub(super) async fn failed(&mut self, error: ServiceError) {
        let error = error.redacted(&self.this.config.key);
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(attempt) = answer.attempt.take() else {
            return;
        };
        warn!(%error, "speech-to-speech");
        attempt.failed(&error);
        if error.transient && answer.samples == 0 && answer.tries < ATTEMPTS {
            let wait = self.this.pace.duration(BACKOFF);
            self.again = Some(Instant::now() + wait);
            return;
        }
        let end = Speech::End(answer.response.clone());
        self.deliver(end).await;
    }

    /// Passes speech on, which waits where it is made faster than played; not for what is cancelled meanwhile.
    async fn deliver(&self, speech: Speech) {
        let (Speech::Audio(response, _) | Speech::Word(response, ..) | Speech::End(response)) =
            &speech;
        let response = response.clone();
        tokio::select! {
            _ = self.this.speech.send(speech) => {}
            () = response.cancelled() => {}
        }
    }
}

fn record(usage: &Value, span: &Span) {
    let (input, output) = (
        &usage["input_token_details"],
        &usage["output_token_details"],
    );
    for (field, tokens) in [
        ("gen_ai.usage.input_tokens", &usage["input_tokens"]),
        ("gen_ai.usage.output_tokens", &usage["output_tokens"]),
        (
            "gen_ai.usage.cache_read.input_tokens",
            &input["cached_tokens"],
        ),
        ("gen_ai.usage.audio.input_tokens", &input["audio_tokens"]),
        ("gen_ai.usage.audio.output_tokens", &output["audio_tokens"]),
    ] {
        if let Some(tokens) = tokens.as_u64() {
            span.record(field, tokens);
        }
    }
}
