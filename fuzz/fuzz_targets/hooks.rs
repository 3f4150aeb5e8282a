//! Calls of `tracing`, of handles and of the clock, in any order.
#![no_main]

#[path = "../../tests/behaviour/fuzzed/checks.rs"]
mod checks;
#[path = "../../tests/behaviour/fuzzed/hooks.rs"]
mod hooks;
#[path = "../../tests/behaviour/fuzzed/kept_stage.rs"]
mod kept_stage;
#[path = "../../tests/stage/mod.rs"]
mod stage;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hooks::run(data));
