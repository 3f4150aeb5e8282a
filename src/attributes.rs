//! The attributes, documented here because their crate cannot depend on this one for examples.

/// Puts a function, and the stream it may return, into an [`llm_span!`](crate::llm_span).
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
/// # What it goes on
///
/// Functions and methods, `async` or not, also in implementations of traits, also under
/// `#[async_trait]`. What they return decides what the span covers:
///
/// | returned, alone or in the `Ok` of a `Result` | the span ends |
/// |---|---|
/// | `impl Stream`, `Pin<Box<dyn Stream + …>>`, under any alias | with the stream, as with [`TraceStream`](crate::instrument::TraceStream) |
/// | anything else | when it is returned, as with [`TraceFuture`](crate::instrument::TraceFuture) |
///
/// An `Err`, returned or as an item of the stream, fails the span; its text is told if it is
/// `Display`. A future or stream that is dropped before its end marks the span `interrupted`. A
/// function whose signature names another type of stream cannot be wrapped: return `impl Stream`.
///
/// # What stands in the parentheses
///
/// First settings, with a colon, each optional:
///
/// - `record: |item: &Item, recorder: &mut Recorder<'_>| …` sees the items of the stream, or the value that
///   is returned, and takes note of words and usage with [`Recorder`](crate::instrument::Recorder). The
///   types have to be written. For a `Result` it sees what is in the `Ok`. A path of such a
///   function does as well.
/// - `target: …` and `parent: …`, as in [`tracing::info_span!`].
/// - `crate: path`, where this crate has another name.
///
/// Then fields as in [`llm_span!`](crate::llm_span), from expressions over the arguments.
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

/// Puts a function, and the stream it may return, into an [`stt_span!`](crate::stt_span). As
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

/// Puts a function, and the stream it may return, into a [`tts_span!`](crate::tts_span). As
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

/// Puts a function into a [`tool_span!`](crate::tool_span) whose `gen_ai.tool.name` is the
/// function's name, unless that field is given. As [`traced_llm`](macro@crate::traced_llm).
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

#[cfg(doctest)]
#[doc = include_str!("../docs/instrumenting.md")]
struct Guide;
