//! The names of the trace contract: events, fields, attributes, values. One place for each.
//!
//! OpenTelemetry's GenAI conventions come first, then Pipecat's names.

/// The name of a conversation's span.
pub const CONVERSATION: &str = "conversation";
/// The name of a turn's span.
pub const TURN: &str = "turn";
/// Field and attribute: the id of the conversation that a span or event belongs to.
pub const CONVERSATION_ID: &str = "conversation.id";
/// Attribute of a conversation: what kind it is, `voice` unless set.
pub const CONVERSATION_TYPE: &str = "conversation.type";
/// Attribute of a conversation: the user's first words.
pub const CONVERSATION_INPUT: &str = "conversation.input";
/// Attribute of a conversation: the bot's last words.
pub const CONVERSATION_OUTPUT: &str = "conversation.output";
/// Attribute of a conversation: its length in seconds.
pub const CONVERSATION_DURATION_SECONDS: &str = "conversation.duration_seconds";
/// Attribute of a conversation: how many turns it had.
pub const CONVERSATION_TURN_COUNT: &str = "conversation.turn_count";
/// Attribute of a conversation: how many turns ended by an interruption.
pub const CONVERSATION_INTERRUPTION_COUNT: &str = "conversation.interruption_count";
/// Attribute of a conversation: how many of its services failed.
pub const CONVERSATION_ERROR_COUNT: &str = "conversation.error_count";
/// Attribute of a conversation: the mean of its turns' [`TURN_USER_BOT_LATENCY_SECONDS`].
pub const CONVERSATION_USER_BOT_LATENCY_MEAN: &str = "conversation.user_bot_latency.mean";
/// Attribute of a conversation: the highest of its turns' [`TURN_USER_BOT_LATENCY_SECONDS`].
pub const CONVERSATION_USER_BOT_LATENCY_MAX: &str = "conversation.user_bot_latency.max";
/// Attribute of a conversation: seconds that the user spoke.
pub const CONVERSATION_USER_SPEECH_SECONDS: &str = "conversation.user_speech_seconds";
/// Attribute of a conversation: seconds that the bot spoke.
pub const CONVERSATION_BOT_SPEECH_SECONDS: &str = "conversation.bot_speech_seconds";
/// Attribute of a conversation: seconds that the user waited for an answer beyond the first two of each wait.
pub const CONVERSATION_DEAD_AIR_SECONDS: &str = "conversation.dead_air_seconds";
/// Attribute of a conversation: input tokens of its services.
pub const CONVERSATION_USAGE_INPUT_TOKENS: &str = "conversation.usage.input_tokens";
/// Attribute of a conversation: output tokens of its services.
pub const CONVERSATION_USAGE_OUTPUT_TOKENS: &str = "conversation.usage.output_tokens";
/// Attribute of a conversation: characters that its services synthesized.
pub const CONVERSATION_USAGE_CHARACTERS: &str = "conversation.usage.characters";
/// Attribute of a conversation: seconds of audio that its services transcribed.
pub const CONVERSATION_USAGE_AUDIO_SECONDS: &str = "conversation.usage.audio_seconds";
/// Field that addresses an event to the layer; its value is one of [`event`].
pub const CONVERSATION_EVENT: &str = "conversation.event";
/// Attribute: the conversation's id under OpenTelemetry's GenAI conventions.
pub const GEN_AI_CONVERSATION_ID: &str = "gen_ai.conversation.id";

/// Field of a conversation's scope, not exported: the trace that the conversation continues (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
/// Field of a conversation's scope, not exported: what belongs to [`TRACEPARENT`] (W3C Trace Context).
pub const TRACESTATE: &str = "tracestate";
/// Field of a conversation's scope, not exported: entries that come with the trace (W3C Baggage).
pub const BAGGAGE: &str = "baggage";

/// The number of a turn in its conversation, counted from 1.
pub const TURN_NUMBER: &str = "turn.number";
/// Always `conversation`.
pub const TURN_TYPE: &str = "turn.type";
/// The length of a turn in seconds.
pub const TURN_DURATION_SECONDS: &str = "turn.duration_seconds";
/// Whether the user, or the conversation's end, cut the turn short.
pub const TURN_WAS_INTERRUPTED: &str = "turn.was_interrupted";
/// Whether the conversation's end ended the turn.
pub const TURN_ENDED_BY_CONVERSATION_END: &str = "turn.ended_by_conversation_end";
/// Why the turn ended: `user_spoke`, `interrupted`, `silence`, `conversation_ended`, `conversation_lost`.
pub const TURN_END_REASON: &str = "turn.end_reason";
/// Seconds from the end of the user's speech to the bot's first audio.
pub const TURN_USER_BOT_LATENCY_SECONDS: &str = "turn.user_bot_latency_seconds";
/// Where the latency parts of a turn are counted from: `user_silence` or `client_connected`.
pub const TURN_LATENCY_MEASURED_FROM: &str = "turn.latency.measured_from";
/// What the user said in the turn.
pub const TURN_INPUT: &str = "turn.input";
/// What the bot said in the turn.
pub const TURN_OUTPUT: &str = "turn.output";
/// What of the bot's words in the turn was heard, as far as the program reports it.
pub const TURN_HEARD_OUTPUT: &str = "turn.heard_output";
/// How many seconds of the bot's speech in the turn were played, as far as the program reports it.
pub const TURN_PLAYED_SECONDS: &str = "turn.played_seconds";
/// Seconds that the user spoke.
pub const TURN_USER_SPEECH_SECONDS: &str = "turn.user_speech_seconds";
/// Seconds that the bot spoke.
pub const TURN_BOT_SPEECH_SECONDS: &str = "turn.bot_speech_seconds";
/// Seconds that the user waited for an answer beyond the first two.
pub const TURN_DEAD_AIR_SECONDS: &str = "turn.dead_air_seconds";
/// Of an interrupted turn: seconds from the start of the bot's speech to the interruption.
pub const TURN_INTERRUPTION_AFTER_SECONDS: &str = "turn.interruption.after_seconds";
/// Of a turn that began by interrupting the bot: seconds until the bot had stopped.
pub const TURN_BARGE_IN_STOP_SECONDS: &str = "turn.barge_in.stop_seconds";

/// What a service span does; declares that it is one.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// Who provides the service.
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The host that provides the service (OpenTelemetry).
pub const SERVER_ADDRESS: &str = "server.address";
/// The model that was asked for.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const GEN_AI_RESPONSE_MODEL: &str = "gen_ai.response.model";
/// `text` or `speech`.
pub const GEN_AI_OUTPUT_TYPE: &str = "gen_ai.output.type";
/// Seconds to the first output; the same figure as [`METRICS_TTFB`].
pub const GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// The name of the tool that is run.
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// What kind of tool it is: `function`, `extension` or `datastore` (OpenTelemetry).
pub(crate) const GEN_AI_TOOL_TYPE: &str = "gen_ai.tool.type";
/// The name of the agent that is given a task, or that runs a tool (OpenTelemetry).
pub(crate) const GEN_AI_AGENT_NAME: &str = "gen_ai.agent.name";
/// Seconds to the first output of a service (Pipecat's name).
pub const METRICS_TTFB: &str = "metrics.ttfb";
/// Characters that were sent to be spoken.
pub const METRICS_CHARACTER_COUNT: &str = "metrics.character_count";
/// Seconds of audio that were transcribed.
pub const METRICS_AUDIO_SECONDS: &str = "metrics.audio_seconds";
/// What kind of failure a span ended with (OpenTelemetry).
pub const ERROR_TYPE: &str = "error.type";
/// The value of [`ERROR_TYPE`] for a failure of no known kind (OpenTelemetry).
pub(crate) const ERROR_TYPE_OTHER: &str = "_OTHER";
/// Whether a span was cut off before it was finished.
pub const INTERRUPTED: &str = "interrupted";
/// Whether speech was cut off.
pub const TTS_INTERRUPTED: &str = "tts.interrupted";
/// Whether a transcription ended without a final transcript.
pub const STT_INCOMPLETE: &str = "stt.incomplete";
/// What was heard.
pub const TRANSCRIPT: &str = "transcript";
/// Whether [`TRANSCRIPT`] is final.
pub const IS_FINAL: &str = "is_final";
/// What was spoken: all sentences of the span, in order.
pub const TEXT: &str = "text";
/// What a language model was given.
pub const INPUT: &str = "input";
/// What a language model answered.
pub const OUTPUT: &str = "output";
/// The language that is spoken, as a BCP 47 tag.
pub const LANGUAGE: &str = "language";
/// The voice that speaks.
pub const VOICE_ID: &str = "voice_id";

/// Attribute of a conversation: the `reason` that its end was given.
pub const CONVERSATION_END_REASON: &str = "conversation.end_reason";
/// Field of the events that end a conversation: why.
pub const REASON: &str = "reason";
/// Field of `vad_user_started_speaking`: for how many seconds the user had been speaking.
pub const START_SECS: &str = "start_secs";
/// Field of `user_started_speaking`, `interruption` and `bot_stopped_speaking`: what was heard of the bot's words in the open
/// turn.
pub const TEXT_HEARD: &str = "text_heard";
/// Field of the same events: how many seconds of the bot's speech in the open turn were played.
pub const PLAYED_SECS: &str = "played_secs";
/// Field of `vad_user_stopped_speaking`: for how many seconds the user had been silent.
pub const STOP_SECS: &str = "stop_secs";
/// Field of any event: how many seconds before now it happened.
pub const AGO_SECS: &str = "ago_secs";

/// Field that tracing-opentelemetry takes for the name of a span.
pub const OTEL_NAME: &str = "otel.name";
/// Field that tracing-opentelemetry takes for the kind of a span.
pub const OTEL_KIND: &str = "otel.kind";

/// The values of [`CONVERSATION_EVENT`].
pub mod event {
    /// The conversation begins.
    pub const CONVERSATION_STARTED: &str = "conversation_started";
    /// The conversation ends.
    pub const CONVERSATION_ENDED: &str = "conversation_ended";
    /// The client is connected.
    pub const CLIENT_CONNECTED: &str = "client_connected";
    /// The client is gone, and with it the conversation.
    pub const CLIENT_DISCONNECTED: &str = "client_disconnected";
    /// The user takes the turn.
    pub const USER_STARTED_SPEAKING: &str = "user_started_speaking";
    /// The user releases the turn.
    pub const USER_STOPPED_SPEAKING: &str = "user_stopped_speaking";
    /// Voice activity is confirmed, `start_secs` after it began.
    pub const VAD_USER_STARTED_SPEAKING: &str = "vad_user_started_speaking";
    /// Silence is confirmed, `stop_secs` after it began.
    pub const VAD_USER_STOPPED_SPEAKING: &str = "vad_user_stopped_speaking";
    /// Audio leaves for the user.
    pub const BOT_STARTED_SPEAKING: &str = "bot_started_speaking";
    /// The last audio has left for the user.
    pub const BOT_STOPPED_SPEAKING: &str = "bot_stopped_speaking";
    /// The pipeline drops what it was saying.
    pub const INTERRUPTION: &str = "interruption";
    /// A service's first output.
    pub const FIRST_BYTE: &str = "first_byte";
    /// Its fields become attributes.
    pub const ANNOTATE: &str = "annotate";

    /// All of them.
    pub(crate) const ALL: &[&str] = &[
        CONVERSATION_STARTED,
        CONVERSATION_ENDED,
        CLIENT_CONNECTED,
        CLIENT_DISCONNECTED,
        USER_STARTED_SPEAKING,
        USER_STOPPED_SPEAKING,
        VAD_USER_STARTED_SPEAKING,
        VAD_USER_STOPPED_SPEAKING,
        BOT_STARTED_SPEAKING,
        BOT_STOPPED_SPEAKING,
        INTERRUPTION,
        FIRST_BYTE,
        ANNOTATE,
    ];
}

/// Field of a service span, not exported: the span ends when it is recorded.
pub const SERVICE_ENDED: &str = "service.ended";
/// Field (tracing-opentelemetry): `OK` or `ERROR`.
pub const OTEL_STATUS_CODE: &str = "otel.status_code";
/// Field (tracing-opentelemetry): the text of a failed status.
pub const OTEL_STATUS_DESCRIPTION: &str = "otel.status_description";
/// What a tool was called with.
pub const GEN_AI_TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// What a tool returned.
pub const GEN_AI_TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
/// Tokens of the prompt, cached ones included.
pub const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer, reasoning included.
pub const GEN_AI_USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Tokens of the prompt that were read from a cache.
pub const GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Tokens of the prompt that were written to a cache.
pub const GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: &str =
    "gen_ai.usage.cache_creation.input_tokens";
/// Tokens of the answer that were spent on reasoning.
pub const GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// Tokens of audio that was understood.
pub const GEN_AI_USAGE_AUDIO_INPUT_TOKENS: &str = "gen_ai.usage.audio.input_tokens";
/// Tokens of audio that were read from a cache.
pub const GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: &str =
    "gen_ai.usage.audio.cache_read.input_tokens";
/// Tokens of audio that was spoken.
pub const GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: &str = "gen_ai.usage.audio.output_tokens";

/// What a service, turn or conversation cost, in US dollars.
pub const USAGE_COST_USD: &str = "usage.cost_usd";
/// Whether the price of a service is missing in [`USAGE_COST_USD`] of a turn or conversation.
pub const USAGE_COST_IS_PARTIAL: &str = "usage.cost_is_partial";
