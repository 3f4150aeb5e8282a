//! Timelines of the replay example.
#![no_main]

#[path = "../../tests/behaviour/fuzzed/checks.rs"]
mod checks;
#[path = "../../tests/behaviour/fuzzed/timelines.rs"]
mod timelines;
#[path = "../../tests/behaviour/fuzzed/kept_stage.rs"]
mod kept_stage;
#[path = "../../tests/stage/mod.rs"]
mod stage;

libfuzzer_sys::fuzz_target!(|data: &[u8]| timelines::run(data));
