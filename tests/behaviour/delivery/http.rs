//! HTTP, protobuf and JSON: what the other end sees, and what its answers mean.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer as _, TracerProvider as _},
};
use tracing_conversation::Protocol;

use super::{counts, last_problem, make, numbers, to};
use crate::support::{PATIENCE, Reply, Server, spans, text};

#[test]
fn spans_resource_and_headers_arrive_as_sent() {
    let server = Server::start();
    let telemetry = to(&server.url())
        .variable(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging",
        )
        .headers([
            ("authorization", "Basic cGs6c2s="),
            ("x-project-name", "a, b"),
        ])
        .build()
        .unwrap();
    make(&telemetry, 3);
    telemetry.flush(PATIENCE).unwrap();

    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.path, "/v1/traces");
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/x-protobuf"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("authorization"), Some("Basic cGs6c2s="));
    assert_eq!(header("x-project-name"), Some("a, b"));
    assert_eq!(
        header("user-agent"),
        Some(concat!("tracing-conversation/", env!("CARGO_PKG_VERSION")))
    );
    let resource = request.body.resource_spans[0].resource.as_ref().unwrap();
    let attributes = text(&resource.attributes);
    let (ours, sdk): (Vec<&str>, Vec<&str>) = attributes
        .lines()
        .partition(|line| !line.starts_with("telemetry.sdk."));
    assert_eq!(
        ours,
        [
            "deployment.environment.name = staging",
            "service.name = test"
        ]
    );
    assert_eq!(sdk.len(), 3);
    assert_eq!(server.names(), numbers(3));
    assert_eq!(counts(&telemetry), [3, 0, 0, 0, 0]);
    telemetry.shutdown().unwrap();
}

#[test]
fn json_carries_the_same_spans() {
    let server = Server::start();
    let telemetry = to(&server.url())
        .protocol(Protocol::HttpJson)
        .build()
        .unwrap();
    make(&telemetry, 2);
    telemetry.shutdown().unwrap();
    assert_eq!(
        server.requests()[0].headers["content-type"],
        "application/json"
    );
    assert_eq!(server.names(), numbers(2));
    assert!(
        spans(&server.requests()[0].body)
            .all(|span| span.trace_id.len() == 16 && span.span_id.len() == 8)
    );
}

#[test]
fn control_characters_in_json_arrive_as_sent() {
    let server = Server::start();
    let telemetry = to(&server.url())
        .protocol(Protocol::HttpJson)
        .build()
        .unwrap();
    let mut span = telemetry.provider().tracer("test").start("strange");
    span.set_attribute(KeyValue::new("text", "\u{1b}]0;\u{9b}\u{202e}\0é今\""));
    span.end();
    telemetry.shutdown().unwrap();
    let requests = server.requests();
    let span = spans(&requests[0].body).next().unwrap();
    assert_eq!(
        text(&span.attributes),
        "text = \u{1b}]0;\u{9b}\u{202e}\0é今\"\n"
    );
}

#[test]
fn gzip_makes_requests_smaller() {
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let server = Server::start();
        let telemetry = to(&server.url())
            .protocol(protocol)
            .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .build()
            .unwrap();
        make(&telemetry, 200);
        telemetry.shutdown().unwrap();
        let request = &server.requests()[0];
        assert_eq!(request.headers["content-encoding"], "gzip");
        assert_eq!(server.names(), numbers(200));
        assert!(
            request.length < prost::Message::encoded_len(&request.body),
            "{} bytes",
            request.length
        );
    }
}

#[test]
fn the_endpoint_for_traces_is_taken_at_its_word() {
    let server = Server::start();
    let telemetry = to("http://127.0.0.1:1")
        .variable(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            format!("{}/in?project=7", server.url()),
        )
        .build()
        .unwrap();
    make(&telemetry, 1);
    telemetry.shutdown().unwrap();
    assert_eq!(server.requests()[0].path, "/in?project=7");
    // A query may be a key: it is not shown.
    assert_eq!(
        telemetry.delivered()[0].destination,
        format!("{}/in", server.url())
    );
}

#[test]
fn a_busy_server_is_asked_again_after_the_time_it_named() {
    let server = Server::start();
    server.reply([Reply::Status(
        "503 Service Unavailable",
        "retry-after: 2",
        b"warming up",
    )]);
    let telemetry = to(&server.url()).build().unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_secs(2), "only {waited:?}");
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    assert_eq!(
        last_problem(&telemetry),
        "503 Service Unavailable warming up"
    );
}

#[test]
fn longest_retry_after_is_cut_to_the_export_timeout() {
    let server = Server::start();
    server.reply([Reply::Status(
        "503 Service Unavailable",
        "retry-after: 18446744073709551615",
        b"",
    )]);
    let telemetry = to(&server.url())
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn passing_trouble_is_outlived() {
    for status in [
        "429 Too Many Requests",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        let server = Server::start();
        server.reply([
            Reply::Status(status, "", b""),
            Reply::Garbage(b"SSH-2.0-OpenSSH_9.6\r\n"),
        ]);
        let telemetry = to(&server.url()).build().unwrap();
        make(&telemetry, 5);
        telemetry.flush(PATIENCE).unwrap();
        assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0], "{status}");
        assert_eq!(server.requests().len(), 3, "{status}");
        assert_eq!(server.names(), numbers(5), "{status}");
    }
}

#[test]
fn a_refusal_is_final_and_counted() {
    for (reply, problem) in [
        (
            Reply::Status("401 Unauthorized", "", b"no such key\n"),
            "401 Unauthorized no such key",
        ),
        (Reply::Status("404 Not Found", "", b""), "404 Not Found"),
        (
            Reply::Status(
                "301 Moved Permanently",
                "location: https://example.com/",
                b"",
            ),
            "301 Moved Permanently: the endpoint has moved to https://example.com/",
        ),
        (
            Reply::Status(
                "200 OK",
                "content-type: text/html; charset=utf-8",
                b"<html>",
            ),
            "the answer is a web page: the URL is not that of an OTLP receiver",
        ),
    ] {
        let server = Server::start();
        server.reply([reply]);
        let telemetry = to(&server.url()).build().unwrap();
        make(&telemetry, 4);
        let error = telemetry.flush(PATIENCE).unwrap_err();
        let url = server.url();
        assert_eq!(
            error.to_string(),
            format!("{url}/v1/traces: 4 spans lost, 0 still waiting ({problem})")
        );
        assert_eq!(counts(&telemetry), [0, 0, 4, 0, 0]);
        assert_eq!(server.requests().len(), 1);
        assert_eq!(telemetry.shutdown().unwrap_err(), error);
    }
}

#[test]
fn a_partial_success_counts_what_was_rejected() {
    for reply in [
        Reply::PartialSuccess(2, "too old"),
        Reply::PartialSuccessJson(2, "too old"),
    ] {
        let server = Server::start();
        server.reply([reply]);
        let telemetry = to(&server.url()).build().unwrap();
        make(&telemetry, 5);
        telemetry.flush(PATIENCE).unwrap_err();
        assert_eq!(counts(&telemetry), [3, 0, 2, 0, 0]);
        assert_eq!(
            last_problem(&telemetry),
            "partial success, 2 spans rejected: too old"
        );
    }
}

#[test]
fn a_success_in_strange_words_is_one() {
    for (kind, body) in [
        ("content-type: application/json", b"ok".as_slice()),
        (
            "content-type: application/json",
            b"{\"partialSuccess\":null}",
        ),
        ("content-type: application/x-protobuf", b"\xff\xff\xff"),
        ("content-type: text/plain", b"thanks"),
    ] {
        let server = Server::start();
        server.reply([Reply::Status("200 OK", kind, body)]);
        let telemetry = to(&server.url()).build().unwrap();
        make(&telemetry, 5);
        telemetry.shutdown().unwrap();
        assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    }
}

#[test]
fn a_server_that_hangs_is_left_and_tried_again() {
    let server = Server::start();
    server.reply([Reply::Hang]);
    let telemetry = to(&server.url())
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(server.requests().len(), 2);
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
}

#[test]
fn an_attempt_without_end_is_given_up_after_the_export_timeout() {
    let telemetry = to(&nobody())
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "300")
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.flush(PATIENCE).unwrap_err();
    assert_eq!(counts(&telemetry), [0, 0, 0, 5, 0]);
    assert!(
        last_problem(&telemetry).contains("Connection refused"),
        "{}",
        last_problem(&telemetry)
    );
}

#[test]
fn shutdown_against_nobody_ends_in_time_and_says_what_is_lost() {
    let telemetry = to(&nobody())
        .shutdown_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    make(&telemetry, 700);
    let begun = Instant::now();
    let error = telemetry.shutdown().unwrap_err().to_string();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        error.contains("700 spans lost, 0 still waiting (client error (Connect)"),
        "{error}"
    );
    assert_eq!(counts(&telemetry), [0, 0, 0, 700, 0]);
}

#[test]
fn last_attempt_is_made_just_before_the_end_whatever_the_server_asked_for() {
    let server = Server::start();
    server.reply([Reply::Status(
        "503 Service Unavailable",
        "retry-after: 60",
        b"",
    )]);
    let telemetry = to(&server.url())
        .shutdown_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    make(&telemetry, 5);
    telemetry.shutdown().unwrap();
    assert_eq!(counts(&telemetry), [5, 0, 0, 0, 0]);
    let requests = server.requests();
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_millis(500), "only {waited:?}");
}

#[test]
fn collector_that_is_back_before_the_end_gets_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = to(&format!("http://{address}"))
        .shutdown_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    make(&telemetry, 2000);
    let server = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1800));
        Server::on(TcpListener::bind(address).expect("the port is still free"))
    });
    telemetry.shutdown().unwrap();
    assert_eq!(counts(&telemetry), [2000, 0, 0, 0, 0]);
    assert_eq!(server.join().unwrap().names(), numbers(2000));
}

#[test]
fn spans_that_end_after_the_shutdown_are_counted() {
    let server = Server::start();
    let telemetry = to(&server.url()).build().unwrap();
    make(&telemetry, 2);
    telemetry.shutdown().unwrap();
    make(&telemetry, 3);
    assert_eq!(counts(&telemetry), [2, 0, 0, 3, 0]);
    assert_eq!(server.names(), numbers(2));
}

#[test]
fn shutdown_against_a_server_that_hangs_ends_in_time() {
    let server = Server::start();
    server.reply([Reply::Hang]);
    let telemetry = to(&server.url())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "0")
        .shutdown_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    make(&telemetry, 5);
    server.wait_for_requests(1);
    let begun = Instant::now();
    telemetry.shutdown().unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(counts(&telemetry), [0, 0, 0, 5, 0]);
    assert_eq!(
        last_problem(&telemetry),
        "no answer before the program's end"
    );
}

#[test]
fn a_finished_span_leaves_without_being_asked() {
    let server = Server::start();
    let telemetry = to(&server.url())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "")
        .build()
        .unwrap();
    make(&telemetry, 1);
    server.wait_for_spans(1);
    drop(telemetry);
}

#[test]
fn request_through_an_http_proxy_names_the_whole_url() {
    let proxy = Server::start();
    let telemetry = to("http://collector.example.com:4318")
        .variable(
            "HTTP_PROXY",
            format!("http://me:secret@127.0.0.1:{}", proxy.port()),
        )
        .variable("NO_PROXY", "")
        .build()
        .unwrap();
    make(&telemetry, 1);
    telemetry.shutdown().unwrap();
    let request = &proxy.requests()[0];
    assert_eq!(request.path, "http://collector.example.com:4318/v1/traces");
    assert_eq!(request.headers["host"], "collector.example.com:4318");
    assert_eq!(request.headers["proxy-authorization"], "Basic bWU6c2VjcmV0");
}

/// A URL that refuses connections.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
