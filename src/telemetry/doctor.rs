//! The doctor: where spans go, what was seen, what hides things, and the remedy for each.

#[cfg(any(feature = "grpc", feature = "http"))]
use std::time::Duration;
use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

#[cfg(all(feature = "metrics", feature = "http"))]
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use tracing::{
    Dispatch, Level,
    level_filters::{LevelFilter, STATIC_MAX_LEVEL},
};

use crate::{
    Conversations,
    environment::Settings,
    export::Delivered,
    seen::{Advice, Seen},
};
#[cfg(any(feature = "grpc", feature = "http"))]
use crate::{
    environment::{Connection, Otlp, Protocol, SetupError},
    export::{Probed, probe},
};

/// How long the doctor waits for the other end.
#[cfg(any(feature = "grpc", feature = "http"))]
const PATIENCE: Duration = Duration::from_secs(2);

/// What [`Telemetry::check`](crate::Telemetry::check) finds. As text, about ten lines: the facts, then a line for each thing
/// that is wrong, with its remedy.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    facts: Vec<(&'static str, String)>,
    findings: Vec<String>,
}

impl Diagnosis {
    /// What is wrong, or hides something; each with its remedy. Empty if all is well.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = String::new();
        for (what, text) in &self.facts {
            let _ = writeln!(lines, "{what:<14} {text}");
        }
        for finding in &self.findings {
            let _ = writeln!(lines, "- {finding}");
        }
        if self.findings.is_empty() {
            lines.push_str("nothing is wrong\n");
        }
        f.write_str(lines.trim_end())
    }
}

/// What of the set-up the doctor wants to know.
pub(super) struct Setup {
    #[cfg(any(feature = "grpc", feature = "http"))]
    otlp: Option<Otlp>,
    #[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
    metrics: Option<Otlp>,
    sampler: Sampler,
    level: LevelFilter,
    /// The level up to which spans and events are compiled in.
    compiled: LevelFilter,
    captures: bool,
}

impl Setup {
    pub(super) fn new(settings: &Settings, level: LevelFilter, captures: bool) -> Self {
        Self {
            #[cfg(any(feature = "grpc", feature = "http"))]
            otlp: settings.otlp.clone(),
            #[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
            metrics: settings
                .metrics
                .as_ref()
                .and_then(|metrics| metrics.otlp.clone()),
            sampler: settings.sampler.clone(),
            level,
            compiled: STATIC_MAX_LEVEL,
            captures,
        }
    }
}

/// Looks at everything, and asks the OTLP endpoint.
pub(super) fn check(
    setup: &Setup,
    delivered: &[Delivered],
    layers: &[Conversations],
    seen: &[Arc<Seen>],
) -> Diagnosis {
    let mut diagnosis = Diagnosis {
        facts: Vec::new(),
        findings: Vec::new(),
    };
    let open = layers.iter().map(Conversations::open).sum();
    let subscriber = layers.iter().find_map(Conversations::subscriber);
    diagnosis.destinations(setup, delivered);
    diagnosis.seen(seen, open);
    diagnosis.levels(setup, seen, subscriber.as_ref());
    diagnosis.policies(setup);
    diagnosis.membership(seen);
    diagnosis
}

fn sum(seen: &[Arc<Seen>], count: impl Fn(&Seen) -> u64) -> u64 {
    seen.iter().map(|seen| count(seen)).sum()
}

/// `1 turn`, `2 turns`
fn number(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

impl Diagnosis {
    fn fact(&mut self, what: &'static str, text: impl Into<String>) {
        self.facts.push((what, text.into()));
    }

    fn find(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    fn destinations(&mut self, setup: &Setup, delivered: &[Delivered]) {
        if delivered.is_empty() {
            self.fact("spans go", "nowhere");
            self.find(
                "telemetry is off: unset OTEL_SDK_DISABLED, or set OTEL_TRACES_EXPORTER or OTEL_CONSOLE_EXPORT",
            );
        }
        for counts in delivered {
            let answer = self.probe(setup, counts);
            self.fact("spans go to", format!("{}{answer}", counts.destination));
            self.delivered(counts);
        }
        #[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
        if let Some(otlp) = &setup.metrics {
            let answer = self.answer(otlp, "metrics", probe_metrics(otlp));
            let destination = otlp.connection.destination();
            self.fact("metrics go to", format!("{destination}{answer}"));
        }
    }

    fn delivered(&mut self, counts: &Delivered) {
        let Delivered {
            exported, waiting, ..
        } = counts;
        let lost = counts.lost();
        self.fact(
            "delivered",
            format!(
                "{} exported, {waiting} waiting, {lost} lost",
                number(*exported, "span")
            ),
        );
        if lost > 0 {
            let problem = counts
                .last_problem
                .as_deref()
                .unwrap_or("the queue was full");
            self.find(format!(
                "{} lost on the way to {} ({problem}): docs/reliability.md says what a queue holds and for how long",
                if lost == 1 { "1 span was".to_owned() } else { format!("{lost} spans were") },
                counts.destination
            ));
        }
    }

    #[cfg(any(feature = "grpc", feature = "http"))]
    fn probe(&mut self, setup: &Setup, counts: &Delivered) -> String {
        let otlp = setup.otlp.as_ref();
        match otlp.filter(|otlp| otlp.connection.destination() == counts.destination) {
            Some(otlp) => self.answer(otlp, "spans", probe_spans(otlp)),
            None => String::new(),
        }
    }

    /// What an endpoint answers that is to take `what`.
    #[cfg(any(feature = "grpc", feature = "http"))]
    fn answer(&mut self, otlp: &Otlp, what: &str, probed: Result<Probed, SetupError>) -> String {
        let protocol = otlp.protocol.name();
        let (problem, after) = match probed {
            Ok(probed) => (probed.problem, probed.after),
            Err(error) => (Some(error.to_string()), Duration::ZERO),
        };
        let after = after.as_millis();
        let Some(problem) = problem else {
            return format!(" ({protocol}), which takes {what}: it answered in {after} ms");
        };
        let otherwise = if what == "spans" {
            "set OTEL_CONSOLE_EXPORT=tree to see turns in the terminal"
        } else {
            "unset OTEL_METRICS_EXPORTER: few trace backends take metrics"
        };
        self.find(format!(
            "{} does not take {what} ({problem}): start a collector there, correct OTEL_EXPORTER_OTLP_ENDPOINT, \
             _PROTOCOL or _HEADERS, or {otherwise}",
            otlp.connection.destination()
        ));
        format!(" ({protocol}), which does not take them: {problem} after {after} ms")
    }

    #[cfg(not(any(feature = "grpc", feature = "http")))]
    fn probe(&mut self, _setup: &Setup, _counts: &Delivered) -> String {
        String::new()
    }

    fn seen(&mut self, seen: &[Arc<Seen>], open: usize) {
        let (mut callsites, mut concerned) = (0, 0);
        for seen in seen {
            let (all, of_conversations) = seen.callsites();
            callsites += all;
            concerned += of_conversations;
        }
        let conversations = sum(seen, |seen| seen.conversations.get());
        let text = format!(
            "{}, {concerned} of them of conversations; {} ({open} open), {} ended, {}",
            number(callsites as u64, "callsite"),
            number(conversations, "conversation"),
            number(sum(seen, |seen| seen.turns.get()), "turn"),
            number(sum(seen, |seen| seen.services.get()), "service"),
        );
        self.fact("seen", text);
        let unknown = sum(seen, |seen| seen.unknown_events.get());
        let outside = sum(seen, |seen| seen.events_outside.get());
        let late = sum(seen, |seen| seen.late_events.get());
        self.fact(
            "refused",
            format!(
                "{} of an unknown name, {outside} outside of any conversation, {late} after its end",
                number(unknown, "event")
            ),
        );
        if unknown > 0 {
            self.find(format!(
                "{} of an unknown conversation.event: names::event lists those that are known",
                number(unknown, "event")
            ));
        }
        if outside > 0 {
            self.find(format!(
                "{} outside of any conversation: run the code in the conversation's span (`.instrument(span)`, in spawned \
                 tasks `.in_current_span()`), or put `conversation.id` on the event",
                number(outside, "event")
            ));
        }
        if late > 0 {
            self.find(format!(
                "{} for a conversation that has ended: emit conversation_ended later, or conversation_started to open it anew",
                number(late, "event")
            ));
        }
    }

    fn levels(&mut self, setup: &Setup, seen: &[Arc<Seen>], subscriber: Option<&Dispatch>) {
        let compiled = setup.compiled;
        self.fact(
            "levels",
            format!(
                "ordinary spans and events from {} upwards, those of conversations at any; compiled in up to {}",
                setup.level.to_string().to_uppercase(),
                compiled.to_string().to_uppercase()
            ),
        );
        if compiled < LevelFilter::INFO {
            self.find(
                "the program is built without INFO: remove the feature `max_level_…` or `release_max_level_…` of tracing",
            );
        }
        let was_installed = seen.iter().any(|seen| seen.callsites().0 > 0);
        if subscriber.is_none() && !was_installed {
            self.find(
                "the layer is in no registry: add `telemetry.layer()` to yours and install that, or call `init`",
            );
        } else if let Some(subscriber) = subscriber
            && !seen.iter().any(|seen| seen.has_any_event())
            && hides_boundary_events(subscriber)
        {
            self.find(
                "a filter on the whole registry hides what the layer is to see: put it on the layer that it is meant for, \
                 `fmt::layer().with_filter(env_filter)`",
            );
        }
        if seen.iter().any(|seen| seen.is_resting()) {
            self.find(
                "a second layer keeps OpenTelemetry spans, so that this one rests: remove tracing_opentelemetry::layer(), \
                 or the second layer of tracing_conversation",
            );
        }
    }

    fn policies(&mut self, setup: &Setup) {
        let sampled = match &setup.sampler {
            Sampler::ParentBased(root) => format!("{root:?}, or as a remote parent is"),
            sampler => format!("{sampler:?}"),
        };
        let content = if setup.captures {
            "exported"
        } else {
            "withheld"
        };
        self.fact("sampled", sampled);
        self.fact("content", content);
        let samples_all = match &setup.sampler {
            Sampler::AlwaysOn => true,
            Sampler::ParentBased(root) => format!("{root:?}") == "AlwaysOn",
            _ => false,
        };
        if !samples_all {
            self.find(
                "not every conversation is sampled: OTEL_TRACES_SAMPLER=parentbased_always_on keeps all",
            );
        }
        if !setup.captures {
            self.find(
                "transcripts, prompts and answers are withheld: \
                 OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true exports them, if the program's ContentPolicy does",
            );
        }
    }

    /// What of conversations is missing or elsewhere than expected.
    fn membership(&mut self, seen: &[Arc<Seen>]) {
        let services = sum(seen, |seen| seen.services.get());
        let conversations = sum(seen, |seen| seen.conversations.get());
        if conversations == 0 {
            let besides = if services > 0 { "services, but " } else { "" };
            self.find(format!(
                "{besides}no conversation was seen: open a span named `conversation` with the field `conversation.id`; \
                 docs/i-see-nothing.md has more"
            ));
        } else {
            for lack in seen.iter().filter_map(|seen| seen.lacks()) {
                self.find(lack.text());
            }
        }
        let never_end = Advice::ConversationsNeverEnd;
        if seen
            .iter()
            .any(|seen| seen.lost.get() > 0 || seen.was_advised(never_end))
        {
            self.find(never_end.text());
        }
        for (name, count) in seen.iter().flat_map(|seen| seen.handlers()) {
            let (subject, verb) = if count == 1 {
                ("service", "was")
            } else {
                ("services", "were")
            };
            self.find(format!(
                "{count} {subject} started in the span `{name}` {verb} moved out of it to the turn: to keep them below it, \
                 give it `gen_ai.operation.name = \"invoke_agent\"`, by field, rule or `#[traced_agent]`"
            ));
        }
    }
}

/// The connection of an endpoint, with less patience.
#[cfg(any(feature = "grpc", feature = "http"))]
fn impatient(otlp: &Otlp) -> Connection {
    let mut connection = otlp.connection.clone();
    connection.timeout = connection.timeout.min(PATIENCE);
    connection
}

// What is not built is refused at set-up.
#[cfg(any(feature = "grpc", feature = "http"))]
fn probe_spans(otlp: &Otlp) -> Result<Probed, SetupError> {
    let connection = impatient(otlp);
    let (resource, profiles) = (
        opentelemetry_sdk::Resource::builder_empty().build(),
        crate::profile::Profiles::default(),
    );
    match otlp.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => crate::export::GrpcSink::new(&connection, &resource, &profiles)
            .map(|sink| probe(sink, 2 * PATIENCE)),
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let json = otlp.protocol == Protocol::HttpJson;
            crate::export::HttpSink::new(&connection, json, &resource, &profiles)
                .map(|sink| probe(sink, 2 * PATIENCE))
        }
        #[cfg(not(all(feature = "grpc", feature = "http")))]
        _ => Ok(Probed::not_built()),
    }
}

#[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
fn probe_metrics(otlp: &Otlp) -> Result<Probed, SetupError> {
    let connection = impatient(otlp);
    match otlp.protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => crate::export::GrpcMetricsSink::new(&connection)
            .map(|sink| crate::export::probe_metrics(sink, 2 * PATIENCE)),
        #[cfg(feature = "http")]
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let json = otlp.protocol == Protocol::HttpJson;
            crate::export::HttpMetricsSink::new(&connection, json, Temporality::default())
                .map(|sink| crate::export::probe_metrics(sink, 2 * PATIENCE))
        }
        #[cfg(not(all(feature = "grpc", feature = "http")))]
        _ => Ok(Probed::not_built()),
    }
}

/// Whether a boundary event, which the layer's own filter lets pass, would not reach it.
fn hides_boundary_events(subscriber: &Dispatch) -> bool {
    tracing::dispatcher::with_default(
        subscriber,
        || !tracing::event_enabled!(target: "tracing_conversation", Level::INFO, conversation.event),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_that_is_built_without_info_is_told_so() {
        let mut setup = Setup {
            #[cfg(any(feature = "grpc", feature = "http"))]
            otlp: None,
            #[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
            metrics: None,
            sampler: Sampler::AlwaysOn,
            level: LevelFilter::INFO,
            compiled: LevelFilter::WARN,
            captures: true,
        };
        let diagnosis = check(&setup, &[], &[], &[]);
        let text = diagnosis.to_string();
        assert!(text.contains("at any; compiled in up to WARN\n"), "{text}");
        assert!(
            text.contains("- the program is built without INFO: remove the feature `max_level_…` or `release_max_level_…`"),
            "{text}"
        );
        setup.compiled = LevelFilter::INFO;
        let text = check(&setup, &[], &[], &[]).to_string();
        assert!(!text.contains("built without INFO"), "{text}");
    }
}
