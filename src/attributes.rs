//! Re-exports of the attributes, documented here because the macro crate cannot use this crate in its examples.

/// Runs a function, and the stream it may return, inside an [`llm_span!`](crate::llm_span).
///
/// ```
/// use tracing_conversation::traced_llm;
///
/// struct OpenAi { model: String }
///
/// impl OpenAi {
///     #[traced_llm(
///         gen_ai.provider.name = "openai",
///         gen_ai.request.model = self.model.as_str(),
///         input = prompt,
///     )]
///     async fn complete(&self, prompt: &str) -> Result<String, std::io::Error> {
///         Ok(format!("You said: {prompt}"))
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let openai = OpenAi { model: "gpt-4o".into() };
/// # assert_eq!(openai.complete("hi").await.unwrap(), "You said: hi");
/// # }
/// ```
///
/// # Supported functions
///
/// Functions and methods, `async` or not, also in trait implementations and under
/// `#[async_trait]`. The return type determines when the span ends:
///
/// | returned, alone or in the `Ok` of a `Result` | the span ends |
/// |---|---|
/// | `impl Stream`, `Pin<Box<dyn Stream + …>>`, under any alias | with the stream, as with [`TraceStream`](crate::instrument::TraceStream) |
/// | anything else | when it is returned, as with [`TraceFuture`](crate::instrument::TraceFuture) |
///
/// An `Err`, returned or as an item of the stream, sets the error status, with its text if it is
/// `Display`. Dropping the future or stream before its end sets `interrupted`. A
/// function whose signature names a concrete stream type cannot be wrapped: return `impl Stream`.
///
/// # Arguments
///
/// Settings come first, with a colon; each is optional:
///
/// - `record: |item: &Item, recorder: &mut Recorder<'_>| …` is called with each item of the stream, or with the
///   returned value, and records content and usage with the [`Recorder`](crate::instrument::Recorder). For a
///   `Result` it is called with the value of the `Ok`. The parameter types are required. The path of such a
///   function is accepted too.
/// - `target: …` and `parent: …`, as in [`tracing::info_span!`].
/// - `crate: path`, if this crate has another name.
///
/// Then come fields as in [`llm_span!`](crate::llm_span); their expressions may use the function's arguments.
///
/// ```
/// use futures_util::{Stream, StreamExt, stream};
/// use tracing_conversation::{instrument::Recorder, traced_llm};
///
/// #[traced_llm(
///     record: |piece: &&str, recorder: &mut Recorder<'_>| { recorder.output(piece); },
///     gen_ai.request.model = "gpt-4o",
///     input = prompt,
/// )]
/// async fn answer(prompt: &str) -> Result<impl Stream<Item = &'static str>, std::io::Error> {
///     Ok(stream::iter(["It is", " sunny."]))
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(answer("What is the weather?").await.unwrap().count().await, 2);
/// # }
/// ```
pub use tracing_conversation_macros::traced_llm;

/// Runs a function, and the stream it may return, inside an [`stt_span!`](crate::stt_span). Like
/// [`traced_llm`](macro@crate::traced_llm).
///
/// ```
/// use futures_util::{Stream, StreamExt, stream};
/// use tracing_conversation::{instrument::Recorder, traced_stt};
///
/// #[traced_stt(
///     record: |words: &String, recorder: &mut Recorder<'_>| { recorder.transcript(words, true); },
///     gen_ai.provider.name = "deepgram",
/// )]
/// fn transcribe(audio: impl Stream<Item = Vec<i16>>) -> impl Stream<Item = String> {
///     audio.map(|samples| format!("{} samples", samples.len()))
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut words = std::pin::pin!(transcribe(stream::iter([vec![0; 160]])));
/// assert_eq!(words.next().await.unwrap(), "160 samples");
/// # }
/// ```
pub use tracing_conversation_macros::traced_stt;

/// Runs a function, and the stream it may return, inside a [`tts_span!`](crate::tts_span). Like
/// [`traced_llm`](macro@crate::traced_llm).
///
/// ```
/// use std::pin::Pin;
/// use futures_util::{Stream, StreamExt, stream};
/// use tracing_conversation::traced_tts;
///
/// type Audio = Pin<Box<dyn Stream<Item = Result<Vec<i16>, std::io::Error>> + Send>>;
///
/// #[async_trait::async_trait]
/// trait Tts {
///     async fn speak(&self, text: &str) -> Result<Audio, std::io::Error>;
/// }
///
/// struct Lady;
///
/// #[async_trait::async_trait]
/// impl Tts for Lady {
///     #[traced_tts(voice_id = "lady", text = text)]
///     async fn speak(&self, text: &str) -> Result<Audio, std::io::Error> {
///         Ok(Box::pin(stream::iter([Ok(vec![0; 160 * text.len()])])))
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(Lady.speak("It is sunny.").await.unwrap().count().await, 1);
/// # }
/// ```
pub use tracing_conversation_macros::traced_tts;

/// Runs a function inside a [`tool_span!`](crate::tool_span) whose `gen_ai.tool.name` is the
/// function's name, unless that field is given. Like [`traced_llm`](macro@crate::traced_llm).
///
/// ```
/// use tracing_conversation::{instrument::Recorder, traced_tool};
///
/// #[traced_tool(
///     record: |weather: &String, recorder: &mut Recorder<'_>| { recorder.tool_result(weather); },
///     gen_ai.tool.call.arguments = city,
/// )]
/// async fn get_weather(city: &str) -> Result<String, std::io::Error> {
///     Ok(format!("sunny in {city}"))
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(get_weather("Graz").await.unwrap(), "sunny in Graz");
/// # }
/// ```
pub use tracing_conversation_macros::traced_tool;

/// Runs a function inside an [`agent_span!`](crate::agent_span) whose `gen_ai.agent.name` is the function's name, unless that
/// field is given: what is done in it stays below it in the turn. Like [`traced_llm`](macro@crate::traced_llm).
///
/// ```
/// use tracing_conversation::traced_agent;
///
/// #[traced_agent]
/// async fn answer(question: &str) -> Result<String, std::io::Error> {
///     // … language models, tools, speech …
///     Ok(format!("You asked: {question}"))
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(answer("why?").await.unwrap(), "You asked: why?");
/// # }
/// ```
pub use tracing_conversation_macros::traced_agent;

#[cfg(doctest)]
#[doc = include_str!("../docs/instrumenting.md")]
struct Guide;
