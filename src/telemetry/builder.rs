//! Explicit settings, and how everything is put together.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use opentelemetry::global;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

#[cfg(feature = "metrics")]
use super::metrics::{MetricsSetup, RunningMetrics};
use super::{
    Inner, Telemetry,
    destinations::{self, start_exporter},
    doctor::Setup,
    log::Log,
    rules,
};
#[cfg(feature = "metrics")]
use crate::environment::METRICS;
use crate::{
    ContentPolicy, ConversationProcessor, ManualClock, TraceMode,
    environment::{
        Console, Forms, PRICES, Protocol, Settings, SetupError, Signal, TRACES, Variables,
    },
    export::{Delivery, Reporter, Worker},
    layer::ConversationFilter,
    observe::{Observer, Observers, SummarySinks},
    prices::Prices,
    profile::Profile,
    rules::Rules,
    settings::LayerSettings,
};
#[cfg(feature = "metrics")]
use opentelemetry::metrics::MeterProvider;
#[cfg(feature = "metrics")]
use opentelemetry_sdk::metrics::{Instrument, Stream};

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What is sent over OTLP.
const SIGNALS: &[Signal] = &[
    TRACES,
    #[cfg(feature = "metrics")]
    METRICS,
];

/// Explicit settings. Each stands in front of its environment variable; what is not set comes from there, else from the
/// [defaults](Self::default_variable) of the program.
#[must_use = "a builder does nothing until `build` or `init`"]
pub struct Builder {
    variables: HashMap<String, String>,
    defaults: HashMap<String, String>,
    level: LevelFilter,
    shutdown_timeout: Duration,
    set_global_provider: bool,
    layer: LayerSettings,
    content: ContentPolicy,
    exporters: Vec<StartExporter>,
    observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "metrics")]
    metrics: MetricsSetup,
}

/// Starts the worker of an exporter that the program brings.
type StartExporter = Box<dyn FnOnce(&Settings, &Reporter) -> io::Result<Worker> + Send>;

impl Default for Builder {
    fn default() -> Self {
        Self {
            variables: HashMap::new(),
            defaults: HashMap::new(),
            level: LevelFilter::INFO,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            set_global_provider: false,
            layer: LayerSettings::default(),
            content: ContentPolicy::default(),
            exporters: Vec::new(),
            observers: Vec::new(),
            #[cfg(feature = "metrics")]
            metrics: MetricsSetup::default(),
        }
    }
}

impl Builder {
    /// Any of the variables below, as if the environment had this value and no other; an empty value unsets it.
    ///
    #[doc = include_str!("../../docs/environment.md")]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The value of a variable where neither the builder nor the environment sets it.
    ///
    /// For a program that is useful without any set-up and still heeds whoever runs it:
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let _telemetry = tracing_conversation::Telemetry::builder()
    ///     .default_variable("OTEL_CONSOLE_EXPORT", "tree")
    ///     .default_variable("OTEL_SERVICE_NAME", "my-agent")
    ///     .init()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Variables that say the same overrule it too: a default of `OTEL_CONSOLE_EXPORT` or `OTEL_TRACES_EXPORTER` counts only where
    /// nothing says where spans go (either of them, an OTLP endpoint, the variables of Langfuse), one of `OTEL_SERVICE_NAME` only
    /// without `service.name` in `OTEL_RESOURCE_ATTRIBUTES`. Of a variable with a form for traces, set the general form: the
    /// environment can overrule that by either.
    pub fn default_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.insert(name.into(), value.into());
        self
    }

    fn variables<'a>(&'a self, environment: &'a dyn Fn(&str) -> Option<OsString>) -> Variables<'a> {
        Variables::new(&self.variables, environment).with_defaults(&self.defaults)
    }

    /// Sets a variable of OTLP for every signal: the form that wins.
    fn otlp_variable(self, forms: fn(&Signal) -> Forms, value: impl Into<String>) -> Self {
        let value = value.into();
        SIGNALS.iter().fold(self, |builder, signal| {
            let [own, _] = forms(signal);
            builder.variable(own, value.clone())
        })
    }

    /// The service's name, `OTEL_SERVICE_NAME`.
    pub fn service_name(self, name: impl Into<String>) -> Self {
        self.variable("OTEL_SERVICE_NAME", name)
    }

    /// The base URL for OTLP, `OTEL_EXPORTER_OTLP_ENDPOINT`: over HTTP, `/v1/traces` or `/v1/metrics` is appended.
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        let [_, general] = TRACES.endpoint;
        self.otlp_variable(|signal| signal.endpoint, "")
            .variable(general, url)
    }

    /// How OTLP is spoken, `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.otlp_variable(|signal| signal.protocol, protocol.name())
    }

    /// Headers of every OTLP request, `OTEL_EXPORTER_OTLP_HEADERS`; values as they are, not encoded.
    pub fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let encoded: Vec<String> = headers
            .into_iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.otlp_variable(|signal| signal.headers, encoded.join(","))
    }

    /// What the console shows, `OTEL_CONSOLE_EXPORT`; `None` turns it off.
    pub fn console(self, view: Option<Console>) -> Self {
        self.variable("OTEL_CONSOLE_EXPORT", view.map_or("off", Console::name))
    }

    /// What to add for the backend, `CONVERSATION_PROFILE`. Called again, it adds what another reads as well.
    pub fn profile(self, profile: Profile) -> Self {
        const NAME: &str = "CONVERSATION_PROFILE";
        let name = Profile::NAMES
            .iter()
            .find(|(_, named)| *named == profile)
            .map_or("default", |(name, _)| *name);
        let all = match self.variables.get(NAME) {
            Some(chosen) => format!("{chosen},{name}"),
            None => name.to_owned(),
        };
        self.variable(NAME, all)
    }

    /// Has `observer` called with what happens in conversations; see
    /// [`LayerBuilder::with_observer`](crate::LayerBuilder::with_observer). Called again, it adds one more.
    ///
    /// [`Telemetry::flush`] and [`Telemetry::shutdown`] wait for observers; [`Telemetry::delivered`] counts what they were called
    /// with.
    pub fn with_observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// What may leave the process. Content leaves only if both the policy and
    /// `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` let it: whoever runs the program can always turn it off.
    pub fn content(mut self, policy: ContentPolicy) -> Self {
        self.content = policy;
        self
    }

    /// How long the bot is silent before its turn ends; see
    /// [`LayerBuilder::turn_end_timeout`](crate::LayerBuilder::turn_end_timeout).
    pub fn turn_end_timeout(mut self, timeout: Duration) -> Self {
        self.layer.turn_end_timeout = timeout;
        self
    }

    /// How long nothing need be heard of a conversation before it is taken for lost; see
    /// [`LayerBuilder::idle_limit`](crate::LayerBuilder::idle_limit).
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.layer.idle_limit = limit;
        self
    }

    /// The attribute `conversation.type`. Default: `voice`.
    pub fn conversation_type(mut self, kind: impl Into<String>) -> Self {
        self.layer.conversation_type = kind.into();
        self
    }

    /// Fields of the conversation's scope that each of its spans is to carry; see
    /// [`LayerBuilder::inherited`](crate::LayerBuilder::inherited).
    pub fn inherited<N: Into<String>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.layer.inherited = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a conversation is a trace of its own, with a link to the span that it is started in; see
    /// [`LayerBuilder::link_to_caller`](crate::LayerBuilder::link_to_caller).
    pub fn link_to_caller(mut self, link: bool) -> Self {
        self.layer.links_to_caller = link;
        self
    }

    /// Goes by `clock` in place of the machine's, for tests and replays.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.layer.clock = Some(clock);
        self
    }

    /// What is one trace, `CONVERSATION_TRACE`.
    pub fn trace_mode(self, mode: TraceMode) -> Self {
        let value = if mode == TraceMode::Turn {
            "turn"
        } else {
            "conversation"
        };
        self.variable("CONVERSATION_TRACE", value)
    }

    /// What models cost, `CONVERSATION_PRICES`; see [`LayerBuilder::prices`](crate::LayerBuilder::prices).
    pub fn prices(mut self, prices: Prices) -> Self {
        self.layer.prices = Some(prices);
        self.variable(PRICES, "")
    }

    /// What the program's own spans and events mean. Default: none. Called again, it adds rules behind those.
    ///
    /// They stand behind the rules of the file that `CONVERSATION_RULES` names: where an event matches both, both apply, and
    /// where a span does, the file's rule makes it a conversation or a service.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.layer.rules = std::mem::take(&mut self.layer.rules).and(rules);
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

    /// Whether the tracer provider becomes OpenTelemetry's global one, and with it the meter provider that
    /// `OTEL_METRICS_EXPORTER` asks for, for libraries that use those. Default: no.
    pub fn set_global_provider(mut self, set: bool) -> Self {
        self.set_global_provider = set;
        self
    }

    /// One more destination, delivered to like the others: on a thread and a runtime of its own, behind a bounded queue,
    /// with every span counted. A batch counts as exported when the exporter returns `Ok`. After an error the same batch
    /// is exported again, until `OTEL_BSP_EXPORT_TIMEOUT` is over; that is also how long the exporter may take for one
    /// attempt. `OTelSdkError::AlreadyShutdown` is final.
    pub fn exporter(mut self, exporter: impl SpanExporter + 'static) -> Self {
        self.exporters.push(Box::new(|settings, reporter| {
            start_exporter(exporter, settings, reporter)
        }));
        self
    }

    /// Feeds the [metrics](crate#metrics) to a provider of the program's, in place of the one that `OTEL_METRICS_EXPORTER` asks
    /// for; that variable is not read.
    ///
    /// The provider stays the program's to flush and to shut down, after [`Telemetry::shutdown`].
    #[cfg(feature = "metrics")]
    pub fn with_meter_provider(mut self, provider: &impl MeterProvider) -> Self {
        self.metrics.add_provider(provider);
        self.variable(METRICS.exporter, "none")
    }

    /// A view for the metrics that `OTEL_METRICS_EXPORTER` asks for: other histogram boundaries, say. Of several that match an
    /// instrument, the first counts.
    ///
    /// ```no_run
    /// use tracing_conversation::opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let _telemetry = tracing_conversation::Telemetry::builder()
    ///     .with_metric_view(|instrument: &Instrument| {
    ///         (instrument.name() == "conversation.turn.user_bot_latency").then_some(())?;
    ///         let boundaries = vec![0.5, 1.0, 2.0];
    ///         Stream::builder()
    ///             .with_aggregation(Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true })
    ///             .build()
    ///             .ok()
    ///     })
    ///     .init()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "metrics")]
    pub fn with_metric_view(
        mut self,
        view: impl Fn(&Instrument) -> Option<Stream> + Send + Sync + 'static,
    ) -> Self {
        self.metrics.add_view(Box::new(view));
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
        let log = Log::read(&self.variables(&environment))?;
        let telemetry = self.build()?;
        let registry = tracing_subscriber::registry()
            .with(log.layer(&telemetry.inner.processor.content()))
            .with(telemetry.layer());
        tracing::subscriber::set_global_default(registry)
            .map_err(|_| SetupError::AlreadyInstalled)?;
        Ok(telemetry)
    }

    fn build_from(
        self,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Telemetry, SetupError> {
        let mut settings = Settings::read(&self.variables(environment))?;
        let mut layer = self.layer.clone();
        layer.rules = rules::read(&settings, &layer.rules)?;
        settings.profiles = settings
            .profiles
            .with_max_value_bytes(self.content.max_value_bytes());
        let reporter = Reporter::default();
        let mut workers = destinations::start(&settings, &reporter)?;
        for start in self.exporters {
            workers.push(start(&settings, &reporter).map_err(SetupError::Thread)?);
        }
        let mut sinks = SummarySinks::default();
        #[cfg(feature = "metrics")]
        let metrics = RunningMetrics::start(self.metrics, &settings, &reporter)?;
        #[cfg(feature = "metrics")]
        metrics.add_to(&mut sinks);
        let capture = settings.content && self.content.captures();
        let content = self.content.with_capture(capture);
        let observers = Observers::new(&self.observers, content.clone());
        if let Some(observers) = &observers {
            sinks.push(Arc::new(observers.clone()));
        }
        let has_destination = !workers.is_empty() || !sinks.is_empty();
        let filter = ConversationFilter::new(self.level, has_destination, layer.rules.clone());
        let delivery = Delivery::new(workers, self.shutdown_timeout);
        layer.trace_mode = settings.trace_mode;
        layer.prices = layer.prices.or_else(|| settings.prices.clone());
        let processor = ConversationProcessor::new(delivery.clone()).with_content(content);
        let setup = Setup::new(&settings, self.level, capture);
        let provider = SdkTracerProvider::builder()
            .with_resource(settings.resource)
            .with_sampler(settings.sampler)
            .with_span_processor(processor.clone())
            .build();
        if self.set_global_provider {
            global::set_tracer_provider(provider.clone());
            #[cfg(feature = "metrics")]
            metrics.set_global_provider();
        }
        Ok(Telemetry {
            inner: Arc::new(Inner {
                provider,
                delivery,
                reporter,
                filter,
                processor,
                layer,
                sinks,
                observers,
                #[cfg(feature = "metrics")]
                metrics,
                conversations: Mutex::default(),
                seen: Mutex::default(),
                setup,
                prints_diagnosis: settings.prints_diagnosis,
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

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// What `key=value,key=value` can carry as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, PLAIN)
}
