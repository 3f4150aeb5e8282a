//! The doctor: what it finds, as text, and what a program is advised of once.

use crate::examples::command;
use crate::support::{Reply, Server, spans};
use std::fmt::Debug;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber, info, info_span};
use tracing_conversation::{Builder, ContentPolicy, Protocol, Telemetry};
use tracing_subscriber::layer::Context;
use tracing_subscriber::{EnvFilter, Layer, prelude::*};

/// Runs `program` with the layer alone in a registry, and returns what the doctor finds then.
fn check(telemetry: &Telemetry, program: impl FnOnce()) -> String {
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(telemetry.layer()));
    tracing::dispatcher::with_default(&subscriber, program);
    text(telemetry)
}

/// What the doctor says, without what changes from run to run: times, and the callsites of other tests of the process.
fn text(telemetry: &Telemetry) -> String {
    let text = telemetry.check().to_string();
    let lines = text.split_inclusive('\n');
    let lines = lines.map(|line| match line.split_once("of conversations; ") {
        Some((_, rest)) => format!("seen           … callsites; {rest}"),
        None => without_time(line),
    });
    lines.collect()
}

/// `after 3 ms` as `after … ms`
fn without_time(line: &str) -> String {
    match line.rsplit_once(" ms").and_then(|(before, after)| {
        let (before, figure) = before.rsplit_once(' ')?;
        figure.parse::<u64>().ok()?;
        Some(format!("{before} … ms{after}"))
    }) {
        Some(line) => line,
        None => line.to_owned(),
    }
}

fn to(server: &Server) -> Builder {
    Telemetry::builder()
        .endpoint(server.url())
        // What is delivered by now is up to the machine: nothing is, before it is asked for.
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000")
}

fn listen_and_answer() {
    info!(conversation.event = "user_started_speaking");
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.2
    );
    info_span!("llm", gen_ai.operation.name = "chat").in_scope(|| ());
    info!(conversation.event = "bot_started_speaking");
}

fn call(id: &str, program: impl FnOnce()) {
    info_span!("conversation", conversation.id = id).in_scope(program);
}

#[test]
fn healthy_program_has_nothing_wrong() {
    let server = Server::start();
    let telemetry = to(&server).build().unwrap();
    let found = check(&telemetry, || call("call-1", listen_and_answer));
    let url = server.url();
    assert_eq!(
        found,
        format!(
            "\
spans go to    {url}/v1/traces (http/protobuf), which takes spans: it answered in … ms
delivered      0 spans exported, 3 waiting, 0 lost
seen           … callsites; 1 conversation (0 open), 1 turn ended, 1 service
refused        0 events of an unknown name, 0 outside of any conversation, 0 after its end
levels         ordinary spans and events from INFO upwards, those of conversations at any; compiled in up to TRACE
sampled        AlwaysOn, or as a remote parent is
content        exported
nothing is wrong"
        )
    );
    let probes = server.requests();
    assert_eq!(probes.len(), 1);
    assert_eq!(spans(&probes[0].body).count(), 0);
}

#[test]
fn everything_that_is_wrong_is_said_with_its_remedy() {
    let telemetry = Telemetry::builder()
        // Nothing listens on this port.
        .endpoint("http://127.0.0.1:9")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .variable("OTEL_TRACES_SAMPLER_ARG", "0.5")
        .content(ContentPolicy::default().with_capture(false))
        .shutdown_timeout(std::time::Duration::ZERO)
        .build()
        .unwrap();
    let found = check(&telemetry, || {
        info!(conversation.event = "user_started_speaking");
        call("call-1", || {
            info!(conversation.event = "user_started_singing");
            for _ in 0..2 {
                info_span!("answer").in_scope(|| {
                    info_span!("llm", gen_ai.operation.name = "chat").in_scope(|| ());
                });
            }
        });
        info!(
            conversation.event = "bot_stopped_speaking",
            conversation.id = "call-1"
        );
    });
    let found = found
        .lines()
        // Half of all traces are dropped, and what is said of the connection is the system's.
        .filter(|line| !line.starts_with("delivered"))
        .map(|line| match (line.find("tcp"), line.find("111)")) {
            (Some(from), Some(to)) => format!("{}refused{}", &line[..from], &line[to + 4..]),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>();
    let expected = "\
spans go to    http://127.0.0.1:9/v1/traces (http/protobuf), which does not take them: client error (Connect): refused after … ms
seen           … callsites; 1 conversation (0 open), 1 turn ended, 2 services
refused        1 event of an unknown name, 1 outside of any conversation, 1 after its end
levels         ordinary spans and events from INFO upwards, those of conversations at any; compiled in up to TRACE
sampled        TraceIdRatioBased(0.5), or as a remote parent is
content        withheld
- http://127.0.0.1:9/v1/traces does not take spans (client error (Connect): refused): start a collector there, correct OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL or _HEADERS, or set OTEL_CONSOLE_EXPORT=tree to see turns in the terminal
- 1 event of an unknown conversation.event: names::event lists those that are known
- 1 event outside of any conversation: run the code in the conversation's span (`.instrument(span)`, in spawned tasks `.in_current_span()`), or put `conversation.id` on the event
- 1 event for a conversation that has ended: emit conversation_ended later, or conversation_started to open it anew
- not every conversation is sampled: OTEL_TRACES_SAMPLER=parentbased_always_on keeps all
- transcripts, prompts and answers are withheld: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true exports them, if the program's ContentPolicy does
- 2 services started in the span `answer` were moved out of it to the turn: to keep them below it, give it `gen_ai.operation.name = \"invoke_agent\"`, by field, rule or `#[traced_agent]`";
    assert_eq!(found.join("\n"), expected);
}

/// The findings alone.
fn findings(telemetry: &Telemetry) -> String {
    telemetry.check().findings().join("\n")
}

#[test]
fn what_hides_everything_is_found() {
    let off = Telemetry::builder()
        .variable("OTEL_SDK_DISABLED", "true")
        .build()
        .unwrap();
    assert!(
        findings(&off).starts_with("telemetry is off: unset OTEL_SDK_DISABLED"),
        "{}",
        findings(&off)
    );

    let server = Server::start();
    let telemetry = to(&server).build().unwrap();
    let nowhere = "the layer is in no registry: add `telemetry.layer()` to yours and install that, or call `init`\n\
         no conversation was seen: open a span named `conversation` with the field `conversation.id`; \
         docs/i-see-nothing.md has more";
    assert_eq!(findings(&telemetry), nowhere);

    // As with `registry().with(EnvFilter::new("my_program=info"))`.
    let subscriber = Dispatch::new(
        tracing_subscriber::registry()
            .with(EnvFilter::new("another_program=info"))
            .with(telemetry.layer()),
    );
    tracing::dispatcher::with_default(&subscriber, || call("call-1", listen_and_answer));
    assert!(
        findings(&telemetry).starts_with("a filter on the whole registry hides"),
        "{}",
        findings(&telemetry)
    );

    let second = to(&server).build().unwrap();
    let subscriber = Dispatch::new(
        tracing_subscriber::registry()
            .with(telemetry.layer())
            .with(second.layer()),
    );
    tracing::dispatcher::with_default(&subscriber, || call("call-1", listen_and_answer));
    let all = findings(&telemetry) + &findings(&second);
    assert!(
        all.contains("a second layer keeps OpenTelemetry spans"),
        "{all}"
    );
}

#[test]
fn endpoint_that_refuses_or_hangs_is_named_with_what_it_says() {
    let server = Server::start();
    server.reply([
        Reply::Status("401 Unauthorized", "", b"no such key"),
        Reply::Hang,
    ]);
    let telemetry = to(&server)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
        .build()
        .unwrap();
    let refused = findings(&telemetry);
    assert!(refused.contains("401 Unauthorized"), "{refused}");
    let hung = findings(&telemetry);
    assert!(hung.contains("(no answer within 200ms)"), "{hung}");
}

/// A server that does with each connection what `act` does.
fn peer(act: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(act));
    address.to_string()
}

#[test]
fn endpoint_of_another_kind_is_found_in_bounded_time() {
    let kept = Mutex::new(Vec::new());
    let peers = [
        (
            "nonsense",
            peer(|mut stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"))),
        ),
        ("nonsense after the request", {
            let server = Server::start();
            server.reply_always(Some(Reply::Garbage(b"\0\xff\r\n\r\n")));
            format!("127.0.0.1:{}", server.port())
        }),
        ("reset", peer(drop)),
        (
            "silence",
            peer(move |stream| kept.lock().unwrap().push(stream)),
        ),
    ];
    // Spoken with TLS to one that speaks none.
    let tls = format!("https://127.0.0.1:{}", Server::start().port());
    let urls = peers.map(|(kind, address)| (kind, format!("http://{address}")));
    for protocol in [
        Protocol::HttpProtobuf,
        Protocol::HttpJson,
        #[cfg(feature = "grpc")]
        Protocol::Grpc,
    ] {
        for (kind, url) in urls.iter().chain([&("no TLS", tls.clone())]) {
            let telemetry = Telemetry::builder()
                .endpoint(url)
                .protocol(protocol)
                .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
                .build()
                .unwrap();
            let asked = Instant::now();
            let diagnosis = telemetry.check();
            // The probe gives up after twice two seconds; the rest is for a machine that is busy.
            assert!(
                asked.elapsed() < Duration::from_secs(30),
                "{protocol:?} to {kind}"
            );
            let found = diagnosis.findings().first().cloned().unwrap_or_default();
            assert!(
                found.starts_with(url) && found.contains(" does not take spans ("),
                "{protocol:?} to {kind}: {diagnosis}"
            );
            assert!(
                found.contains("start a collector there, correct OTEL_EXPORTER_OTLP_ENDPOINT"),
                "{found}"
            );
        }
    }
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_endpoint_is_asked_and_one_of_the_other_protocol_is_found() {
    let (url, _service) = crate::delivery::grpc::start();
    let over = |url: &str, protocol| {
        Telemetry::builder()
            .endpoint(url)
            .protocol(protocol)
            .build()
            .unwrap()
    };
    let telemetry = over(&url, Protocol::Grpc);
    let found = check(&telemetry, || call("call-1", listen_and_answer));
    assert!(
        found.starts_with(&format!(
            "spans go to    {url} (grpc), which takes spans: it answered in … ms\n"
        )),
        "{found}"
    );
    assert!(found.ends_with("nothing is wrong"), "{found}");

    let http = Server::start().url();
    for (url, protocol) in [(&url, Protocol::HttpProtobuf), (&http, Protocol::Grpc)] {
        let found = findings(&over(url, protocol));
        assert!(
            found.contains(" does not take spans ("),
            "{protocol:?}: {found}"
        );
    }
}

#[cfg(feature = "metrics")]
#[test]
fn endpoint_of_metrics_is_asked_too() {
    let server = Server::start();
    let telemetry = to(&server)
        .variable("OTEL_METRICS_EXPORTER", "otlp")
        .build()
        .unwrap();
    let found = check(&telemetry, || call("call-1", listen_and_answer));
    let url = server.url();
    let line = format!(
        "metrics go to  {url}/v1/metrics (http/protobuf), which takes metrics: it answered in … ms\n"
    );
    assert!(found.contains(&line), "{found}");
    assert!(found.ends_with("nothing is wrong"), "{found}");
    let asked: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(asked, ["/v1/traces", "/v1/metrics"]);

    // As trace backends answer.
    server.reply([Reply::Take, Reply::Status("404 Not Found", "", b"")]);
    let found = findings(&telemetry);
    assert!(
        found.starts_with(&format!(
            "{url}/v1/metrics does not take metrics (404 Not Found"
        )),
        "{found}"
    );
    assert!(found.contains("unset OTEL_METRICS_EXPORTER"), "{found}");
}

#[test]
fn handler_of_the_whole_session_is_not_advised_to_be_an_agent() {
    let server = Server::start();
    let telemetry = to(&server).build().unwrap();
    let found = check(&telemetry, || {
        call("call-1", || {
            let task = info_span!("llm_task");
            for _ in 0..3 {
                listen_and_answer();
                task.in_scope(|| {
                    info_span!("llm", gen_ai.operation.name = "chat").in_scope(|| ());
                });
            }
        });
    });
    assert!(!found.contains("llm_task"), "{found}");
    assert!(found.ends_with("nothing is wrong"), "{found}");
}

#[test]
fn what_a_program_lacks_is_among_the_findings() {
    let server = Server::start();
    let only = |program: &dyn Fn()| {
        let telemetry = to(&server).build().unwrap();
        check(&telemetry, program);
        telemetry.shutdown().unwrap();
        let findings = telemetry.check().findings().to_vec();
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings[0].clone()
    };
    let service = || drop(info_span!("llm", gen_ai.operation.name = "chat"));
    let found = only(&|| call("call-1", service));
    assert!(
        found.starts_with("services were seen, but no event of a turn: emit"),
        "{found}"
    );
    let found = only(&|| {
        call("call-1", || {
            info!(conversation.event = "user_started_speaking");
            info!(conversation.event = "bot_started_speaking");
        });
    });
    assert!(
        found.starts_with("turns were seen, but no voice activity: "),
        "{found}"
    );
    let open = Mutex::new(Vec::new());
    let found = only(&|| {
        for id in 0..3 {
            let scope = info_span!("conversation", conversation.id = id);
            scope.in_scope(listen_and_answer);
            open.lock().unwrap().push(scope);
        }
    });
    assert!(
        found.starts_with("conversations do not end: emit conversation_ended"),
        "{found}"
    );
    let found = only(&service);
    assert!(
        found.starts_with("services, but no conversation was seen: open a span"),
        "{found}"
    );
}

#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message<'a>(&'a mut Vec<String>);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    self.0.push(format!("{value:?}"));
                }
            }
        }
        if *event.metadata().level() == Level::WARN {
            event.record(&mut Message(&mut self.0.lock().unwrap()));
        }
    }
}

/// The warnings while `program` runs, until the end of telemetry.
fn advised(program: impl FnOnce()) -> Vec<String> {
    let server = Server::start();
    let telemetry = to(&server).build().unwrap();
    let warnings = Warnings::default();
    let subscriber = Dispatch::new(
        tracing_subscriber::registry()
            .with(warnings.clone())
            .with(telemetry.layer()),
    );
    tracing::dispatcher::with_default(&subscriber, || {
        program();
        telemetry.shutdown().unwrap();
    });
    let warnings = warnings.0.lock().unwrap();
    warnings.clone()
}

#[test]
fn program_is_advised_once_of_what_it_lacks() {
    let begin = |warnings: Vec<String>, start: &str| {
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(start), "{warnings:?}");
    };
    let service = || drop(info_span!("llm", gen_ai.operation.name = "chat"));
    let turn = || {
        info!(conversation.event = "user_started_speaking");
        info!(conversation.event = "bot_started_speaking");
    };
    begin(
        advised(|| (0..3).for_each(|_| call("call-1", service))),
        "services were seen, but no event of a turn",
    );
    begin(
        advised(|| (0..3).for_each(|_| call("call-1", turn))),
        "turns were seen, but no voice activity",
    );
    let mut open = Vec::new();
    let never_ends = || {
        for id in 0..3 {
            let scope = info_span!("conversation", conversation.id = id);
            scope.in_scope(listen_and_answer);
            open.push(scope);
        }
    };
    begin(advised(never_ends), "conversations do not end");
    // The program's end may cut off a call.
    let cut_off = || {
        let scope = info_span!("conversation", conversation.id = "call-1");
        scope.in_scope(listen_and_answer);
        open.push(scope);
    };
    assert_eq!(advised(cut_off), [""; 0]);
    assert_eq!(advised(|| call("call-1", listen_and_answer)), [""; 0]);
}

#[test]
fn variable_prints_the_findings_at_the_end() {
    let mut quickstart = command("quickstart");
    let output = quickstart.env("CONVERSATION_DOCTOR", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("spans go to    console (tree)\n"),
        "{said}"
    );
    assert!(
        said.contains("1 conversation (0 open), 2 turns ended, 6 services"),
        "{said}"
    );
    assert!(said.ends_with("nothing is wrong\n"), "{said}");
}
