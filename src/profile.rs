//! Translates finished spans for export: messages of language models into the form of the GenAI conventions, and the
//! contract's attributes into the names that each backend reads.

mod display;
mod exporter;
mod facts;
mod first_inputs;
mod kind;
mod langfuse;
mod langsmith;
mod lists;
mod openinference;
mod opik;
mod translator;
mod words;

pub use exporter::ConversationExporter;
pub(crate) use translator::{Profiles, Translator};

/// Whose names a span carries besides those of the contract.
///
/// A profile adds no information to a span: without content in the span there is none in what is added. `docs/backends`
/// lists what each profile adds, and which rule of the backend's ingestion requires it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// OpenTelemetry's GenAI conventions, and `output` as it was recorded: Jaeger, Tempo, any collector.
    #[default]
    Default,
    /// [Pipecat](https://github.com/pipecat-ai/pipecat)'s names as well: `input` and `tools` of language models.
    Pipecat,
    /// [Langfuse](https://langfuse.com).
    Langfuse,
    /// [OpenInference](https://github.com/Arize-ai/openinference): Phoenix, Arize, MLflow.
    OpenInference,
    /// [LangSmith](https://www.langchain.com/langsmith).
    LangSmith,
    /// [Opik](https://www.comet.com/opik).
    Opik,
}

impl Profile {
    /// The values of `CONVERSATION_PROFILE`.
    #[cfg(feature = "setup")]
    pub(crate) const NAMES: &[(&str, Self)] = &[
        ("default", Self::Default),
        ("pipecat", Self::Pipecat),
        ("langfuse", Self::Langfuse),
        ("openinference", Self::OpenInference),
        ("langsmith", Self::LangSmith),
        ("opik", Self::Opik),
    ];

    /// The profile of the backend that a URL belongs to, judged by host, port and path.
    #[cfg(feature = "setup")]
    pub(crate) fn of_endpoint(url: &str) -> Self {
        let url = url.to_ascii_lowercase();
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let in_host = |word| authority.contains(word);
        if in_host("langfuse") || path.starts_with("/api/public/otel") {
            Self::Langfuse
        } else if in_host("smith.langchain") || in_host("langsmith") {
            Self::LangSmith
        } else if in_host("opik") || in_host("comet.com") || path.contains("/v1/private/otel") {
            Self::Opik
        } else if in_host("phoenix")
            || in_host("arize")
            || in_host("mlflow")
            || authority.ends_with(":6006")
        {
            Self::OpenInference
        } else {
            Self::Default
        }
    }

    /// Whether it is a backend's, beyond the conventions that any collector reads.
    fn is_of_a_backend(self) -> bool {
        !matches!(self, Self::Default | Self::Pipecat)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
