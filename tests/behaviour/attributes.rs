//! The `#[traced_*]` attributes, checked by the exported spans.

use std::io;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, LocalBoxStream};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tracing_conversation::instrument::Recorder;
use tracing_conversation::{conversation_span, traced_llm, traced_stt, traced_tool, traced_tts};

use tracing_conversation::testing::ConversationRecorder;

use crate::exported::tree;

/// Returns the exported tree of `calls` below the conversation and its turn.
fn exported(calls: impl FnOnce()) -> String {
    let recorder = ConversationRecorder::new();
    recorder.run(|| conversation_span!(conversation.id = "c1").in_scope(calls));
    let tree = tree(&recorder);
    let header = "\nconversation\n  · conversation.id=c1\n";
    let services = tree.strip_prefix(header).unwrap().lines();
    services
        .filter(|line| *line != "  turn")
        .filter(|line| !line.trim().starts_with("· turn."))
        .filter(|line| !line.contains("gen_ai.operation.name") && !line.contains("output.type"))
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn drain<T>(stream: impl Stream<Item = T>) -> Vec<T> {
    now(stream.collect())
}

struct Service {
    model: String,
    calls: u32,
}

impl Service {
    fn new() -> Self {
        Self {
            model: "gpt-4o".to_owned(),
            calls: 0,
        }
    }

    #[traced_llm(
        record: |answer: &String, recorder: &mut Recorder<'_>| { recorder.output(answer); },
        gen_ai.request.model = self.model.as_str(),
        input = prompt,
        length = prompt.len(),
    )]
    async fn complete(&mut self, prompt: &str) -> io::Result<String> {
        self.calls += 1;
        tracing::info_span!("POST /v1/chat").in_scope(|| {});
        if prompt.is_empty() {
            return Err(io::Error::other("empty prompt"));
        }
        let prompt = prompt.parse::<String>().map_err(io::Error::other)?;
        Ok(prompt + "!")
    }
}

#[test]
fn async_method_is_span_with_fields_from_arguments() {
    let mut service = Service::new();
    let tree = exported(|| {
        assert_eq!(now(service.complete("hi")).unwrap(), "hi!");
        assert!(now(service.complete("")).is_err());
        drop(service.complete("never polled"));
    });
    assert_eq!(service.calls, 2);
    assert_eq!(
        tree,
        "\
llm
  · gen_ai.request.model=gpt-4o
  · input=hi
  · length=2
  · output=hi!
  POST /v1/chat
llm
  · error.type=std::io::error::Error
  · gen_ai.request.model=gpt-4o
  · input=
  · length=0
  · Error { description: \"empty prompt\" }
  POST /v1/chat
"
    );
}

#[traced_tts(voice_id = "lady", text)]
fn speak(text: &str) -> impl Stream<Item = u8> + use<> {
    stream::iter(text.as_bytes().to_vec())
}

#[traced_stt(record: record_transcript)]
async fn transcribe(refuse: bool) -> Result<impl Stream<Item = Result<&'static str, String>>, u8> {
    if refuse {
        Err(7)?;
    }
    Ok(stream::iter([Ok("hello"), Err("hung up".to_owned())]))
}

fn record_transcript(words: &&str, recorder: &mut Recorder<'_>) {
    recorder.transcript(words, true);
}

#[test]
fn span_lasts_as_long_as_returned_stream() {
    let tree = exported(|| {
        let audio = speak("hi");
        tracing::info_span!("between").in_scope(|| {});
        assert_eq!(drain(audio), b"hi");
        assert_eq!(drain(now(transcribe(false)).unwrap()).len(), 2);
        assert!(matches!(now(transcribe(true)), Err(7)));
        drop(speak("cut"));
    });
    assert_eq!(
        tree,
        "  between
tts
  · metrics.character_count=2
  · text=hi
  · voice_id=lady
stt
  · error.type=alloc::string::String
  · is_final=true
  · transcript=hello
  · Error { description: \"hung up\" }
stt
  · error.type=u8
  · stt.incomplete=true
  · Error { description: \"7\" }
tts
  · interrupted=true
  · metrics.character_count=3
  · text=cut
  · tts.interrupted=true
  · voice_id=lady
"
    );
}

type Answer<'a> = io::Result<Pin<Box<dyn Stream<Item = io::Result<String>> + Send + 'a>>>;

#[async_trait]
trait Llm {
    async fn answer<'a>(&'a self, prompt: &'a str) -> Answer<'a>;

    #[traced_llm(input = "greeting")]
    async fn greet(&self) -> String {
        "hello".to_owned()
    }
}

#[async_trait]
impl Llm for Service {
    #[traced_llm(
        record: |piece: &String, recorder: &mut Recorder<'_>| { recorder.output(piece); },
        gen_ai.request.model = self.model.as_str(),
        input = %prompt,
    )]
    async fn answer<'a>(&'a self, prompt: &'a str) -> Answer<'a> {
        if prompt.is_empty() {
            return Err(io::Error::other("empty prompt"));
        }
        let pieces = stream::iter([&self.model, prompt]).map(|piece| Ok(piece.to_owned()));
        Ok(Box::pin(pieces))
    }
}

#[test]
fn async_trait_methods_and_aliases_of_boxed_streams_are_supported() {
    let service = Service::new();
    let tree = exported(|| {
        let pieces = drain(now(service.answer("-hi")).unwrap());
        assert_eq!(pieces.len(), 2);
        assert!(now(service.answer("")).is_err());
        assert_eq!(now(service.greet()), "hello");
    });
    assert_eq!(
        tree,
        "\
llm
  · gen_ai.request.model=gpt-4o
  · input=-hi
  · output=gpt-4o-hi
llm
  · error.type=std::io::error::Error
  · gen_ai.request.model=gpt-4o
  · input=
  · Error { description: \"empty prompt\" }
llm
  · input=greeting
"
    );
}

#[traced_tool(gen_ai.tool.call.arguments = ?(city, days))]
fn forecast(city: &str, days: u8) -> Option<u8> {
    (city == "Graz").then_some(days)
}

#[traced_tool(gen_ai.tool.name = "lookup")]
fn renamed() {}

struct Unspeakable;

#[traced_tool]
async fn fails() -> Result<(), Unspeakable> {
    Err(Unspeakable)
}

#[traced_tool]
async fn hangs() {
    std::future::pending().await
}

#[traced_tool]
fn later(answer: u8) -> BoxFuture<'static, u8> {
    Box::pin(async move { answer })
}

#[traced_tool]
fn much_later(answer: u8) -> impl Future<Output = Result<u8, String>> {
    async move { Ok(answer) }
}

#[test]
fn tool_name_defaults_to_function_name() {
    let tree = exported(|| {
        assert_eq!(forecast("Graz", 3), Some(3));
        renamed();
        assert!(now(fails()).is_err());
        assert_eq!(hangs().now_or_never(), None);
        assert_eq!(now(later(4)), 4);
        assert_eq!(now(much_later(5)), Ok(5));
    });
    assert_eq!(
        tree,
        "\
tool
  · gen_ai.tool.call.arguments=(\"Graz\", 3)
  · gen_ai.tool.name=forecast
tool
  · gen_ai.tool.name=lookup
tool
  · error.type=behaviour::attributes::Unspeakable
  · gen_ai.tool.name=fails
  · Error { description: \"\" }
tool
  · gen_ai.tool.name=hangs
  · interrupted=true
tool
  · gen_ai.tool.name=later
tool
  · gen_ai.tool.name=much_later
"
    );
}

#[traced_llm]
fn send() -> BoxStream<'static, u8> {
    Box::pin(stream::iter([1]))
}

#[traced_llm]
async fn local<'a>(items: &'a [u8]) -> Result<LocalBoxStream<'a, Result<u8, String>>, String> {
    Ok(Box::pin(stream::iter(items).map(|item| Ok(*item))))
}

#[traced_llm]
fn generic<T: Clone + 'static>(item: T) -> impl Stream<Item = Result<T, io::Error>> {
    stream::iter([Ok(item)])
}

#[test]
fn boxed_streams_keep_their_type_and_bounds() {
    fn is_send<T: Send>(stream: T) -> T {
        stream
    }
    let tree = exported(|| {
        assert_eq!(drain(is_send(send())), [1]);
        assert_eq!(drain(now(local(&[1, 2])).unwrap()).len(), 2);
        assert_eq!(drain(is_send(generic("a"))).len(), 1);
    });
    assert_eq!(tree, "llm\nllm\nllm\n");
}
