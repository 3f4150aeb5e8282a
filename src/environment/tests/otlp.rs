//! How OTLP is spoken.

use super::*;

#[cfg(all(feature = "http", feature = "grpc"))]
#[test]
fn otel_exporter_otlp_protocol() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    assert_eq!(otlp(&[]).protocol, Protocol::HttpProtobuf);
    assert_eq!(otlp(&[(GENERAL, "grpc")]).protocol, Protocol::Grpc);
    assert_eq!(otlp(&[(GENERAL, "HTTP/JSON")]).protocol, Protocol::HttpJson);
    assert_eq!(
        otlp(&[(GENERAL, "grpc"), (TRACES, "http/protobuf")]).protocol,
        Protocol::HttpProtobuf
    );
    assert_eq!(
        complaint(&[(GENERAL, "grcp")]),
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grcp\" cannot be used: allowed is grpc, http/protobuf, http/json"
    );
}

#[cfg(all(feature = "http", not(feature = "grpc")))]
#[test]
fn a_protocol_that_is_not_built_is_named_as_such() {
    assert_eq!(
        complaint(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grpc\" cannot be used: allowed is http/protobuf, http/json in this build of \
         tracing-conversation"
    );
}

#[test]
fn otel_exporter_otlp_headers() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
    let headers = |variables| {
        let headers = otlp(variables).connection.headers;
        assert!(headers.values().all(|value| value.is_sensitive()));
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect::<BTreeMap<_, _>>()
    };
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| (String::from(*name), String::from(*value)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(headers(&[]), pairs(&[]));
    assert_eq!(
        headers(&[(GENERAL, "Authorization=Basic%20cGs6c2s==, x-a = 1,,")]),
        pairs(&[("authorization", "Basic cGs6c2s=="), ("x-a", "1")])
    );
    assert_eq!(
        headers(&[(GENERAL, "a=1"), (TRACES, "b=%2C%25")]),
        pairs(&[("b", ",%")])
    );
    // Which entry it is, and no part of it: any may be a key.
    for wrong in [
        "x-a=1,Authorization: Basic cGs6c2s=",
        "x-a=1,cGs6c2s",
        "x-a=1,=cGs6c2s",
        "x-a=1,cGs6c2s=%0A",
        "x-a=1,cGs6c2s=%FF",
        "x-a=1,ü=cGs6c2s",
        "x-a=1,x-cGs6c2s=ü",
    ] {
        assert_eq!(
            complaint(&[(TRACES, wrong)]),
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS=\"…\" cannot be used: allowed is name=value,name=value with \
             percent-encoded values; entry 2 is none"
        );
    }
    for reserved in [
        "Content-Length=1",
        "content-encoding=br",
        "Host=h",
        "te=x",
        "Transfer-Encoding=chunked",
    ] {
        let said = complaint(&[(GENERAL, reserved)]);
        assert!(
            said.starts_with(
                "OTEL_EXPORTER_OTLP_HEADERS=\"…\" cannot be used: allowed is headers other than accept-encoding, "
            ) && said.ends_with(", which the client sets; entry 1 is none"),
            "{said}"
        );
    }
    let many: Vec<String> = (0..40_000).map(|number| format!("x-{number}=1")).collect();
    assert!(complaint(&[(GENERAL, &many.join(","))]).contains("a few thousand headers at most"));
}

#[cfg(feature = "grpc")]
#[test]
fn binary_and_reserved_headers_of_grpc_are_refused() {
    for name in ["trace-proto-bin", "Key-Bin", "grpc-timeout"] {
        assert_eq!(
            complaint(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_HEADERS", &format!("{name}=AAAA"))
            ]),
            "OTEL_EXPORTER_OTLP_HEADERS=\"…\" cannot be used: allowed is headers of text (gRPC has those whose names \
             end in -bin for binary ones, and grpc-… for itself); entry 1 is none"
        );
    }
}

#[test]
fn otel_exporter_otlp_timeout() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    let timeout = |variables| otlp(variables).connection.timeout;
    assert_eq!(timeout(&[]), Duration::from_secs(10));
    assert_eq!(timeout(&[(GENERAL, "2500")]), Duration::from_millis(2500));
    assert_eq!(
        timeout(&[(GENERAL, "2500"), (TRACES, "1")]),
        Duration::from_millis(1)
    );
    for wrong in ["0", "-1", "2s", "1.5"] {
        assert_eq!(
            complaint(&[(GENERAL, wrong)]),
            format!(
                "OTEL_EXPORTER_OTLP_TIMEOUT=\"{wrong}\" cannot be used: allowed is a whole number of milliseconds \
                 from 1 upwards"
            )
        );
    }
}

#[test]
fn otel_exporter_otlp_compression() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
    let gzip = |variables| otlp(variables).connection.gzip;
    assert!(!gzip(&[]));
    assert!(gzip(&[(GENERAL, "gzip")]));
    assert!(!gzip(&[(GENERAL, "gzip"), (TRACES, "none")]));
    assert_eq!(
        complaint(&[(GENERAL, "zstd")]),
        "OTEL_EXPORTER_OTLP_COMPRESSION=\"zstd\" cannot be used: allowed is gzip, none"
    );
}

#[test]
fn otel_exporter_otlp_certificate_and_client_certificate_and_key() {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/behaviour/delivery/certificates"
    );
    let file = |name: &str| format!("{directory}/{name}");
    let (ca, chain, key) = (
        file("authority.pem"),
        file("client.pem"),
        file("client.key"),
    );
    let read = otlp(&[
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/overruled"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", &chain),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ]);
    let tls = read.connection.tls;
    let content = |path: &str| std::fs::read(path).unwrap();
    assert_eq!(tls.authorities.unwrap().content, content(&ca));
    let identity = tls.identity.unwrap();
    assert_eq!(identity.chain.content, content(&chain));
    assert_eq!(identity.key.content, content(&key));
    assert!(!format!("{identity:?}").contains("PRIVATE"));
    for (name, path, allowed) in [
        (
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "/no/such.pem",
            "the path of a PEM file (",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/dev/zero",
            "the path of a PEM file (it is no regular file)",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            &key,
            "the path of a PEM file with certificates (there is none in it)",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            &key,
            "the path of a PEM file with certificates (there is none in it)",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            &chain,
            "the path of a PEM file with a private key (there is none in it)",
        ),
    ] {
        let said = complaint(&[(name, path)]);
        assert!(
            said.starts_with(&format!(
                "{name}={path:?} cannot be used: allowed is {allowed}"
            )),
            "{said}"
        );
    }
    let half = complaint(&[("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", &key)]);
    assert_eq!(
        half,
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=\"\" cannot be used: allowed is the path of a PEM file, since the \
         other half of the pair is set"
    );
}
