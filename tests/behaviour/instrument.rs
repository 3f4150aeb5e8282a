//! The span macros, event functions and adapters, checked by the exported spans.

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tracing_conversation::instrument::{TraceFuture, TraceStream, Usage};
use tracing_conversation::{
    ContentPolicy, annotate, conversation_span, event, llm_span, realtime_span, stt_span,
    tool_span, tts_span,
};

use tracing_conversation::testing::ConversationRecorder;

use crate::exported::tree;

/// A stream whose items take 100 ms each.
fn slow<T>(
    recorder: &ConversationRecorder,
    items: impl IntoIterator<Item = T>,
) -> impl Stream<Item = T> + Unpin {
    stream::iter(items).map(|item| {
        recorder.advance(Duration::from_millis(100));
        item
    })
}

fn drain<T>(stream: impl Stream<Item = T>) {
    stream.for_each(|_| ready(())).now_or_never().unwrap();
}

#[test]
fn span_macros_declare_late_fields_and_accept_extra_fields() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let conversation = conversation_span!(conversation.id = "c1", customer.tier = "premium");
    conversation.in_scope(|| {
        let stt = stt_span!(gen_ai.provider.name = "deepgram", attempt = 2);
        stt.record("transcript", "hi").record("is_final", true);
        stt.record("language", "en").record("undeclared", "dropped");
        drop(stt);
        let llm = llm_span!(gen_ai.operation.name = "text_completion", input = ?["hi"]);
        llm.record("gen_ai.usage.input_tokens", 3_usize);
        llm.record("gen_ai.usage.reasoning.output_tokens", 1_u64);
        drop(llm);
        let name = "get_weather";
        drop(tool_span!(gen_ai.tool.name = name, gen_ai.tool.call.id = %7, gen_ai.tool.type = "function"));
        drop(tts_span!(voice_id = "lady", text = "Hello."));
        drop(realtime_span!(transcript = "hi", output = "hello"));
    });
    drop(conversation);
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  · customer.tier=premium
  turn
    · turn.input=hi hi
    · turn.output=Hello. hello
    · turn.was_interrupted=true
    stt
      · attempt=2
      · gen_ai.operation.name=stt
      · gen_ai.provider.name=deepgram
      · is_final=true
      · language=en
      · transcript=hi
    llm
      · gen_ai.operation.name=text_completion
      · gen_ai.output.type=text
      · gen_ai.usage.input_tokens=3
      · gen_ai.usage.reasoning.output_tokens=1
      · input=[\"hi\"]
    tool
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.call.id=7
      · gen_ai.tool.name=get_weather
      · gen_ai.tool.type=function
    tts
      · gen_ai.operation.name=tts
      · gen_ai.output.type=speech
      · metrics.character_count=6
      · text=Hello.
      · voice_id=lady
    realtime
      · gen_ai.operation.name=realtime
      · gen_ai.output.type=speech
      · output=hello
      · transcript=hi
"
    );
}

#[test]
fn span_macros_declare_each_field_once() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let gen_ai_provider = "x";
    for span in [
        conversation_span!(conversation.id = "c1", conversation.id2 = 1),
        stt_span!(transcript = "a", "is_final" = true),
        llm_span!(parent: None, gen_ai.output.type = "json", input = %gen_ai_provider),
        tts_span!(target: "mine", text = "a"),
        tool_span!(gen_ai.tool.name = "a"),
        realtime_span!(output = "a"),
    ] {
        let fields: Vec<_> = span.metadata().unwrap().fields().iter().collect();
        let mut names: Vec<_> = fields.iter().map(|field| field.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }
}

#[test]
fn event_functions_create_turns() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    let conversation = conversation_span!(conversation.id = "c1");
    conversation.in_scope(|| {
        event::client_connected();
        event::user_started_speaking();
        event::vad_user_started_speaking(0.2);
        recorder.advance(Duration::from_millis(1000));
        event::vad_user_stopped_speaking(0.2);
        event::user_stopped_speaking();
        recorder.advance(Duration::from_millis(500));
        event::bot_started_speaking();
        recorder.advance(Duration::from_millis(500));
        // Detected 100 ms late.
        event::ago(Duration::from_millis(100)).bot_stopped_speaking();
        annotate!(sentiment = "cheerful");
    });
    // From outside the scope.
    recorder.advance(Duration::from_millis(300));
    event::in_conversation("c1").user_started_speaking();
    event::in_conversation("c1").interruption();
    annotate!(conversation.id = "c1", language = "de");
    recorder.advance(Duration::from_millis(700));
    event::in_conversation("c1")
        .because("hung up")
        .conversation_ended();
    let turns: Vec<String> = recorder
        .spans()
        .iter()
        .map(|span| {
            let mut line = span.name.to_string();
            for key in [
                "turn.duration_seconds",
                "turn.end_reason",
                "turn.user_bot_latency_seconds",
                "sentiment",
                "language",
                "conversation.end_reason",
            ] {
                for attribute in &span.attributes {
                    if attribute.key.as_str() == key {
                        line += &format!(" {key}={}", attribute.value);
                    }
                }
            }
            line
        })
        .collect();
    assert_eq!(
        turns,
        [
            "turn turn.duration_seconds=2.3 turn.end_reason=user_spoke \
             turn.user_bot_latency_seconds=0.7 sentiment=cheerful",
            "turn turn.duration_seconds=0.7 turn.end_reason=conversation_ended language=de",
            "conversation conversation.end_reason=hung up",
        ]
    );
}

#[test]
fn stream_records_first_byte_content_and_usage() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let chunks = slow(&recorder, [("", 0), ("It is", 0), (" sunny.", 0), ("", 4)]);
        drain(
            chunks.traced_with(llm_span!(), |(piece, tokens), recorder| {
                recorder.output(piece);
                if *tokens > 0 {
                    recorder.usage(Usage::default().input_tokens(9).output_tokens(*tokens));
                }
            }),
        );
        let sentences = slow(&recorder, ["It is", "sunny."]);
        drain(
            sentences.traced_with(tts_span!(voice_id = "lady"), |sentence, recorder| {
                recorder.text(sentence).audio_seconds(0.5);
            }),
        );
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=It is sunny.
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · gen_ai.usage.input_tokens=9
      · gen_ai.usage.output_tokens=4
      · metrics.ttfb=0.2
      · output=It is sunny.
    tts
      · gen_ai.operation.name=tts
      · gen_ai.output.type=speech
      · metrics.audio_seconds=1
      · metrics.character_count=11
      · metrics.ttfb=0.1
      · text=It is sunny.
      · voice_id=lady
"
    );
}

#[test]
fn transcripts_are_recorded_as_they_arrive() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        event::user_started_speaking();
        let transcripts = [
            ("what", false),
            ("what is", true),
            ("the wea", false),
            ("the weather", true),
        ];
        let mut transcripts =
            slow(&recorder, transcripts).traced_with(stt_span!(), |(words, is_final), recorder| {
                recorder.transcript(words, *is_final);
            });
        event::vad_user_stopped_speaking(0.0);
        for _ in 0..4 {
            transcripts.next().now_or_never().unwrap();
        }
        // The turn has the transcript before the stream ends.
        event::bot_started_speaking();
        event::user_started_speaking();
        drain(transcripts);
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.input=what is the weather
    · turn.was_interrupted=true
    stt
      · gen_ai.operation.name=stt
      · is_final=true
      · metrics.ttfb=0.4
      · transcript=what is the weather
  turn
    · turn.was_interrupted=true
"
    );
}

#[test]
fn error_item_fails_span_and_later_drop_is_not_interruption() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let audio = [Ok(1), Err(std::io::Error::other("connection lost")), Ok(2)];
        let mut audio = stream::iter(audio).try_traced(tts_span!(voice_id = "lady"));
        audio.next().now_or_never().unwrap();
        audio.next().now_or_never().unwrap();
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.was_interrupted=true
    tts
      · error.type=std::io::error::Error
      · gen_ai.operation.name=tts
      · gen_ai.output.type=speech
      · voice_id=lady
      · Error { description: \"connection lost\" }
"
    );
}

#[test]
fn dropped_stream_is_interrupted_unless_complete() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        for last in ["more", "stop"] {
            let items = slow(&recorder, ["It", last, "unheard"]);
            let mut items = items.traced_with(llm_span!(last), |item: &&str, recorder| {
                if *item == "stop" {
                    recorder.complete();
                } else {
                    recorder.output(item);
                }
            });
            items.next().now_or_never().unwrap();
            items.next().now_or_never().unwrap();
        }
        drop(stream::pending::<()>().traced(tts_span!()));
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=It
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · interrupted=true
      · last=more
      · metrics.ttfb=0.1
      · output=Itmore
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · last=stop
      · metrics.ttfb=0.1
      · output=It
    tts
      · gen_ai.operation.name=tts
      · gen_ai.output.type=speech
      · interrupted=true
      · tts.interrupted=true
"
    );
}

#[test]
fn future_completes_fails_is_interrupted_or_panics() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let answer = async {
            recorder.advance(Duration::from_millis(200));
            "sunny"
        };
        let answer = answer.traced_with(llm_span!(), |answer, recorder| {
            recorder.output(answer);
        });
        assert_eq!(answer.now_or_never(), Some("sunny"));

        let weather = ready(Ok::<_, String>(21)).try_traced_with(
            tool_span!(gen_ai.tool.name = "ok"),
            |degrees, recorder| {
                recorder.tool_result(degrees);
            },
        );
        weather.now_or_never().unwrap().unwrap();
        let failed = ready(Err::<(), _>("no such city".to_owned()));
        let failed = failed.try_traced(tool_span!(gen_ai.tool.name = "fails"));
        failed.now_or_never().unwrap().unwrap_err();

        let mut hangs = Box::pin(pending::<()>().traced(tool_span!(gen_ai.tool.name = "hangs")));
        assert_eq!((&mut hangs).now_or_never(), None);
        drop(hangs);

        let panics = async { panic!("on purpose") }.traced(tool_span!(gen_ai.tool.name = "panics"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.now_or_never()))
            .unwrap_err();
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=sunny
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · metrics.ttfb=0.2
      · output=sunny
    tool
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.call.result=21
      · gen_ai.tool.name=ok
    tool
      · error.type=alloc::string::String
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.name=fails
      · Error { description: \"no such city\" }
    tool
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.name=hangs
      · interrupted=true
    tool
      · error.type=panic
      · gen_ai.operation.name=execute_tool
      · gen_ai.tool.name=panics
      · Error { description: \"\" }
"
    );
}

#[test]
fn stream_request_is_one_span_until_stream_ends() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let request = async {
            recorder.advance(Duration::from_millis(100));
            tracing::info_span!("POST /v1/chat")
                .in_scope(|| recorder.advance(Duration::from_millis(50)));
            Ok::<_, String>(slow(&recorder, ["It is", " sunny."]))
        };
        let answer = request.traced_stream(llm_span!(), |piece, recorder| {
            recorder.output(piece);
        });
        drain(answer.now_or_never().unwrap().unwrap());

        let refused = ready(Err::<stream::Empty<()>, _>("429 Too Many Requests"));
        let refused = refused.traced_stream(llm_span!(), |_, _| {});
        assert!(refused.now_or_never().unwrap().is_err());
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.output=It is sunny.
    · turn.was_interrupted=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · metrics.ttfb=0.25
      · output=It is sunny.
      POST /v1/chat
    llm
      · error.type=&str
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · Error { description: \"429 Too Many Requests\" }
"
    );
}

#[test]
fn interrupted_turn_has_output_of_realtime_service() {
    let recorder = ConversationRecorder::new();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        event::user_started_speaking();
        // Transcripts of the user may arrive outside any span.
        annotate!(turn.input = "tell me a story");
        let pieces = slow(&recorder, ["Once ", "upon a time.", " There", " was."]);
        let mut story = pieces.traced_with(realtime_span!(), |piece, recorder| {
            let usage = Usage::default().audio_output_tokens(10);
            recorder.output(piece).add_usage(usage);
        });
        event::bot_started_speaking();
        for _ in 0..3 {
            story.next().now_or_never().unwrap();
        }
        event::user_started_speaking();
        drop(story);
    });
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.input=tell me a story
    · turn.output=Once upon a time.
    · turn.was_interrupted=true
    realtime
      · gen_ai.operation.name=realtime
      · gen_ai.output.type=speech
      · gen_ai.usage.audio.output_tokens=30
      · interrupted=true
      · metrics.ttfb=0.1
      · output=Once upon a time. There
  turn
    · turn.was_interrupted=true
"
    );
}

#[test]
fn capture_off_records_no_content_and_formats_no_result() {
    struct Unreadable;
    impl std::fmt::Display for Unreadable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("formatted although capture is off")
        }
    }

    let recorder = ConversationRecorder::builder()
        .content(ContentPolicy::default().with_capture(false))
        .build();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let transcripts = stream::iter([("secret", false), ("secret", true)]);
        drain(
            transcripts.traced_with(stt_span!(), |(words, is_final), recorder| {
                recorder.transcript(words, *is_final);
            }),
        );
        let pieces = stream::iter(["secret", " secret"]);
        drain(
            pieces.traced_with(llm_span!(input = "secret"), |piece, recorder| {
                tracing::info!("the model says {piece}");
                recorder.output(piece);
                assert!(!recorder.captures());
            }),
        );
        let tool = ready(Ok::<_, Unreadable>(())).try_traced_with(tool_span!(), |(), recorder| {
            recorder.tool_result(Unreadable);
        });
        assert!(tool.now_or_never().unwrap().is_ok());
        let tool = ready(Err::<(), _>(Unreadable)).try_traced(tool_span!());
        assert!(tool.now_or_never().unwrap().is_err());
        let tts = stream::iter(["secret", "secret"]);
        drain(tts.traced_with(tts_span!(), |sentence, recorder| {
            recorder.text(sentence);
        }));
        annotate!(turn.input = "secret");
    });
    assert!(!format!("{:?}", recorder.spans()).contains("secret"));
    assert_eq!(
        tree(&recorder),
        "
conversation
  · conversation.id=c1
  turn
    · turn.was_interrupted=true
    stt
      · gen_ai.operation.name=stt
      · is_final=true
    llm
      · gen_ai.operation.name=chat
      · gen_ai.output.type=text
      · event \"event\"
      · event \"event\"
    tool
      · gen_ai.operation.name=execute_tool
    tool
      · error.type=behaviour::instrument::capture_off_records_no_content_and_formats_no_result::Unreadable
      · gen_ai.operation.name=execute_tool
      · Error { description: \"\" }
    tts
      · gen_ai.operation.name=tts
      · gen_ai.output.type=speech
      · metrics.character_count=12
"
    );
}

#[test]
fn capture_off_keeps_text_of_exactly_these_fields() {
    let recorder = ConversationRecorder::builder()
        .content(ContentPolicy::default().with_capture(false))
        .build();
    let _default = recorder.enter();
    conversation_span!(conversation.id = "c1").in_scope(|| {
        let spans = [
            stt_span!(),
            llm_span!(),
            tts_span!(),
            tool_span!(),
            realtime_span!(),
        ];
        for span in spans {
            for field in span.metadata().unwrap().fields() {
                // Would end the span before the other fields are recorded.
                if field.name() != "service.ended" {
                    span.record(&field, "secret");
                }
            }
            span.record("service.ended", true);
        }
    });
    let spans = recorder.spans();
    let keys: BTreeSet<&str> = spans
        .iter()
        .flat_map(|span| &span.attributes)
        .filter(|attribute| attribute.value.as_str() == "secret")
        .map(|attribute| attribute.key.as_str())
        .filter(|key| !key.starts_with("gen_ai.usage.") && !key.starts_with("gen_ai.request."))
        .collect();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        [
            "error.type",
            "gen_ai.operation.name",
            "gen_ai.output.type",
            "gen_ai.provider.name",
            "gen_ai.response.finish_reasons",
            "gen_ai.response.id",
            "gen_ai.response.model",
            "gen_ai.tool.call.id",
            "gen_ai.tool.name",
            "gen_ai.tool.type",
            "is_final",
            "language",
            "metrics.audio_seconds",
            "metrics.character_count",
            "server.address",
            "server.port",
            "stt.incomplete",
            "tool_choice",
            "tool_count",
            "user_id",
            "voice_id",
        ]
    );
    for span in &spans {
        assert!(!span.name.contains("secret"));
        assert!(!format!("{:?} {:?}", span.status, span.events).contains("secret"));
    }
}

#[cfg(feature = "console")]
#[test]
fn capture_off_hides_content_in_tree_view() {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SimpleSpanProcessor};
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_conversation::{ConversationProcessor, console::TreeExporter};
    use tracing_subscriber::prelude::*;

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);
    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    for capture in [true, false] {
        let policy = ContentPolicy::default().with_capture(capture);
        let shown = Shown::default();
        let tree = SimpleSpanProcessor::new(TreeExporter::to_writer(shown.clone()));
        let processor = ConversationProcessor::new(tree).with_content(policy);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.clone())
            .build();
        let layer = tracing_conversation::layer(provider.tracer("test"), &processor);
        let _default = tracing_subscriber::registry().with(layer).set_default();
        conversation_span!(conversation.id = "c1").in_scope(|| {
            event::user_started_speaking();
            drain(
                stream::iter(["secret"]).traced_with(stt_span!(), |words, recorder| {
                    recorder.transcript(words, true);
                }),
            );
            let failed = ready(Err::<(), _>("secret")).try_traced(llm_span!(input = "secret"));
            failed.now_or_never().unwrap().unwrap_err();
            drop(tts_span!(text = "secret"));
        });
        provider.shutdown().unwrap();
        let shown = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
        assert!(shown.contains("llm"), "{shown}");
        assert_eq!(shown.contains("secret"), capture, "{shown}");
    }
}
