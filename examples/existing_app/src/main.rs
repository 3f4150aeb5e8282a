//! A web service with a voice bot: axum, tower-http, reqwest, tracing-opentelemetry, and names of its own for everything.
//!
//!     cargo run -p existing_app
//!     OTEL_CONSOLE_EXPORT=json cargo run -p existing_app
//!
//! `telemetry.rs` has the lines that add tracing-conversation, `examples/rules.toml` says what the program's names mean.
//! Nothing else knows of it. Requests are traces of their own as before, and `traceparent` is injected and honoured.

mod bot;
mod menu;
mod telemetry;

use axum::Router;
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use std::error::Error;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tower_http::trace::TraceLayer;
use tracing::info_span;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _telemetry = telemetry::start()?;
    // Another package of the workspace has reqwest without a TLS provider. An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let traced = TraceLayer::new_for_http().make_span_with(|request: &axum::extract::Request| {
        let span = info_span!("request", method = %request.method(), path = request.uri().path());
        menu::continue_trace(&span, request.headers());
        span
    });
    let app = Router::new()
        .route("/call", get(bot::accept))
        .route("/menu", get(menu::serve))
        .layer(traced)
        .with_state(format!("http://{address}"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    // A caller of the program's own, so that it can be tried without a telephone.
    let (mut call, _) =
        tokio_tungstenite::connect_async(format!("ws://{address}/call?sid=CA42")).await?;
    for words in ["What is for lunch?", "I take that."] {
        call.send(Message::text(words)).await?;
        while let Some(answer) = call.next().await {
            if answer?.is_text() {
                break;
            }
        }
    }
    call.close(None).await?;
    while call.next().await.is_some() {}
    server.abort();
    Ok(())
}
