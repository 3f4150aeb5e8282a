//! console-subscriber beside this layer: the console is told of the program's tasks, and the traces hold none of tokio's own spans.

#[cfg(not(tokio_unstable))]
compile_error!(
    "tokio tells of its tasks with RUSTFLAGS=\"--cfg tokio_unstable\" only; tests/beside/run sets it"
);

use console_api::instrument::InstrumentRequest;
use console_api::instrument::instrument_client::InstrumentClient;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
use std::net::TcpListener;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{Instrument as _, info_span};
use tracing_conversation::{ConversationProcessor, Telemetry, event};
use tracing_subscriber::prelude::*;

/// Longer than any machine needs; never waited for unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

async fn call(hang_up: oneshot::Receiver<()>) {
    event::user_started_speaking();
    let llm = info_span!("llm", gen_ai.operation.name = "chat");
    let answer = tokio::spawn(tokio::task::yield_now().in_current_span());
    answer.instrument(llm).await.unwrap();
    event::bot_started_speaking();
    hang_up.await.unwrap();
}

/// Waits until the console's server tells of a task of this name.
async fn seen_by_console(port: u16, name: &str) {
    let mut client = loop {
        match InstrumentClient::connect(format!("http://127.0.0.1:{port}")).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let updates = client.watch_updates(InstrumentRequest {}).await.unwrap();
    let mut updates = updates.into_inner();
    while let Some(update) = updates.message().await.unwrap() {
        let new = update
            .task_update
            .into_iter()
            .flat_map(|tasks| tasks.new_tasks);
        for task in new {
            if format!("{:?}", task.fields).contains(name) {
                return;
            }
        }
    }
    panic!("the console's server has gone");
}

fn names(spans: &InMemorySpanExporter) -> Vec<String> {
    let spans = spans.get_finished_spans().unwrap();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
    names.sort();
    names
}

fn main() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);

    // Both ways to have this layer: by `Telemetry`, which filters for itself, and on a provider of one's own, without a filter.
    let filtered = InMemorySpanExporter::default();
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .exporter(filtered.clone())
        .build()
        .unwrap();
    let console = console_subscriber::ConsoleLayer::builder()
        .server_addr(([127, 0, 0, 1], port))
        .publish_interval(Duration::from_millis(50));
    tracing_subscriber::registry()
        .with(console.spawn())
        .with(telemetry.layer())
        .init();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (hang_up, hung_up) = oneshot::channel();
        let scope = info_span!("conversation", conversation.id = "call-1");
        let bot = tokio::task::Builder::new()
            .name("bot of call-1")
            .spawn(call(hung_up).instrument(scope))
            .unwrap();
        let console = seen_by_console(port, "bot of call-1");
        tokio::time::timeout(PATIENCE, console)
            .await
            .expect("the console is told of the task");
        hang_up.send(()).unwrap();
        bot.await.unwrap();
    });
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(names(&filtered), ["conversation", "llm", "turn"]);

    // A provider of one's own, and no filter on the layer: tokio's spans are exported as well.
    let all = InMemorySpanExporter::default();
    let processor = ConversationProcessor::new(SimpleSpanProcessor::new(all.clone()));
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = tracing_conversation::layer(provider.tracer("beside"), &processor);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let scope = info_span!("conversation", conversation.id = "call-2");
        let (hang_up, hung_up) = oneshot::channel();
        hang_up.send(()).unwrap();
        runtime.block_on(async { tokio::spawn(call(hung_up).instrument(scope)).await.unwrap() });
    });
    let names = names(&all);
    for name in ["conversation", "llm", "turn", "runtime.spawn"] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} in {names:?}"
        );
    }
    println!("console-subscriber and this layer do what they do alone");
}
