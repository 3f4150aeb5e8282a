use super::table::Table;
use super::*;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
use std::time::Duration;
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::prelude::*;

fn installed() -> (Dispatch, crate::ManualClock) {
    let clock = crate::ManualClock::new();
    let exporter = SimpleSpanProcessor::new(InMemorySpanExporter::default());
    let processor = crate::ConversationProcessor::new(exporter);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = ConversationLayer::builder(provider.tracer("test"), &processor)
        .clock(clock.clone())
        .build();
    (
        Dispatch::new(tracing_subscriber::registry().with(layer)),
        clock,
    )
}

#[test]
fn ended_conversations_are_freed() {
    let (dispatch, clock) = installed();
    let state = dispatch.downcast_ref::<LayerState>().unwrap();
    let mut weak = Vec::new();
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..1_000 {
            drop(info_span!(
                "conversation",
                conversation.id = "never entered"
            ));
            let scope = info_span!("conversation", conversation.id = n);
            let conversation = state.table.find(&n.to_string()).open().unwrap();
            weak.push(Arc::downgrade(&conversation));
            scope.in_scope(|| {
                let llm = info_span!("llm", gen_ai.operation.name = "chat");
                llm.in_scope(|| drop(info_span!("POST")));
                drop(info_span!("task", conversation.id = n));
                drop(info_span!("task", conversation.id = "nobody's"));
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "bot_stopped_speaking");
            });
            if n % 3 == 0 {
                scope.in_scope(|| info!(conversation.event = "conversation_ended"));
            }
            if n % 5 == 0 {
                // One that is opened again, and ended by its id.
                info!(conversation.event = "client_connected", conversation.id = n);
                info!(
                    conversation.event = "conversation_ended",
                    conversation.id = n
                );
            }
        }
    });
    assert_eq!(state.table.len(), 0);
    assert!(state.tracked.is_empty());
    assert!(weak.iter().all(|weak| weak.strong_count() == 0));
    // Deadlines that are still set are of nobody, and go.
    clock.advance(Duration::from_secs(24 * 60 * 60));
    assert!(state.shared.timer.is_idle());
    assert!(weak.iter().all(|weak| weak.weak_count() <= 1));
}

#[test]
fn stray_ids_give_way_to_newer_ones_and_to_scopes() {
    let (dispatch, clock) = installed();
    let state = dispatch.downcast_ref::<LayerState>().unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        let connected = |n: usize| {
            info!(conversation.event = "client_connected", conversation.id = n);
        };
        for n in 0..Table::MAX_OPEN {
            connected(n);
            clock.advance(Duration::from_nanos(1));
        }
        // The oldest is heard of again.
        connected(0);
        let scope = info_span!("conversation", conversation.id = "call");
        assert!(state.table.find("call").open().is_some());
        assert!(state.table.find("0").open().is_some());
        assert!(state.table.find("1").open().is_none());
        connected(Table::MAX_OPEN);
        assert!(state.table.find("2").open().is_none());
        assert!(state.table.find("call").open().is_some());
        drop(scope);
    });
    assert_eq!(state.table.len(), Table::MAX_OPEN - 1);
    state.end_all(EndReason::ConversationEnded);
    assert_eq!(state.table.len(), 0);
}
