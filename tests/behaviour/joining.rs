//! A conversation continues the trace that it is started in, or links to it; baggage becomes attributes.

use crate::stage::{Output, Stage, attribute, one};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{KeyValue, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::Sampler;
use std::collections::HashMap;
use tracing::{Span, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn caller() -> SpanContext {
    SpanContext::new(
        TraceId::from_hex(TRACE).unwrap(),
        SpanId::from_hex("b7ad6b7169203331").unwrap(),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// A turn with a request to a model, in the conversation of a span.
fn talk(scope: &Span) {
    scope.in_scope(|| {
        info!(conversation.event = "user_started_speaking");
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        llm.in_scope(|| info_span!("POST").in_scope(|| ()));
        info!(conversation.event = "bot_started_speaking");
    });
}

#[test]
fn conversation_in_request_continues_its_trace() {
    let stage = Stage::new();
    stage.play(|| {
        info_span!("GET /call").in_scope(|| {
            talk(&info_span!("conversation", conversation.id = "c1"));
        });
    });
    assert_eq!(
        stage.tree(&["trace", "conversation.id", "turn.number"]),
        [
            "GET /call trace=1",
            "  conversation trace=1 conversation.id=c1",
            "    turn trace=1 conversation.id=c1 turn.number=1",
            "      llm trace=1 conversation.id=c1 turn.number=1",
            "        POST trace=1 conversation.id=c1 turn.number=1",
        ]
    );
}

#[test]
fn traceparent_of_each_conversation_is_its_parent() {
    let stage = Stage::new();
    let other = "00-11111111111111111111111111111111-2222222222222222-01";
    stage.play(|| {
        talk(&info_span!(
            "conversation",
            conversation.id = "c1",
            traceparent = TRACEPARENT,
            tracestate = "vendor=1"
        ));
        let header = String::from(other);
        talk(&info_span!("conversation", conversation.id = "c2", traceparent = %header));
        for wrong in [
            "",
            "nonsense",
            "00-00000000000000000000000000000000-2222222222222222-01",
        ] {
            let id = format!("without {wrong}");
            talk(&info_span!(
                "conversation",
                conversation.id = id,
                traceparent = wrong
            ));
        }
    });
    let spans = stage.spans();
    let of = |id: &str| {
        let mut own = spans.clone();
        own.retain(|span| attribute(span, "conversation.id").as_deref() == Some(id));
        own
    };
    let (first, second) = (of("c1"), of("c2"));
    for (spans, trace, parent) in [
        (&first, TRACE, "b7ad6b7169203331"),
        (
            &second,
            "11111111111111111111111111111111",
            "2222222222222222",
        ),
    ] {
        assert_eq!(spans.len(), 4);
        for span in spans {
            assert_eq!(
                span.span_context.trace_id().to_string(),
                trace,
                "{}",
                span.name
            );
            assert_eq!(attribute(span, "traceparent"), None);
        }
        let conversation = one(spans, "conversation");
        assert_eq!(conversation.parent_span_id.to_string(), parent);
        assert!(conversation.parent_span_is_remote);
    }
    let state = one(&first, "llm").span_context.trace_state().header();
    assert_eq!(state, "vendor=1");
    let own = of("without nonsense");
    assert_eq!(own.len(), 4);
    let root = one(&own, "conversation");
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    assert!(of("without ")[0].span_context.trace_id() != root.span_context.trace_id());
}

#[test]
fn traceparent_wins_over_the_span_that_a_conversation_is_started_in() {
    let stage = Stage::new();
    stage.play(|| {
        info_span!("accept").in_scope(|| {
            let scope = info_span!(
                "conversation",
                conversation.id = "c1",
                traceparent = TRACEPARENT
            );
            talk(&scope);
        });
    });
    assert_eq!(
        stage.span("conversation").parent_span_id,
        caller().span_id()
    );
    assert_eq!(
        stage.tree(&["trace"]),
        [
            "? conversation trace=1",
            "  turn trace=1",
            "    llm trace=1",
            "      POST trace=1",
            "accept trace=2",
        ]
    );
}

#[test]
fn caller_that_is_not_sampled_decides_for_the_conversation() {
    let sampled = |link| {
        let output = Output::with(|provider| {
            provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        });
        let stage = Stage::over(output, |layer| layer.link_to_caller(link));
        stage.play(|| {
            let traceparent = TRACEPARENT.replace("-01", "-00");
            talk(&info_span!(
                "conversation",
                conversation.id = "c1",
                traceparent
            ));
        });
        stage.spans().len()
    };
    assert_eq!(sampled(false), 0);
    assert_eq!(sampled(true), 4);
}

#[test]
fn call_that_outlives_its_request_links_to_it() {
    let link = || Stage::with(|layer| layer.link_to_caller(true));
    let linked = |stage: &Stage, to: &SpanContext| {
        let root = stage.span("conversation");
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        assert_ne!(root.span_context.trace_id(), to.trace_id());
        let links: Vec<_> = root.links.iter().map(|link| &link.span_context).collect();
        assert_eq!(links, [to]);
    };

    let stage = link();
    stage.play(|| {
        info_span!("GET /call").in_scope(|| {
            talk(&info_span!("conversation", conversation.id = "c1"));
        });
    });
    linked(&stage, &stage.span("GET /call").span_context);
    assert_eq!(
        stage.tree(&["trace"]),
        [
            "conversation trace=1",
            "  turn trace=1",
            "    llm trace=1",
            "      POST trace=1",
            "GET /call trace=2",
        ]
    );

    let stage = link();
    stage.play(|| {
        talk(&info_span!(
            "conversation",
            conversation.id = "c1",
            traceparent = TRACEPARENT
        ));
    });
    linked(&stage, &caller());

    let stage = link();
    stage.play(|| {
        let scope = info_span!("conversation", conversation.id = "c1");
        let remote = Context::new().with_remote_span_context(caller());
        scope.set_parent(remote).unwrap();
        talk(&scope);
    });
    linked(&stage, &caller());

    let stage = link();
    stage.play(|| talk(&info_span!("conversation", conversation.id = "c1")));
    assert_eq!(stage.span("conversation").links.len(), 0);
}

#[test]
fn inherited_entries_of_baggage_become_attributes() {
    for link in [false, true] {
        let stage = Stage::with(|layer| {
            layer
                .inherited(["tenant", "user.name", "plan"])
                .link_to_caller(link)
        });
        stage.play(|| {
            let scope = info_span!(
                "conversation",
                conversation.id = "c1",
                plan = "trial",
                traceparent = TRACEPARENT,
                baggage = "tenant=acme,user.name=Ada%20L,plan=paid,secret=no"
            );
            talk(&scope);
        });
        let marks = "conversation.id=c1 tenant=acme user.name=Ada L plan=trial";
        let root = if link {
            "conversation"
        } else {
            "? conversation"
        };
        assert_eq!(
            stage.tree(&[
                "conversation.id",
                "tenant",
                "user.name",
                "plan",
                "secret",
                "baggage"
            ]),
            [
                format!("{root} {marks}"),
                format!("  turn {marks}"),
                format!("    llm {marks}"),
                format!("      POST {marks}"),
            ]
        );
    }
}

#[test]
fn extracted_context_brings_trace_and_baggage() {
    let stage = Stage::with(|layer| layer.inherited(["tenant"]));
    let headers = HashMap::from([
        ("traceparent".to_owned(), TRACEPARENT.to_owned()),
        ("baggage".to_owned(), "tenant=acme".to_owned()),
    ]);
    let injected = stage.play(|| {
        let context = TraceContextPropagator::new().extract(&headers);
        let context = BaggagePropagator::new().extract_with_context(&context, &headers);
        let scope = info_span!("conversation", conversation.id = "c1");
        scope.set_parent(context).unwrap();
        talk(&scope);
        // What a request of the bot's own would carry on.
        scope.in_scope(|| {
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            let baggage = llm.in_scope(|| Context::current().baggage().get("tenant").cloned());
            baggage.map(|value| value.to_string())
        })
    });
    assert_eq!(injected.as_deref(), Some("acme"));
    let spans = stage.spans();
    assert_eq!(spans.len(), 5);
    for span in &spans {
        assert_eq!(
            attribute(span, "tenant").as_deref(),
            Some("acme"),
            "{}",
            span.name
        );
        assert_eq!(span.span_context.trace_id(), caller().trace_id());
    }
}

#[test]
fn hostile_headers_do_no_harm() {
    let stage = Stage::with(|layer| layer.inherited(["tenant"]));
    stage.play(|| {
        let long = "x".repeat(100_000);
        for (number, value) in ["\0", "tenant", "tenant=%ff%fe", "=,;,=", &long]
            .iter()
            .enumerate()
        {
            talk(&info_span!(
                "conversation",
                conversation.id = number,
                traceparent = value,
                tracestate = value,
                baggage = value
            ));
        }
        talk(&info_span!(
            "conversation",
            conversation.id = "n",
            traceparent = 7,
            baggage = true
        ));
    });
    let spans = stage.spans();
    assert_eq!(spans.len(), 6 * 4);
    let strange = |pair: &KeyValue| pair.key.as_str() == "baggage" || pair.key.as_str() == "tenant";
    assert!(!spans.iter().flat_map(|span| &span.attributes).any(strange));
}
