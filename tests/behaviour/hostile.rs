//! Programs and processors that misbehave: no panic, no deadlock, no lost spans.

use crate::stage::{self, Output, Stage};
use opentelemetry::trace::{SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider,
    ShouldSample, Span as SdkSpan, SpanData, SpanProcessor,
};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Dispatch, Span, info, info_span};
use tracing_conversation::{Conversation, ConversationProcessor};
use tracing_subscriber::prelude::*;

/// Runs `act` on its own thread and fails if it does not return.
fn assert_no_deadlock(act: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        act();
        done.send(()).unwrap();
    });
    match finished.recv_timeout(Duration::from_secs(20)) {
        Ok(()) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err());
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("deadlock"),
    }
}

/// A processor and sampler that emit events and spans in every hook.
#[derive(Clone, Copy, Debug)]
struct EmitsInHooks;

thread_local! {
    static TALKING: Cell<bool> = const { Cell::new(false) };
}

impl EmitsInHooks {
    fn emit_once(&self) {
        // Its own events and spans are traced too, which would recurse without end.
        if !TALKING.replace(true) {
            self.emit();
            TALKING.set(false);
        }
    }

    fn emit(&self) {
        info!("an event of a hook");
        for name in [
            "user_started_speaking",
            "bot_started_speaking",
            "annotate",
            "first_byte",
            "no such event",
        ] {
            info!(conversation.event = name, mood = "chatty");
            info!(conversation.event = name, conversation.id = "c1");
        }
        let llm = info_span!(
            "llm of a hook",
            gen_ai.operation.name = "chat",
            conversation.id = "c1",
            output = Empty
        );
        llm.record("output", "words");
        llm.in_scope(|| drop(info_span!("POST of a hook")));
        drop(info_span!("task of a hook", conversation.id = "c1"));
        drop(info_span!("conversation", conversation.id = "of a hook"));
        info!(
            conversation.event = "conversation_ended",
            conversation.id = "of a hook"
        );
        if let Some(conversation) = Conversation::by_id("c1").or_else(Conversation::current) {
            let _ = (
                conversation.context(),
                conversation.turn_context(),
                conversation.turn_number(),
            );
            conversation.set_attribute("mood", "chatty");
            conversation.in_scope(|| info!(conversation.event = "interruption"));
        }
    }
}

impl SpanProcessor for EmitsInHooks {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {
        self.emit_once();
    }
    fn on_end(&self, _: SpanData) {
        self.emit_once();
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl ShouldSample for EmitsInHooks {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        self.emit_once();
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: Default::default(),
        }
    }
}

/// A conversation with interruptions, annotations and explicit turn numbers.
fn program(stage: &Stage) {
    let scope = info_span!("conversation", conversation.id = "c1");
    info!(
        conversation.event = "bot_started_speaking",
        conversation.id = "c1"
    );
    scope.in_scope(|| {
        let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = Empty);
        info!(conversation.event = "user_started_speaking");
        stt.record("transcript", "hello");
        drop(stt);
        let llm = info_span!("llm", gen_ai.operation.name = "chat", service.ended = Empty);
        llm.in_scope(|| {
            info!(conversation.event = "first_byte");
            let post = info_span!("POST").entered();
            drop(post);
        });
        llm.record("service.ended", true);
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "bot_stopped_speaking");
        stage.pass(3_000);
        drop(info_span!("tts", gen_ai.operation.name = "tts"));
        // A span made by a hook inside the scope may keep it open: with a scoped subscriber, hooks cannot close spans.
        info!(conversation.event = "conversation_ended");
    });
}

/// The program's own spans among those exported, without spans made by hooks.
fn own_tree(spans: &[SpanData]) -> Vec<String> {
    stage::tree(spans, &["turn.number"])
        .into_iter()
        .map(|line| line.trim().to_owned())
        .filter(|line| {
            ["llm ", "stt ", "tts"]
                .iter()
                .any(|own| line.starts_with(own))
                && !line.contains("hook")
        })
        .collect()
}

#[test]
fn processor_emitting_events_does_not_deadlock() {
    assert_no_deadlock(|| {
        let output = Output::with(|builder| builder.with_span_processor(EmitsInHooks));
        let stage = Stage::over(output, |layer| layer);
        stage.play(|| program(&stage));
        assert_eq!(
            own_tree(&stage.spans()),
            ["stt turn.number=2", "llm turn.number=2", "tts"]
        );
    });
}

#[test]
fn sampler_emitting_events_does_not_deadlock() {
    assert_no_deadlock(|| {
        let output = Output::with(|builder| builder.with_sampler(EmitsInHooks));
        let stage = Stage::over(output, |layer| layer);
        stage.play(|| program(&stage));
        assert_eq!(
            own_tree(&stage.spans()),
            ["stt turn.number=2", "llm turn.number=2", "tts"]
        );
    });
}

#[test]
fn processor_emitting_events_on_many_threads_does_not_deadlock() {
    assert_no_deadlock(|| {
        let output = Output::with(|builder| builder.with_span_processor(EmitsInHooks));
        let stage = Arc::new(Stage::over(output, |layer| layer));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let stage = stage.clone();
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        stage.play(|| program(&stage));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn panicking_processor_does_not_affect_conversations() {
    #[derive(Debug)]
    struct Panics(AtomicUsize);
    impl SpanProcessor for Panics {
        fn on_start(&self, _: &mut SdkSpan, _: &Context) {}
        fn on_end(&self, _: SpanData) {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                panic!("the first span");
            }
        }
        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }
    let output = Output::new();
    let _ = output.processor.clone().and(Panics(AtomicUsize::new(0)));
    let stage = Stage::over(output, |layer| layer);
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(llm))).unwrap_err();
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "user_started_speaking");
        drop(info_span!("tts", gen_ai.operation.name = "tts"));
    });
    assert_eq!(stage.conversations.open(), 0);
    let turns: Vec<_> = stage.tree(&["turn.number"]);
    assert_eq!(
        turns,
        [
            "conversation",
            "  turn turn.number=1",
            "    llm turn.number=1",
            "  turn turn.number=2",
            "    tts turn.number=2"
        ]
    );
}

#[test]
fn panic_unwinding_through_spans_ends_them() {
    let stage = Stage::new();
    stage.play(|| {
        let unwound = std::panic::catch_unwind(|| {
            let _scope = info_span!("conversation", conversation.id = "c1").entered();
            let _llm = info_span!("llm", gen_ai.operation.name = "chat").entered();
            let _post = info_span!("POST").entered();
            panic!("on purpose");
        });
        unwound.unwrap_err();
        assert!(Span::current().is_none());
        info!(
            conversation.event = "client_connected",
            conversation.id = "c2"
        );
        info!(
            conversation.event = "conversation_ended",
            conversation.id = "c2"
        );
    });
    assert_eq!(stage.conversations.open(), 0);
    let mut tree = stage.tree(&["conversation.id"]);
    tree.sort();
    assert_eq!(
        tree,
        [
            "      POST conversation.id=c1",
            "    llm conversation.id=c1",
            "  turn conversation.id=c1",
            "  turn conversation.id=c2",
            "conversation conversation.id=c1",
            "conversation conversation.id=c2",
        ]
    );
}

#[test]
fn value_emitting_events_while_formatted_does_not_deadlock() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info!(
                conversation.event = "bot_started_speaking",
                conversation.id = "c1"
            );
            drop(info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                conversation.id = "c1"
            ));
            f.write_str("chatty")
        }
    }
    assert_no_deadlock(|| {
        let stage = Stage::new();
        stage.play(|| {
            let _scope =
                info_span!("conversation", conversation.id = "c1", mood = ?Chatty).entered();
            let tts =
                info_span!("tts", gen_ai.operation.name = "tts", text = ?Chatty, voice_id = Empty);
            tts.record("voice_id", tracing::field::debug(Chatty));
            info!(conversation.event = "annotate", note = ?Chatty);
            info!(conversation.event = "conversation_ended", reason = ?Chatty);
        });
        assert_eq!(stage.conversations.open(), 0);
    });
}

#[test]
fn unsampled_conversation_is_dropped_completely_and_alone() {
    #[derive(Clone, Debug)]
    struct NoConversations;
    impl ShouldSample for NoConversations {
        fn should_sample(
            &self,
            _: Option<&Context>,
            _: TraceId,
            name: &str,
            _: &SpanKind,
            _: &[KeyValue],
            _: &[opentelemetry::trace::Link],
        ) -> SamplingResult {
            let decision = match name {
                "conversation" => SamplingDecision::Drop,
                _ => SamplingDecision::RecordAndSample,
            };
            SamplingResult {
                decision,
                attributes: Vec::new(),
                trace_state: Default::default(),
            }
        }
    }
    for reaches in [true, false] {
        let sampler = Sampler::ParentBased(Box::new(NoConversations));
        let output = Output::with(|builder| builder.with_sampler(sampler));
        let stage = Stage::over(output, |layer| layer.span_ext(reaches));
        stage.play(|| {
            program(&stage);
            drop(info_span!("elsewhere"));
        });
        assert_eq!(stage.conversations.open(), 0);
        assert_eq!(stage.tree(&[]), ["elsewhere"]);
    }
}

#[test]
fn in_a_service_of_a_conversation_that_is_not_sampled_code_still_knows_where_it_is() {
    for reaches in [true, false] {
        let output = Output::with(|builder| builder.with_sampler(Sampler::AlwaysOff));
        let stage = Stage::over(output, |layer| layer.span_ext(reaches));
        stage.play(|| {
            let scope = info_span!("conversation", conversation.id = "c1");
            let trace = scope.in_scope(|| Conversation::current()?.context());
            let trace = trace.unwrap().span().span_context().trace_id();
            let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
            llm.in_scope(|| {
                let context = Context::current().span().span_context().clone();
                assert!(context.is_valid() && !context.is_sampled());
                assert_eq!(context.trace_id(), trace);
                info!(conversation.event = "first_byte");
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "user_started_speaking");
                let nested = info_span!("tool", gen_ai.operation.name = "execute_tool");
                let here = nested.in_scope(|| Conversation::current().unwrap());
                assert_eq!((here.id(), here.turn_number()), ("c1", Some(2)));
            });
            assert_eq!(Conversation::of(&llm).unwrap().id(), "c1");
            llm.follows_from(&scope);
            scope.follows_from(&llm);
            info!(parent: &llm, "an ordinary event");
        });
        assert_eq!(stage.conversations.open(), 0);
        assert_eq!(stage.tree(&[]), [""; 0]);
    }
}

#[test]
fn event_fields_of_any_type_and_value_are_harmless() {
    let stage = Stage::new();
    let huge = "x".repeat(1 << 20);
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1").entered();
        info!(conversation.event = 7);
        info!(conversation.event = true);
        info!(conversation.event = 0.5);
        info!(conversation.event = ?Some("user_started_speaking"));
        info!(conversation.event = %"user_started_speaking");
        info!(conversation.event = Empty);
        info!(conversation.event = "");
        info!(conversation.event = %huge);
        info!(conversation.event = "User_Started_Speaking");
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = "soon"
        );
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = -1.0
        );
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = f64::MAX
        );
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = u64::MAX
        );
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = f64::NAN
        );
        info!(
            conversation.event = "conversation_started",
            conversation.id = ""
        );
        info!(
            conversation.event = "conversation_started",
            conversation.id = Empty
        );
        info!(conversation.event = "first_byte", text = "false");
        info!(conversation.event = "bot_stopped_speaking");
        info!(conversation.event = "conversation_ended", reason = 7);
        drop(scope);
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_eq!(
        stage.tree(&["turn.end_reason"]),
        ["conversation", "  turn turn.end_reason=conversation_ended"]
    );
}

#[test]
fn field_of_wrong_type_does_not_affect_other_fields() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        stage.pass(1_000);
        // `stop_secs` cannot be parsed: the silence starts now.
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = "0.2"
        );
        stage.pass(1_000);
        info!(conversation.event = "bot_started_speaking");
    });
    assert_eq!(
        stage.tree(&["turn.user_bot_latency_seconds"]),
        ["conversation", "  turn turn.user_bot_latency_seconds=1.0"]
    );
}

#[test]
fn integer_seconds_are_accepted() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        stage.pass(5_000);
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 2_u64
        );
        info!(conversation.event = "bot_started_speaking");
    });
    assert_eq!(
        stage.tree(&[
            "turn.user_bot_latency_seconds",
            "turn.latency.endpointing_wait"
        ]),
        [
            "conversation",
            "  turn turn.user_bot_latency_seconds=2.0 turn.latency.endpointing_wait=2.0"
        ]
    );
}

#[test]
fn without_processor_only_ordinary_spans_are_unmarked() {
    let Output {
        exporter,
        processor,
        provider: _alive,
    } = Output::new();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let output = Output {
        exporter,
        processor,
        provider,
    };
    let stage = Stage::over(output, |layer| layer.inherited(["tier"]));
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1", tier = "premium").entered();
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            tokens = 3_u64,
            tokens.late = Empty
        );
        llm.record("tokens", 4_u64)
            .record("tokens", 5_u64)
            .record("tokens.late", 6_usize);
        llm.in_scope(|| drop(info_span!("POST")));
        drop(llm);
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "user_started_speaking");
        drop(info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            otel.status_code = "ERROR"
        ));
    });
    let mut tree = stage.tree(&[
        "conversation.id",
        "turn.number",
        "tier",
        "tokens",
        "tokens.late",
        "error.type",
        "status",
    ]);
    tree.sort();
    assert_eq!(
        tree,
        [
            "      POST",
            "    llm conversation.id=c1 turn.number=1 tier=premium tokens=5 tokens.late=6",
            "    tts conversation.id=c1 turn.number=2 tier=premium error.type=_OTHER status=error()",
            "  turn conversation.id=c1 turn.number=1 tier=premium",
            "  turn conversation.id=c1 turn.number=2 tier=premium",
            "conversation conversation.id=c1 tier=premium",
        ]
    );
    stage::assert_each_key_once(&stage.spans());
}

#[test]
fn span_entered_on_several_threads_keeps_its_identity() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    stage.play(|| {
                        for _ in 0..100 {
                            let _entered = llm.enter();
                            assert!(Context::current().span().span_context().is_valid());
                            drop(info_span!("POST"));
                        }
                    });
                });
            }
        });
    });
    let spans = stage.spans();
    let llm = stage::one(&spans, "llm").span_context.span_id();
    let posts: Vec<_> = spans.iter().filter(|span| span.name == "POST").collect();
    assert_eq!(posts.len(), 400);
    assert!(posts.iter().all(|post| post.parent_span_id == llm));
}

#[test]
fn excess_attributes_do_not_displace_derived_attributes() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let conversation = Conversation::current().unwrap();
        for n in 0..10_000 {
            conversation.set_attribute(format!("key.{n}"), n);
            conversation.set_turn_attribute(format!("key.{n}"), n);
        }
    });
    for (name, key) in [
        ("conversation", "conversation.type"),
        ("turn", "turn.end_reason"),
    ] {
        let span = stage.span(name);
        assert!(span.attributes.len() <= 300, "{}", span.attributes.len());
        assert!(stage::attribute(&span, key).is_some(), "{name}");
        assert_eq!(stage::attribute(&span, "key.0").as_deref(), Some("0"));
    }
}

#[test]
fn timeouts_of_any_length_are_accepted() {
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let stage = Stage::with(|layer| layer.turn_end_timeout(limit));
        stage.play(|| {
            let _scope = info_span!("conversation", conversation.id = "c1").entered();
            info!(conversation.event = "bot_started_speaking");
            stage.pass(1_000);
            info!(conversation.event = "bot_stopped_speaking");
            stage.pass(1_000);
        });
        let reason = match limit {
            Duration::MAX => "conversation_ended",
            _ => "silence",
        };
        let turn = format!("  turn turn.end_reason={reason}");
        assert_eq!(
            stage.tree(&["turn.end_reason"]),
            ["conversation", &turn],
            "{limit:?}"
        );

        let stage = Stage::with(|layer| layer.idle_limit(limit));
        stage.play(|| {
            info!(
                conversation.event = "client_connected",
                conversation.id = "c1"
            );
            stage.pass(100_000);
        });
        let open = usize::from(limit == Duration::MAX);
        assert_eq!(stage.conversations.open(), open, "{limit:?}");
    }
}

/// Keeps finished spans; the SDK's simple processor cannot run during thread-local destruction.
#[derive(Clone, Debug, Default)]
struct Keeps(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Keeps {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn spans_closed_during_thread_local_destruction_are_exported() {
    thread_local! {
        static KEPT: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
    }
    let ended = Keeps::default();
    let processor = ConversationProcessor::new(ended.clone());
    let output = Output::over(InMemorySpanExporter::default(), processor, |builder| {
        builder
    });
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(output.layer().build()));
    let thread = std::thread::spawn(move || {
        // Initialized first, so destroyed last: after the layer's own thread-locals.
        KEPT.with_borrow_mut(Vec::clear);
        tracing::dispatcher::with_default(&dispatch, || {
            let conversation = info_span!("conversation", conversation.id = "c1");
            let llm = conversation.in_scope(|| {
                drop(info_span!("stt", gen_ai.operation.name = "stt"));
                info_span!(
                    "llm",
                    gen_ai.operation.name = "chat",
                    gen_ai.request.model = "gpt-4o",
                    gen_ai.response.model = Empty
                )
            });
            llm.in_scope(|| ());
            KEPT.with_borrow_mut(|kept| kept.extend([llm, conversation]));
        });
    });
    thread.join().unwrap();
    let spans = ended.0.lock().unwrap();
    let mut lines = stage::tree(&spans, &["conversation.id", "gen_ai.request.model"]);
    lines.sort();
    assert_eq!(
        lines,
        [
            "    llm conversation.id=c1 gen_ai.request.model=gpt-4o",
            "    stt conversation.id=c1",
            "  turn conversation.id=c1",
            "conversation conversation.id=c1",
        ]
    );
}
