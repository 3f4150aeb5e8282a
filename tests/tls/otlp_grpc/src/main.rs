//! opentelemetry-otlp over gRPC alone: the exporter is built and speaks gRPC, in plain text, since no TLS was asked for.

use std::{error::Error, io::Read, net::TcpListener, time::Duration};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::SdkTracerProvider;

include!("../../with.rs");

fn main() -> Result<(), Box<dyn Error>> {
    use_tracing_conversation();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let server = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut preface = [0; 14];
        stream.read_exact(&mut preface)?;
        Ok(String::from_utf8_lossy(&preface).into_owned())
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    let builder = || opentelemetry_otlp::SpanExporter::builder().with_tonic().with_timeout(Duration::from_secs(1));
    let provider = SdkTracerProvider::builder().with_batch_exporter(builder().with_endpoint(endpoint).build()?).build();
    provider.tracer("test").start("span").end();
    println!("flush: {:?}", provider.force_flush().is_ok());
    println!("sent: {}", server.join().map_err(|_| "the server panicked")??);
    let over_tls = builder().with_endpoint("https://127.0.0.1:1").build();
    println!("https: {:?}", over_tls.map(|_| ()));
    Ok(())
}
