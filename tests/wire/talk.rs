//! Has a few conversations and exports them as the environment says, for `tests/wire/run`.

#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use tracing::{error, info, info_span};

fn main() -> ExitCode {
    let telemetry = match tracing_conversation::init() {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    for call in 1..=3 {
        converse(&format!("call-{call}"));
    }
    match telemetry.shutdown() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn converse(id: &str) {
    let conversation = info_span!(
        "conversation",
        conversation.id = id,
        customer.tier = "premium",
        attempt = 2_u64
    );
    let _entered = conversation.enter();
    info!(conversation.event = "client_connected");
    for turn in 1..=3 {
        info!(conversation.event = "user_started_speaking");
        info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            transcript = "Grüezi, 天気は?",
            is_final = true
        )
        .in_scope(|| info!(conversation.event = "first_byte"));
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.2
        );
        info!(conversation.event = "user_stopped_speaking");
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai",
            gen_ai.request.model = "gpt-4o",
            gen_ai.request.temperature = 0.5,
            gen_ai.usage.input_tokens = 42_u64,
            gen_ai.usage.output_tokens = 7_usize,
            input = r#"[{"role":"user","content":"天気は?"}]"#,
            output = "Sunny.",
            otel.status_code = tracing::field::Empty,
        );
        llm.in_scope(|| {
            info!(conversation.event = "first_byte");
            info_span!("POST /v1/chat", http.response.status_code = 200_u16)
                .in_scope(|| info!("answered"));
            if turn == 3 {
                error!(exception.message = "cut off", "the model failed");
                llm.record("otel.status_code", "ERROR");
            }
        });
        info_span!(
            "tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = "weather",
            gen_ai.tool.type = "function"
        )
        .in_scope(|| ());
        info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            text = "Sunny.",
            voice_id = "nova"
        )
        .in_scope(|| info!(conversation.event = "first_byte"));
        info!(conversation.event = "bot_started_speaking");
        info!(conversation.event = "bot_stopped_speaking");
    }
    info!(conversation.event = "conversation_ended");
}
