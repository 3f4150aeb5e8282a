//! opentelemetry-otlp with its default features: the exporter is built, and sends what it sends by default.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::SdkTracerProvider;

include!("../../with.rs");

fn main() -> Result<(), Box<dyn Error>> {
    use_tracing_conversation();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}/v1/traces", listener.local_addr()?);
    let server = std::thread::spawn(move || -> std::io::Result<Vec<String>> {
        let (mut stream, _) = listener.accept()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut lines = Vec::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap_or_default();
            } else if line.is_empty() {
                break;
            } else if line.starts_with("content-") || line.starts_with("post ") {
                lines.push(line);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        Ok(lines)
    });
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    provider.tracer("test").start("span").end();
    println!("flush: {:?}", provider.force_flush());
    println!("sent: {:?}", server.join().map_err(|_| "the server panicked")??);
    println!("default: {:?}", opentelemetry_otlp::SpanExporter::builder().build().map(|_| ()));
    Ok(())
}
