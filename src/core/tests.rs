use super::table::{Ended, MOST_ENDED, MOST_LIVE};
use super::*;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::atomic::Ordering;
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::prelude::*;

fn installed(set: impl FnOnce(&mut Settings)) -> (Dispatch, crate::ManualClock) {
    let clock = crate::ManualClock::new();
    let provider = SdkTracerProvider::builder().build();
    let mut settings = Settings {
        clock: Some(clock.clone()),
        ..Settings::default()
    };
    set(&mut settings);
    let layer = crate::layer::layer_with(provider.tracer("test"), settings);
    (
        Dispatch::new(tracing_subscriber::registry().with(layer)),
        clock,
    )
}

#[test]
fn a_thousand_conversations_that_ended_leave_nothing_behind() {
    let (dispatch, clock) = installed(|_| {});
    let core = dispatch.downcast_ref::<Core>().unwrap();
    let mut lives = Vec::new();
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..1_000 {
            drop(info_span!(
                "conversation",
                conversation.id = "never entered"
            ));
            let scope = info_span!("conversation", conversation.id = n);
            let Found::Live(live) = core.table.find(&n.to_string()) else {
                panic!("{n} is open");
            };
            lives.push(Arc::downgrade(&live));
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
    assert_eq!(core.table.len(), 0);
    assert!(core.ours.is_empty());
    assert_eq!(core.awaits_enter.load(Ordering::Relaxed), 0);
    assert!(lives.iter().all(|live| live.strong_count() == 0));
    assert!(lock(&core.table.ended).order.len() <= 1_001);
    // What still waits for its time waits for nobody, and goes.
    clock.advance(Duration::from_secs(24 * 60 * 60));
    assert!(core.timer.is_idle());
    assert!(lives.iter().all(|live| live.weak_count() <= 1));
}

#[test]
fn what_is_remembered_of_ended_conversations_is_bounded() {
    let mut ended = Ended::default();
    for n in 0..3 * MOST_ENDED {
        ended.remember(&n.to_string());
        ended.remember(&n.to_string());
        assert!(ended.remembers(&n.to_string()));
    }
    assert_eq!(
        (ended.order.len(), ended.hashes.len()),
        (MOST_ENDED, MOST_ENDED)
    );
    assert!(!ended.remembers("0"));
}

#[test]
fn what_is_remembered_of_unknown_events_is_bounded() {
    let (dispatch, _) = installed(|_| {});
    let core = dispatch.downcast_ref::<Core>().unwrap();
    let news = (0..1_000).filter(|n| core.is_news(&n.to_string())).count();
    assert_eq!(news, 128);
    assert!(!core.is_news("0"));
}

#[test]
fn more_conversations_than_there_is_room_for_are_ignored() {
    let (dispatch, _) = installed(|settings| settings.idle_limit = Duration::from_secs(10));
    let core = dispatch.downcast_ref::<Core>().unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..MOST_LIVE + 10 {
            info!(conversation.event = "client_connected", conversation.id = n);
        }
        let scope = info_span!("conversation", conversation.id = "one too many");
        scope.in_scope(|| drop(info_span!("llm", gen_ai.operation.name = "chat")));
    });
    assert_eq!(core.table.len(), MOST_LIVE);
    core.end_all(EndReason::ConversationEnded);
    assert_eq!(core.table.len(), 0);
    assert!(core.ours.is_empty());
}
