//! HTTP requests, each in a client span as OpenTelemetry's semantic conventions for HTTP describe it.

use super::server_of;
use reqwest::{RequestBuilder, Response};
use std::time::Duration;
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

/// Why there is no answer.
pub(crate) enum Failure {
    Unsent(reqwest::Error),
    Timeout,
}

/// Sends a request, and waits no longer than `limit` for the head of the answer. `template` is the path without what
/// varies. The span is an error where the answer says so.
pub(crate) async fn send(
    request: RequestBuilder,
    template: &'static str,
    limit: Duration,
) -> Result<Response, Failure> {
    let (client, request) = request.build_split();
    let request = request.map_err(Failure::Unsent)?;
    let (method, url) = (request.method().as_str(), request.url());
    let (address, port) = server_of(url.as_str()).unzip();
    let span = info_span!(
        "http",
        otel.name = format!("{method} {template}"),
        otel.kind = "client",
        http.request.method = method,
        server.address = address,
        server.port = port,
        url.full = url.as_str(),
        url.template = template,
        http.response.status_code = Empty,
        network.protocol.version = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    let sent = timeout(limit, client.execute(request))
        .instrument(span.clone())
        .await;
    match sent {
        Ok(Ok(answered)) => {
            let status = answered.status();
            span.record("http.response.status_code", status.as_u16());
            span.record(
                "network.protocol.version",
                format!("{:?}", answered.version()).trim_start_matches("HTTP/"),
            );
            if !status.is_success() {
                fail(&span, status.as_str());
            }
            Ok(answered)
        }
        Ok(Err(error)) => {
            let kind = if error.is_connect() {
                "connection_error"
            } else {
                "_OTHER"
            };
            fail(&span, kind);
            Err(Failure::Unsent(error))
        }
        Err(_) => {
            fail(&span, "timeout");
            Err(Failure::Timeout)
        }
    }
}

/// Without a description, as the status code says it all.
fn fail(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
