//! Behaviour under a global default subscriber, as in most programs: events can be emitted while another event is
//! handled.

use crate::stage::{self, Output};
use opentelemetry_sdk::trace::InMemorySpanExporter;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{info, info_span};
use tracing_conversation::ManualClock;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;

/// Collects the messages of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut message = String::new();
            let mut visit = |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                if field.name() == "message" {
                    message = format!("{value:?}");
                }
            };
            event.record(&mut visit);
            self.0.lock().unwrap().push(message);
        }
    }
}

impl Warnings {
    fn with(&self, text: &str) -> Vec<String> {
        let warnings = self.0.lock().unwrap();
        warnings
            .iter()
            .filter(|message| message.contains(text))
            .cloned()
            .collect()
    }
}

struct Installed {
    warnings: Warnings,
    exporter: InMemorySpanExporter,
}

static INSTALLED: LazyLock<Installed> = LazyLock::new(|| {
    let warnings = Warnings::default();
    let output = Output::new();
    let layer = output.layer().clock(ManualClock::new()).build();
    tracing_subscriber::registry()
        .with(layer)
        .with(warnings.clone())
        .init();
    Installed {
        warnings,
        exporter: output.exporter,
    }
});

own_process!(unknown_event_name_is_warned_about_once, || {
    let installed = &*INSTALLED;
    let _scope = info_span!("conversation", conversation.id = "unknown names").entered();
    for _ in 0..5 {
        info!(conversation.event = "user_startet_speaking");
        info!(conversation.event = "bot_startet_speaking");
    }
    for name in ["user_startet_speaking", "bot_startet_speaking"] {
        let warning = format!("conversation.event = {name:?} is unknown");
        stage::eventually(|| !installed.warnings.with(&warning).is_empty());
        assert_eq!(installed.warnings.with(&warning).len(), 1, "{name}");
    }
});

own_process!(warning_about_huge_event_name_is_short, || {
    let installed = &*INSTALLED;
    let name = "é".repeat(1 << 19);
    info!(conversation.event = %name);
    stage::eventually(|| !installed.warnings.with("ééé").is_empty());
    let warning = installed.warnings.with("ééé");
    assert_eq!(warning.len(), 1);
    assert!(warning[0].len() < 1_000, "{} bytes", warning[0].len());
});

own_process!(
    value_emitting_events_while_formatted_does_not_deadlock,
    || {
        struct Chatty(&'static str);
        impl std::fmt::Debug for Chatty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                for event in [
                    "bot_started_speaking",
                    "user_started_speaking",
                    "first_byte",
                    "annotate",
                ] {
                    info!(conversation.event = event, conversation.id = self.0);
                    info!(conversation.event = event);
                }
                tracing::Span::current().record("output", "from within");
                drop(info_span!(
                    "llm",
                    gen_ai.operation.name = "chat",
                    conversation.id = self.0
                ));
                f.write_str("chatty")
            }
        }
        let installed = &*INSTALLED;
        let (done, finished) = mpsc::channel();
        std::thread::spawn(move || {
            let chatty = || Chatty("formatting");
            let _scope = info_span!("conversation", conversation.id = "formatting", mood = ?chatty(), output = Empty).entered();
            let llm =
            info_span!("llm", gen_ai.operation.name = "chat", input = ?chatty(), output = Empty)
                .entered();
            llm.record("output", tracing::field::debug(chatty()));
            info!(conversation.event = "annotate", note = ?chatty());
            drop(llm);
            info!(conversation.event = "annotate", note = ?chatty());
            info!(conversation.event = "bot_started_speaking", ago_secs = ?chatty());
            info!(conversation.event = "conversation_ended", reason = ?chatty());
            done.send(()).unwrap();
        });
        finished
            .recv_timeout(Duration::from_secs(60))
            .expect("no deadlock");
        let spans = installed.exporter.get_finished_spans().unwrap();
        assert!(spans.iter().any(|span| span.name == "llm"));
    }
);

own_process!(
    scope_span_dropped_on_another_thread_ends_conversation,
    || {
        let installed = &*INSTALLED;
        let scope = info_span!("conversation", conversation.id = "handed over");
        let llm = scope.in_scope(|| info_span!("llm", gen_ai.operation.name = "chat"));
        std::thread::spawn(move || {
            drop(scope);
            drop(llm);
        })
        .join()
        .unwrap();
        let spans = installed.exporter.get_finished_spans().unwrap();
        let own = spans.iter().filter(|span| {
            span.name == "conversation"
                && stage::attribute(span, "conversation.id").as_deref() == Some("handed over")
        });
        assert_eq!(own.count(), 1);
    }
);

own_process!(event_during_thread_local_destruction_is_handled, || {
    static FAREWELLS: AtomicU32 = AtomicU32::new(0);
    /// Emits an event when its thread's locals are destroyed.
    struct Polite;
    impl Drop for Polite {
        fn drop(&mut self) {
            // Belongs to no conversation: no span is entered any more.
            info!(conversation.event = "user_started_speaking");
            info!(
                conversation.event = "annotate",
                conversation.id = "last words",
                farewells = FAREWELLS.fetch_add(1, Ordering::SeqCst) + 1
            );
        }
    }
    thread_local! {
        static POLITE: Polite = const { Polite };
    }
    let installed = &*INSTALLED;
    let conversation = info_span!("conversation", conversation.id = "last words");
    for is_inside in [true, false] {
        let conversation = conversation.clone();
        let thread = std::thread::spawn(move || {
            // Initialized first, so destroyed last: after the layer's own thread-locals.
            POLITE.with(|_| ());
            info_span!("ordinary").in_scope(|| ());
            if is_inside {
                let _scope = conversation.entered();
                let llm = info_span!("llm", gen_ai.operation.name = "chat");
                llm.in_scope(|| info!(conversation.event = "first_byte"));
            }
        });
        thread.join().unwrap();
    }
    drop(conversation);
    let spans = installed.exporter.get_finished_spans().unwrap();
    let turn = spans.iter().find(|span| {
        let of = stage::attribute(span, "conversation.id");
        span.name == "turn" && of.as_deref() == Some("last words")
    });
    let farewells = turn.and_then(|turn| stage::attribute(turn, "farewells"));
    assert_eq!(farewells.as_deref(), Some("2"));
});
