//! Rules from the environment and from code, together.

use opentelemetry_sdk::trace::InMemorySpanExporter;
use std::path::PathBuf;
use tracing::field::Empty;
use tracing::{debug, debug_span, info, info_span};
use tracing_conversation::rules::{Match, Rules};
use tracing_conversation::{SetupError, Telemetry};
use tracing_subscriber::prelude::*;

/// A file of its own for each test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tracing-conversation-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn problem(path: &str) -> String {
    let built = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("CONVERSATION_RULES", path)
        .build();
    match built {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn rules_of_the_file_stand_in_front_of_those_in_code() {
    let file = File::new(
        "sound",
        "[[rule]]\nmatch = { target = \"vad\" }\nevent = \"user_started_speaking\"\n\
         [[rule]]\nmatch = { span = \"call\" }\nconversation = \"from_file\"\n",
    );
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("CONVERSATION_RULES", file.path())
        .rules(Rules::new().event(Match::target("player"), "bot_started_speaking"))
        .rules(Rules::new().conversation(Match::span("call"), "from_code"))
        .exporter(exporter.clone())
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        let call = info_span!("call", from_file = "c1", from_code = "c2");
        call.in_scope(|| {
            info!(target: "player", "on");
            // Below the level of ordinary events, and one that no rule takes.
            debug!(target: "vad", "on");
            debug!("ignored");
        });
    });
    telemetry.flush(std::time::Duration::from_secs(30)).unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["turn", "turn", "conversation"]);
    let id = crate::stage::attribute(&spans[2], "conversation.id");
    assert_eq!(
        id.as_deref(),
        Some("c1"),
        "of two rules for a span the first decides"
    );
    assert_eq!(
        crate::stage::attribute(&spans[2], "from_code").as_deref(),
        Some("c2")
    );
}

#[test]
fn spans_below_the_level_are_looked_at_and_hide_nothing() {
    let rules = Rules::new()
        .conversation(Match::span("call"), "sid")
        .event(
            Match::target("vad").within("microphone"),
            "vad_user_stopped_speaking",
        )
        .field("stop_secs", "hangover")
        .event(Match::target("player"), "bot_started_speaking")
        .service(
            Match::span("work").field_is("kind", "llm"),
            tracing_conversation::rules::Operation::Chat,
        );
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .rules(rules)
        .exporter(exporter.clone())
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        let session = debug_span!("session", sid = Empty).entered();
        session.record("sid", "c1");
        let call = info_span!("call").entered();
        let microphone = debug_span!("microphone").entered();
        // The rule for its name asks for another kind.
        let work = debug_span!("work", kind = "db", hangover = 0.25).entered();
        info!(target: "vad", "off");
        info!(target: "player", "on");
        drop(info_span!("inner"));
        drop(info_span!(parent: &work, "explicit"));
        drop(debug_span!("work", kind = "llm"));
        drop((work, microphone, call, session));
    });
    telemetry.flush(std::time::Duration::from_secs(30)).unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["conversation", "explicit", "inner", "turn", "work"]);
    for span in &spans {
        let id = crate::stage::attribute(span, "conversation.id");
        assert_eq!(id.as_deref(), Some("c1"), "{}", span.name);
        assert_eq!(
            span.span_context.trace_id(),
            spans[0].span_context.trace_id()
        );
    }
    let turn = crate::stage::one(&spans, "turn");
    let latency = crate::stage::attribute(&turn, "turn.user_bot_latency_seconds").unwrap();
    assert!(latency.starts_with("0.25"), "{latency}");
}

#[test]
fn file_that_cannot_be_used_is_an_error_of_the_setup() {
    let file = File::new(
        "broken",
        "[[rule]]\nmatch = { target = \"vad\" }\nevnt = \"x\"\n",
    );
    let path = file.path();
    let expected = format!("CONVERSATION_RULES: {path}:3:1: unknown key `evnt` in a rule");
    assert!(problem(&path).starts_with(&expected), "{}", problem(&path));
    let missing = problem("no/such/file.toml");
    assert!(
        missing.starts_with("CONVERSATION_RULES: no/such/file.toml: the file cannot be read: "),
        "{missing}"
    );
    let disabled = Telemetry::builder()
        .variable("OTEL_SDK_DISABLED", "true")
        .variable("CONVERSATION_RULES", "no/such/file.toml")
        .build();
    assert!(disabled.is_ok());
}

#[test]
fn rule_in_code_that_cannot_be_used_is_an_error_of_the_setup() {
    let built = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .rules(Rules::new().event(Match::target("vad"), "on"))
        .build();
    let Err(SetupError::Rules(problem)) = built else {
        panic!("no error of rules");
    };
    assert!(
        problem.starts_with("rule 1: `on` is no boundary event; allowed is "),
        "{problem}"
    );
}
