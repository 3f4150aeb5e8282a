//! The voice agent in every environment that says where its traces go. A test program of its own, run when no other does: a dozen
//! agents at once take the time of those that are measured.

#[path = "../../../tests/programs/mod.rs"]
mod programs;

use programs::{View, command, heeds_every_variable};

#[test]
fn every_variable_is_heeded() {
    let program = || {
        let mut program = command(env!("CARGO_BIN_EXE_voice_agent"));
        program.arg("--fast").current_dir(std::env::temp_dir());
        for (name, _) in std::env::vars() {
            if name.ends_with("_API_KEY") || name == "OPENAI_BASE_URL" {
                program.env_remove(name);
            }
        }
        program
    };
    heeds_every_variable(program, View::Tree);
}
