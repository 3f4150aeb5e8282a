//! The program's names, adopted by rules, give the tree that the contract's own names would; and it heeds the environment.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../../../tests/programs/mod.rs"]
mod programs;

use programs::{View, command, heeds_every_variable, tree};
use std::process::Command;

fn program() -> Command {
    command(env!("CARGO_BIN_EXE_existing_app"))
}

const SHOWN: &[&str] = &[
    "conversation.id",
    "line",
    "turn.number",
    "turn.end_reason",
    "transcript",
    "gen_ai.request.model",
    "gen_ai.usage.output_tokens",
    "output",
    "gen_ai.tool.name",
    "gen_ai.tool.call.result",
    "text",
    "path",
];

#[test]
fn names_of_the_program_become_a_conversation() {
    let output = program()
        .env("OTEL_CONSOLE_EXPORT", "json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        tree(&printed, SHOWN),
        [
            "request path=/call",
            "conversation conversation.id=CA42 line=7",
            "  turn conversation.id=CA42 turn.number=1 turn.end_reason=user_spoke",
            "    recognize conversation.id=CA42 turn.number=1 transcript=What is for lunch?",
            "    complete conversation.id=CA42 turn.number=1 gen_ai.request.model=small-1 \
             gen_ai.usage.output_tokens=3 output=There is risotto.",
            "      look_up_menu conversation.id=CA42 turn.number=1 gen_ai.tool.name=menu \
             gen_ai.tool.call.result=risotto",
            "        request path=/menu",
            "    synthesize conversation.id=CA42 turn.number=1 text=There is risotto.",
            "  turn conversation.id=CA42 turn.number=2 turn.end_reason=conversation_ended",
            "    recognize conversation.id=CA42 turn.number=2 transcript=I take that.",
            "    complete conversation.id=CA42 turn.number=2 gen_ai.request.model=small-1 \
             gen_ai.usage.output_tokens=5 output=It is on its way.",
            "    synthesize conversation.id=CA42 turn.number=2 text=It is on its way.",
        ]
    );
    // No rule was without a match, which would be complained of.
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn every_variable_is_heeded() {
    heeds_every_variable(program, View::Tree);
}

#[test]
fn change_that_adds_this_crate_is_under_ten_lines_and_shown_in_the_readme() {
    let source = include_str!("../src/telemetry.rs").lines().map(str::trim);
    let change: Vec<String> = source
        .filter_map(|line| {
            let added = line.strip_suffix("// +").map(|line| format!("+{line}"));
            added.or_else(|| line.strip_prefix("// - ").map(|line| format!("-{line}")))
        })
        .map(|line| line.trim_end().to_owned())
        .collect();
    assert!(change.len() < 10, "{change:?}");

    let readme = include_str!("../../../README.md");
    let diffs = readme.split("```diff\n").skip(1);
    let mut diffs = diffs.map(|rest| rest.split("```").next().unwrap());
    let shown = diffs
        .find(|diff| diff.contains("Rules::from_path"))
        .unwrap();
    let without_indent = |line: &str| line[..1].to_owned() + line[1..].trim();
    let shown: Vec<String> = shown.lines().map(without_indent).collect();
    assert_eq!(shown, change);
}
