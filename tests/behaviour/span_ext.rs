//! `OpenTelemetrySpanExt` on every kind of span, including those of the layer.

use crate::stage::{self, Stage, assert_each_key_once, attribute};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use tracing::{Span, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

fn remote(span: u64) -> Context {
    let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap();
    let context = SpanContext::new(
        trace,
        SpanId::from(span),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(context)
}

#[test]
fn context_of_every_span_matches_exported_span() {
    let stage = Stage::new();
    let contexts = stage.play(|| {
        let context_of = |span: &Span| span.context().span().span_context().clone();
        let conversation = info_span!("conversation", conversation.id = "c1");
        let llm = conversation.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        let post = llm.in_scope(|| info_span!("POST"));
        let joining = info_span!("task", conversation.id = "c1");
        let inside = post.in_scope(|| context_of(&Span::current()));
        assert_eq!(inside, context_of(&post));
        [
            ("conversation", context_of(&conversation)),
            ("llm", context_of(&llm)),
            ("POST", context_of(&post)),
            ("task", context_of(&joining)),
        ]
    });
    for (name, context) in &contexts {
        assert!(context.is_valid() && context.is_sampled());
        assert_eq!(&stage.span(name).span_context, context, "{name}");
    }
    assert_eq!(
        stage.tree(&["trace"]),
        [
            "conversation trace=1",
            "  task trace=1",
            "  turn trace=1",
            "    llm trace=1",
            "      POST trace=1",
        ]
    );
}

#[test]
fn conversation_can_continue_remote_trace() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1", tier = "premium");
        conversation.set_parent(remote(1)).unwrap();
        conversation.in_scope(|| {
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| drop(info_span!("POST")));
            info_span!("ordinary").in_scope(|| drop(info_span!("below")));
        });
        drop(info_span!(parent: &conversation, "explicit"));
        drop(info_span!("elsewhere"));
    });
    assert_eq!(
        stage.tree(&["conversation.id", "turn.number", "tier"]),
        [
            "? conversation conversation.id=c1 tier=premium",
            "  ordinary conversation.id=c1",
            "    below conversation.id=c1",
            "  explicit conversation.id=c1",
            "  turn conversation.id=c1 turn.number=1",
            "    llm conversation.id=c1 turn.number=1",
            "      POST conversation.id=c1 turn.number=1",
            "elsewhere",
        ]
    );
    assert_eq!(stage.span("conversation").parent_span_id, SpanId::from(1));
    let trace = remote(1).span().span_context().trace_id();
    let strangers = stage
        .spans()
        .into_iter()
        .filter(|span| span.span_context.trace_id() != trace);
    assert_eq!(
        strangers.map(|span| span.name).collect::<Vec<_>>(),
        ["elsewhere"]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn span_with_remote_parent_keeps_conversation_attributes() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        drop(info_span!("stt", gen_ai.operation.name = "stt")); // The processor has handled a span before.
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        llm.set_parent(remote(2)).unwrap();
        llm.in_scope(|| ());
        let post = info_span!("POST");
        post.set_parent(remote(3)).unwrap();
        post.in_scope(|| drop(info_span!("below")));
    });
    let llm = stage.span("llm");
    assert_eq!(llm.parent_span_id, SpanId::from(2));
    assert_eq!(attribute(&llm, "conversation.id").as_deref(), Some("c1"));
    assert_eq!(attribute(&llm, "turn.number").as_deref(), Some("1"));
    assert_eq!(stage.span("POST").parent_span_id, SpanId::from(3));
    assert_eq!(
        stage.span("below").parent_span_id,
        stage.span("POST").span_context.span_id()
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn setting_parent_after_entering_is_refused() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1");
        let llm = conversation.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        llm.in_scope(|| ());
        assert!(llm.set_parent(remote(2)).is_err());
        assert!(conversation.set_parent(remote(2)).is_err());
    });
    assert_eq!(stage.tree(&[]), ["conversation", "  turn", "    llm"]);
}

#[test]
fn attributes_links_events_and_status_set_by_span_ext_are_exported_once() {
    let stage = Stage::new();
    stage.play(|| {
        let set = |span: &Span| {
            span.set_attribute("mine", 1_i64);
            span.set_attribute("mine", 2_i64);
            span.set_attribute("tokens", 7_i64);
            span.add_link(remote(9).span().span_context().clone());
            span.add_event("seen", vec![KeyValue::new("at", "once")]);
        };
        let conversation = info_span!("conversation", conversation.id = "c1", tokens = 3_u64);
        set(&conversation);
        let llm = conversation
            .in_scope(|| info_span!("llm", gen_ai.operation.name = "chat", tokens = 3_u64));
        set(&llm);
        llm.set_attribute("gen_ai.output.type", "json");
        llm.set_status(Status::error("quota"));
        llm.record("tokens", 4_u64);
        set(&llm);
        let post = llm.in_scope(|| info_span!("POST", tokens = 3_i64));
        set(&post);
    });
    let spans = stage.spans();
    assert_each_key_once(&spans);
    for name in ["conversation", "llm", "POST"] {
        let span = stage::one(&spans, name);
        assert_eq!(attribute(&span, "mine").as_deref(), Some("2"), "{name}");
        assert!(
            span.links
                .iter()
                .all(|link| link.span_context.span_id() == SpanId::from(9))
        );
        assert_eq!(
            span.events
                .iter()
                .filter(|event| event.name == "seen")
                .count(),
            span.links.len()
        );
        assert!(!span.links.is_empty());
    }
    let llm = stage::one(&spans, "llm");
    assert_eq!(llm.status, Status::error("quota"));
    assert_eq!(attribute(&llm, "error.type").as_deref(), Some("_OTHER"));
}

#[test]
fn ok_status_is_kept() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        info_span!("llm", gen_ai.operation.name = "chat").set_status(Status::Ok);
        drop(info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            otel.status_code = "OK"
        ));
        drop(info_span!("POST", otel.status_code = "OK"));
    });
    for name in ["llm", "tts", "POST"] {
        assert_eq!(stage.span(name).status, Status::Ok, "{name}");
    }
}

#[test]
fn follows_from_becomes_link_between_any_kinds_of_span() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        let tts = info_span!("tts", gen_ai.operation.name = "tts");
        let upload = info_span!("upload");
        tts.follows_from(&llm);
        upload.follows_from(&tts);
        tts.in_scope(|| ());
        llm.follows_from(&upload);
    });
    let linked = |name| -> Vec<SpanId> {
        stage
            .span(name)
            .links
            .iter()
            .map(|link| link.span_context.span_id())
            .collect()
    };
    let id = |name| stage.span(name).span_context.span_id();
    assert_eq!(linked("tts"), [id("llm")]);
    assert_eq!(linked("upload"), [id("tts")]);
    assert_eq!(linked("llm"), [id("upload")]);
}

#[test]
fn special_fields_of_tracing_opentelemetry_work_on_owned_spans() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!(
            "conversation",
            conversation.id = "c1",
            otel.name = "call",
            otel.kind = "server"
        )
        .entered();
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            otel.name = "chat gpt-4o",
            otel.kind = "client"
        ));
    });
    assert_eq!(
        stage.tree(&["otel.name", "otel.kind"]),
        ["call", "  turn", "    chat gpt-4o"]
    );
    assert_eq!(
        stage.span("call").span_kind,
        opentelemetry::trace::SpanKind::Server
    );
    assert_eq!(
        stage.span("chat gpt-4o").span_kind,
        opentelemetry::trace::SpanKind::Client
    );
}

#[test]
fn contexts_can_be_requested_concurrently() {
    let stage = Stage::new();
    let dispatch = &stage.dispatch;
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1");
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    tracing::dispatcher::with_default(dispatch, || {
                        for _ in 0..200 {
                            assert!(conversation.context().span().span_context().is_valid());
                            let llm = conversation.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
                            assert!(llm.context().span().span_context().is_valid());
                            info!(parent: &llm, conversation.event = "first_byte");
                            info!(parent: &conversation, conversation.event = "bot_started_speaking");
                            info!(parent: &conversation, conversation.event = "user_started_speaking");
                        }
                    });
                });
            }
        });
    });
    let spans = stage.spans();
    assert_eq!(stage::count(&spans, "conversation"), 1);
    assert_eq!(stage::count(&spans, "llm"), 800);
}
