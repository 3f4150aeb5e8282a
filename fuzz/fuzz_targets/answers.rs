//! What servers answer over HTTP and gRPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracing_conversation::fuzzed::answer(data));
