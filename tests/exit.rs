//! Ways in which a process ends: this program is its own child, and `main` is its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[cfg(feature = "http")]
#[path = "support/mod.rs"]
mod support;
#[cfg(feature = "http")]
#[path = "talk/mod.rs"]
mod talk;

#[cfg(not(feature = "http"))]
fn main() {}

#[cfg(feature = "http")]
fn main() -> std::process::ExitCode {
    match std::env::var("ENDING") {
        Ok(ending) => child::main(&ending),
        Err(_) => {
            parent::main();
            std::process::ExitCode::SUCCESS
        }
    }
}

#[cfg(feature = "http")]
mod child {
    use std::{process::ExitCode, thread, time::Duration};

    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};

    use crate::{confide, hostile, support::PATIENCE, talk::talk};

    pub fn main(ending: &str) -> ExitCode {
        if ending == "explicit" {
            let telemetry = tracing_conversation::Telemetry::builder()
                .headers([("x-explicit", "1")])
                .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
                .build()
                .unwrap();
            let tracer = telemetry.provider().tracer("test");
            tracer.start("span").end();
            telemetry.shutdown().unwrap();
            return ExitCode::SUCCESS;
        }
        let telemetry = match tracing_conversation::init() {
            Ok(telemetry) => telemetry,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let _conversation = talk();
        match ending {
            "return" => return ExitCode::SUCCESS,
            "chatter" => {
                for _ in 0..5000 {
                    drop(tracing::info_span!(
                        "chatter",
                        words = "and so on and so forth"
                    ));
                }
                return ExitCode::SUCCESS;
            }
            "killed" => {
                for number in 1.. {
                    drop(tracing::info_span!("numbered"));
                    println!("{number}");
                    thread::sleep(Duration::from_millis(5));
                }
            }
            "hostile" => {
                hostile();
                return ExitCode::SUCCESS;
            }
            "confiding" => {
                confide();
                return ExitCode::SUCCESS;
            }
            "panic" => panic!("as this test wants it"),
            // With the telemetry in a task of a runtime that is shut down at the end of `main`.
            "task" => {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.spawn(async move {
                    std::future::pending::<()>().await;
                    drop(telemetry);
                });
                thread::sleep(Duration::from_millis(50));
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
        telemetry.exit_on_signal().unwrap();
        println!("ready");
        thread::sleep(PATIENCE);
        unreachable!("no signal came");
    }
}

/// What a user may say: sets the clipboard, clears the screen, goes back in the line, turns it round.
#[cfg(feature = "http")]
const HOSTILE: &str = "harmless\u{1b}]52;c;aGk=\u{7}\r\u{9b}2J\u{1b}[31m\u{202e}\u{2066}\u{200f}\u{8}\u{85}\u{9d}0;title\u{9c}";

/// The same, percent-encoded where it has to be, as key and value.
#[cfg(all(feature = "console", feature = "http"))]
const HOSTILE_ATTRIBUTES: &str = "harmless%1b]0;%07%c2%9b31m=%1b[2J%0d%e2%80%ae";

/// Whether a terminal may act on it.
#[cfg(feature = "http")]
fn drives(character: char) -> bool {
    let reorders = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    character.is_control() && !"\n\t".contains(character) || reorders.contains(character)
}

/// Says it wherever a text can go.
#[cfg(feature = "http")]
fn hostile() {
    use tracing::{info, info_span, warn};
    let call = info_span!(
        "conversation",
        conversation.id = HOSTILE,
        customer = HOSTILE
    );
    let _in = call.enter();
    info!(conversation.event = "user_started_speaking");
    let span = info_span!(
        "renamed",
        otel.name = HOSTILE,
        otel.status_code = "ERROR",
        otel.status_description = HOSTILE,
        note = HOSTILE
    );
    span.in_scope(
        || warn!(text = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "said {HOSTILE}"),
    );
    let llm = info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.request.model = HOSTILE,
        input = HOSTILE,
        output = HOSTILE
    );
    llm.in_scope(|| {
        info!("{HOSTILE}");
        info!(conversation.event = "first_byte");
        info!(conversation.event = "annotate", note = HOSTILE);
    });
    drop(llm);
    if let Some(conversation) = tracing_conversation::Conversation::current() {
        conversation.set_attribute(HOSTILE, HOSTILE);
        conversation.set_turn_attribute(HOSTILE, HOSTILE);
    }
    let tool = info_span!(
        "tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = HOSTILE,
        gen_ai.tool.call.result = HOSTILE
    );
    let error = std::io::Error::other(HOSTILE);
    tool.in_scope(|| tracing::error!(error = &error as &dyn std::error::Error, "{error}"));
    tool.record("gen_ai.tool.call.result", HOSTILE);
    drop(tool);
    info_span!("stt", gen_ai.operation.name = HOSTILE, transcript = HOSTILE);
    info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        conversation.id = HOSTILE
    );
    info!(conversation.event = HOSTILE, conversation.id = HOSTILE);
    info!(conversation.event = "conversation_ended", reason = HOSTILE);
    let late = info_span!(
        "chat",
        gen_ai.operation.name = "chat",
        error = HOSTILE,
        turn.number = HOSTILE
    );
    drop(late);
}

/// What is nobody else's business.
#[cfg(feature = "http")]
const CONFIDED: &str = "c0nf1ded";

/// Says it wherever a program may put what users say, and nowhere else; in messages at a level that is not logged.
#[cfg(feature = "http")]
fn confide() {
    use opentelemetry::trace::{Span as _, Status, Tracer as _};
    use tracing::{error, info, info_span, trace};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    const WORDS: &str = CONFIDED;
    let error = std::io::Error::other(WORDS);
    let error: &dyn std::error::Error = &error;
    let call = info_span!("conversation", conversation.id = "call-2", note = WORDS, noted = ?WORDS);
    let _in = call.enter();
    info!(
        conversation.event = "user_started_speaking",
        text_heard = WORDS,
        other = WORDS
    );
    info!(
        conversation.event = "user_stopped_speaking",
        partial_transcript = WORDS
    );
    let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = WORDS, alternatives = ?[WORDS], best = %WORDS);
    stt.in_scope(|| trace!(partial = WORDS, "heard {WORDS}"));
    drop(stt);
    let llm = info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.request.model = "m",
        input = WORDS,
        output = WORDS,
        tools = WORDS,
        gen_ai.system_instructions = WORDS,
        gen_ai.input.messages = WORDS,
        gen_ai.output.messages = WORDS,
        gen_ai.request.stop_sequences = WORDS,
        user.message = WORDS,
        "llm.input_messages.0.message.content" = WORDS,
        otel.status_code = "ERROR",
        otel.status_description = WORDS,
        error = WORDS,
    );
    llm.in_scope(|| {
        info!(conversation.event = "first_byte", said = WORDS);
        info!(conversation.event = "annotate", note = WORDS);
        let request = info_span!(
            "POST",
            http.request.body = WORDS,
            http.request.header.authorization = WORDS,
            url.full = WORDS,
            url.query = WORDS,
            db.query.text = WORDS,
            log.record.original = WORDS,
            code.stacktrace = WORDS,
            metrics.note = WORDS,
            service.note = WORDS,
            exception.message = WORDS,
        );
        request.in_scope(|| {
            trace!(body = WORDS, code.stacktrace = WORDS, "{WORDS}");
            trace!(error, "{error}");
            error!(error, "failed");
            error!(exception.message = WORDS, exception.stacktrace = WORDS, err = %error, cause = ?error);
        });
        request.add_event(WORDS.to_owned(), vec![opentelemetry::KeyValue::new("message", WORDS)]);
        request.set_status(Status::error(WORDS));
        request.set_attribute("body", WORDS);
    });
    drop(llm);
    let tool = info_span!(
        "tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = "weather",
        gen_ai.tool.call.arguments = WORDS,
        gen_ai.tool.call.result = WORDS,
        gen_ai.tool.description = WORDS
    );
    tool.in_scope(|| error!(error, "failed"));
    drop(tool);
    drop(info_span!(
        "tts",
        gen_ai.operation.name = "tts",
        text = WORDS,
        ssml = WORDS
    ));
    if let Some(conversation) = tracing_conversation::Conversation::current() {
        conversation.set_attribute("note", WORDS);
        conversation.set_turn_attribute("mood", WORDS);
    }
    // Outside of any conversation.
    drop(_in);
    let mut span = opentelemetry::global::tracer("other").start("own");
    span.set_attribute(opentelemetry::KeyValue::new("body", WORDS));
    span.record_error(error);
    span.end();
    info_span!("work", payload = WORDS).in_scope(|| trace!(error, payload = WORDS, "{WORDS}"));
    info!(
        conversation.event = "no such event",
        conversation.id = "call-2",
        said = WORDS
    );
    info!(
        conversation.event = "conversation_ended",
        conversation.id = "call-2",
        reason = WORDS
    );
}

#[cfg(feature = "http")]
mod parent {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Output, Stdio},
        time::{Duration, Instant},
    };

    #[cfg(feature = "console")]
    use crate::HOSTILE_ATTRIBUTES;
    use crate::{
        CONFIDED, HOSTILE, drives,
        support::{PATIENCE, Reply, Server},
        talk,
    };

    /// Each of these is a promise; a broken one panics and with it the process fails.
    pub fn main() {
        for (ending, code) in [("return", 0), ("panic", 101), ("task", 0)] {
            let server = Server::start();
            let output = spawn(ending, &server.url(), &[])
                .wait_with_output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{ending}: {}",
                errors(&output)
            );
            assert_eq!(server.names(), talk::SPANS, "{ending}: {}", errors(&output));
            println!("every span arrives when the process ends by {ending} ... ok");
        }
        #[cfg(unix)]
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let server = Server::start();
            let mut child = spawn("signal", &server.url(), &[]);
            let mut ready = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut ready)
                .unwrap();
            assert_eq!(ready, "ready\n");
            let sent = Command::new("kill")
                .args(["-s", signal, &child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
            let output = child.wait_with_output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "SIG{signal}: {}",
                errors(&output)
            );
            assert_eq!(server.names(), talk::SPANS);
            println!("every span arrives when SIG{signal} ends the process ... ok");
        }
        #[cfg(unix)]
        {
            let server = Server::start();
            server.reply([Reply::Hang]);
            // The one request is that of the shutdown.
            let delay = [("OTEL_BSP_SCHEDULE_DELAY", "600000")];
            let mut child = spawn("signal", &server.url(), &delay);
            let mut ready = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut ready)
                .unwrap();
            let begun = Instant::now();
            for signal in ["TERM", "INT"] {
                let sent = Command::new("kill")
                    .args(["-s", signal, &child.id().to_string()])
                    .status();
                assert!(sent.unwrap().success());
                server.wait_for_requests(1);
            }
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
            // The shutdown alone would wait for the collector for 4.75 s.
            assert!(
                begun.elapsed() < Duration::from_secs(4),
                "{:?}",
                begun.elapsed()
            );
            println!("a second signal ends the process at once ... ok");
        }
        // What nothing can prevent is measured: how old the spans are that a kill loses.
        {
            let server = Server::start();
            let mut child = spawn("killed", &server.url(), &[]);
            let mut made = 0;
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                made = line.unwrap().parse().unwrap();
                if made == 300 {
                    child.kill().unwrap();
                }
            }
            child.wait().unwrap();
            let names = server.names();
            let arrived = names.iter().filter(|name| *name == "numbered").count();
            assert!((1..=made).contains(&arrived), "{arrived} of {made}");
            let lost = 5 * (made - arrived);
            println!("a kill loses the spans of the last {lost} ms ... ok");
        }
        // Standard output that nobody reads, and that somebody stops reading: OTLP does not notice.
        #[cfg(feature = "console")]
        for view in ["json", "true", "tree"] {
            for closed in [false, true] {
                let server = Server::start();
                let mut child = spawn("chatter", &server.url(), &[("OTEL_CONSOLE_EXPORT", view)]);
                if closed {
                    drop(child.stdout.take());
                }
                let stdout = child.stdout.take();
                let output = child.wait_with_output().unwrap();
                drop(stdout);
                assert_eq!(output.status.code(), Some(0), "{view}: {}", errors(&output));
                assert!(
                    !errors(&output).contains("panicked"),
                    "{view}: {}",
                    errors(&output)
                );
                assert_eq!(server.names().len(), 5004, "{view}: {}", errors(&output));
            }
            println!("a {view} console that nobody reads holds nothing up ... ok");
        }
        #[cfg(feature = "console")]
        for view in ["json", "true", "tree"] {
            for capture in ["true", "false"] {
                let variables = [
                    ("OTEL_CONSOLE_EXPORT", view),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
                    (
                        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
                        capture,
                    ),
                    ("RUST_LOG", "info"),
                    ("OTEL_SERVICE_NAME", HOSTILE),
                    ("OTEL_RESOURCE_ATTRIBUTES", HOSTILE_ATTRIBUTES),
                    ("CONVERSATION_DOCTOR", "1"),
                    #[cfg(feature = "rules")]
                    ("CONVERSATION_RULES_DEBUG", "1"),
                    #[cfg(feature = "metrics")]
                    ("OTEL_METRICS_EXPORTER", "console"),
                ];
                let output = spawn("hostile", "", &variables).wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
                for bytes in [&output.stdout, &output.stderr] {
                    let text = std::str::from_utf8(bytes).unwrap();
                    assert!(text.contains("harmless"), "{view}, {capture}: {text:?}");
                    assert!(!text.contains(drives), "{view}, {capture}: {text:?}");
                }
            }
            println!("no text drives a terminal through the log or a {view} console ... ok");
        }
        // A server's words are no better than a user's.
        let server = Server::start();
        let refusal = Reply::Status("400 Bad Request", "", HOSTILE.as_bytes());
        server.reply(std::iter::repeat_n(refusal, 100));
        let output = spawn("return", &server.url(), &[("CONVERSATION_DOCTOR", "1")])
            .wait_with_output()
            .unwrap();
        let said = errors(&output);
        assert!(said.contains("spans lost"), "{said:?}");
        assert!(!said.contains(drives), "{said:?}");
        println!("no answer of a server drives a terminal ... ok");
        let views = [
            ("off", "http/protobuf"),
            #[cfg(feature = "console")]
            ("json", "http/json"),
            #[cfg(feature = "console")]
            ("true", "http/json"),
            #[cfg(feature = "console")]
            ("tree", "http/json"),
        ];
        for (view, protocol) in views {
            let server = Server::start();
            let variables = [
                ("OTEL_CONSOLE_EXPORT", view),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                (
                    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
                    "false",
                ),
                (
                    "CONVERSATION_PROFILE",
                    "pipecat,langfuse,openinference,langsmith,opik",
                ),
                ("RUST_LOG", "debug"),
                ("CONVERSATION_DOCTOR", "1"),
                #[cfg(feature = "rules")]
                ("CONVERSATION_RULES_DEBUG", "1"),
                #[cfg(all(feature = "metrics", feature = "console"))]
                ("OTEL_METRICS_EXPORTER", "console,otlp"),
            ];
            let output = spawn("confiding", &server.url(), &variables)
                .wait_with_output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
            let requests = server.requests();
            assert!(
                requests
                    .iter()
                    .any(|request| format!("{request:?}").contains("call-2"))
            );
            for place in [
                format!("{requests:?}"),
                errors(&output),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            ] {
                let leaks: Vec<&str> = place
                    .match_indices(CONFIDED)
                    .map(|(at, _)| {
                        place[..at]
                            .char_indices()
                            .rev()
                            .nth(80)
                            .map_or(0, |(start, _)| start)..at
                    })
                    .map(|before| &place[before])
                    .collect();
                assert!(leaks.is_empty(), "{view}, {protocol}: {leaks:#?}");
            }
            println!(
                "no word leaves over {protocol} with the console {view} and capture off ... ok"
            );
        }
        // Nobody listens: the end comes all the same, and says what was lost.
        let begun = Instant::now();
        let output = spawn("return", "http://127.0.0.1:1", &[])
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
        let said = errors(&output);
        assert!(said.contains("telemetry is incomplete"), "{said}");
        assert!(
            said.contains("http://127.0.0.1:1/v1/traces: 4 spans lost"),
            "{said}"
        );
        println!("an end without a collector comes in time and says what is lost ... ok");

        // opentelemetry-otlp reads the environment by itself: of that nothing leaves.
        let server = Server::start();
        let variables = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-environment=1"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ];
        let output = spawn("explicit", &server.url(), &variables)
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let headers = &server.requests()[0].headers;
        assert_eq!(headers.get("x-explicit").map(String::as_str), Some("1"));
        assert_eq!(headers.get("x-environment"), None);
        assert_eq!(headers.get("content-encoding"), None);
        println!("a program's settings stand in front of the environment ... ok");

        let wrong = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grcp")];
        let output = spawn("return", "http://127.0.0.1:1", &wrong)
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            errors(&output),
            "OTEL_EXPORTER_OTLP_PROTOCOL=\"grcp\" cannot be used: allowed is grpc, http/protobuf, http/json\n"
        );
        println!("a wrong setting is returned in one line ... ok");
    }

    fn spawn(ending: &str, endpoint: &str, more: &[(&str, &str)]) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .env("ENDING", ending)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("RUST_LOG", "warn")
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn errors(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
