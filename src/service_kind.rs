//! The kinds of service: a row for each.

/// What a service does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ServiceKind {
    /// Speech to text.
    Stt,
    /// A language model.
    Llm,
    /// Text to speech.
    Tts,
    /// A tool that a language model calls.
    Tool,
    /// Speech to speech.
    Realtime,
    /// Anything else that keeps its own name.
    #[default]
    Other,
}

use ServiceKind::{Llm, Other, Realtime, Stt, Tool, Tts};

/// The values of `gen_ai.operation.name`, and the span names of the crate's own macros, that name a kind.
const OPERATIONS: &[(ServiceKind, &[&str])] = &[
    (Stt, &["stt", "speech_to_text", "transcription"]),
    (Llm, &["chat", "text_completion", "generate_content", "llm"]),
    (Tts, &["tts", "text_to_speech", "audio_generation"]),
    (Tool, &["execute_tool", "tool"]),
    (Realtime, &["realtime"]),
];

impl ServiceKind {
    /// The kind that an operation is of, with the operation's name, if it is a known one.
    pub(crate) fn of_known(operation: &str) -> Option<(Self, &'static str)> {
        for (kind, names) in OPERATIONS {
            for name in *names {
                if *name == operation {
                    return Some((*kind, name));
                }
            }
        }
        None
    }

    /// The kind that an operation is of.
    pub(crate) fn of(operation: &str) -> Self {
        Self::of_known(operation).map_or(Other, |(kind, _)| kind)
    }

    /// The name of its spans where the crate's own macros make them; `other` for any other.
    pub fn name(self) -> &'static str {
        match self {
            Stt => "stt",
            Llm => "llm",
            Tts => "tts",
            Tool => "tool",
            Realtime => "realtime",
            Other => "other",
        }
    }

    /// Whether its timing makes a latency part.
    pub(crate) fn is_timed(self) -> bool {
        matches!(self, Llm | Tts | Tool | Realtime)
    }

    /// Whether it answers: a language model, or speech to speech.
    pub(crate) fn is_model(self) -> bool {
        matches!(self, Llm | Realtime)
    }

    /// Whether an interruption cuts it off.
    pub(crate) fn is_interruptible(self) -> bool {
        matches!(self, Llm | Tts | Realtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_of_operations_name_their_kind_and_unknown_operations_none() {
        let kinds = |names: &[&str]| {
            names
                .iter()
                .map(|name| ServiceKind::of(name))
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(&["stt", "speech_to_text", "transcription"]), [Stt; 3]);
        assert_eq!(
            kinds(&["chat", "text_completion", "generate_content"]),
            [Llm; 3]
        );
        assert_eq!(
            kinds(&["tts", "text_to_speech", "audio_generation"]),
            [Tts; 3]
        );
        assert_eq!(kinds(&["execute_tool", "realtime"]), [Tool, Realtime]);
        assert_eq!(kinds(&["invoke_agent", "embeddings", ""]), [Other; 3]);
    }
}
