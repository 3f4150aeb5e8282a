//! What a service does.

use std::borrow::Cow;

/// What a service does: the value of `gen_ai.operation.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Speech to text: `stt`.
    Stt,
    /// A language model: `chat`.
    Chat,
    /// Text to speech: `tts`.
    Tts,
    /// A tool: `execute_tool`.
    ExecuteTool,
    /// Speech to speech: `realtime`.
    Realtime,
    /// An agent's answer, which keeps its services below it: `invoke_agent`.
    InvokeAgent,
    /// Anything else.
    Other(Cow<'static, str>),
}

impl Operation {
    /// The value of `gen_ai.operation.name`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stt => "stt",
            Self::Chat => "chat",
            Self::Tts => "tts",
            Self::ExecuteTool => "execute_tool",
            Self::Realtime => "realtime",
            Self::InvokeAgent => "invoke_agent",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Operation {
    fn from(name: &str) -> Self {
        [
            Self::Stt,
            Self::Chat,
            Self::Tts,
            Self::ExecuteTool,
            Self::Realtime,
            Self::InvokeAgent,
        ]
        .into_iter()
        .find(|known| known.as_str() == name)
        .unwrap_or_else(|| Self::Other(name.to_owned().into()))
    }
}
