//! Values of environment variables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracing_conversation::fuzzed::environment(data));
