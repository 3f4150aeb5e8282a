//! Span macros that declare every field the layer reads.

/// Defines the span macros below from their names and the fields they declare: the common ones and
/// their own.
macro_rules! span_macros {
    ($d:tt $common:tt $(
        $(#[$doc:meta])*
        $macro_name:ident $name:literal [$($declared:tt)*]
    )*) => {$(
        $(#[$doc])*
        #[macro_export]
        macro_rules! $macro_name {
            ($d($d fields:tt)*) => {
                $d crate::__private::declare_span! {
                    [$d crate::__private::tracing]
                    [$name]
                    $common
                    [$($declared)*]
                    [$d($d fields)*]
                }
            };
        }
    )*};
}

span_macros! { $ []
    /// The scope of a conversation: everything inside it, on any task or thread, belongs to it.
    ///
    /// Set `conversation.id`; without one, or with an empty one, the conversation gets a
    /// fresh UUID. Any other field becomes an attribute of the conversation.
    ///
    /// ```
    /// use tracing_conversation::conversation_span;
    ///
    /// let call_id = 7;
    /// let span = conversation_span!(conversation.id = %call_id, customer.tier = "premium");
    /// span.in_scope(|| { /* the bot */ });
    /// ```
    ///
    /// Declared: `conversation.id`, `conversation.type`, `user_id`.
    conversation_span "conversation" [
        conversation.id = "",
        conversation.type,
        user_id
    ]
}

span_macros! { $
    [
        service.ended, gen_ai.provider.name, gen_ai.request.model, gen_ai.response.model, server.address, server.port,
        metrics.ttfb, gen_ai.response.time_to_first_chunk,
        error.type, otel.status_code, otel.status_description, interrupted
    ]

    /// A speech-to-text operation.
    ///
    /// ```
    /// use tracing_conversation::stt_span;
    ///
    /// let span = stt_span!(gen_ai.provider.name = "deepgram", gen_ai.request.model = "nova-3");
    /// span.record("transcript", "what is the weather").record("is_final", true);
    /// ```
    ///
    /// Besides the [fields of every service span](crate::llm_span#fields-of-every-service-span):
    /// `transcript`, `is_final`, `language`, `user_id`, `metrics.audio_seconds`, `stt.incomplete`,
    /// `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`,
    /// `gen_ai.usage.audio.input_tokens`. `gen_ai.operation.name` is `stt` unless given.
    stt_span "stt" [
        gen_ai.operation.name = "stt",
        transcript, is_final, language, user_id, metrics.audio_seconds, stt.incomplete,
        gen_ai.usage.input_tokens, gen_ai.usage.output_tokens, gen_ai.usage.audio.input_tokens
    ]

    /// A request to a language model.
    ///
    /// ```
    /// use tracing_conversation::llm_span;
    ///
    /// let span = llm_span!(
    ///     gen_ai.provider.name = "openai",
    ///     gen_ai.request.model = "gpt-4o",
    ///     gen_ai.request.temperature = 0.2,
    ///     input = r#"[{"role":"user","content":"hello"}]"#,
    ///     retries = 2, // a field of your own
    /// );
    /// span.record("gen_ai.usage.input_tokens", 42);
    /// ```
    ///
    /// As in [`tracing::info_span!`], `target:` and `parent:` may come first.
    ///
    /// # Fields of every service span
    ///
    /// `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`,
    /// `gen_ai.response.model`, `server.address`, `server.port`, `metrics.ttfb`,
    /// `gen_ai.response.time_to_first_chunk`, `error.type`, `otel.status_code`,
    /// `otel.status_description`, `interrupted`, and `service.ended`, which ends the exported span
    /// although handles to it are still alive.
    ///
    /// `turn.number`, `conversation.id`, `otel.name` and `otel.kind` count only where they are given when the span is
    /// made, and so are not declared unless they are.
    ///
    /// # Fields of a language model's span
    ///
    /// `input`, `output`, `tools`, `tool_count`, `tool_choice`, `gen_ai.system_instructions`,
    /// `gen_ai.request.{temperature, top_p, top_k, max_tokens, seed, frequency_penalty,
    /// presence_penalty, stop_sequences, choice.count, stream}`, `gen_ai.response.{id, finish_reasons}`,
    /// `gen_ai.usage.{input_tokens, output_tokens, cache_read.input_tokens,
    /// cache_creation.input_tokens, reasoning.output_tokens, audio.input_tokens,
    /// audio.output_tokens}`. `gen_ai.operation.name` is `chat` and `gen_ai.output.type` is `text`
    /// unless given.
    llm_span "llm" [
        gen_ai.operation.name = "chat",
        gen_ai.output.type = "text",
        input, output, tools, tool_count, tool_choice, gen_ai.system_instructions,
        gen_ai.request.temperature, gen_ai.request.top_p, gen_ai.request.top_k,
        gen_ai.request.max_tokens, gen_ai.request.seed, gen_ai.request.frequency_penalty,
        gen_ai.request.presence_penalty, gen_ai.request.stop_sequences,
        gen_ai.request.choice.count, gen_ai.request.stream,
        gen_ai.response.id, gen_ai.response.finish_reasons,
        gen_ai.usage.input_tokens, gen_ai.usage.output_tokens,
        gen_ai.usage.cache_read.input_tokens, gen_ai.usage.cache_creation.input_tokens,
        gen_ai.usage.reasoning.output_tokens,
        gen_ai.usage.audio.input_tokens, gen_ai.usage.audio.output_tokens
    ]

    /// A text-to-speech operation.
    ///
    /// ```
    /// use tracing_conversation::tts_span;
    ///
    /// let span = tts_span!(gen_ai.provider.name = "cartesia", voice_id = "reading-lady");
    /// span.record("text", "It is sunny.").record("metrics.character_count", 12);
    /// ```
    ///
    /// Besides the [fields of every service span](crate::llm_span#fields-of-every-service-span):
    /// `voice_id`, `text`, `language`, `metrics.character_count`, `metrics.audio_seconds`,
    /// `tts.interrupted`, `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`,
    /// `gen_ai.usage.audio.output_tokens`. `gen_ai.operation.name` is `tts` and
    /// `gen_ai.output.type` is `speech` unless given.
    tts_span "tts" [
        gen_ai.operation.name = "tts",
        gen_ai.output.type = "speech",
        voice_id, text, language, metrics.character_count, metrics.audio_seconds,
        tts.interrupted,
        gen_ai.usage.input_tokens, gen_ai.usage.output_tokens, gen_ai.usage.audio.output_tokens
    ]

    /// The execution of a tool that a model has called.
    ///
    /// ```
    /// use tracing_conversation::tool_span;
    ///
    /// let span = tool_span!(
    ///     gen_ai.tool.name = "get_weather",
    ///     gen_ai.tool.call.arguments = r#"{"city":"Graz"}"#,
    /// );
    /// span.record("gen_ai.tool.call.result", "sunny");
    /// ```
    ///
    /// Besides the [fields of every service span](crate::llm_span#fields-of-every-service-span):
    /// `gen_ai.tool.name`, `gen_ai.tool.type`, `gen_ai.tool.description`,
    /// `gen_ai.tool.call.{id, arguments, result}`. `gen_ai.operation.name` is `execute_tool`
    /// unless given.
    tool_span "tool" [
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name, gen_ai.tool.type, gen_ai.tool.description,
        gen_ai.tool.call.id, gen_ai.tool.call.arguments, gen_ai.tool.call.result
    ]

    /// An agent at work, such as a program's own handler that answers: the services that are started in it stay below it.
    ///
    /// ```
    /// use tracing_conversation::{agent_span, llm_span};
    ///
    /// agent_span!(gen_ai.agent.name = "concierge").in_scope(|| {
    ///     drop(llm_span!(gen_ai.request.model = "gpt-4o"));
    /// });
    /// ```
    ///
    /// Besides the [fields of every service span](crate::llm_span#fields-of-every-service-span):
    /// `gen_ai.agent.name`, `gen_ai.agent.id`, `gen_ai.agent.description`, `gen_ai.agent.version`, `input`, `output`.
    /// `gen_ai.operation.name` is `invoke_agent` unless given.
    agent_span "agent" [
        gen_ai.operation.name = "invoke_agent",
        gen_ai.agent.name, gen_ai.agent.id, gen_ai.agent.description, gen_ai.agent.version,
        input, output
    ]

    /// One response of a speech-to-speech service.
    ///
    /// ```
    /// use tracing_conversation::realtime_span;
    ///
    /// let span = realtime_span!(gen_ai.provider.name = "openai", voice_id = "alloy");
    /// span.record("transcript", "what is the weather") // what the user said
    ///     .record("output", "It is sunny.") // what the model says
    ///     .record("gen_ai.usage.audio.output_tokens", 31);
    /// ```
    ///
    /// It declares all [fields of `llm_span!`](crate::llm_span), and `transcript`, `is_final`,
    /// `language`, `user_id`, `voice_id`, `metrics.audio_seconds`,
    /// `gen_ai.usage.audio.cache_read.input_tokens`. `gen_ai.operation.name` is
    /// `realtime` and `gen_ai.output.type` is `speech` unless given.
    realtime_span "realtime" [
        gen_ai.operation.name = "realtime",
        gen_ai.output.type = "speech",
        transcript, is_final, language, user_id, voice_id, metrics.audio_seconds,
        input, output, tools, tool_count, tool_choice, gen_ai.system_instructions,
        gen_ai.request.temperature, gen_ai.request.top_p, gen_ai.request.top_k,
        gen_ai.request.max_tokens, gen_ai.request.seed, gen_ai.request.frequency_penalty,
        gen_ai.request.presence_penalty, gen_ai.request.stop_sequences,
        gen_ai.request.choice.count, gen_ai.request.stream,
        gen_ai.response.id, gen_ai.response.finish_reasons,
        gen_ai.usage.input_tokens, gen_ai.usage.output_tokens,
        gen_ai.usage.cache_read.input_tokens, gen_ai.usage.cache_creation.input_tokens,
        gen_ai.usage.reasoning.output_tokens,
        gen_ai.usage.audio.input_tokens, gen_ai.usage.audio.cache_read.input_tokens,
        gen_ai.usage.audio.output_tokens
    ]
}
