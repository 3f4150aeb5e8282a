//! An agent of rig and the program's own names, adopted by the rules that existing_app has as well.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../../../tests/programs/mod.rs"]
mod programs;

use programs::{View, command, heeds_every_variable, tree};
use std::process::Command;

fn program() -> Command {
    command(env!("CARGO_BIN_EXE_rig_agent"))
}

const SHOWN: &[&str] = &[
    "line",
    "turn.number",
    "turn.end_reason",
    "gen_ai.operation.name",
    "transcript",
    "gen_ai.request.model",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.tool.name",
    "text",
];

#[test]
fn spans_of_rig_and_of_the_program_become_a_conversation() {
    let output = program()
        .env("OTEL_CONSOLE_EXPORT", "json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        tree(&printed, SHOWN),
        [
            "conversation line=7",
            "  turn turn.number=1 turn.end_reason=user_spoke",
            "    recognize turn.number=1 gen_ai.operation.name=stt transcript=Is there a table at noon?",
            "    chat turn.number=1 gen_ai.operation.name=invoke_agent",
            "      chat turn.number=1 gen_ai.operation.name=chat gen_ai.request.model=mock-model \
             gen_ai.usage.output_tokens=40 gen_ai.usage.reasoning.output_tokens=24",
            "      execute_tool turn.number=1 gen_ai.operation.name=execute_tool gen_ai.tool.name=free_table",
            "      chat turn.number=1 gen_ai.operation.name=chat gen_ai.request.model=mock-model \
             gen_ai.usage.output_tokens=12 gen_ai.usage.reasoning.output_tokens=0",
            "    synthesize turn.number=1 gen_ai.operation.name=tts text=Yes, the one by the window.",
            "  turn turn.number=2 turn.end_reason=conversation_ended",
            "    recognize turn.number=2 gen_ai.operation.name=stt transcript=And what is for lunch?",
            "    complete turn.number=2 gen_ai.operation.name=chat gen_ai.request.model=small-1 \
             gen_ai.usage.output_tokens=3",
            "      look_up_menu turn.number=2 gen_ai.operation.name=execute_tool gen_ai.tool.name=menu",
            "    synthesize turn.number=2 gen_ai.operation.name=tts text=There is risotto.",
        ]
    );
    // Every rule of the file has matched here, as it has in existing_app.
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn every_variable_is_heeded() {
    heeds_every_variable(program, View::Tree);
}
