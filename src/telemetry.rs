//! Set-up in one line or three, and the way out.

mod builder;
mod destinations;
mod doctor;
mod log;
mod log_fields;
#[cfg(feature = "metrics")]
mod metrics;
mod observers;
mod rules;
mod signal;

use std::{
    fmt,
    io::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{InstrumentationScope, trace::TracerProvider as _};
#[cfg(feature = "metrics")]
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Dispatch, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

use crate::{
    Conversations,
    environment::SetupError,
    export::{Delivered, Delivery, Reporter, deadline},
    layer::{ConversationFilter, ConversationLayer},
    observe::{Observers, SummarySinks},
    recording::ConversationProcessor,
    seen::Seen,
    settings::LayerSettings,
};
pub use builder::Builder;
pub use doctor::Diagnosis;
use doctor::Setup;

/// How long the shutdown waits for a subscriber that takes its time over a warning.
const WARNINGS_PATIENCE: Duration = Duration::from_millis(500);

/// Installs a whole `tracing` registry from the environment: log lines to standard error under `RUST_LOG` (if it
/// is not set, `info` without the boundary events), and conversations to where the variables say.
///
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let _telemetry = tracing_conversation::init()?;
///     // … the program …
///     Ok(())
/// }
/// ```
///
/// Records of the `log` crate are not among the log lines; a program that wants them bridges them itself. Where content is not
/// captured, lines are without the fields that spans are without, but keep their messages: what users say belongs in fields.
///
/// Keep what it returns until the end of `main`: dropping it ends open conversations and sends what is queued. A
/// collector that is away is no error here; spans wait for it.
///
/// Signals are left to the program. Without a handler, `SIGTERM` and ctrl-c end it without dropping anything, and what is
/// queued is lost. A server drains first and
/// returns from `main`; a program that has nothing to drain calls
/// [`exit_on_signal`](Telemetry::exit_on_signal):
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let telemetry = tracing_conversation::init()?;
/// telemetry.exit_on_signal()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// A variable has a value that cannot be used, or a global subscriber is installed already. It never panics.
pub fn init() -> Result<Telemetry, SetupError> {
    Telemetry::builder().init()
}

/// Export from its start to its end: makes the layer, and is the guard.
///
/// For a registry of your own:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tracing_subscriber::prelude::*;
///
/// let telemetry = tracing_conversation::Telemetry::from_env()?;
/// tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(telemetry.layer())
///     .init();
/// # Ok(())
/// # }
/// ```
///
/// Dropping it, also while a panic unwinds, does what [`shutdown`](Self::shutdown) does and logs what `shutdown`
/// would have returned. Threads, runtimes and exit: export has a thread of its own and needs no runtime of yours;
/// `std::process::exit`, an abort and an unhandled signal skip every drop, so call `shutdown` before the first, and
/// see [`exit_on_signal`](Self::exit_on_signal) for the last. After a `fork` without `exec`, the child has no export
/// threads: what it ends goes nowhere, and there `flush` and `shutdown` return at once. Set telemetry up after forking.
#[must_use = "dropping it ends export: bind it to a name that lives until the end of `main`"]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    provider: SdkTracerProvider,
    delivery: Delivery,
    reporter: Reporter,
    filter: ConversationFilter,
    processor: ConversationProcessor,
    layer: LayerSettings,
    sinks: SummarySinks,
    observers: Option<Observers>,
    #[cfg(feature = "metrics")]
    metrics: metrics::RunningMetrics,
    /// Those of every layer that was made.
    conversations: Mutex<Vec<Conversations>>,
    /// What each of them has seen, also when it is gone.
    seen: Mutex<Vec<Arc<Seen>>>,
    setup: Setup,
    /// Whether the doctor's findings are printed at the end.
    prints_diagnosis: bool,
    shutdown_timeout: Duration,
    outcome: OnceLock<Result<(), DeliveryError>>,
}

impl Telemetry {
    /// Reads the environment: the variables listed at [`Builder::variable`].
    ///
    /// # Errors
    ///
    /// A variable has a value that cannot be used. A collector that is away is no error.
    pub fn from_env() -> Result<Self, SetupError> {
        Self::builder().build()
    }

    /// Settings of the program's own, in front of the environment.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The layer for your registry, under a filter of its own: spans and events from `INFO` upwards (see
    /// [`Builder::level`]), and those addressed to this crate at any level.
    ///
    /// The filter is the layer's alone. A filter on the whole registry (`registry().with(EnvFilter…)`) silences
    /// traces too: put it on your log layer instead.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let filter = self.inner.filter.clone();
        self.layer_from(filter.level()).with_filter(filter)
    }

    /// The same layer without its filter, to be put under one of yours.
    pub fn unfiltered_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.layer_from(LevelFilter::TRACE)
    }

    /// A layer whose filter lets ordinary spans and events through from `level` upwards.
    fn layer_from<S>(&self, level: LevelFilter) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let settings = LayerSettings {
            level,
            ..self.inner.layer.clone()
        };
        let layer = ConversationLayer::builder(self.tracer(), &self.inner.processor)
            .settings(settings)
            .sinks(self.inner.sinks.clone())
            .build();
        self.inner.seen().extend(layer.conversations().seen());
        self.inner.conversations().push(layer.conversations());
        layer.and_then(Listening(self.inner.reporter.clone()))
    }

    /// The tracer behind the layer.
    fn tracer(&self) -> SdkTracer {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        self.inner.provider.tracer_with_scope(scope)
    }

    /// The provider, for spans that do not come from `tracing`. It is the global one only if
    /// [`Builder::set_global_provider`] made it so.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.inner.provider
    }

    /// The provider that `OTEL_METRICS_EXPORTER` asks for, for metrics of the program's own. It is the global one only if
    /// [`Builder::set_global_provider`] made it so.
    #[cfg(feature = "metrics")]
    pub fn meter_provider(&self) -> Option<&SdkMeterProvider> {
        self.inner.metrics.provider()
    }

    /// What became of the spans, for each destination. Where there are observers, the last entry is theirs: it counts the
    /// summaries that they were called with.
    pub fn delivered(&self) -> Vec<Delivered> {
        let mut counts = self.inner.delivery.counts();
        counts.extend(self.inner.observers.as_ref().map(observers::delivered));
        counts
    }

    /// Sends everything finished so far, waiting for it up to `patience`.
    ///
    /// # Errors
    ///
    /// Spans were lost on the way, or still wait when the time is up.
    pub fn flush(&self, patience: Duration) -> Result<(), DeliveryError> {
        self.inner.flush(patience)
    }

    /// Why something is not seen: where spans go and whether the other end takes them, what the layer has seen and refused
    /// so far, what hides the rest, and the remedy for each. Print it; `CONVERSATION_DOCTOR=1` does so at the shutdown.
    ///
    /// It asks the OTLP endpoint with one request without spans, and waits for the answer for up to two seconds (four where
    /// the name of the host is not resolved).
    pub fn check(&self) -> Diagnosis {
        self.inner.check()
    }

    /// Ends open conversations, sends what is queued and stops export, within the shutdown timeout (5 s unless
    /// set). Can be called from any thread and inside any runtime; it blocks the caller. Later calls return what
    /// the first did.
    ///
    /// # Errors
    ///
    /// Any span was lost since the start: the queue was full, it was rejected, or it could not be delivered in time.
    pub fn shutdown(&self) -> Result<(), DeliveryError> {
        self.inner.shutdown()
    }

    /// From now on, ctrl-c (`SIGINT`) and `SIGTERM` end the program the way they would without it, but after a
    /// [`shutdown`](Self::shutdown): the exit code is 130 or 143. A second signal ends it at once. Needs no runtime.
    ///
    /// It is not on by default, because it would cut short a server that drains its calls after `SIGTERM`. For a program that would rather end its own way: wait for the signal itself and let `Telemetry` drop.
    ///
    /// # Errors
    ///
    /// The operating system refuses the handler or its thread.
    pub fn exit_on_signal(&self) -> io::Result<()> {
        let telemetry = Arc::downgrade(&self.inner);
        signal::on_signal(move || {
            if let Some(telemetry) = telemetry.upgrade()
                && let Err(error) = telemetry.shutdown()
            {
                tracing::warn!(%error, "telemetry is incomplete");
            }
        })
    }
}

impl Inner {
    fn conversations(&self) -> MutexGuard<'_, Vec<Conversations>> {
        self.conversations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, patience: Duration) -> Result<(), DeliveryError> {
        if self.delivery.is_forked_copy() {
            return Ok(());
        }
        let end = deadline(Instant::now(), patience);
        let before = observers::dropped(self.observers.as_ref());
        // First the observers: they may end spans.
        observers::wait(self.observers.as_ref(), halfway(end));
        // All are asked before any is waited for: a slow one must not use up the time of the others.
        #[cfg(feature = "metrics")]
        let (deadline, wait_for_metrics) = (end, self.metrics.start_flush());
        let left = end.saturating_duration_since(Instant::now());
        let spans = self.delivery.flush_within(left);
        verdict([
            spans,
            observers::verdict(self.observers.as_ref(), end, before),
            #[cfg(feature = "metrics")]
            wait_for_metrics(deadline),
        ])
    }

    fn check(&self) -> Diagnosis {
        let layers = self.conversations().clone();
        let seen = self.seen().clone();
        doctor::check(&self.setup, &self.delivery.counts(), &layers, &seen)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Arc<Seen>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shutdown(&self) -> Result<(), DeliveryError> {
        self.outcome
            .get_or_init(|| {
                if self.delivery.is_forked_copy() {
                    return Ok(());
                }
                let deadline = deadline(Instant::now(), self.shutdown_timeout);
                let layers = self.conversations().clone();
                for layer in layers {
                    layer.finish(WARNINGS_PATIENCE.min(self.shutdown_timeout));
                }
                // The provider stays up: after its shutdown, spans would end without being counted.
                observers::wait(self.observers.as_ref(), halfway(deadline));
                #[cfg(feature = "metrics")]
                let wait_for_metrics = self.metrics.start_close(deadline);
                let spans = self.delivery.close_by(deadline);
                let outcome = verdict([
                    spans,
                    observers::verdict(self.observers.as_ref(), deadline, 0),
                    #[cfg(feature = "metrics")]
                    wait_for_metrics(deadline),
                ]);
                if self.prints_diagnosis {
                    // Nobody may be listening there.
                    let _ = writeln!(io::stderr(), "{}", self.check());
                }
                outcome
            })
            .clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let first = self.inner.outcome.get().is_none();
        if let Err(error) = self.shutdown()
            && first
        {
            tracing::warn!(%error, "telemetry is incomplete");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("delivered", &self.delivered())
            .finish_non_exhaustive()
    }
}

/// Half of the time that is left.
fn halfway(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

fn verdict<const N: usize>(results: [Result<(), String>; N]) -> Result<(), DeliveryError> {
    let problems: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(DeliveryError(problems.join("; ")))
    }
}

/// Spans were lost, or they or metrics could not be sent in time. Says how many, where to, and what stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError(String);

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DeliveryError {}

/// Tells the reporter which subscriber the layer lives in.
struct Listening(Reporter);

impl<S: Subscriber> Layer<S> for Listening {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.0.speak_to(subscriber);
    }
}
