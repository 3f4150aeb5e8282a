//! Streams inside a service span.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tracing::Span;

use super::Seen;
use super::observe::{Anything, Observe, OkOf};
use super::service::{Live, Service};

/// Puts a stream into a service span that lasts as long as the stream does.
///
/// The span is entered whenever the stream is polled. The first item marks the first byte. The
/// end of the stream ends the span; dropped before that, it is marked `interrupted`.
pub trait TraceStream: Stream + Sized {
    /// Puts the stream into `span`.
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
    fn traced(self, span: Span) -> TracedStream<Self, Anything> {
        TracedStream::new(self, Service::new(span), Anything)
    }

    /// Puts the stream into `span` and lets `look` see each item before it is passed on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, llm_span};
    ///
    /// let answer = stream::iter(["It is", " sunny."])
    ///     .traced_with(llm_span!(), |piece, seen| { seen.output(piece); });
    /// assert_eq!(answer.collect::<String>().await, "It is sunny.");
    /// # }
    /// ```
    fn traced_with<F>(self, span: Span, look: F) -> TracedStream<Self, F>
    where
        F: FnMut(&Self::Item, &mut Seen<'_>),
    {
        TracedStream::new(self, Service::new(span), look)
    }

    /// Puts a stream of results into `span`; an `Err` sets the status and `error.type`.
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
    fn try_traced<T, E>(self, span: Span) -> TracedStream<Self, OkOf<Anything>>
    where
        Self: Stream<Item = Result<T, E>>,
        E: Display,
    {
        TracedStream::new(self, Service::new(span), OkOf(Anything))
    }

    /// Puts a stream of results into `span` and lets `look` see the value of each `Ok`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceStream, stt_span};
    ///
    /// let words = stream::iter([Ok("what is"), Ok("what is the weather"), Err("hung up")])
    ///     .try_traced_with(stt_span!(), |words, seen| { seen.transcript(words, false); });
    /// assert_eq!(words.count().await, 3);
    /// # }
    /// ```
    fn try_traced_with<T, E, F>(self, span: Span, look: F) -> TracedStream<Self, OkOf<F>>
    where
        Self: Stream<Item = Result<T, E>>,
        E: Display,
        F: FnMut(&T, &mut Seen<'_>),
    {
        TracedStream::new(self, Service::new(span), OkOf(look))
    }
}

impl<S: Stream> TraceStream for S {}

pin_project! {
    /// A stream inside a service span; made by [`TraceStream`].
    ///
    /// It allocates once, and only if something listens.
    #[must_use = "streams do nothing unless polled"]
    pub struct TracedStream<S, O> {
        #[pin]
        stream: S,
        look: O,
        // After the stream: what it does when dropped comes before the span's end.
        service: Service,
    }
}

impl<S, O> TracedStream<S, O> {
    pub(super) fn new(stream: S, service: Service, look: O) -> Self {
        Self {
            stream,
            look,
            service,
        }
    }
}

impl<S: Stream, O: Observe<S::Item>> Stream for TracedStream<S, O> {
    type Item = S::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if this.service.is_idle() {
            this.stream.poll_next(cx)
        } else {
            poll_inside(this.service, this.stream, this.look, cx)
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// Apart, so that the compiler may inline the way of those that nobody listens to.
#[inline(never)]
fn poll_inside<S: Stream, O: Observe<S::Item>>(
    service: &mut Service,
    stream: Pin<&mut S>,
    look: &mut O,
    cx: &mut Context<'_>,
) -> Poll<Option<S::Item>> {
    let Some(Live { span, state }) = service.live() else {
        return stream.poll_next(cx);
    };
    let entered = span.enter();
    let polled = stream.poll_next(cx);
    if let Poll::Ready(Some(item)) = &polled {
        state.item(span, |seen| look.observe(item, seen));
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
