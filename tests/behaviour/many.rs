//! A thousand concurrent conversations: every span has its own conversation and turn as ancestors, and nothing stays open.

use crate::stage::{self, Stage, attribute};
use opentelemetry::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::collections::{BTreeMap, HashMap};
use tracing::{Instrument, info, info_span};

const CONVERSATIONS: usize = 1_000;

/// Checks every span's ancestors against the conversation and turn in its attributes.
fn assert_spans_have_expected_ancestors(spans: &[SpanData]) {
    let by_id: HashMap<SpanId, &SpanData> = spans
        .iter()
        .map(|span| (span.span_context.span_id(), span))
        .collect();
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut traces = HashMap::new();
    for span in spans {
        let conversation =
            attribute(span, "conversation.id").expect("every span has a conversation");
        *counts
            .entry(conversation.clone())
            .or_default()
            .entry(span.name.to_string())
            .or_default() += 1;
        let trace = span.span_context.trace_id();
        assert_eq!(
            *traces.entry(conversation.clone()).or_insert(trace),
            trace,
            "{conversation} is one trace"
        );
        let parent = by_id.get(&span.parent_span_id);
        match &*span.name {
            "conversation" => assert!(parent.is_none()),
            "turn" => assert_eq!(parent.unwrap().name, "conversation"),
            name => {
                let parent = parent.unwrap();
                let under = if name == "POST" { "llm" } else { "turn" };
                assert_eq!(parent.name, under, "{name}");
                assert_eq!(
                    attribute(span, "conversation.id"),
                    attribute(parent, "conversation.id")
                );
                assert_eq!(
                    attribute(span, "turn.number"),
                    attribute(parent, "turn.number")
                );
                // Set by the program when it created the span.
                assert_eq!(attribute(span, "of"), Some(conversation));
                assert_eq!(attribute(span, "in.turn"), attribute(span, "turn.number"));
            }
        }
        let parent_of_same = parent.is_none_or(|parent| {
            attribute(parent, "conversation.id") == attribute(span, "conversation.id")
        });
        assert!(parent_of_same);
    }
    assert_eq!(counts.len(), CONVERSATIONS);
    let expected: BTreeMap<String, usize> = [
        ("POST", 3),
        ("conversation", 1),
        ("llm", 3),
        ("stt", 3),
        ("tool", 3),
        ("turn", 3),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    for (conversation, count) in counts {
        assert_eq!(count, expected, "{conversation}");
    }
}

#[test]
fn concurrent_conversations_on_multi_thread_runtime() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let dispatch = stage.dispatch.clone();
    runtime.block_on(async {
        let calls: Vec<_> = (0..CONVERSATIONS)
            .map(|n| {
                let call = call(format!("call-{n}"));
                tokio::spawn(tracing::instrument::WithSubscriber::with_subscriber(
                    call,
                    dispatch.clone(),
                ))
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_spans_have_expected_ancestors(&stage.spans());
}

/// Three turns in a scope that moves between threads, with tasks that join by context or by id only.
async fn call(id: String) {
    let scope = info_span!("conversation", conversation.id = %id);
    let talk = async {
        for turn in 1..=3_u64 {
            info!(conversation.event = "user_started_speaking");
            tokio::task::yield_now().await;
            let stt = info_span!("stt", gen_ai.operation.name = "stt", of = %id, in.turn = turn, transcript = tracing::field::Empty);
            stt.record("transcript", &*id);
            drop(stt);
            let llm = info_span!("llm", gen_ai.operation.name = "chat", of = %id, in.turn = turn);
            async {
                tokio::task::yield_now().await;
                drop(info_span!("POST", of = %id, in.turn = turn as i64));
                info!(conversation.event = "first_byte");
            }
            .instrument(llm)
            .await;
            // A task outside the scope.
            let own_id = id.clone();
            let tool = async move {
                drop(
                    info_span!("tool", gen_ai.operation.name = "execute_tool", conversation.id = %own_id, of = %own_id, in.turn = turn),
                );
                info!(conversation.event = "bot_started_speaking", conversation.id = %own_id);
            };
            tokio::spawn(tracing::instrument::WithSubscriber::with_current_subscriber(tool))
                .await
                .unwrap();
        }
    };
    talk.instrument(scope).await;
}

#[test]
fn concurrent_conversations_by_id_on_threads() {
    let stage = Stage::new();
    let threads = 8;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let stage = &stage;
            scope.spawn(move || {
                stage.play(|| {
                    let ids: Vec<_> = (thread..CONVERSATIONS).step_by(threads).collect();
                    // Interleaved.
                    for turn in 1..=3_u64 {
                        for id in &ids {
                            info!(conversation.event = "user_started_speaking", conversation.id = id);
                            let service = |name, operation| match name {
                                "stt" => info_span!("stt", gen_ai.operation.name = operation, conversation.id = id, of = id, in.turn = turn),
                                "tool" => info_span!("tool", gen_ai.operation.name = operation, conversation.id = id, of = id, in.turn = turn),
                                _ => info_span!("llm", gen_ai.operation.name = operation, conversation.id = id, of = id, in.turn = turn),
                            };
                            drop(service("stt", "stt"));
                            let llm = service("llm", "chat");
                            llm.in_scope(|| drop(info_span!("POST", of = *id as i64, in.turn = turn as i64)));
                            drop(service("tool", "execute_tool"));
                            info!(conversation.event = "bot_started_speaking", conversation.id = id);
                        }
                    }
                    for id in &ids {
                        info!(conversation.event = "conversation_ended", conversation.id = id);
                    }
                });
            });
        }
    });
    assert_eq!(stage.conversations.open(), 0);
    assert_spans_have_expected_ancestors(&stage.spans());
}

#[test]
fn conversation_shared_by_threads_is_one_trace_with_turns_in_order() {
    let stage = Stage::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                stage.play(|| {
                    for _ in 0..100 {
                        info!(
                            conversation.event = "bot_started_speaking",
                            conversation.id = "shared"
                        );
                        info!(
                            conversation.event = "user_started_speaking",
                            conversation.id = "shared"
                        );
                        drop(info_span!(
                            "llm",
                            gen_ai.operation.name = "chat",
                            conversation.id = "shared"
                        ));
                    }
                });
            });
        }
    });
    stage.conversations.end_all();
    let spans = stage.spans();
    let mut turns: Vec<u32> = spans
        .iter()
        .filter(|span| span.name == "turn")
        .map(|span| attribute(span, "turn.number").unwrap().parse().unwrap())
        .collect();
    turns.sort_unstable();
    assert!(turns.len() > 100);
    assert_eq!(turns, (1..=turns.len() as u32).collect::<Vec<_>>());
    assert_eq!(stage::count(&spans, "conversation"), 1);
    assert_eq!(stage::count(&spans, "llm"), 800);
    let turn_ids: HashMap<_, _> = spans
        .iter()
        .filter(|span| span.name == "turn")
        .map(|span| (span.span_context.span_id(), attribute(span, "turn.number")))
        .collect();
    for llm in spans.iter().filter(|span| span.name == "llm") {
        assert_eq!(turn_ids[&llm.parent_span_id], attribute(llm, "turn.number"));
    }
}

#[test]
fn concurrent_scopes_with_same_id_are_one_conversation() {
    let stage = Stage::new();
    for round in 0..50 {
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    stage.play(|| {
                        barrier.wait();
                        let scope = info_span!("conversation", conversation.id = round);
                        barrier.wait();
                        scope.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
                        barrier.wait();
                    });
                });
            }
        });
    }
    assert_eq!(stage.conversations.open(), 0);
    let spans = stage.spans();
    let turns = spans.iter().filter(|span| span.name == "turn").count();
    assert_eq!(turns, 50, "one conversation with one turn for each id");
    assert_eq!(spans.iter().filter(|span| span.name == "llm").count(), 200);
}
