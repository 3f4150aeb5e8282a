//! Futures that run inside a service span.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tracing::Span;

use super::record_item::{RecordItem, RecordNothing, RecordOk};
use super::service_guard::{Active, ServiceGuard};
use super::{Recorder, TracedStream};

/// Runs a future inside a service span that lasts as long as the future does.
///
/// The span is entered on each poll. The future's output marks the first byte and ends the span; if the future
/// is dropped first, `interrupted` is set.
pub trait TraceFuture: Future + Sized {
    /// Runs the future inside `span`.
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
    fn traced(self, span: Span) -> TracedFuture<Self, RecordNothing> {
        TracedFuture::new(self, span, RecordNothing)
    }

    /// Runs the future inside `span` and calls `record` with its output.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, llm_span};
    ///
    /// let answer = async { "It is sunny.".to_owned() };
    /// let answer = answer.traced_with(llm_span!(), |answer, recorder| { recorder.output(answer); });
    /// assert_eq!(answer.await, "It is sunny.");
    /// # }
    /// ```
    fn traced_with<F>(self, span: Span, record: F) -> TracedFuture<Self, F>
    where
        F: FnMut(&Self::Output, &mut Recorder<'_>),
    {
        TracedFuture::new(self, span, record)
    }

    /// Runs a future of a result inside `span`; an `Err` sets the status and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, stt_span};
    ///
    /// let transcript = async { Err::<String, _>("no audio") };
    /// assert_eq!(transcript.try_traced(stt_span!()).await, Err("no audio"));
    /// # }
    /// ```
    fn try_traced<T, E>(self, span: Span) -> TracedFuture<Self, RecordOk<RecordNothing>>
    where
        Self: Future<Output = Result<T, E>>,
        E: Display,
    {
        TracedFuture::new(self, span, RecordOk(RecordNothing))
    }

    /// Runs a future of a result inside `span` and calls `record` with the value of an `Ok`. An `Err` sets
    /// the status and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tracing_conversation::{instrument::TraceFuture, tool_span};
    ///
    /// let weather = async { Ok::<_, std::io::Error>("sunny") };
    /// let weather = weather
    ///     .try_traced_with(tool_span!(gen_ai.tool.name = "get_weather"), |weather, recorder| {
    ///         recorder.tool_result(weather);
    ///     })
    ///     .await;
    /// assert_eq!(weather.unwrap(), "sunny");
    /// # }
    /// ```
    fn try_traced_with<T, E, F>(self, span: Span, record: F) -> TracedFuture<Self, RecordOk<F>>
    where
        Self: Future<Output = Result<T, E>>,
        E: Display,
        F: FnMut(&T, &mut Recorder<'_>),
    {
        TracedFuture::new(self, span, RecordOk(record))
    }

    /// Runs a request that returns a stream inside `span`, which lasts until the stream ends; `record` is called
    /// with each item. An `Err` instead of a stream sets the status and `error.type`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures_util::{StreamExt, stream};
    /// use tracing_conversation::{instrument::TraceFuture, llm_span};
    ///
    /// let request = async { Ok::<_, std::io::Error>(stream::iter(["It is", " sunny."])) };
    /// let answer = request
    ///     .traced_stream(llm_span!(), |piece, recorder| { recorder.output(piece); })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(answer.collect::<String>().await, "It is sunny.");
    /// # }
    /// ```
    fn traced_stream<S, E, F>(self, span: Span, record: F) -> TracedRequest<Self, F>
    where
        Self: Future<Output = Result<S, E>>,
        S: Stream,
        E: Display,
        F: FnMut(&S::Item, &mut Recorder<'_>),
    {
        TracedRequest {
            future: self,
            record: Some(record),
            service: ServiceGuard::new(span),
        }
    }
}

impl<F: Future> TraceFuture for F {}

pin_project! {
    /// A future inside a service span; created by [`TraceFuture`].
    ///
    /// Allocates once, and only if the span is enabled.
    #[must_use = "futures do nothing unless awaited"]
    pub struct TracedFuture<F, O> {
        #[pin]
        future: F,
        record: O,
        // Declared after the future, which must be dropped before the span ends.
        service: ServiceGuard,
    }
}

impl<F, O> TracedFuture<F, O> {
    fn new(future: F, span: Span, record: O) -> Self {
        Self {
            future,
            record,
            service: ServiceGuard::new(span),
        }
    }
}

impl<F: Future, O: RecordItem<F::Output>> Future for TracedFuture<F, O> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = poll_inside(this.service, this.future, cx);
        if let Poll::Ready(output) = &polled {
            this.service.output(output, this.record);
        }
        polled
    }
}

pin_project! {
    /// A request inside a service span that continues with the stream it returns; created by
    /// [`TraceFuture::traced_stream`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct TracedRequest<F, O> {
        #[pin]
        future: F,
        record: Option<O>,
        service: ServiceGuard,
    }
}

impl<F, O, S, E> Future for TracedRequest<F, O>
where
    F: Future<Output = Result<S, E>>,
    S: Stream,
    E: Display,
    O: RecordItem<S::Item>,
{
    type Output = Result<TracedStream<S, Option<O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_inside(this.service, this.future, cx).map(|output| {
            output
                .map(|stream| {
                    TracedStream::new(stream, std::mem::take(this.service), this.record.take())
                })
                .inspect_err(|error| this.service.error(error))
        })
    }
}

fn poll_inside<F: Future>(
    service: &mut ServiceGuard,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    match service.active() {
        Some(Active { span, .. }) => {
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
