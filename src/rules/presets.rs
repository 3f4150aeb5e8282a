//! Rules for what well-known libraries emit.
//!
//! A preset is a set of rules like any other, added to a program's own by [`Rules::and`]. In a file, `presets = ["rig"]` before
//! the first rule adds it behind the file's rules.
//!
//! ```
//! use tracing_conversation::rules::{Match, Rules, presets};
//!
//! let rules = Rules::new()
//!     .conversation(Match::span("call"), "call_sid")
//!     .and(presets::rig());
//! assert_eq!(rules.check(), Ok(()));
//! ```
//!
//! Nothing is said of a preset's rules that have never matched.

use super::{Condition, Match, Operation, Rules, Source};
use crate::names::{self, event};

#[cfg(feature = "rules")]
type Preset = fn() -> Rules;

/// The presets by the names that they have in a file.
#[cfg(feature = "rules")]
pub(super) const PRESETS: &[(&str, Preset)] = &[("gen_ai", gen_ai), ("rig", rig), ("tasks", tasks)];

/// Spans of language models in OpenTelemetry's GenAI conventions, in the names of earlier versions as well.
///
/// A span that has `gen_ai.operation.name` is a service without any rule. These rules add that
///
/// - a span that is created with `gen_ai.request.model` and without `gen_ai.operation.name` is a `chat`;
/// - on a span that is created with `gen_ai.request.model`, `gen_ai.usage.prompt_tokens` and `gen_ai.usage.completion_tokens`
///   leave as `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens`, `gen_ai.response.finish_reason` as
///   `gen_ai.response.finish_reasons`, `gen_ai.prompt` and `gen_ai.completion` as `input` and `output`;
/// - on a span that is created with `gen_ai.system`, that leaves as `gen_ai.provider.name`.
///
/// Created with a field means that it has a value from the beginning, not [`Empty`](tracing_core::field::Empty).
pub fn gen_ai() -> Rules {
    Rules::new()
        // A span that names its operation keeps it.
        .service(Match::field(names::GEN_AI_REQUEST_MODEL), Operation::Chat)
        .field(
            names::GEN_AI_USAGE_INPUT_TOKENS,
            "gen_ai.usage.prompt_tokens",
        )
        .field(
            names::GEN_AI_USAGE_OUTPUT_TOKENS,
            "gen_ai.usage.completion_tokens",
        )
        .field(
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
        )
        .field(names::INPUT, "gen_ai.prompt")
        .field(names::OUTPUT, "gen_ai.completion")
        .span(Match::field("gen_ai.system"))
        .field(names::GEN_AI_PROVIDER_NAME, "gen_ai.system")
        .of_preset("gen_ai")
}

/// The agents and models of rig: `rig-agent` and `rig-core` 0.44.
///
/// Their spans `chat`, `generate_content`, `embeddings`, `execute_tool` and so on are services without any rule. These rules
/// add that
///
/// - `gen_ai.usage.reasoning_tokens` leaves as `gen_ai.usage.reasoning.output_tokens`;
/// - `gen_ai.tool.error.type`, of a tool that failed, leaves as `error.type`, which makes the span one of an error;
/// - the span of `Agent::chat` is an `invoke_agent`, which keeps below it what the agent does.
///
/// An agent that is run in another way (`Agent::prompt`, a stream) makes no span of its own inside another, such as the
/// conversation's: its models and tools are services of the turn. A span around it with `gen_ai.operation.name =
/// "invoke_agent"` keeps them together. Where there is no span at all, as in a spawned task that is not instrumented, rig
/// begins a trace of its own outside of the conversation.
pub fn rig() -> Rules {
    const REASONING: &str = "gen_ai.usage.reasoning_tokens";
    let reasoning = names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS;
    Rules::new()
        .span(Match::target("rig::completions"))
        .field(reasoning, REASONING)
        .span(Match::target("rig::modalities"))
        .field(reasoning, REASONING)
        // An agent's `chat`, and what a runtime of one's own begins by `completion_parent_span!`.
        .span(Match::field("rig.completion_parent"))
        .field(reasoning, REASONING)
        .span(Match::span("invoke_agent").target("rig_agent::*"))
        .field(reasoning, REASONING)
        .span(Match::span("execute_tool").target("rig_agent::*"))
        .field(names::ERROR_TYPE, "gen_ai.tool.error.type")
        .service(
            Match::span("chat")
                .target("rig_agent::*")
                .field("agent_name"),
            Operation::InvokeAgent,
        )
        .field("gen_ai.agent.name", "agent_name")
        .of_preset("rig")
}

const STARTED: &[&str] = &["start", "started", "begin", "request"];
const FIRST: &[&str] = &["first_byte", "first_token", "first_chunk", "first_audio"];
const FINISHED: &[&str] = &[
    "end", "ended", "done", "finished", "final", "stop", "stopped",
];
const CANCELLED: &[&str] = &["cancel", "cancelled", "interrupted"];
const FAILED: &[&str] = &["error", "failed"];

/// A program with one span for the whole call for each stage, and turns in events only.
///
/// The stage is the nearest span, or one above it, whose name begins with `vad`, `stt`, `llm`, `tool`, `tts` or `playback`
/// (`stt_task`, `tts_loop`). What happens there is the field `event` of an event:
///
/// | in | `event` | is |
/// |---|---|---|
/// | `vad*` | a start | `user_started_speaking` |
/// | `vad*` | an end | `vad_user_stopped_speaking` with `stop_secs`, and `user_stopped_speaking` |
/// | `playback*` | a start, an end or a cancellation | `bot_started_speaking`, `bot_stopped_speaking` |
/// | `stt*`, `llm*`, `tool*`, `tts*` | a start | the start of a service's work |
/// | `stt*`, `llm*`, `tool*`, `tts*` | an end, a cancellation, a failure | its end; `interrupted`, an error |
/// | `llm*`, `tts*` | a first byte | `first_byte` |
///
/// A start is `start`, `started`, `begin` or `request`; an end `end`, `ended`, `done`, `finished`, `final`, `stop` or `stopped`;
/// a cancellation `cancel`, `cancelled` or `interrupted`; a failure `error` or `failed`; a first byte `first_byte`, `first_token`,
/// `first_chunk` or `first_audio`.
///
/// Of the events at the start and the end of work, the fields `provider`, `model`, `transcript`, `output`, `text`, `voice`,
/// `input_tokens`, `output_tokens`, `audio_seconds`, `tool` and `result` leave under their names in the conventions. Calls of tools
/// that run at once are told apart by the field `id`. The span of the call is a rule of the program's own.
pub fn tasks() -> Rules {
    let mut rules = Rules::new()
        .event(says("vad*", STARTED), event::USER_STARTED_SPEAKING)
        .event(says("vad*", FINISHED), event::VAD_USER_STOPPED_SPEAKING)
        .field(names::STOP_SECS, names::STOP_SECS)
        .event(says("vad*", FINISHED), event::USER_STOPPED_SPEAKING)
        .event(says("playback*", STARTED), event::BOT_STARTED_SPEAKING)
        .event(says("playback*", FINISHED), event::BOT_STOPPED_SPEAKING)
        .event(says("playback*", CANCELLED), event::BOT_STOPPED_SPEAKING);
    for (stage, operation) in [
        ("stt*", Operation::Stt),
        ("llm*", Operation::Chat),
        ("tool*", Operation::ExecuteTool),
        ("tts*", Operation::Tts),
    ] {
        let is_tool = stage == "tool*";
        let identified = |rules: Rules| {
            if is_tool {
                rules.field("gen_ai.tool.call.id", "id")
            } else {
                rules
            }
        };
        rules = rules
            .event(says(stage, FIRST), event::FIRST_BYTE)
            .event(says(stage, CANCELLED), event::ANNOTATE)
            .field(names::INTERRUPTED, Source::value(true));
        rules = identified(rules)
            .event(says(stage, FAILED), event::ANNOTATE)
            .field("otel.status_code", Source::value("ERROR"));
        rules = identified(rules)
            .service(says(stage, STARTED), operation)
            .until(says(stage, FINISHED))
            .until(says(stage, CANCELLED))
            .until(says(stage, FAILED))
            .field(names::GEN_AI_PROVIDER_NAME, "provider")
            .field(names::GEN_AI_REQUEST_MODEL, "model")
            .field(names::VOICE_ID, "voice")
            .field(names::GEN_AI_USAGE_INPUT_TOKENS, "input_tokens")
            .field(names::GEN_AI_USAGE_OUTPUT_TOKENS, "output_tokens")
            .field(names::METRICS_AUDIO_SECONDS, "audio_seconds")
            .field(names::GEN_AI_TOOL_NAME, "tool")
            .field("gen_ai.tool.call.result", "result");
        rules = identified(rules);
        if is_tool {
            rules = rules.key("id");
        }
    }
    rules.of_preset("tasks")
}

/// An event inside the span of a stage whose field `event` is one of `words`.
fn says(stage: &str, words: &[&str]) -> Condition {
    Condition::default()
        .within(stage)
        .field_is_one_of("event", words)
}
