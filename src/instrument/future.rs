//! Futures inside a service span.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tracing::Span;

use super::observe::{Anything, Observe, OkOf};
use super::service::{Live, Service};
use super::{Seen, TracedStream};

/// Puts a future into a service span that lasts as long as the future does.
///
/// The span is entered whenever the future is polled. Its output is the first byte and the end;
/// dropped before that, the span is marked `interrupted`.
pub trait TraceFuture: Future + Sized {
    /// Puts the future into `span`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, tool_span};
    ///
    /// let weather = async { "sunny" };
    /// let weather = weather.traced(tool_span!(gen_ai.tool.name = "get_weather")).await;
    /// assert_eq!(weather, "sunny");
    /// # }
    /// ```
    fn traced(self, span: Span) -> TracedFuture<Self, Anything> {
        TracedFuture::new(self, span, Anything)
    }

    /// Puts the future into `span` and lets `look` see its output.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, llm_span};
    ///
    /// let answer = async { "It is sunny.".to_owned() };
    /// let answer = answer.traced_with(llm_span!(), |answer, seen| { seen.output(answer); });
    /// assert_eq!(answer.await, "It is sunny.");
    /// # }
    /// ```
    fn traced_with<F>(self, span: Span, look: F) -> TracedFuture<Self, F>
    where
        F: FnMut(&Self::Output, &mut Seen<'_>),
    {
        TracedFuture::new(self, span, look)
    }

    /// Puts a future of a result into `span`; an `Err` sets the status and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, stt_span};
    ///
    /// let transcript = async { Err::<String, _>("no audio") };
    /// assert_eq!(transcript.try_traced(stt_span!()).await, Err("no audio"));
    /// # }
    /// ```
    fn try_traced<T, E>(self, span: Span) -> TracedFuture<Self, OkOf<Anything>>
    where
        Self: Future<Output = Result<T, E>>,
        E: Display,
    {
        TracedFuture::new(self, span, OkOf(Anything))
    }

    /// Puts a future of a result into `span` and lets `look` see the value of an `Ok`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, tool_span};
    ///
    /// let weather = async { Ok::<_, std::io::Error>("sunny") };
    /// let weather = weather
    ///     .try_traced_with(tool_span!(gen_ai.tool.name = "get_weather"), |weather, seen| {
    ///         seen.tool_result(weather);
    ///     })
    ///     .await;
    /// assert_eq!(weather.unwrap(), "sunny");
    /// # }
    /// ```
    fn try_traced_with<T, E, F>(self, span: Span, look: F) -> TracedFuture<Self, OkOf<F>>
    where
        Self: Future<Output = Result<T, E>>,
        E: Display,
        F: FnMut(&T, &mut Seen<'_>),
    {
        TracedFuture::new(self, span, OkOf(look))
    }

    /// Puts a request that answers with a stream into `span`, which lasts until the stream ends;
    /// `look` sees each item of the stream. An `Err` instead of a stream is a failure.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceFuture, llm_span};
    ///
    /// let request = async { Ok::<_, std::io::Error>(stream::iter(["It is", " sunny."])) };
    /// let answer = request
    ///     .traced_stream(llm_span!(), |piece, seen| { seen.output(piece); })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(answer.collect::<String>().await, "It is sunny.");
    /// # }
    /// ```
    fn traced_stream<S, E, F>(self, span: Span, look: F) -> TracedRequest<Self, F>
    where
        Self: Future<Output = Result<S, E>>,
        S: Stream,
        E: Display,
        F: FnMut(&S::Item, &mut Seen<'_>),
    {
        TracedRequest {
            future: self,
            look: Some(look),
            service: Service::new(span),
        }
    }
}

impl<F: Future> TraceFuture for F {}

pin_project! {
    /// A future inside a service span; made by [`TraceFuture`].
    ///
    /// It allocates once, and only if something listens.
    #[must_use = "futures do nothing unless awaited"]
    pub struct TracedFuture<F, O> {
        #[pin]
        future: F,
        look: O,
        // After the future: what it does when dropped comes before the span's end.
        service: Service,
    }
}

impl<F, O> TracedFuture<F, O> {
    fn new(future: F, span: Span, look: O) -> Self {
        Self {
            future,
            look,
            service: Service::new(span),
        }
    }
}

impl<F: Future, O: Observe<F::Output>> Future for TracedFuture<F, O> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = poll_inside(this.service, this.future, cx);
        if let Poll::Ready(output) = &polled {
            this.service.output(output, this.look);
        }
        polled
    }
}

pin_project! {
    /// A request inside a service span that goes on with the stream it answers with; made by
    /// [`TraceFuture::traced_stream`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct TracedRequest<F, O> {
        #[pin]
        future: F,
        look: Option<O>,
        service: Service,
    }
}

impl<F, O, S, E> Future for TracedRequest<F, O>
where
    F: Future<Output = Result<S, E>>,
    S: Stream,
    E: Display,
    O: Observe<S::Item>,
{
    type Output = Result<TracedStream<S, Option<O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_inside(this.service, this.future, cx).map(|output| {
            output
                .map(|stream| {
                    TracedStream::new(stream, std::mem::take(this.service), this.look.take())
                })
                .inspect_err(|error| this.service.error(error))
        })
    }
}

fn poll_inside<F: Future>(
    service: &mut Service,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    match service.live() {
        Some(Live { span, .. }) => {
            let _entered = span.enter();
            future.poll(cx)
        }
        None => future.poll(cx),
    }
}

impl<F: fmt::Debug, O> fmt::Debug for TracedFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedFuture")
            .field("future", &self.future)
            .finish_non_exhaustive()
    }
}

impl<F: fmt::Debug, O> fmt::Debug for TracedRequest<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedRequest")
            .field("future", &self.future)
            .finish_non_exhaustive()
    }
}
