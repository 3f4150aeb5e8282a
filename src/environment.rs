//! The environment variables of the contract, read once into typed settings.
//!
//! Nothing here touches the process's environment: variables come from a lookup, so that a program's explicit
//! settings can take precedence and tests need no environment. An empty value counts as unset, as OpenTelemetry has it.

mod endpoint;
mod forms;
#[cfg(any(
    fuzzing,
    all(test, feature = "console", any(feature = "grpc", feature = "http"))
))]
pub(crate) mod fuzzed;
mod headers;
mod langfuse;
mod limits;
#[cfg(feature = "metrics")]
mod metrics;
mod otlp;
#[cfg(feature = "http")]
mod proxy;
mod resource;

use std::{collections::HashMap, ffi::OsString, fmt, fmt::Write as _, time::Duration};

use opentelemetry_sdk::{Resource, trace::Sampler};

use crate::{
    TraceMode,
    prices::Prices,
    profile::{Profile, Profiles},
    terminal::Escaping,
};

#[cfg(feature = "metrics")]
pub(crate) use forms::METRICS;
pub use forms::Protocol;
pub(crate) use forms::{Forms, Signal, TRACES};
pub(crate) use limits::Limits;
#[cfg(feature = "metrics")]
pub(crate) use metrics::MetricsSettings;
#[cfg(any(feature = "grpc", feature = "http"))]
pub(crate) use otlp::Connection;
pub(crate) use otlp::Otlp;
#[cfg(any(feature = "tls", feature = "tls-ring", feature = "tls-native"))]
#[cfg(any(feature = "grpc", feature = "http"))]
pub(crate) use otlp::{Identity, PemFile};
#[cfg(feature = "http")]
pub(crate) use proxy::Proxy;

/// Why telemetry could not be set up. One line that names the thing, its value and the remedy, as `Debug` too: that is how
/// an error returned by `main` is printed.
#[non_exhaustive]
pub enum SetupError {
    /// An environment variable, or the builder's setting of that name, has a value that cannot be used.
    Variable {
        /// The variable's name.
        name: String,
        /// Its value; `…` stands for what may be secret.
        value: String,
        /// What it may be instead.
        allowed: String,
    },
    /// The export client cannot be made, say because of a certificate.
    Client {
        /// Where spans were to go.
        destination: String,
        /// What is wrong.
        problem: String,
    },
    /// The program's rules, or the file that `CONVERSATION_RULES` names, have a mistake: where, and what is allowed there.
    Rules(String),
    /// The export thread cannot be started.
    Thread(std::io::Error),
    /// The program has installed a global subscriber already: add the layer to that one instead of calling `init`.
    AlreadyInstalled,
}

impl SetupError {
    pub(crate) fn variable(name: &str, value: &str, allowed: impl Into<String>) -> Self {
        Self::Variable {
            name: name.into(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Files are quoted: of prices, of rules.
        let mut f = Escaping(f);
        match self {
            Self::Variable { name, value, allowed } => {
                write!(f, "{name}={value:?} cannot be used: allowed is {allowed}")
            }
            Self::Client { destination, problem } => {
                write!(f, "spans cannot be sent to {destination}: {problem}")
            }
            Self::Rules(problem) => f.write_str(problem),
            Self::Thread(error) => write!(f, "the export thread cannot be started: {error}"),
            Self::AlreadyInstalled => f.write_str(
                "a global tracing subscriber is installed already: add `Telemetry::layer()` to that one",
            ),
        }
    }
}

impl fmt::Debug for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}

/// The variable that names a file of rules.
pub(crate) const RULES: &str = "CONVERSATION_RULES";

/// What the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Console {
    /// Each turn as a readable tree when it ends.
    Tree,
    /// OTLP/JSON, one request a line.
    Json,
    /// Spans as opentelemetry-stdout prints them.
    Stdout,
}

impl Console {
    /// The value of `OTEL_CONSOLE_EXPORT` that chooses this view.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Json => "json",
            Self::Stdout => "true",
        }
    }
}

/// All settings of the environment.
#[derive(Debug)]
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "OTLP alone reads all of it")
)]
pub(crate) struct Settings {
    /// Whether there is to be no telemetry at all.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(
            dead_code,
            reason = "of metrics alone: spans have no destinations then"
        )
    )]
    pub(crate) is_disabled: bool,
    /// Whether the doctor's findings are printed at the end.
    pub(crate) prints_diagnosis: bool,
    pub(crate) console: Option<Console>,
    pub(crate) otlp: Option<Otlp>,
    pub(crate) resource: Resource,
    pub(crate) sampler: Sampler,
    pub(crate) limits: Limits,
    /// Whether content may be exported.
    pub(crate) content: bool,
    pub(crate) trace_mode: TraceMode,
    /// The path of a file of rules.
    pub(crate) rules: Option<String>,
    /// Whether what they took is to be printed at the end.
    pub(crate) reports_rules: bool,
    pub(crate) profiles: Profiles,
    pub(crate) prices: Option<Prices>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<MetricsSettings>,
}

/// Variables by name: a program's explicit settings first, then the environment, then the program's defaults.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a> {
    explicit: &'a HashMap<String, String>,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    defaults: Option<&'a HashMap<String, String>>,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(
        explicit: &'a HashMap<String, String>,
        environment: &'a dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        Self {
            explicit,
            environment,
            defaults: None,
        }
    }

    /// The same with values for what is not set otherwise.
    pub(crate) fn with_defaults(self, defaults: &'a HashMap<String, String>) -> Self {
        Self {
            defaults: Some(defaults),
            ..self
        }
    }

    /// The same without the defaults.
    fn without_defaults(self) -> Self {
        Self {
            defaults: None,
            ..self
        }
    }

    /// The value without the blanks around it; none if there is nothing else.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>, SetupError> {
        if let Some(value) = self.explicit.get(name) {
            return Ok(trimmed(value));
        }
        let value = (self.environment)(name)
            .map(OsString::into_string)
            .transpose()
            // The value is not shown: any of them may be the one with the keys.
            .map_err(|_| SetupError::variable(name, "…", "text in UTF-8"))?;
        let default = || self.defaults?.get(name).and_then(|value| trimmed(value));
        Ok(value.as_deref().and_then(trimmed).or_else(default))
    }

    fn is_set(&self, name: &str) -> Result<bool, SetupError> {
        Ok(self.get(name)?.is_some())
    }

    /// One of a few words, in any case.
    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, SetupError> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        let chosen = choices
            .iter()
            .find(|(word, _)| value.eq_ignore_ascii_case(word));
        match chosen {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(SetupError::variable(name, &value, words.join(", ")))
            }
        }
    }

    /// A whole number of at least `least`.
    fn number(&self, name: &str, least: u64, unit: &str) -> Result<Option<u64>, SetupError> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => {
                let allowed = format!("a whole number of {unit} from {least} upwards");
                Err(SetupError::variable(name, &value, allowed))
            }
        }
    }

    fn milliseconds(&self, name: &str, least: u64) -> Result<Option<Duration>, SetupError> {
        Ok(self
            .number(name, least, "milliseconds")?
            .map(Duration::from_millis))
    }
}

fn trimmed(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

impl Settings {
    /// Telemetry is off; no other variable matters, not even a wrong one.
    fn nothing() -> Self {
        Self {
            is_disabled: true,
            prints_diagnosis: false,
            console: None,
            otlp: None,
            resource: Resource::builder_empty().build(),
            sampler: Sampler::AlwaysOff,
            limits: Limits::default(),
            content: false,
            trace_mode: TraceMode::default(),
            rules: None,
            reports_rules: false,
            profiles: Profiles::default(),
            prices: None,
            #[cfg(feature = "metrics")]
            metrics: None,
        }
    }

    /// Reads everything, or fails with the first value that cannot be used.
    pub(crate) fn read(variables: &Variables<'_>) -> Result<Self, SetupError> {
        const TRUTH: &[(&str, bool)] = &[("true", true), ("false", false)];
        if variables
            .choice("OTEL_SDK_DISABLED", TRUTH)?
            .unwrap_or(false)
        {
            return Ok(Self {
                prints_diagnosis: doctor(variables).unwrap_or(false),
                ..Self::nothing()
            });
        }
        match langfuse::settings(variables)? {
            Some(explicit) => Self::read_all(&Variables {
                explicit: &explicit,
                ..*variables
            })
            .map_err(|error| langfuse::name_source(variables, error)),
            None => Self::read_all(variables),
        }
    }

    fn read_all(variables: &Variables<'_>) -> Result<Self, SetupError> {
        const YES_OR_NO: &[(&str, bool)] =
            &[("1", true), ("true", true), ("0", false), ("false", false)];
        const TRACE_MODES: &[(&str, TraceMode)] = &[
            ("conversation", TraceMode::Conversation),
            ("turn", TraceMode::Turn),
        ];
        let chosen = destinations(variables)?;
        let exporters = Exporters::read(&chosen, TRACES.exporter)?.unwrap_or(Exporters {
            otlp: true,
            console: false,
        });
        let console = console(&chosen)?.or(exporters.console.then_some(Console::Stdout));
        let endpoint_is_set =
            variables.is_set(TRACES.endpoint[0])? || variables.is_set(TRACES.endpoint[1])?;
        let use_otlp = exporters.otlp && (console.is_none() || endpoint_is_set);
        if let Some(console) = console.filter(|_| !cfg!(feature = "console")) {
            return Err(SetupError::variable(
                CONSOLE,
                console.name(),
                "off, as long as this program is built without the feature `console` of tracing-conversation",
            ));
        }
        let otlp = use_otlp
            .then(|| Otlp::read(variables, &TRACES))
            .transpose()?;
        let trace_mode = variables
            .choice("CONVERSATION_TRACE", TRACE_MODES)?
            .unwrap_or_default();
        let profiles = match profiles(variables)? {
            Some(chosen) => chosen,
            None => Profiles::of(
                otlp.as_ref()
                    .map(|otlp| Profile::of_endpoint(&otlp.connection.url)),
            ),
        };
        #[cfg(feature = "metrics")]
        let metrics = metrics::read(variables)?;
        #[cfg(not(feature = "metrics"))]
        refuse_metrics(variables)?;
        Ok(Self {
            is_disabled: false,
            prints_diagnosis: doctor(variables)?,
            console,
            otlp,
            resource: resource::read(variables)?,
            sampler: sampler(variables)?,
            limits: limits(variables)?,
            content: content(variables)?,
            trace_mode,
            rules: variables.get(RULES)?,
            reports_rules: variables
                .choice("CONVERSATION_RULES_DEBUG", YES_OR_NO)?
                .unwrap_or(false),
            profiles: profiles.with_trace_mode(trace_mode),
            prices: prices(variables)?,
            #[cfg(feature = "metrics")]
            metrics,
        })
    }
}

/// `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER`, a list.
struct Exporters {
    otlp: bool,
    console: bool,
}

impl Exporters {
    fn read(variables: &Variables<'_>, name: &str) -> Result<Option<Self>, SetupError> {
        let Some(value) = variables.get(name)? else {
            return Ok(None);
        };
        let mut chosen = Self {
            otlp: false,
            console: false,
        };
        for word in value.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "otlp" => chosen.otlp = true,
                "console" => chosen.console = true,
                "none" => {}
                _ => {
                    return Err(SetupError::variable(
                        name,
                        &value,
                        "otlp, console, none, or some of them with commas between",
                    ));
                }
            }
        }
        Ok(Some(chosen))
    }
}

/// Fails if metrics are asked for, in a build without them.
#[cfg(not(feature = "metrics"))]
fn refuse_metrics(variables: &Variables<'_>) -> Result<(), SetupError> {
    const NAME: &str = "OTEL_METRICS_EXPORTER";
    match variables.get(NAME)? {
        Some(value) if !value.eq_ignore_ascii_case("none") => Err(SetupError::variable(
            NAME,
            &value,
            "none, as long as this program is built without the feature `metrics` of tracing-conversation",
        )),
        _ => Ok(()),
    }
}

/// `CONVERSATION_PROFILE`, a list.
fn profiles(variables: &Variables<'_>) -> Result<Option<Profiles>, SetupError> {
    const NAME: &str = "CONVERSATION_PROFILE";
    let Some(value) = variables.get(NAME)? else {
        return Ok(None);
    };
    let mut chosen = Profiles::default();
    for word in value.split(',').map(str::trim) {
        let profile = Profile::NAMES
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name));
        match profile {
            Some((_, profile)) => chosen = chosen.and(*profile),
            None => {
                let names: Vec<&str> = Profile::NAMES.iter().map(|(name, _)| *name).collect();
                let allowed = format!(
                    "{}, or several of them with commas between",
                    names.join(", ")
                );
                return Err(SetupError::variable(NAME, &value, allowed));
            }
        }
    }
    Ok(Some(chosen))
}

/// The file of prices.
pub(crate) const PRICES: &str = "CONVERSATION_PRICES";

fn prices(variables: &Variables<'_>) -> Result<Option<Prices>, SetupError> {
    let Some(path) = variables.get(PRICES)? else {
        return Ok(None);
    };
    Prices::from_path(&path).map(Some).map_err(|error| {
        let allowed = format!(
            "the path of a JSON file in the format of LiteLLM's model_prices_and_context_window.json ({})",
            error.problem()
        );
        SetupError::variable(PRICES, &path, allowed)
    })
}

const CONSOLE: &str = "OTEL_CONSOLE_EXPORT";

/// The variables that say where spans go: whatever says so overrules all defaults of them.
fn destinations<'a>(variables: &Variables<'a>) -> Result<Variables<'a>, SetupError> {
    let stated = variables.without_defaults();
    for name in [
        CONSOLE,
        TRACES.exporter,
        TRACES.endpoint[0],
        TRACES.endpoint[1],
    ] {
        if stated.is_set(name)? {
            return Ok(stated);
        }
    }
    Ok(*variables)
}

/// `OTEL_CONSOLE_EXPORT`, for which every text is valid.
fn console(variables: &Variables<'_>) -> Result<Option<Console>, SetupError> {
    let Some(value) = variables.get(CONSOLE)? else {
        return Ok(None);
    };
    Ok(match value.to_ascii_lowercase().as_str() {
        "0" | "false" | "no" | "off" => None,
        "tree" => Some(Console::Tree),
        "json" => Some(Console::Json),
        _ => Some(Console::Stdout),
    })
}

/// `CONVERSATION_DOCTOR`: whether the doctor's findings are printed at the end.
fn doctor(variables: &Variables<'_>) -> Result<bool, SetupError> {
    const NAMES: &[(&str, bool)] = &[("1", true), ("true", true), ("0", false), ("false", false)];
    Ok(variables
        .choice("CONVERSATION_DOCTOR", NAMES)?
        .unwrap_or(false))
}

fn sampler(variables: &Variables<'_>) -> Result<Sampler, SetupError> {
    #[derive(Clone, Copy)]
    enum Root {
        On,
        Off,
        Ratio,
    }
    const NAMES: &[(&str, (bool, Root))] = &[
        ("always_on", (false, Root::On)),
        ("always_off", (false, Root::Off)),
        ("traceidratio", (false, Root::Ratio)),
        ("parentbased_always_on", (true, Root::On)),
        ("parentbased_always_off", (true, Root::Off)),
        ("parentbased_traceidratio", (true, Root::Ratio)),
    ];
    let (parent_based, root) = variables
        .choice("OTEL_TRACES_SAMPLER", NAMES)?
        .unwrap_or((true, Root::On));
    let root = match root {
        Root::On => Sampler::AlwaysOn,
        Root::Off => Sampler::AlwaysOff,
        Root::Ratio => {
            const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
            let ratio = match variables.get(NAME)? {
                None => 1.0,
                Some(value) => value
                    .parse()
                    .ok()
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .ok_or_else(|| SetupError::variable(NAME, &value, "a number from 0 to 1"))?,
            };
            Sampler::TraceIdRatioBased(ratio)
        }
    };
    Ok(if parent_based {
        Sampler::ParentBased(Box::new(root))
    } else {
        root
    })
}

/// `OTEL_BSP_*`. The defaults differ from OpenTelemetry's, which lose a burst of 2,048 spans.
fn limits(variables: &Variables<'_>) -> Result<Limits, SetupError> {
    const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    let mut limits = Limits::default();
    let as_count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if let Some(spans) = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 1, "spans")? {
        limits.queue_spans = as_count(spans);
    }
    limits.batch_spans = limits.batch_spans.min(limits.queue_spans);
    if let Some(spans) = variables.number(BATCH, 1, "spans")? {
        limits.batch_spans = as_count(spans);
        if limits.batch_spans > limits.queue_spans {
            let allowed = format!(
                "a whole number of spans up to OTEL_BSP_MAX_QUEUE_SIZE, which is {}",
                limits.queue_spans
            );
            return Err(SetupError::variable(BATCH, &spans.to_string(), allowed));
        }
    }
    if let Some(delay) = variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY", 0)? {
        limits.delay = delay;
    }
    if let Some(whole) = variables.milliseconds("OTEL_BSP_EXPORT_TIMEOUT", 1)? {
        limits.give_up_after = whole;
    }
    Ok(limits)
}

/// Whether content may be exported. This crate emits no content in events, so that `EVENT_ONLY` means no.
fn content(variables: &Variables<'_>) -> Result<bool, SetupError> {
    const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    const NAMES: &[(&str, bool)] = &[
        ("true", true),
        ("false", false),
        ("NO_CONTENT", false),
        ("SPAN_ONLY", true),
        ("EVENT_ONLY", false),
        ("SPAN_AND_EVENT", true),
    ];
    Ok(variables.choice(NAME, NAMES)?.unwrap_or(true))
}

#[cfg(all(test, feature = "console", any(feature = "grpc", feature = "http")))]
mod tests;

#[cfg(all(test, not(any(feature = "grpc", feature = "http"))))]
mod without_otlp {
    use super::*;

    #[test]
    fn somebody_has_to_say_where_spans_go() {
        let explicit = HashMap::new();
        let read = |exporter: Option<&str>| {
            Settings::read(&Variables::new(&explicit, &|name| {
                exporter
                    .filter(|_| name == "OTEL_TRACES_EXPORTER")
                    .map(OsString::from)
            }))
        };
        assert!(read(Some("none")).is_ok_and(|settings| settings.otlp.is_none()));
        assert_eq!(
            read(None).map(|_| ()).unwrap_err().to_string(),
            "OTEL_TRACES_EXPORTER=\"otlp\" cannot be used: allowed is none or console, as long as this program is \
             built without the features `http` and `grpc` of tracing-conversation"
        );
    }
}
