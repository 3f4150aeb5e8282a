//! Exports one reference conversation with every profile and trace mode and compares it with golden files; checks
//! properties of every combination of profiles.
//!
//! `UPDATE_GOLDEN=1 cargo test --test behaviour profiles` rewrites the files.

mod reference;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::json;
use tracing_conversation::console::JsonLinesExporter;
use tracing_conversation::{ConversationExporter, Profile, TraceMode};

const PROFILES: [(&str, Profile); 6] = [
    ("default", Profile::Default),
    ("pipecat", Profile::Pipecat),
    ("langfuse", Profile::Langfuse),
    ("openinference", Profile::OpenInference),
    ("langsmith", Profile::LangSmith),
    ("opik", Profile::Opik),
];

const MODES: [(&str, TraceMode); 2] = [
    ("conversation", TraceMode::Conversation),
    ("turn", TraceMode::Turn),
];

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records exported spans.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

fn export<E: SpanExporter>(
    exporter: E,
    profiles: &[Profile],
    mode: TraceMode,
    spans: Vec<SpanData>,
) {
    let exporter = profiles.iter().fold(
        ConversationExporter::new(exporter).with_trace_mode(mode),
        |exporter, profile| exporter.with_profile(*profile),
    );
    exporter
        .export(spans)
        .now_or_never()
        .expect("nothing to wait for")
        .unwrap();
}

/// The exported spans of the reference conversation.
fn exported(profiles: &[Profile], mode: TraceMode) -> Vec<SpanData> {
    let kept = Kept::default();
    export(kept.clone(), profiles, mode, reference::spans(mode));
    let spans = kept.0.lock().unwrap();
    spans.clone()
}

/// Sorts the keys of objects, also within texts that are JSON: whether `serde_json` sorts them depends on the features that
/// other crates of a build select.
fn canonical(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields
                .iter()
                .map(|(key, value)| (key.clone(), canonical(value)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(list) => list.iter().map(canonical).collect(),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => {
                Value::from(canonical(&inner).to_string())
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// OTLP/JSON with a span's head on one line and each attribute on another.
fn otlp_json(profile: Profile, mode: TraceMode) -> String {
    let written = Written::default();
    let exporter = JsonLinesExporter::to_writer(written.clone());
    export(exporter, &[profile], mode, reference::spans(mode));
    let request: serde_json::Value = serde_json::from_slice(&written.0.lock().unwrap()).unwrap();
    let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let mut text = "[\n".to_owned();
    let spans = spans.as_array().unwrap();
    for (index, span) in spans.iter().enumerate() {
        let mut head = span.as_object().unwrap().clone();
        let attributes = head.remove("attributes").unwrap();
        // Empty fields.
        let nothing = [
            json!([]),
            json!(0),
            json!(""),
            json!({"code": 0, "message": ""}),
        ];
        head.retain(|_, value| !nothing.contains(value));
        let mut head = canonical(&serde_json::Value::Object(head)).to_string();
        assert_eq!(head.pop(), Some('}'));
        writeln!(text, "{head},\"attributes\":[").unwrap();
        let attributes = attributes.as_array().unwrap();
        for (index, attribute) in attributes.iter().enumerate() {
            let attribute = canonical(attribute);
            let comma = if index + 1 < attributes.len() {
                ","
            } else {
                ""
            };
            writeln!(text, "  {attribute}{comma}").unwrap();
        }
        let comma = if index + 1 < spans.len() { "," } else { "" };
        writeln!(text, "]}}{comma}").unwrap();
    }
    text + "]\n"
}

#[test]
fn reference_conversation_matches_golden_files() {
    for (profile_name, profile) in PROFILES {
        for (mode_name, mode) in MODES {
            let path = format!(
                "{}/tests/behaviour/profiles/golden/{profile_name}.{mode_name}.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = otlp_json(profile, mode);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let golden = std::fs::read_to_string(&path).unwrap();
            for (number, (line, expected)) in text.lines().zip(golden.lines()).enumerate() {
                assert_eq!(line, expected, "{path}:{}", number + 1);
            }
            assert_eq!(text.lines().count(), golden.lines().count(), "{path}");
        }
    }
}

/// Every choice of profiles, each with both modes.
fn every_choice() -> impl Iterator<Item = (Vec<Profile>, TraceMode)> {
    (0..1 << PROFILES.len()).flat_map(|set: usize| {
        let chosen: Vec<Profile> = PROFILES
            .iter()
            .enumerate()
            .filter(|(index, _)| set >> index & 1 == 1)
            .map(|(_, (_, profile))| *profile)
            .collect();
        MODES.map(|(_, mode)| (chosen.clone(), mode))
    })
}

#[test]
fn no_key_is_repeated_or_a_prefix_of_another() {
    for (profiles, mode) in every_choice() {
        for span in exported(&profiles, mode) {
            let mut keys: Vec<&str> = span
                .attributes
                .iter()
                .map(|pair| pair.key.as_str())
                .collect();
            keys.sort_unstable();
            for (index, key) in keys.iter().enumerate() {
                let below = format!("{key}.");
                assert!(
                    keys[index + 1..]
                        .iter()
                        .all(|other| other != key && !other.starts_with(&below)),
                    "{profiles:?}: {}: {key} in {keys:?}",
                    span.name
                );
            }
        }
    }
}

#[test]
fn every_span_carries_the_conversation_id() {
    for (profiles, mode) in every_choice() {
        let is_of_a_backend =
            |profile: &Profile| !matches!(profile, Profile::Default | Profile::Pipecat);
        let drops_session = mode == TraceMode::Turn && profiles.iter().any(is_of_a_backend);
        for span in exported(&profiles, mode) {
            let id = value(&span, "gen_ai.conversation.id");
            // Spans in the conversation's own trace.
            if drops_session && ["conversation", "save"].contains(&span.name.as_ref()) {
                assert_eq!(id, None, "{profiles:?}");
                for session in [
                    "session.id",
                    "langfuse.session.id",
                    "thread_id",
                    "langsmith.metadata.thread_id",
                ] {
                    assert_eq!(value(&span, session), None, "{profiles:?}");
                }
            } else {
                assert_eq!(id, Some(&"call-1".into()), "{profiles:?} {}", span.name);
            }
        }
    }
}

#[test]
fn input_in_its_providers_form_is_exported_for_pipecat_only() {
    for (profiles, mode) in every_choice() {
        for span in exported(&profiles, mode) {
            if value(&span, "gen_ai.operation.name") != Some(&"chat".into()) {
                continue;
            }
            // Where a backend's key is below it, that is what it reads.
            let wanted =
                profiles.contains(&Profile::Pipecat) && value(&span, "input.value").is_none();
            assert_eq!(value(&span, "input").is_some(), wanted, "{profiles:?}");
            assert!(
                value(&span, "gen_ai.input.messages").is_some(),
                "{profiles:?}"
            );
            assert!(
                value(&span, "gen_ai.tool.definitions").is_some(),
                "{profiles:?}"
            );
        }
    }
}

#[test]
fn translation_is_idempotent() {
    for (_, profile) in PROFILES {
        if profile == Profile::Opik {
            // It renames attributes.
            continue;
        }
        for (_, mode) in MODES {
            let once = exported(&[profile], mode);
            let kept = Kept::default();
            export(kept.clone(), &[profile], mode, once.clone());
            let sorted = |spans: &[SpanData]| -> Vec<Vec<KeyValue>> {
                spans
                    .iter()
                    .map(|span| {
                        let mut attributes = span.attributes.clone();
                        attributes.sort_by(|a, b| a.key.cmp(&b.key));
                        attributes
                    })
                    .collect()
            };
            for (first, second) in sorted(&once).iter().zip(sorted(&kept.0.lock().unwrap())) {
                assert_eq!(first, &second, "{profile:?}");
            }
        }
    }
}

fn value<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    attributes
        .find(|pair| pair.key.as_str() == key)
        .map(|pair| &pair.value)
}
