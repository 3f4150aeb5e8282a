//! What is never content: the keys whose text may leave where content is not captured.
//!
//! A list of what carries words cannot be complete, since every program has fields of its own (`partial_transcript`,
//! `http.request.body`, `url.full`). So this is the other way round: a text leaves only under a key that is known to
//! carry none, or that the program has named. Numbers and booleans carry no words and leave under any key.

/// Sorted. No groups of keys: beside `code.file.path` there is `code.stacktrace`.
const KEYS: &[&str] = &[
    "busy_ns",
    "code.column.number",
    "code.file.path",
    "code.filepath",
    "code.function",
    "code.function.name",
    "code.line.number",
    "code.lineno",
    "code.module.name",
    "code.namespace",
    "conversation.event",
    "conversation.id",
    "conversation.type",
    "db.operation.name",
    "db.system",
    "db.system.name",
    "deployment.environment.name",
    "error.type",
    "exception.type",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.agent.version",
    "gen_ai.conversation.id",
    "gen_ai.data_source.id",
    "gen_ai.evaluation.name",
    "gen_ai.operation.name",
    "gen_ai.output.type",
    "gen_ai.provider.name",
    "gen_ai.request.encoding_formats",
    "gen_ai.request.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.system",
    "gen_ai.token.type",
    "gen_ai.tool.call.id",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.workflow.name",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "idle_ns",
    "input.mime_type",
    "interrupted",
    "is_final",
    "language",
    "level",
    "llm.model_name",
    "llm.provider",
    "llm.system",
    "log.file",
    "log.iostream",
    "log.level",
    "log.line",
    "log.logger",
    "log.module_path",
    "log.target",
    "messaging.operation.name",
    "messaging.system",
    "metrics.audio_seconds",
    "metrics.character_count",
    "metrics.ttfb",
    "network.connection.type",
    "network.local.address",
    "network.peer.address",
    "network.protocol.name",
    "network.protocol.version",
    "network.transport",
    "network.type",
    "openinference.span.kind",
    "otel.kind",
    "otel.name",
    "otel.scope.name",
    "otel.scope.version",
    "otel.status_code",
    "output.mime_type",
    "replay.span",
    "rpc.method",
    "rpc.response.status_code",
    "rpc.service",
    "rpc.system",
    "rpc.system.name",
    "server.address",
    "server.port",
    "service.ended",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "session.id",
    "stt.incomplete",
    "target",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "thread.id",
    "thread.name",
    "thread_id",
    "tool.name",
    "tool_choice",
    "tool_count",
    "tts.interrupted",
    "turn.end_reason",
    "turn.latency.measured_from",
    "turn.type",
    "url.scheme",
    "url.template",
    "user_id",
    "voice_id",
];

/// Whether a text under `key` may leave where content is not captured. `named` are the keys that the program has named.
pub(crate) fn is_allowed(key: &str, named: &[String]) -> bool {
    KEYS.binary_search(&key).is_ok() || named.iter().any(|name| name == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_for_the_search() {
        assert!(KEYS.is_sorted());
        assert!(KEYS.iter().all(|key| is_allowed(key, &[])));
    }

    #[test]
    fn text_under_unknown_keys_is_withheld() {
        for key in [
            "partial_transcript",
            "user.message",
            "http.request.body",
            "http.request.header.authorization",
            "url.full",
            "url.query",
            "url.path",
            "reason",
            "conversation.end_reason",
            "db.query.text",
            "exception.message",
            "otel.status_description",
            "gen_ai.input.messages",
            "gen_ai.request.stop_sequences",
            "gen_ai.tool.description",
            "code.stacktrace",
            "log.record.original",
            "metrics.note",
            "network.payload",
            "service.note",
            "turn.latency.note",
            "message",
            "",
        ] {
            assert!(!is_allowed(key, &[]), "{key}");
        }
    }

    #[test]
    fn what_the_contract_sets_and_the_program_names_leaves() {
        for key in [
            "conversation.id",
            "turn.end_reason",
            "gen_ai.request.model",
            "voice_id",
            "code.file.path",
        ] {
            assert!(is_allowed(key, &[]), "{key}");
        }
        let named = ["customer.tier".to_owned()];
        assert!(is_allowed("customer.tier", &named));
        assert!(!is_allowed("customer.tier.note", &named));
    }
}
