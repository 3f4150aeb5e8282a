//! A language model by OpenAI's chat completions API, streamed.
//!
//! Wire format: OpenAI's API reference, "Chat Completions, Create chat completion" and "Streaming, The chat completion
//! chunk object" (`POST /chat/completions` answered by server-sent events, the last of which is `[DONE]`), and the guides
//! "Function calling, Streaming" and "Error codes". Any server that speaks it will do.

use super::{Attempt, Patience, ServiceError, answer_with_calls, http, server_of};
use crate::context::{Message, ToolCall};
use crate::frames::{Response, Words};
use crate::secret::Secret;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sse_stream::{Sse, SseByteStream};
use std::pin::pin;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument, Span, info, info_span};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `https://api.openai.com/v1`, or that of a compatible server.
    pub(crate) base_url: String,
    pub(crate) key: Secret,
    pub(crate) model: String,
    /// Not sent unless set: reasoning models refuse it.
    pub(crate) temperature: Option<f64>,
    /// What an answer may take at most, reasoning included.
    pub(crate) max_completion_tokens: u64,
}

/// For `gen_ai.provider.name`.
pub(super) const PROVIDER: &str = "openai";
/// An answer that is spoken is short.
pub(crate) const MAX_COMPLETION_TOKENS: u64 = 300;
/// The last event's data.
const DONE: &str = "[DONE]";
/// Tool calls in one answer beyond this are not what an agent with few tools should get.
const TOOL_CALLS: usize = 8;
/// Bytes of a streamed answer at most. Events are buffered until they end, so an endless one must not be read on.
const LONGEST: usize = 4 << 20;

#[derive(Clone, Debug)]
pub(crate) struct OpenAi {
    http: reqwest::Client,
    config: Config,
    patience: Patience,
}

/// A whole answer. Its text has already been passed on while it came.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tool_calls: Vec<ToolCall>,
}

impl OpenAi {
    pub(crate) fn new(http: reqwest::Client, config: Config, patience: Patience) -> Self {
        Self {
            http,
            config,
            patience,
        }
    }

    /// Whether the provider can be reached with the key. A server that does not list models may answer all the same.
    pub(crate) async fn check(&self) -> Result<(), ServiceError> {
        let url = format!("{}/models", self.config.base_url.trim_end_matches('/'));
        let asked = timeout(
            self.patience.connect,
            self.authorised(self.http.get(url)).send(),
        );
        let error = match asked.await {
            Ok(Ok(answered)) if [401, 403].contains(&answered.status().as_u16()) => {
                let status = answered.status().as_u16();
                let explained = timeout(self.patience.connect, answered.text()).await;
                let explained = explained.ok().and_then(Result::ok).unwrap_or_default();
                ServiceError::status(status, &explained)
            }
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => ServiceError::lost(plain(&error)),
            Err(_) => ServiceError::timeout("connecting", self.patience.connect),
        };
        Err(error.redacted(&self.config.key))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.config.key.expose() {
            "" => request,
            key => request.bearer_auth(key),
        }
    }

    /// Asks once. Text goes to `words` as it comes. `user` is the conversation's id: OpenAI asks for one, to tell users
    /// apart.
    pub(crate) async fn chat(
        &self,
        messages: &[Message],
        tools: &[Value],
        user: &str,
        response: &Response,
        words: &mpsc::Sender<Words>,
    ) -> Result<Answer, ServiceError> {
        let span = self.span(messages, tools);
        let attempt = Attempt::new(span.clone(), &["interrupted"]);
        let asked = self
            .ask(messages, tools, user, response, words, &span)
            .instrument(span.clone())
            .await;
        match asked {
            Ok(answer) => {
                attempt.done();
                Ok(answer)
            }
            Err(error) => {
                let error = error.redacted(&self.config.key);
                attempt.failed(&error);
                Err(error)
            }
        }
    }

    fn span(&self, messages: &[Message], tools: &[Value]) -> Span {
        let (system, said): (Vec<_>, Vec<_>) = messages
            .iter()
            .partition(|message| message.role == "system");
        let system: Vec<_> = system
            .iter()
            .filter_map(|message| message.content.as_deref())
            .collect();
        let described = Value::from(tools.to_vec()).to_string();
        let (address, port) = server_of(&self.config.base_url).unzip();
        info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = PROVIDER,
            gen_ai.request.model = %self.config.model,
            gen_ai.request.stream = true,
            server.address = address,
            server.port = port,
            gen_ai.output.type = "text",
            gen_ai.request.temperature = self.config.temperature,
            gen_ai.request.max_tokens = self.config.max_completion_tokens,
            gen_ai.system_instructions = system.join("\n"),
            input = serde_json::to_string(&said).unwrap_or_default(),
            tools = described,
            tool_count = tools.len(),
            tool_choice = "auto",
            output = Empty,
            gen_ai.output.messages = Empty,
            gen_ai.response.id = Empty,
            gen_ai.response.model = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            interrupted = Empty,
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        )
    }

    async fn ask(
        &self,
        messages: &[Message],
        tools: &[Value],
        user: &str,
        response: &Response,
        words: &mpsc::Sender<Words>,
        span: &Span,
    ) -> Result<Answer, ServiceError> {
        let mut body = json!({
            "model": self.config.model,
            "messages": messages,
            "max_completion_tokens": self.config.max_completion_tokens,
            "stream": true,
            "stream_options": {"include_usage": true},
            "user": user,
        });
        if let Some(temperature) = self.config.temperature {
            body["temperature"] = temperature.into();
        }
        if !tools.is_empty() {
            body["tools"] = tools.into();
            body["tool_choice"] = "auto".into();
        }
        let mut events = pin!(Self::events(self.post(&body).await?));
        let mut answer = Answer::default();
        let mut calls = ToolCalls::default();
        let (mut begun, mut identified, mut finished) = (false, false, None);
        loop {
            let event = match timeout(self.patience.silence, events.next()).await {
                Ok(event) => event.transpose()?,
                Err(_) => {
                    return Err(ServiceError::timeout(
                        "the next part of the answer",
                        self.patience.silence,
                    ));
                }
            };
            let data = match event {
                Some(event) => event.data,
                // Some servers do without [DONE].
                None if finished.is_some() => Some(DONE.to_owned()),
                None => return Err(ServiceError::lost("the answer ended without [DONE]")),
            };
            let Some(data) = data else { continue };
            if data == DONE {
                answer.tool_calls = calls.whole();
                if !answer.tool_calls.is_empty() {
                    let whole = answer_with_calls(&answer.text, &answer.tool_calls);
                    span.record("gen_ai.output.messages", whole);
                }
                return self.checked(answer, finished.as_deref());
            }
            let chunk: Chunk = serde_json::from_str(&data).map_err(|error| {
                ServiceError::malformed(format!("a part of the answer cannot be read: {error}"))
            })?;
            if chunk.error.is_some() {
                return Err(ServiceError::status(500, &data));
            }
            if !identified {
                identified = true;
                span.record("gen_ai.response.id", chunk.id);
                span.record("gen_ai.response.model", chunk.model);
            }
            if let Some(usage) = &chunk.usage {
                usage.record(span);
            }
            let Some(choice) = chunk.choices.into_iter().flatten().next() else {
                continue;
            };
            if let Some(reason) = choice.finish_reason {
                span.record("gen_ai.response.finish_reasons", reason.as_str());
                finished = Some(reason);
            }
            let delta = choice.delta.unwrap_or_default();
            if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
                if !begun {
                    begun = true;
                    info!(conversation.event = "first_byte");
                }
                answer.text.push_str(&text);
                span.record("output", answer.text.as_str());
                if words
                    .send(Words::Delta(response.clone(), text))
                    .await
                    .is_err()
                {
                    return Ok(answer);
                }
            }
            for part in delta.tool_calls.into_iter().flatten() {
                if !begun {
                    begun = true;
                    info!(conversation.event = "first_byte", text = false);
                }
                calls.add(part)?;
            }
        }
    }

    /// An answer that has ended for the reason `finished`.
    fn checked(&self, answer: Answer, finished: Option<&str>) -> Result<Answer, ServiceError> {
        if finished == Some("length") && answer.text.is_empty() {
            return Err(ServiceError {
                kind: "length".into(),
                message: format!(
                    "all {} tokens went by without a word, into reasoning perhaps: raise OPENAI_MAX_COMPLETION_TOKENS",
                    self.config.max_completion_tokens
                ),
                transient: false,
                retry_after: None,
                unauthorized: false,
            });
        }
        Ok(answer)
    }

    /// The server-sent events of an answer, up to the first error.
    fn events(answered: reqwest::Response) -> impl Stream<Item = Result<Sse, ServiceError>> {
        let mut left = LONGEST;
        let pieces = answered.bytes_stream().map(move |piece| {
            let piece = piece.map_err(|error| ServiceError::lost(plain(&error)))?;
            left = left
                .checked_sub(piece.len())
                .ok_or_else(|| ServiceError::malformed("the answer is longer than 4 MiB"))?;
            Ok::<_, ServiceError>(piece)
        });
        SseByteStream::new(pieces).map(|event| {
            event.map_err(|error| match error {
                sse_stream::Error::Body(error) => error
                    .downcast()
                    .map_or_else(ServiceError::lost, |error| *error),
                error => ServiceError::malformed(error),
            })
        })
    }

    async fn post(&self, body: &Value) -> Result<reqwest::Response, ServiceError> {
        let url = format!(
            "{}/chat/completions",
            self.config.base_url.trim_end_matches('/')
        );
        let request = self.authorised(self.http.post(&url).json(body));
        let answered = http::send(request, "/chat/completions", self.patience.silence)
            .await
            .map_err(|failure| match failure {
                http::Failure::Timeout => {
                    ServiceError::timeout("the beginning of the answer", self.patience.silence)
                }
                http::Failure::Unsent(error) => ServiceError::lost(plain(&error)),
            })?;
        if answered.status().is_success() {
            return Ok(answered);
        }
        let status = answered.status().as_u16();
        let retry_after = answered
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
            .filter(|secs| secs.is_finite() && *secs >= 0.0);
        let explained = timeout(self.patience.silence, answered.text())
            .await
            .ok()
            .and_then(Result::ok);
        let error = ServiceError::status(status, &explained.unwrap_or_default());
        Err(ServiceError {
            retry_after,
            ..error
        })
    }
}

/// An HTTP client's error with its causes, in one line.
fn plain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// A part of an answer. What OpenAI leaves out, compatible servers send as null.
#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCallPart>>,
}

/// A piece of a tool call: id and name come first, then the arguments in pieces.
#[derive(Deserialize)]
struct ToolCallPart {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Deserialize)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<Value>,
}

/// The tool calls of an answer, put together from their pieces. Beside each its index, which is not always its own:
/// servers that send whole calls may give all of them the same one, or none.
#[derive(Default)]
struct ToolCalls(Vec<(usize, ToolCall)>);

impl ToolCalls {
    fn add(&mut self, part: ToolCallPart) -> Result<(), ServiceError> {
        let index = part.index.unwrap_or_default();
        let id = part.id.unwrap_or_default();
        let belongs = |(other, call): &(usize, ToolCall)| {
            *other == index && (id.is_empty() || call.id.is_empty() || call.id == id)
        };
        let at = match self.0.iter().rposition(belongs) {
            Some(at) => at,
            None if self.0.len() < TOOL_CALLS => {
                let call = ToolCall {
                    id: String::new(),
                    kind: "function".to_owned(),
                    function: Default::default(),
                };
                self.0.push((index, call));
                self.0.len() - 1
            }
            None => {
                return Err(ServiceError::malformed(format!(
                    "more than {TOOL_CALLS} tool calls in one answer"
                )));
            }
        };
        let call = &mut self.0[at].1;
        if call.id.is_empty() {
            call.id = id;
        }
        if let Some(part) = part.function {
            let name = part.name.unwrap_or_default();
            // Some servers repeat the name with each piece.
            if call.function.name != name {
                call.function.name.push_str(&name);
            }
            match part.arguments {
                None | Some(Value::Null) => {}
                Some(Value::String(piece)) => call.function.arguments.push_str(&piece),
                Some(whole) => call.function.arguments = whole.to_string(),
            }
        }
        Ok(())
    }

    /// The calls. One without an id gets one, by which its result is found.
    fn whole(self) -> Vec<ToolCall> {
        let calls = self.0.into_iter().map(|(_, call)| call).enumerate();
        calls
            .map(|(index, mut call)| {
                if call.id.is_empty() {
                    call.id = format!("call_{index}");
                }
                call
            })
            .collect()
    }
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    fn record(&self, span: &Span) {
        let cached = self.prompt_tokens_details.as_ref();
        let reasoning = self.completion_tokens_details.as_ref();
        for (field, tokens) in [
            ("gen_ai.usage.input_tokens", self.prompt_tokens),
            ("gen_ai.usage.output_tokens", self.completion_tokens),
            (
                "gen_ai.usage.cache_read.input_tokens",
                cached.and_then(|details| details.cached_tokens),
            ),
            (
                "gen_ai.usage.reasoning.output_tokens",
                reasoning.and_then(|details| details.reasoning_tokens),
            ),
        ] {
            if let Some(tokens) = tokens {
                span.record(field, tokens);
            }
        }
    }
}
