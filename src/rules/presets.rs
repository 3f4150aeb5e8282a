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

use super::{Match, Operation, Rules};
use crate::names;

#[cfg(feature = "rules")]
type Preset = fn() -> Rules;

/// The presets by the names that they have in a file.
#[cfg(feature = "rules")]
pub(super) const PRESETS: &[(&str, Preset)] = &[("rig", rig)];

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
