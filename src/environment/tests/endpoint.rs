//! The URL that spans are sent to, and the proxy on the way.

use super::*;

#[cfg(feature = "http")]
#[test]
fn otel_exporter_otlp_endpoint() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    assert_eq!(url(&[]), "http://localhost:4318/v1/traces");
    // The general form is a base, the form for traces is the very URL.
    assert_eq!(
        url(&[(GENERAL, "http://c.example.com")]),
        "http://c.example.com/v1/traces"
    );
    assert_eq!(
        url(&[(GENERAL, "http://c:4318/")]),
        "http://c:4318/v1/traces"
    );
    assert_eq!(url(&[(TRACES, "HTTP://C/In")]), "http://C/In");
    assert_eq!(
        url(&[(GENERAL, "http://[::1]:4318/base?key=1#part")]),
        "http://[::1]:4318/base/v1/traces?key=1"
    );
    assert_eq!(url(&[(TRACES, "http://c:4318/in")]), "http://c:4318/in");
    assert_eq!(
        url(&[(TRACES, "http://t"), (GENERAL, "http://g")]),
        "http://t"
    );
    assert_eq!(
        url(&[(TRACES, ""), (GENERAL, "http://g")]),
        "http://g/v1/traces"
    );
    for wrong in [
        "collector:4318",
        "grpc://c",
        "http://",
        "http:///v1",
        "http://c:port",
        "http://c:0",
        "http://c:65536",
        "http://a b",
        "http://a\u{1b}[31m",
        "http://:4318",
        "http://[::1",
        "http://[zz]",
        "http://1.2.3",
        "http://1.2.3.999",
        "http://bücher.example",
        "http://a|b",
    ] {
        assert_eq!(
            complaint(&[(GENERAL, wrong)]),
            format!(
                "OTEL_EXPORTER_OTLP_ENDPOINT={wrong:?} cannot be used: allowed is a URL such as \
                 http://localhost:4318 or https://collector.example.com (http or https, a host in ASCII, no user or \
                 password: those are headers)"
            )
        );
    }
    assert_eq!(
        complaint(&[(TRACES, "http://c/<>")]),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=\"http://c/<>\" cannot be used: allowed is a URL (invalid uri character)"
    );
    // No key is shown, wherever in a URL it stands.
    for secret in [
        "http://me:secret@c",
        "http://me:sec?ret@c",
        "http://c:port/in?key=secret",
        "http://c:port/in#secret",
        "http://c:port/in#a?b@secret?secret",
    ] {
        let said = complaint(&[(TRACES, secret)]);
        assert!(
            said.starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=\"") && !said.contains("sec"),
            "{said}"
        );
    }
}

#[cfg(not(any(feature = "tls", feature = "tls-ring", feature = "tls-native")))]
#[test]
fn https_endpoint_is_refused_in_a_build_without_tls() {
    assert_eq!(
        complaint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c")]),
        "OTEL_EXPORTER_OTLP_ENDPOINT=\"https://c\" cannot be used: allowed is an http URL, or https in a program that \
         switches on the feature `tls` (or `tls-ring`, `tls-native`) of tracing-conversation"
    );
}

#[cfg(any(feature = "tls", feature = "tls-ring", feature = "tls-native"))]
#[test]
fn https_endpoint_is_taken_in_a_build_with_tls() {
    assert!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://c")]).starts_with("https://c"));
}

#[cfg(feature = "http")]
#[test]
fn http_proxy_and_its_relatives() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c.example.com:4318");
    let proxy = |variables: &[(&str, &str)]| {
        let variables = [&[endpoint], variables].concat();
        let proxy = otlp(&variables).connection.proxy?;
        let authorization = proxy.authorization.map(|value| {
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        });
        Some((proxy.uri.to_string(), authorization))
    };
    let at = |uri: &str| Some((uri.to_owned(), None));
    assert_eq!(proxy(&[]), None);
    assert_eq!(
        proxy(&[("HTTP_PROXY", "http://p:3128")]),
        at("http://p:3128/")
    );
    assert_eq!(proxy(&[("http_proxy", "p:3128")]), at("http://p:3128/"));
    assert_eq!(proxy(&[("ALL_PROXY", "http://p")]), at("http://p/"));
    assert_eq!(proxy(&[("HTTPS_PROXY", "http://p")]), None);
    assert_eq!(
        proxy(&[("HTTP_PROXY", "http://me:secret@p")]),
        Some(("http://p/".into(), Some("Basic bWU6c2VjcmV0".into())))
    );
    for exempt in ["c.example.com", ".example.com", "*"] {
        assert_eq!(
            proxy(&[("HTTP_PROXY", "http://p"), ("NO_PROXY", exempt)]),
            None
        );
    }
    // A CGI program gets this one from whoever sends the request.
    assert_eq!(
        proxy(&[("HTTP_PROXY", "http://p"), ("REQUEST_METHOD", "GET")]),
        None
    );
    for (value, shown) in [
        ("socks5://p", "socks5://p"),
        ("https://me:secret@p", "…@p"),
        ("http://", "http://"),
    ] {
        assert_eq!(
            complaint(&[endpoint, ("ALL_PROXY", value)]),
            format!(
                "ALL_PROXY={shown:?} cannot be used: allowed is the URL of an http proxy such as \
                 http://proxy.example.com:3128"
            )
        );
    }
}

#[cfg(feature = "grpc")]
#[test]
fn a_grpc_endpoint_is_a_host() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(url(&[grpc]), "http://localhost:4317");
    assert_eq!(
        url(&[
            grpc,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4317/path")
        ]),
        "http://[::1]:4317"
    );
    assert_eq!(
        url(&[
            grpc,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317/path")
        ]),
        "http://c:4317"
    );
}
