//! Applies profiles to finished spans.

use std::borrow::Cow;
use std::collections::HashSet;

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::facts::{Added, Facts};
use super::first_inputs::FirstInputs;
use super::kind::{Kind, value_of};
use super::words::Words;
use super::{Profile, display, langfuse, langsmith, lists, openinference, opik};
use crate::{ContentPolicy, TraceMode, names};

/// The profiles and limits of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Profiles {
    chosen: Vec<Profile>,
    trace_mode: TraceMode,
    max_value_bytes: usize,
}

impl Default for Profiles {
    fn default() -> Self {
        Self::of([])
    }
}

impl Profiles {
    pub(crate) fn of(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let none = Self {
            chosen: Vec::new(),
            trace_mode: TraceMode::default(),
            max_value_bytes: ContentPolicy::default().max_value_bytes(),
        };
        profiles.into_iter().fold(none, Self::and)
    }

    pub(crate) fn and(mut self, profile: Profile) -> Self {
        if !self.chosen.contains(&profile) {
            self.chosen.push(profile);
        }
        self
    }

    pub(crate) fn with_trace_mode(mut self, trace_mode: TraceMode) -> Self {
        self.trace_mode = trace_mode;
        self
    }

    pub(crate) fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = ContentPolicy::default()
            .with_max_value_bytes(bytes)
            .max_value_bytes();
        self
    }

    pub(crate) fn translator(&self) -> Translator {
        Translator {
            profiles: self.clone(),
            first_inputs: FirstInputs::default(),
        }
    }

    #[cfg(all(test, feature = "console", any(feature = "grpc", feature = "http")))]
    pub(crate) fn chosen(&self) -> &[Profile] {
        &self.chosen
    }
}

/// Translates the spans of one destination, in the order in which they end.
#[derive(Debug)]
pub(crate) struct Translator {
    profiles: Profiles,
    first_inputs: FirstInputs,
}

impl Translator {
    pub(crate) fn apply(&self, span: &mut SpanData) {
        let Profiles {
            chosen,
            trace_mode,
            max_value_bytes: limit,
        } = &self.profiles;
        let kind = Kind::of(&span.attributes);
        lists::restore(&mut span.attributes);
        let with_pipecat = chosen.contains(&Profile::Pipecat);
        let words = Words::convert(span, kind, *limit, with_pipecat);
        add_both_names_of_cache_writes(&mut span.attributes);
        let backends: Vec<Profile> = chosen
            .iter()
            .copied()
            .filter(|profile| profile.is_of_a_backend())
            .collect();
        if backends.is_empty() {
            return;
        }
        let facts = Facts {
            kind,
            words: &words,
            name: display::name(span, kind).unwrap_or_else(|| span.name.to_string()),
            is_outside_turns: *trace_mode == TraceMode::Turn
                && value_of(&span.attributes, names::CONVERSATION_ID).is_some()
                && value_of(&span.attributes, names::TURN_NUMBER).is_none(),
            has_first_input: self.has_first_input(span, kind),
            limit: *limit,
            span,
        };
        let mut added = Added::default();
        for profile in &backends {
            match profile {
                Profile::Langfuse => langfuse::translate(&facts, &mut added),
                Profile::OpenInference => openinference::translate(&facts, &mut added),
                Profile::LangSmith => langsmith::translate(&facts, &mut added),
                Profile::Opik => opik::translate(&facts, &mut added),
                Profile::Default | Profile::Pipecat => {}
            }
        }
        let drops_session = facts.is_outside_turns;
        let name = facts.name;
        merge(&mut span.attributes, added.0);
        if drops_session {
            // Backends use it as the session's id, too.
            span.attributes
                .retain(|pair| pair.key.as_str() != names::GEN_AI_CONVERSATION_ID);
        }
        if backends == [Profile::Opik] {
            opik::move_to_metadata(&mut span.attributes);
        }
        if name != span.name {
            span.name = Cow::Owned(name);
        }
    }

    fn has_first_input(&self, span: &SpanData, kind: Kind) -> bool {
        let trace = span.span_context.trace_id();
        match kind {
            Kind::Conversation => {
                self.first_inputs.forget(trace);
                false
            }
            Kind::Turn => {
                value_of(&span.attributes, names::TURN_INPUT).is_some()
                    && self.first_inputs.is_first(trace)
            }
            _ => false,
        }
    }
}

/// Adds attributes whose keys are not present yet. Backends nest dotted keys, so a key such as `input` and another below it
/// such as `input.value` would hide each other: of such a pair only the longer is kept, which is the one that backends
/// read. A program's own keys are dropped only if an added one is below them.
fn merge(attributes: &mut Vec<KeyValue>, added: Vec<KeyValue>) {
    let mut keys: HashSet<Key> = attributes.iter().map(|pair| pair.key.clone()).collect();
    let mut prefixes: HashSet<String> = keys
        .iter()
        .flat_map(|key| dotted_prefixes(key.as_str()))
        .map(str::to_owned)
        .collect();
    let mut hidden: HashSet<String> = HashSet::new();
    for pair in added {
        if prefixes.contains(pair.key.as_str()) || !keys.insert(pair.key.clone()) {
            continue;
        }
        for prefix in dotted_prefixes(pair.key.as_str()) {
            prefixes.insert(prefix.to_owned());
            if keys.contains(prefix) {
                hidden.insert(prefix.to_owned());
            }
        }
        attributes.push(pair);
    }
    if !hidden.is_empty() {
        attributes.retain(|pair| !hidden.contains(pair.key.as_str()));
    }
}

/// `a` and `a.b` of `a.b.c`.
fn dotted_prefixes(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('.').map(|(at, _)| &key[..at])
}

/// Released conventions say `cache_creation`, their development version says `cache_write`. Exports both.
fn add_both_names_of_cache_writes(attributes: &mut Vec<KeyValue>) {
    const NEXT: &str = "gen_ai.usage.cache_write.input_tokens";
    const RELEASED: &str = names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS;
    let integer = |key| match value_of(attributes, key) {
        Some(Value::I64(tokens)) => Some(*tokens),
        _ => None,
    };
    match (integer(RELEASED), integer(NEXT)) {
        (Some(tokens), None) => attributes.push(KeyValue::new(NEXT, tokens)),
        (None, Some(tokens)) => attributes.push(KeyValue::new(RELEASED, tokens)),
        _ => {}
    }
}
