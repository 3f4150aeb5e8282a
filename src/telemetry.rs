//! Set-up in one line or three, and the way out.

mod filter;
mod signal;

use std::{
    collections::HashMap,
    fmt, io,
    io::IsTerminal,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{InstrumentationScope, global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, SpanExporter},
};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, registry::LookupSpan,
};

#[cfg(feature = "otlp")]
use crate::export::Envelope;
#[cfg(feature = "grpc")]
use crate::export::GrpcSink;
#[cfg(feature = "http")]
use crate::export::HttpSink;
use crate::{
    ContentPolicy,
    environment::{
        Console, ENDPOINT, HEADERS, Otlp, PROTOCOL, Protocol, Settings, SetupError, Variables,
    },
    export::{Delivered, Delivery, ExporterSink, Limits, Reporter, Worker},
    profile::Profile,
};
use filter::ConversationFilter;

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Installs a whole `tracing` registry from the environment: log lines to standard error under `RUST_LOG` (`info`
/// unless set), and conversations to where the variables say.
///
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let _telemetry = tracing_conversation::init()?;
///     // … the program …
///     Ok(())
/// }
/// ```
///
/// Keep what it returns until the end of `main`: dropping it ends open conversations and sends what is queued. A
/// collector that is away is no error here; spans wait for it.
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
/// see [`exit_on_signal`](Self::exit_on_signal) for the last.
#[must_use = "dropping it ends export: bind it to a name that lives until the end of `main`"]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    provider: SdkTracerProvider,
    delivery: Delivery,
    reporter: Reporter,
    filter: ConversationFilter,
    shutdown_timeout: Duration,
    outcome: OnceLock<Result<(), DeliveryError>>,
}

impl Telemetry {
    /// Reads the environment; see the table in `docs/environment.md`.
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
        self.unfiltered_layer().with_filter(self.inner.filter)
    }

    /// The same layer without its filter, to be put under one of yours.
    pub fn unfiltered_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer())
            .and_then(Listening(self.inner.reporter.clone()))
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

    /// What became of the spans, for each destination.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.inner.delivery.counts()
    }

    /// Sends everything finished so far, waiting for it up to `patience`.
    ///
    /// # Errors
    ///
    /// Spans were lost on the way, or still wait when the time is up.
    pub fn flush(&self, patience: Duration) -> Result<(), DeliveryError> {
        self.inner
            .delivery
            .flush_within(patience)
            .map_err(DeliveryError)
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
    /// [`shutdown`](Self::shutdown): the exit code is 130 or 143. Needs no runtime.
    ///
    /// For a program that would rather end its own way: wait for the signal itself and let `Telemetry` drop.
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
    fn shutdown(&self) -> Result<(), DeliveryError> {
        self.outcome
            .get_or_init(|| {
                // The provider first, so that no span starts any more. What it returns says less than ours.
                let _ = self.provider.shutdown_with_timeout(self.shutdown_timeout);
                self.delivery
                    .close_within(self.shutdown_timeout)
                    .map_err(DeliveryError)
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

/// Spans were lost, or could not be sent in time. Says how many, where to, and what stood in the way.
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

/// Explicit settings. Each stands in front of its environment variable; what is not set comes from there.
#[must_use = "a builder does nothing until `build` or `init`"]
pub struct Builder {
    variables: HashMap<String, String>,
    level: LevelFilter,
    shutdown_timeout: Duration,
    set_global_provider: bool,
    content: ContentPolicy,
    exporters: Vec<StartExporter>,
}

/// Starts the worker of an exporter that the program brings.
type StartExporter = Box<dyn FnOnce(&Settings, &Reporter) -> io::Result<Worker> + Send>;

impl Default for Builder {
    fn default() -> Self {
        Self {
            variables: HashMap::new(),
            level: LevelFilter::INFO,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            set_global_provider: false,
            content: ContentPolicy::default(),
            exporters: Vec::new(),
        }
    }
}

impl Builder {
    /// Any variable of `docs/environment.md`, as if the environment had this value and no other; an empty value
    /// unsets it.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets the stronger form of a variable that has two.
    fn traces_variable(self, [traces, _]: [&'static str; 2], value: impl Into<String>) -> Self {
        self.variable(traces, value)
    }

    /// The service's name, `OTEL_SERVICE_NAME`.
    pub fn service_name(self, name: impl Into<String>) -> Self {
        self.variable("OTEL_SERVICE_NAME", name)
    }

    /// The base URL for OTLP, `OTEL_EXPORTER_OTLP_ENDPOINT`: over HTTP, `/v1/traces` is appended.
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        let [traces, general] = ENDPOINT;
        self.variable(general, url).variable(traces, "")
    }

    /// How OTLP is spoken, `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.traces_variable(PROTOCOL, protocol.name())
    }

    /// Headers of every OTLP request, `OTEL_EXPORTER_OTLP_HEADERS`; values as they are, not encoded.
    pub fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let encoded: Vec<String> = headers
            .into_iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.traces_variable(HEADERS, encoded.join(","))
    }

    /// What the console shows, `OTEL_CONSOLE_EXPORT`; `None` turns it off.
    pub fn console(self, view: Option<Console>) -> Self {
        self.variable("OTEL_CONSOLE_EXPORT", view.map_or("off", Console::name))
    }

    /// What to add for the backend, `CONVERSATION_PROFILE`.
    pub fn profile(self, profile: Profile) -> Self {
        let name = Profile::NAMES
            .iter()
            .find(|(_, named)| *named == profile)
            .map_or("default", |(name, _)| *name);
        self.variable("CONVERSATION_PROFILE", name)
    }

    /// What may leave the process. Content leaves only if both the policy and
    /// `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` let it: whoever runs the program can always turn it off.
    pub fn content(mut self, policy: ContentPolicy) -> Self {
        self.content = policy;
        self
    }

    /// From which level upwards the program's ordinary spans and events are exported. Default: `INFO`.
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Self {
        self.level = level.into();
        self
    }

    /// The time that `shutdown` and drop may take. Default: 5 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Whether the provider becomes OpenTelemetry's global one, for libraries that use that. Default: no.
    pub fn set_global_provider(mut self, set: bool) -> Self {
        self.set_global_provider = set;
        self
    }

    /// One more destination. The exporter runs on a thread of its own, behind a bounded queue like the others.
    pub fn exporter(mut self, exporter: impl SpanExporter + 'static) -> Self {
        self.exporters.push(Box::new(|settings, reporter| {
            let name = std::any::type_name_of_val(&exporter).to_owned();
            start_exporter(
                name,
                exporter,
                &settings.resource,
                settings.limits.clone(),
                reporter,
            )
        }));
        self
    }

    /// Reads what is not set from the environment, and starts export.
    ///
    /// # Errors
    ///
    /// A variable or setting has a value that cannot be used, or the export thread cannot be started.
    pub fn build(self) -> Result<Telemetry, SetupError> {
        self.build_from(&environment)
    }

    /// [`build`](Self::build), and installs a whole registry as [`init`](crate::init) does.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build); a global subscriber is installed already; `RUST_LOG` cannot be read.
    pub fn init(self) -> Result<Telemetry, SetupError> {
        let log_filter = log_filter(&Variables::new(&self.variables, &environment))?;
        let log = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(
                io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            )
            // Its complaint about a closed standard error would go there, and panic.
            .log_internal_errors(false)
            .with_filter(log_filter);
        let telemetry = self.build()?;
        let registry = tracing_subscriber::registry()
            .with(log)
            .with(telemetry.layer());
        tracing::subscriber::set_global_default(registry)
            .map_err(|_| SetupError::AlreadyInstalled)?;
        Ok(telemetry)
    }

    fn build_from(
        self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Telemetry, SetupError> {
        let settings = Settings::read(&Variables::new(&self.variables, environment))?;
        let reporter = Reporter::default();
        let mut workers = Vec::new();
        for start in self.exporters {
            workers.push(start(&settings, &reporter).map_err(SetupError::Thread)?);
        }
        if let Some(view) = settings.console {
            workers.push(start_console(view, &settings, &reporter).map_err(SetupError::Thread)?);
        }
        if let Some(otlp) = &settings.otlp {
            workers.push(start_otlp(otlp, &settings, &reporter)?);
        }
        let filter = ConversationFilter::new(self.level, !workers.is_empty());
        let delivery = Delivery::new(workers, self.shutdown_timeout);
        let provider = SdkTracerProvider::builder()
            .with_resource(settings.resource)
            .with_sampler(settings.sampler)
            .with_span_processor(delivery.clone())
            .build();
        if self.set_global_provider {
            global::set_tracer_provider(provider.clone());
        }
        Ok(Telemetry {
            inner: Arc::new(Inner {
                provider,
                delivery,
                reporter,
                filter,
                shutdown_timeout: self.shutdown_timeout,
                outcome: OnceLock::new(),
            }),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: headers carry keys.
        f.debug_struct("Builder")
            .field("variables", &self.variables.keys())
            .finish_non_exhaustive()
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn log_filter(variables: &Variables<'_>) -> Result<EnvFilter, SetupError> {
    const NAME: &str = "RUST_LOG";
    let Some(value) = variables.get(NAME) else {
        return Ok(EnvFilter::new("info"));
    };
    EnvFilter::builder().parse(&value).map_err(|_| {
        SetupError::variable(
            NAME,
            &value,
            "levels and targets such as info or warn,my_crate=debug",
        )
    })
}

/// Percent-encodes what `key=value,key=value` could not carry otherwise.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn start_exporter(
    destination: String,
    exporter: impl SpanExporter + 'static,
    resource: &Resource,
    limits: Limits,
    reporter: &Reporter,
) -> io::Result<Worker> {
    let sink = ExporterSink::new(exporter, resource);
    Worker::start(destination, limits, || sink, reporter.clone())
}

#[cfg(feature = "console")]
fn start_console(view: Console, settings: &Settings, reporter: &Reporter) -> io::Result<Worker> {
    use crate::console::{JsonLinesExporter, StdoutExporter};
    // Somebody is looking: a turn that ends shows at once.
    let delay = settings.limits.delay.min(Duration::from_millis(100));
    let limits = Limits {
        delay,
        ..settings.limits.clone()
    };
    let resource = &settings.resource;
    match view {
        Console::Tree | Console::Json => start_exporter(
            "console (json)".into(),
            JsonLinesExporter::stdout(),
            resource,
            limits,
            reporter,
        ),
        Console::Stdout => start_exporter(
            "console".into(),
            StdoutExporter::stdout(),
            resource,
            limits,
            reporter,
        ),
    }
}

#[cfg(not(feature = "console"))]
fn start_console(_view: Console, _settings: &Settings, _reporter: &Reporter) -> io::Result<Worker> {
    // `Settings::read` refuses a console in such a build.
    Err(io::ErrorKind::Unsupported.into())
}

fn start_otlp(otlp: &Otlp, settings: &Settings, reporter: &Reporter) -> Result<Worker, SetupError> {
    let connection = otlp.connection.clone();
    let destination = connection.destination().to_owned();
    let unusable = |problem| SetupError::Client {
        destination: destination.clone(),
        problem,
    };
    let (limits, reporter) = (settings.limits.clone(), reporter.clone());
    #[cfg(feature = "otlp")]
    let envelope = Envelope::new(&settings.resource, settings.profile);
    let started = match otlp.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => {
            let sink = GrpcSink::new(connection, envelope).map_err(unusable)?;
            Worker::start(destination.clone(), limits, || sink, reporter)
        }
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let json = otlp.protocol == Protocol::HttpJson;
            let sink = HttpSink::new(connection, json, envelope).map_err(unusable)?;
            Worker::start(destination.clone(), limits, || sink, reporter)
        }
        // `Settings::read` refuses what is not built.
        #[allow(unreachable_patterns)]
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    started.map_err(SetupError::Thread)
}
