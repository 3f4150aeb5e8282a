//! The names that a provider has in the file of prices.

/// A provider's names in the file, where they are not that of `gen_ai.provider.name` (OpenTelemetry's GenAI conventions).
const NAMES: &[(&str, &[&str])] = &[
    ("aws.bedrock", &["bedrock", "bedrock_converse"]),
    ("azure.ai.inference", &["azure_ai"]),
    ("azure.ai.openai", &["azure"]),
    ("cohere", &["cohere", "cohere_chat"]),
    ("gcp.gemini", &["gemini"]),
    ("gcp.vertex_ai", &["vertex_ai"]),
    ("ibm.watsonx.ai", &["watsonx"]),
    ("mistral_ai", &["mistral"]),
    ("openai", &["openai", "text-completion-openai"]),
    ("x_ai", &["xai"]),
];

/// The names of one provider.
pub(super) enum ProviderNames<'a> {
    Listed(&'static [&'static str]),
    Own(&'a str),
}

impl<'a> ProviderNames<'a> {
    pub(super) fn of(provider: &'a str) -> Self {
        let mut listed = NAMES.iter();
        match listed.find(|(name, _)| name.eq_ignore_ascii_case(provider)) {
            Some((_, names)) => Self::Listed(names),
            None => Self::Own(provider),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let (listed, own): (&[&str], _) = match self {
            Self::Listed(names) => (names, None),
            Self::Own(name) => (&[], Some(*name)),
        };
        listed.iter().copied().chain(own)
    }

    /// Whether `litellm_provider` is the provider, or a part of it (`vertex_ai-language-models`).
    pub(super) fn is(&self, listed: &str) -> bool {
        self.iter().any(|name| {
            let (Some(start), Some(rest)) = (listed.get(..name.len()), listed.get(name.len()..))
            else {
                return false;
            };
            start.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// The model's name without the provider in front of it (`openai/gpt-4o`), if that is there.
    pub(super) fn strip_from<'m>(&self, model: &'m str) -> Option<&'m str> {
        let (prefix, rest) = model.split_once('/')?;
        self.iter()
            .any(|name| name.eq_ignore_ascii_case(prefix))
            .then_some(rest)
    }
}
