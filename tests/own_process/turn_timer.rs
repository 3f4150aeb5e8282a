//! Prompt export by the system clock, without further events and without a runtime.

use crate::stage::attribute;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SimpleSpanProcessor, SpanData, SpanExporter};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};
use tracing::{Dispatch, info, info_span};
use tracing_conversation::{ConversationLayer, ConversationProcessor, Conversations};
use tracing_subscriber::prelude::*;

/// A generous timeout, which is reached only if a test fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends each exported span with the time of its export.
#[derive(Debug)]
struct ChannelExporter(Mutex<mpsc::Sender<(SpanData, SystemTime)>>);

impl SpanExporter for ChannelExporter {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let sender = self.0.lock().unwrap();
        for span in spans {
            let _ = sender.send((span, SystemTime::now()));
        }
        Ok(())
    }
}

struct Running {
    dispatch: Dispatch,
    exported: mpsc::Receiver<(SpanData, SystemTime)>,
    conversations: Conversations,
    _provider: SdkTracerProvider,
}

fn run(timeout: Duration, idle: Duration) -> Running {
    let (sender, exported) = mpsc::channel();
    let exporter = SimpleSpanProcessor::new(ChannelExporter(Mutex::new(sender)));
    let processor = ConversationProcessor::new(exporter);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = ConversationLayer::builder(provider.tracer("test"), &processor)
        .turn_end_timeout(timeout)
        .idle_limit(idle)
        .build();
    let conversations = layer.conversations();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    Running {
        dispatch,
        exported,
        conversations,
        _provider: provider,
    }
}

/// Returns the number of the layer's timer threads in this process.
fn timer_threads() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with("conversation-ti"))
        .count()
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

own_process!(
    turn_ended_by_silence_is_exported_by_timer_which_stops_with_layer,
    || {
        let timeout = Duration::from_millis(150);
        let running = run(timeout, Duration::from_secs(3_600));
        assert_eq!(
            timer_threads(),
            0,
            "no thread before the first conversation"
        );

        let scope = tracing::dispatcher::with_default(&running.dispatch, || {
            let scope = info_span!("conversation", conversation.id = "c1");
            scope.in_scope(|| {
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "bot_stopped_speaking");
            });
            scope
        });
        let (turn, at) = running
            .exported
            .recv_timeout(TIMEOUT)
            .expect("the turn is exported without further events");
        assert_eq!(turn.name, "turn");
        assert_eq!(
            attribute(&turn, "turn.end_reason").as_deref(),
            Some("silence")
        );
        // It ends when the bot stopped, not when the timer fired; it is exported after the timeout, not before.
        let waited = at.duration_since(turn.end_time).unwrap();
        assert!(waited >= timeout, "{waited:?}");
        let attribute_seconds: f64 = attribute(&turn, "turn.duration_seconds")
            .unwrap()
            .parse()
            .unwrap();
        let lasted = turn
            .end_time
            .duration_since(turn.start_time)
            .unwrap()
            .as_secs_f64();
        assert!(
            (attribute_seconds - lasted).abs() < 1e-6,
            "{attribute_seconds} {lasted}"
        );
        assert!(running.conversations.open() == 1 && timer_threads() <= 1);

        // The bot speaking again within the timeout cancels it.
        tracing::dispatcher::with_default(&running.dispatch, || {
            scope.in_scope(|| {
                info!(conversation.event = "user_started_speaking");
                info!(conversation.event = "bot_started_speaking");
                info!(conversation.event = "bot_stopped_speaking");
                info!(conversation.event = "bot_started_speaking");
            });
        });
        assert!(
            running.exported.recv_timeout(timeout * 4).is_err(),
            "the bot is still speaking"
        );
        tracing::dispatcher::with_default(&running.dispatch, || drop(scope));
        let rest: Vec<_> = running.exported.try_iter().map(|(span, _)| span).collect();
        assert_eq!(
            rest.iter().map(|span| &*span.name).collect::<Vec<_>>(),
            ["turn", "conversation"]
        );
        assert_eq!(
            attribute(&rest[0], "turn.end_reason").as_deref(),
            Some("conversation_ended")
        );

        let Running {
            dispatch,
            conversations,
            ..
        } = running;
        drop(dispatch);
        wait_until("the timer thread is gone with the layer", || {
            timer_threads() == 0
        });
        assert_eq!(conversations.open(), 0);

        // A conversation that is never ended is closed at the idle timeout by the timer as well.
        let running = run(timeout, Duration::from_millis(200));
        tracing::dispatcher::with_default(&running.dispatch, || {
            info!(
                conversation.event = "client_connected",
                conversation.id = "c1"
            );
        });
        let (turn, _) = running
            .exported
            .recv_timeout(TIMEOUT)
            .expect("the conversation is exported without further events");
        assert_eq!(
            attribute(&turn, "turn.end_reason").as_deref(),
            Some("conversation_lost")
        );
        wait_until("nothing is open", || running.conversations.open() == 0);
        drop(running.dispatch);
        wait_until("the second timer thread is gone as well", || {
            timer_threads() == 0
        });
    }
);
