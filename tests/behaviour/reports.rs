//! Trouble is said through `tracing`, once a period and not once an attempt.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use crate::support::{PATIENCE, Reply, Server};
use tracing::{Event, Level, Subscriber, field::Field, field::Visit, info_span};
use tracing_conversation::Telemetry;
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0, "{field} = {value:?}");
    }
}

#[test]
fn trouble_is_said_once_and_loss_at_the_end_again() {
    let server = Server::start();
    let busy = || Reply::Status("503 Service Unavailable", "retry-after: 0", b"");
    server.reply([busy(), busy(), busy()]);
    server.reply([Reply::PartialSuccess(1, "too old")]);
    let telemetry = Telemetry::builder()
        .endpoint(server.url())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .build()
        .unwrap();
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry()
        .with(warnings.clone())
        .with(telemetry.layer());
    let url = format!("{}/v1/traces", server.url());
    tracing::subscriber::with_default(subscriber, || {
        info_span!("a").in_scope(|| ());
        info_span!("b").in_scope(|| ());
        telemetry.flush(PATIENCE).unwrap_err();
        assert_eq!(server.requests().len(), 4);
        assert_eq!(
            *warnings.0.lock().unwrap(),
            [format!(
                "message = spans cannot be delivered and are kept for another try; if there is no collector, \
OTEL_CONSOLE_EXPORT=tree shows turns in the terminal
destination = \"{url}\"
lost = 0
waiting = 2
dropped_queue_full = 0
rejected = 0
failed = 0
restarts = 0
problem = \"503 Service Unavailable\"
"
            )]
        );
        drop(telemetry);
    });
    let warnings = warnings.0.lock().unwrap();
    assert_eq!(warnings.len(), 2);
    assert_eq!(
        warnings[1],
        format!(
            "message = telemetry is incomplete
error = {url}: 1 spans lost, 0 still waiting (partial success, 1 spans rejected: too old)
"
        )
    );
}
