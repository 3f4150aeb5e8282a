//! Whether a service does its work in another process, which decides the kind of its span.

use crate::attribute_list::AttributeList;
use crate::names;
use crate::service_kind::ServiceKind;
use opentelemetry::trace::SpanKind;

/// Providers that are engines in the program's own process, by the first letter of their names: letters and digits, in lower
/// case.
fn engines_in_process(first: u8) -> &'static [&'static str] {
    match first {
        b'c' => &["candle"],
        b'e' => &["espeak", "espeakng"],
        b'k' => &["kokoro"],
        b'l' => &["llamacpp", "local"],
        b'm' => &["mistralrs"],
        b'o' => &["onnxruntime"],
        b'p' => &["piper"],
        b's' => &["sherpaonnx", "silero"],
        b'v' => &["vosk"],
        b'w' => &["whisper", "whispercpp", "whisperrs"],
        _ => &[],
    }
}

/// The kind of a service span that declares none. The GenAI conventions: `CLIENT`, save for models that run in the same
/// process. An address is that of another process, on this machine or not; without one, the provider's name decides.
pub(super) fn span_kind(service: ServiceKind, attributes: &AttributeList) -> SpanKind {
    let text = |key| attributes.get(key).map(|value| value.as_str());
    let is_remote = || {
        text(names::GEN_AI_PROVIDER_NAME).is_some_and(|name| is_in_another_process(&name))
            || text(names::SERVER_ADDRESS).is_some_and(|address| !address.is_empty())
    };
    match service {
        ServiceKind::Stt | ServiceKind::Llm | ServiceKind::Tts | ServiceKind::Realtime
            if is_remote() =>
        {
            SpanKind::Client
        }
        _ => SpanKind::Internal,
    }
}

fn is_in_another_process(provider: &str) -> bool {
    let letters = || {
        let letters = provider.bytes().filter(u8::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase())
    };
    match letters().next() {
        Some(first) => {
            let mut engines = engines_in_process(first).iter();
            !engines.any(|engine| letters().eq(engine.bytes()))
        }
        None => !provider.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::KeyValue;

    fn kind(service: ServiceKind, attributes: &[(&'static str, &'static str)]) -> SpanKind {
        let attributes = attributes
            .iter()
            .map(|(key, value)| KeyValue::new(*key, *value))
            .collect();
        span_kind(service, &attributes)
    }

    #[test]
    fn providers_are_remote_unless_they_are_engines_of_the_same_process() {
        for provider in ["openai", "aws.bedrock", "ollama", "my-own", "localai"] {
            let kind = kind(ServiceKind::Llm, &[("gen_ai.provider.name", provider)]);
            assert_eq!(kind, SpanKind::Client, "{provider}");
        }
        for provider in ["whisper.cpp", "Whisper_CPP", "sherpa-onnx", "LOCAL", ""] {
            let kind = kind(ServiceKind::Stt, &[("gen_ai.provider.name", provider)]);
            assert_eq!(kind, SpanKind::Internal, "{provider}");
        }
    }

    #[test]
    fn an_address_makes_every_provider_remote() {
        let of_server = [
            ("gen_ai.provider.name", "whisper.cpp"),
            ("server.address", "127.0.0.1"),
        ];
        assert_eq!(kind(ServiceKind::Stt, &of_server), SpanKind::Client);
        let empty = [("server.address", "")];
        assert_eq!(kind(ServiceKind::Stt, &empty), SpanKind::Internal);
    }

    #[test]
    fn only_models_are_clients_and_only_of_somebody() {
        let remote = [("gen_ai.provider.name", "openai")];
        let models = [
            ServiceKind::Stt,
            ServiceKind::Llm,
            ServiceKind::Tts,
            ServiceKind::Realtime,
        ];
        for model in models {
            assert_eq!(kind(model, &remote), SpanKind::Client, "{model:?}");
            assert_eq!(kind(model, &[]), SpanKind::Internal, "{model:?}");
        }
        for other in [ServiceKind::Tool, ServiceKind::Other] {
            assert_eq!(kind(other, &remote), SpanKind::Internal, "{other:?}");
        }
    }
}
