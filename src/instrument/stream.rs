//! Streams that run inside a service span.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tracing::Span;

use super::Recorder;
use super::record_item::{RecordItem, RecordNothing, RecordOk};
use super::service_guard::{Active, ServiceGuard};

/// Runs a stream inside a service span that lasts as long as the stream does.
///
/// The span is entered on each poll. The first item marks the first byte. The end of the stream ends the span; if
/// the stream is dropped first, `interrupted` is set.
pub trait TraceStream: Stream + Sized {
    /// Runs the stream inside `span`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, tts_span};
    ///
    /// let audio = stream::iter([vec![0_i16; 160], vec![0; 160]])
    ///     .traced(tts_span!(voice_id = "reading-lady", text = "It is sunny."));
    /// assert_eq!(audio.count().await, 2);
    /// # }
    /// ```
    fn traced(self, span: Span) -> TracedStream<Self, RecordNothing> {
        TracedStream::new(self, ServiceGuard::new(span), RecordNothing)
    }

    /// Runs the stream inside `span` and calls `record` with each item before passing it on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, llm_span};
    ///
    /// let answer = stream::iter(["It is", " sunny."])
    ///     .traced_with(llm_span!(), |piece, recorder| { recorder.output(piece); });
    /// assert_eq!(answer.collect::<String>().await, "It is sunny.");
    /// # }
    /// ```
    fn traced_with<F>(self, span: Span, record: F) -> TracedStream<Self, F>
    where
        F: FnMut(&Self::Item, &mut Recorder<'_>),
    {
        TracedStream::new(self, ServiceGuard::new(span), record)
    }

    /// Runs a stream of results inside `span`; an `Err` sets the status and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, tts_span};
    ///
    /// let audio = stream::iter([Ok([0_i16; 160]), Err("connection lost")])
    ///     .try_traced(tts_span!());
    /// assert_eq!(audio.count().await, 2);
    /// # }
    /// ```
    fn try_traced<T, E>(self, span: Span) -> TracedStream<Self, RecordOk<RecordNothing>>
    where
        Self: Stream<Item = Result<T, E>>,
        E: Display,
    {
        TracedStream::new(self, ServiceGuard::new(span), RecordOk(RecordNothing))
    }

    /// Runs a stream of results inside `span` and calls `record` with the value of each `Ok`. An `Err` sets the status
    /// and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, stt_span};
    ///
    /// let words = stream::iter([Ok("what is"), Ok("what is the weather"), Err("hung up")])
    ///     .try_traced_with(stt_span!(), |words, recorder| { recorder.transcript(words, false); });
    /// assert_eq!(words.count().await, 3);
    /// # }
    /// ```
    fn try_traced_with<T, E, F>(self, span: Span, record: F) -> TracedStream<Self, RecordOk<F>>
    where
        Self: Stream<Item = Result<T, E>>,
        E: Display,
        F: FnMut(&T, &mut Recorder<'_>),
    {
        TracedStream::new(self, ServiceGuard::new(span), RecordOk(record))
    }
}

impl<S: Stream> TraceStream for S {}

pin_project! {
    /// A stream inside a service span; created by [`TraceStream`].
    ///
    /// Allocates once, and only if the span is enabled.
    #[must_use = "streams do nothing unless polled"]
    pub struct TracedStream<S, O> {
        #[pin]
        stream: S,
        record: O,
        // Declared after the stream, which must be dropped before the span ends.
        service: ServiceGuard,
    }
}

impl<S, O> TracedStream<S, O> {
    pub(super) fn new(stream: S, service: ServiceGuard, record: O) -> Self {
        Self {
            stream,
            record,
            service,
        }
    }
}

impl<S: Stream, O: RecordItem<S::Item>> Stream for TracedStream<S, O> {
    type Item = S::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if this.service.is_idle() {
            this.stream.poll_next(cx)
        } else {
            poll_inside(this.service, this.stream, this.record, cx)
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// Out of line, so that polls of idle streams can be inlined.
#[inline(never)]
fn poll_inside<S: Stream, O: RecordItem<S::Item>>(
    service: &mut ServiceGuard,
    stream: Pin<&mut S>,
    record: &mut O,
    cx: &mut Context<'_>,
) -> Poll<Option<S::Item>> {
    let Some(Active { span, state }) = service.active() else {
        return stream.poll_next(cx);
    };
    let entered = span.enter();
    let polled = stream.poll_next(cx);
    if let Poll::Ready(Some(item)) = &polled {
        state.item(span, |recorder| record.record_item(item, recorder));
    }
    drop(entered);
    if let Poll::Ready(None) = &polled {
        service.finish();
    }
    polled
}

impl<S: fmt::Debug, O> fmt::Debug for TracedStream<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedStream")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
