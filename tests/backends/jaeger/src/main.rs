//! Jaeger's pages (those of Jaeger UI 2.14.1, which the crate `otlp-embedded` carries) over what arrives by OTLP/gRPC.
//!
//!     jaeger HTTP_PORT GRPC_PORT

use otlp_embedded::proto::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use otlp_embedded::proto::common::v1::{AnyValue, KeyValue, any_value::Value};
use otlp_embedded::proto::trace::v1::{Span, status::StatusCode};
use otlp_embedded::{Config, State, TraceService, TraceServiceImpl, TraceServiceServer, ui_app};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use tonic::{Request, Response, Status, async_trait};

/// Receives spans as Jaeger's collector does: kind, status and scope become tags, as its pages know no others. `otlp-embedded`
/// leaves them out. The rules are those of `pkg/translator/jaeger/traces_to_jaegerproto.go` in
/// open-telemetry/opentelemetry-collector-contrib, which Jaeger is built with.
struct Collector(TraceServiceImpl);

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        mut request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in &mut request.get_mut().resource_spans {
            for scope in &mut resource.scope_spans {
                let name = scope.scope.as_ref().map(|scope| scope.name.clone());
                for span in &mut scope.spans {
                    add_tags(span, name.clone().unwrap_or_default());
                }
            }
        }
        self.0.export(request).await
    }
}

fn add_tags(span: &mut Span, scope: String) {
    let kind = match span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    };
    let status = span.status.clone().unwrap_or_default();
    let code = match status.code() {
        StatusCode::Unset => "",
        StatusCode::Ok => "OK",
        StatusCode::Error => "ERROR",
    };
    for (key, text) in [
        ("otel.scope.name", scope.as_str()),
        ("span.kind", kind),
        ("otel.status_code", code),
        ("otel.status_description", &status.message),
    ] {
        if !text.is_empty() {
            tag(span, key, Value::StringValue(text.to_owned()));
        }
    }
    if status.code() == StatusCode::Error {
        tag(span, "error", Value::BoolValue(true));
    }
}

fn tag(span: &mut Span, key: &str, value: Value) {
    span.attributes.push(KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut ports = std::env::args().skip(1);
    let mut port = || ports.next().unwrap_or_default().parse::<u16>();
    let (http, grpc) = (port()?, port()?);
    let state = State::new(Config {
        max_length: 1_000,
        max_memory_usage: 1 << 28,
    });
    let pages = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, http)).await?;
    tokio::spawn(axum::serve(pages, ui_app(state.clone(), "/")).into_future());
    tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(TraceServiceImpl::new(
            state,
        ))))
        .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, grpc)))
        .await?;
    Ok(())
}
