//! Observers of a `Telemetry`: what flushing, shutting down and the counts say of them.

use crate::stage::scope;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing_conversation::delivery::Delivered;
use tracing_conversation::observe::{ConversationSummary, Observer, TurnStarted};
use tracing_conversation::{Telemetry, event};
use tracing_subscriber::prelude::*;

/// Keeps the ids of the conversations that have ended.
#[derive(Default)]
struct Ended(Mutex<Vec<String>>);

impl Observer for Ended {
    fn conversation_ended(&self, conversation: &ConversationSummary) {
        let id = conversation.conversation_id.to_string();
        self.0.lock().unwrap().push(id);
    }
}

/// Telemetry without a destination, whatever the environment says.
fn telemetry(observer: impl Observer) -> Telemetry {
    Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_METRICS_EXPORTER", "none")
        .variable("OTEL_CONSOLE_EXPORT", "off")
        .variable("OTEL_SDK_DISABLED", "false")
        .shutdown_timeout(Duration::from_secs(60))
        .with_observer(observer)
        .build()
        .unwrap()
}

fn play(telemetry: &Telemetry, program: impl FnOnce()) {
    let registry = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(registry, program);
}

fn counts(telemetry: &Telemetry) -> [u64; 3] {
    let delivered = telemetry.delivered();
    let Delivered {
        destination,
        exported,
        dropped_queue_full,
        waiting,
        ..
    } = delivered.last().unwrap();
    assert_eq!(destination, "observers");
    [*exported, *dropped_queue_full, *waiting]
}

#[test]
fn observers_need_no_destination_and_flush_waits_for_them() {
    let ended = Arc::new(Ended::default());
    let telemetry = telemetry(ended.clone());
    play(&telemetry, || drop(scope()));
    telemetry.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(*ended.0.lock().unwrap(), ["c1"]);
    // The turn's start and end, and the conversation's end.
    assert_eq!(counts(&telemetry), [3, 0, 0]);
}

#[test]
fn shutdown_ends_conversations_and_waits_for_observers() {
    let ended = Arc::new(Ended::default());
    let telemetry = telemetry(ended.clone());
    play(&telemetry, || {
        event::in_conversation("c2").user_started_speaking();
        telemetry.shutdown().unwrap();
        assert_eq!(*ended.0.lock().unwrap(), ["c2"]);
    });
}

/// Blocks at the first turn until it is released.
struct Blocked {
    reached: Mutex<Sender<()>>,
    release: Mutex<Option<Receiver<()>>>,
}

impl Observer for Blocked {
    fn turn_started(&self, _: &TurnStarted) {
        if let Some(release) = self.release.lock().unwrap().take() {
            self.reached.lock().unwrap().send(()).unwrap();
            release.recv().unwrap();
        }
    }
}

#[test]
fn what_waits_and_what_was_dropped_is_an_error() {
    let (reached, is_reached) = channel();
    let (release, released) = channel();
    let telemetry = telemetry(Blocked {
        reached: Mutex::new(reached),
        release: Mutex::new(Some(released)),
    });
    play(&telemetry, || {
        let _scope = scope().entered();
        is_reached.recv().unwrap();
        let error = telemetry.flush(Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            "observers: 0 summaries dropped, 1 still waiting"
        );
        for _ in 0..4_100 {
            event::bot_started_speaking();
            event::user_started_speaking();
        }
        release.send(()).unwrap();
        telemetry.flush(Duration::from_secs(60)).unwrap();
        let error = telemetry.shutdown().unwrap_err();
        // Each turn that ends starts another, and 8,192 fit.
        assert_eq!(
            error.to_string(),
            "observers: 8 summaries dropped, 0 still waiting"
        );
    });
    let [delivered, dropped, waiting] = counts(&telemetry);
    // One was with the observer when the queue filled up; two are of the end.
    assert_eq!([delivered, dropped, waiting], [1 + 8_192 + 2, 8, 0]);
}

#[cfg(feature = "serde")]
#[test]
fn summaries_are_read_back_as_they_were_written() {
    #[derive(Default)]
    struct Json(Mutex<Vec<serde_json::Value>>);
    fn through_json<T>(summary: &T) -> serde_json::Value
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let json = serde_json::to_string(summary).unwrap();
        let back: T = serde_json::from_str(&json).unwrap();
        assert_eq!(back, *summary);
        serde_json::from_str(&json).unwrap()
    }
    impl Observer for Json {
        fn turn_ended(&self, turn: &tracing_conversation::observe::TurnSummary) {
            self.0.lock().unwrap().push(through_json(turn));
        }
        fn conversation_ended(&self, conversation: &ConversationSummary) {
            self.0.lock().unwrap().push(through_json(conversation));
        }
        fn service_ended(&self, service: &tracing_conversation::observe::ServiceSummary) {
            self.0.lock().unwrap().push(through_json(service));
        }
    }
    let json = Arc::new(Json::default());
    let telemetry = telemetry(json.clone());
    play(&telemetry, || {
        let _scope = scope().entered();
        let failed = tracing::info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.usage.input_tokens = 5,
            error.type = "timeout"
        );
        drop(failed);
    });
    telemetry.flush(Duration::from_secs(60)).unwrap();
    let json = json.0.lock().unwrap();
    assert_eq!(json[0]["kind"], "llm");
    assert_eq!(json[0]["usage"]["input_tokens"], 5);
    assert_eq!(json[0]["error"]["kind"], "timeout");
    assert_eq!(json[1]["end_reason"], "conversation_ended");
    assert_eq!(json[1]["trace_id"], json[0]["trace_id"]);
    assert_eq!(json[1]["span_id"].as_str().map(str::len), Some(16));
    assert_eq!(json[2]["conversation_type"], "voice");
}
