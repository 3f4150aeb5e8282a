//! One recorder for the whole process, shared by tests whose programs run on threads of their own.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{Instrument as _, info, info_span};
use tracing_conversation::Conversation;
use tracing_conversation::testing::ConversationRecorder;

const PATIENCE: Duration = Duration::from_secs(60);

static RECORDER: LazyLock<ConversationRecorder> = LazyLock::new(|| {
    let recorder = ConversationRecorder::builder().real_time().build();
    recorder.install().unwrap();
    recorder
});

/// A call whose services run on whatever thread is free.
async fn call(id: &'static str) {
    let services = (0..8).map(|_| {
        let service = info_span!("llm", gen_ai.operation.name = "chat", conversation.id = id);
        tokio::spawn(tokio::task::yield_now().instrument(service))
    });
    for service in services.collect::<Vec<_>>() {
        service.await.unwrap();
    }
    std::thread::spawn(move || {
        let conversation = Conversation::by_id(id).unwrap();
        conversation.in_scope(|| info!(conversation.event = "bot_started_speaking"));
    })
    .join()
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversation_on_many_threads_is_one() {
    let recorder = &*RECORDER;
    tokio::spawn(call("c1").instrument(info_span!("conversation", conversation.id = "c1")));
    let call = timeout(PATIENCE, recorder.ended("c1")).await.unwrap();
    assert_eq!(call.turn(1).services().len(), 8);
    assert_eq!(call.turns().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversation_of_another_test_is_another() {
    let recorder = &*RECORDER;
    tokio::spawn(call("c2").instrument(info_span!("conversation", conversation.id = "c2")));
    let call = timeout(PATIENCE, recorder.ended("c2")).await.unwrap();
    assert_eq!(call.services().len(), 8);
    assert!(recorder.install().is_err());
    // One with a clock of its own works beside it.
    let own = ConversationRecorder::new();
    own.run(|| info_span!("conversation", conversation.id = "c3").in_scope(|| {}));
    assert_eq!(own.conversations().len(), 1);
    assert!(
        recorder
            .conversations()
            .iter()
            .all(|call| call.id() != "c3")
    );
}
