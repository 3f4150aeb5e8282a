// Uses tracing-conversation where the program has it: a destination over HTTPS where that is built in, plain otherwise.
#[cfg(feature = "with")]
fn use_tracing_conversation() {
    let tls = cfg!(any(feature = "with-tls", feature = "with-tls-ring", feature = "with-tls-native"));
    let url = if tls { "https://127.0.0.1:1" } else { "http://127.0.0.1:1" };
    let telemetry = tracing_conversation::Telemetry::builder()
        .endpoint(url)
        .build()
        .expect("settings that can be used");
    telemetry.shutdown().expect("nothing to send");
}

#[cfg(not(feature = "with"))]
fn use_tracing_conversation() {}
