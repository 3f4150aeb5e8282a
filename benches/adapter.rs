//! What the stream adapter costs an item, in instructions (callgrind) and allocations (DHAT, as "Total blocks").
//!
//!     cargo install gungraun-runner --version 0.20.0 --locked   # and valgrind, from the system's packages
//!     cargo bench --bench adapter
//!
//! Each benchmark makes a span, reads a stream of 1,000 items of 4 bytes to its end and drops it; `bare` reads the stream
//! without span or adapter. One thousandth of the difference to `bare` is what an item costs, and a little of the span.

#![allow(missing_docs)] // What the benchmark macros make.

#[path = "turn/drops.rs"]
mod drops;

use drops::Drops;
use futures_util::Stream;
use gungraun::Dhat;
use gungraun::prelude::*;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tracing::subscriber::DefaultGuard;
use tracing_conversation::instrument::TraceStream;
use tracing_conversation::{ContentPolicy, ConversationProcessor, conversation_span, llm_span};
use tracing_subscriber::prelude::*;

/// What is measured runs under this subscriber.
struct Under {
    _default: DefaultGuard,
    _provider: SdkTracerProvider,
    _scope: tracing::span::EnteredSpan,
}

fn the_layer(capture: bool) -> Option<Under> {
    let policy = ContentPolicy::default().with_capture(capture);
    let processor = ConversationProcessor::new(Drops).with_content(policy);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = tracing_conversation::layer(provider.tracer("bench"), &processor);
    let default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let under = Under {
        _default: default,
        _provider: provider,
        _scope: conversation_span!(conversation.id = "call-1").entered(),
    };
    traced(ITEMS);
    looked_at(ITEMS);
    Some(under)
}

fn nothing() -> Option<Under> {
    traced(ITEMS);
    looked_at(ITEMS);
    None
}

const ITEMS: usize = 1_000;

fn items(count: usize) -> impl Stream<Item = &'static str> {
    futures_util::stream::iter((0..count).map(|_| black_box("word")))
}

fn read(stream: impl Stream<Item = &'static str>) {
    let mut stream = pin!(stream);
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut cx) {
        black_box(item);
    }
}

#[inline(never)]
fn traced(count: usize) {
    read(items(count).traced(llm_span!(gen_ai.request.model = "gpt-4o")));
}

#[inline(never)]
fn looked_at(count: usize) {
    let span = llm_span!(gen_ai.request.model = "gpt-4o");
    read(items(count).traced_with(span, |item, recorder| {
        recorder.output(item);
    }));
}

#[library_benchmark]
#[bench::items(ITEMS)]
fn bare(count: usize) {
    read(items(count));
}

#[library_benchmark]
#[bench::nothing_listens(nothing())]
#[bench::under_the_layer(the_layer(true))]
fn an_item_passes(under: Option<Under>) -> Option<Under> {
    traced(ITEMS);
    under
}

#[library_benchmark]
#[bench::nothing_listens(nothing())]
#[bench::under_the_layer(the_layer(true))]
#[bench::capture_off(the_layer(false))]
fn an_item_is_looked_at(under: Option<Under>) -> Option<Under> {
    looked_at(ITEMS);
    under
}

library_benchmark_group!(
    name = adapter,
    benchmarks = [bare, an_item_passes, an_item_is_looked_at]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default()),
    library_benchmark_groups = adapter
);
