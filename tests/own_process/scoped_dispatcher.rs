//! With live export threads, `tracing` keeps its shortcut for programs without scoped dispatchers.

use std::sync::{Arc, Mutex};

use crate::support::{PATIENCE, Server};
use tracing::{Event, Subscriber, info};
use tracing_conversation::Telemetry;
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Emits an event of its own inside its hook, as layers that report on themselves do.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Echo {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        self.0.lock().unwrap().push(target.to_owned());
        if target == "outer" {
            info!(target: "inner", "emitted inside a hook");
        }
    }
}

// `tracing` drops an event emitted inside a hook as soon as any thread of the process has a scoped dispatcher.
own_process!(
    event_emitted_inside_a_hook_arrives_while_export_threads_live,
    || {
        let server = Server::start();
        let telemetry = Telemetry::builder().endpoint(server.url()).build().unwrap();
        let echo = Echo::default();
        tracing_subscriber::registry()
            .with(echo.clone())
            .with(telemetry.layer())
            .init();
        // The export thread has started: it has exported something.
        tracing::info_span!("span").in_scope(|| ());
        telemetry.flush(PATIENCE).unwrap();
        assert_eq!(server.names(), ["span"]);

        info!(target: "outer", "emitted by the program");
        let targets = echo.0.lock().unwrap().clone();
        let program: Vec<_> = targets
            .iter()
            .filter(|t| ["outer", "inner"].contains(&t.as_str()))
            .collect();
        assert_eq!(program, ["outer", "inner"]);
    }
);
