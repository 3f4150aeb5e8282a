#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use opentelemetry::Key;
use proptest::strategy::Strategy as _;

use super::*;

/// Settings from these variables and nothing else.
fn read(variables: &[(&str, &str)]) -> Result<Settings, SetupError> {
    let explicit = HashMap::new();
    let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(OsString::from);
    Settings::read(&Variables::new(&explicit, &lookup))
}

pub(super) fn settings(variables: &[(&str, &str)]) -> Settings {
    read(variables).unwrap_or_else(|error| panic!("{variables:?}: {error}"))
}

/// What is said of variables that cannot be used.
pub(super) fn complaint(variables: &[(&str, &str)]) -> String {
    read(variables).expect_err("cannot be used").to_string()
}

fn otlp(variables: &[(&str, &str)]) -> Otlp {
    settings(variables).otlp.expect("OTLP is on")
}

fn url(variables: &[(&str, &str)]) -> String {
    otlp(variables).connection.url
}

/// Where spans go: the console's view, and whether OTLP.
fn destinations(variables: &[(&str, &str)]) -> (Option<Console>, bool) {
    let settings = settings(variables);
    (settings.console, settings.otlp.is_some())
}

#[test]
fn otel_console_export() {
    const NAME: &str = "OTEL_CONSOLE_EXPORT";
    for off in ["", " ", "0", "false", "No", "OFF"] {
        assert_eq!(destinations(&[(NAME, off)]), (None, true), "{off:?}");
    }
    for (value, view) in [
        ("tree", Console::Tree),
        ("JSON", Console::Json),
        ("true", Console::Stdout),
        ("1", Console::Stdout),
        ("please", Console::Stdout),
    ] {
        assert_eq!(
            destinations(&[(NAME, value)]),
            (Some(view), false),
            "{value:?}"
        );
        for endpoint in [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ] {
            assert_eq!(
                destinations(&[(NAME, value), (endpoint, "http://c:4318")]),
                (Some(view), true)
            );
        }
    }
}

#[test]
fn otel_traces_exporter() {
    const NAME: &str = "OTEL_TRACES_EXPORTER";
    assert_eq!(destinations(&[]), (None, true));
    assert_eq!(destinations(&[(NAME, "otlp")]), (None, true));
    assert_eq!(destinations(&[(NAME, "none")]), (None, false));
    assert_eq!(
        destinations(&[(NAME, "Console")]),
        (Some(Console::Stdout), false)
    );
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(
        destinations(&[(NAME, "console"), endpoint]),
        (Some(Console::Stdout), false)
    );
    assert_eq!(
        destinations(&[(NAME, "console, otlp"), endpoint]),
        (Some(Console::Stdout), true)
    );
    // The console has a variable of its own.
    assert_eq!(
        destinations(&[(NAME, "none"), ("OTEL_CONSOLE_EXPORT", "tree")]),
        (Some(Console::Tree), false)
    );
    assert_eq!(
        destinations(&[(NAME, "console"), ("OTEL_CONSOLE_EXPORT", "tree")]),
        (Some(Console::Tree), false)
    );
    assert_eq!(
        complaint(&[(NAME, "zipkin")]),
        "OTEL_TRACES_EXPORTER=\"zipkin\" cannot be used: allowed is otlp, console, none, or some of them with commas \
         between"
    );
}

/// Settings from the program's defaults and these variables.
fn with_defaults(defaults: &[(&str, &str)], variables: &[(&str, &str)]) -> Settings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let (explicit, defaults) = (HashMap::new(), defaults.iter().map(owned).collect());
    let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(OsString::from);
    let variables = Variables::new(&explicit, &lookup).with_defaults(&defaults);
    Settings::read(&variables).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn any_word_on_where_spans_go_overrules_a_default_console() {
    const NAME: &str = "OTEL_CONSOLE_EXPORT";
    let destinations = |variables: &[(&str, &str)]| {
        let settings = with_defaults(&[(NAME, "tree")], variables);
        (settings.console, settings.otlp.is_some())
    };
    for unrelated in [
        ("OTEL_SERVICE_NAME", "shop"),
        (NAME, ""),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", " "),
    ] {
        assert_eq!(destinations(&[unrelated]), (Some(Console::Tree), false));
    }
    assert_eq!(
        destinations(&[(NAME, "json")]),
        (Some(Console::Json), false)
    );
    assert_eq!(
        destinations(&[(NAME, "true")]),
        (Some(Console::Stdout), false)
    );
    assert_eq!(destinations(&[(NAME, "off")]), (None, true));
    for endpoint in TRACES.endpoint {
        assert_eq!(destinations(&[(endpoint, "http://c:4318")]), (None, true));
        assert_eq!(
            destinations(&[(endpoint, "http://c:4318"), (NAME, "tree")]),
            (Some(Console::Tree), true)
        );
    }
    const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
    assert_eq!(destinations(&[(EXPORTER, "none")]), (None, false));
    assert_eq!(destinations(&[(EXPORTER, "otlp")]), (None, true));
    assert_eq!(
        destinations(&[(EXPORTER, "console")]),
        (Some(Console::Stdout), false)
    );
    let langfuse = [
        ("LANGFUSE_HOST", "http://localhost:3000"),
        ("LANGFUSE_PUBLIC_KEY", "pk"),
        ("LANGFUSE_SECRET_KEY", "sk"),
    ];
    assert_eq!(destinations(&langfuse), (None, true));
    assert_eq!(
        destinations(&[("OTEL_SDK_DISABLED", "true")]),
        (None, false)
    );
}

#[test]
fn environment_overrules_every_default() {
    let langfuse = [
        ("LANGFUSE_HOST", "http://localhost:3000"),
        ("LANGFUSE_PUBLIC_KEY", "pk"),
        ("LANGFUSE_SECRET_KEY", "sk"),
    ];
    let by_default = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
    let url = |variables: &[(&str, &str)]| {
        let otlp = with_defaults(&by_default, variables).otlp;
        otlp.map(|otlp| otlp.connection.url).unwrap_or_default()
    };
    assert_eq!(url(&[]), "http://c:4318/v1/traces");
    assert_eq!(
        url(&langfuse),
        "http://localhost:3000/api/public/otel/v1/traces"
    );
    let stated = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/x")];
    assert_eq!(url(&stated), "http://d/x");

    let name = |variables: &[(&str, &str)]| {
        let resource = with_defaults(&[("OTEL_SERVICE_NAME", "agent")], variables).resource;
        let name = resource.get(&Key::from_static_str("service.name"));
        name.map(|name| name.to_string()).unwrap_or_default()
    };
    assert_eq!(name(&[]), "agent");
    assert_eq!(name(&[("OTEL_SERVICE_NAME", "shop")]), "shop");
    let among_attributes = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=till,a=b")];
    assert_eq!(name(&among_attributes), "till");
}

#[test]
fn conversation_doctor() {
    const NAME: &str = "CONVERSATION_DOCTOR";
    let doctor = |value: &'static str| {
        let explicit = HashMap::from([(NAME.to_owned(), value.to_owned())]);
        super::doctor(&Variables::new(&explicit, &|_| None))
    };
    for (value, prints) in [("", false), ("1", true), ("TRUE", true), ("0", false)] {
        assert_eq!(doctor(value).unwrap(), prints, "{value:?}");
    }
    assert_eq!(
        doctor("please").unwrap_err().to_string(),
        "CONVERSATION_DOCTOR=\"please\" cannot be used: allowed is 1, true, 0, false"
    );
}

#[test]
fn otel_sdk_disabled() {
    const NAME: &str = "OTEL_SDK_DISABLED";
    assert_eq!(destinations(&[(NAME, "false")]), (None, true));
    assert_eq!(
        destinations(&[(NAME, "TRUE"), ("OTEL_CONSOLE_EXPORT", "tree")]),
        (None, false)
    );
    // Off is off, whatever else is wrong.
    assert_eq!(
        destinations(&[(NAME, "true"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")]),
        (None, false)
    );
    assert_eq!(
        complaint(&[(NAME, "yes")]),
        "OTEL_SDK_DISABLED=\"yes\" cannot be used: allowed is true, false"
    );
}

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

#[cfg(unix)]
#[test]
fn values_that_are_not_utf_8_are_refused_under_their_name() {
    use std::os::unix::ffi::OsStringExt as _;
    let table = include_str!("../../docs/environment.md");
    let explicit = HashMap::new();
    for variable in names(table, "`") {
        #[cfg(not(feature = "metrics"))]
        if variable.contains("_METRIC") {
            continue;
        }
        if variable.ends_with("_ARG")
            || variable.contains("_TRACES_")
            || variable == "OTEL_SDK_DISABLED"
        {
            continue;
        }
        let lookup = |name: &str| {
            let value: &[u8] = match name {
                _ if name == variable => b"secret\xff",
                // What belongs to metrics is read only where there are some.
                "OTEL_METRICS_EXPORTER" => b"otlp",
                _ => return None,
            };
            Some(OsString::from_vec(value.to_vec()))
        };
        let error = Settings::read(&Variables::new(&explicit, &lookup)).expect_err(variable);
        assert_eq!(
            error.to_string(),
            format!("{variable}=\"…\" cannot be used: allowed is text in UTF-8")
        );
        assert_eq!(
            format!("{error:?}"),
            error.to_string(),
            "as `main` prints it"
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

#[test]
fn otel_service_name_and_otel_resource_attributes() {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let of = |variables: &[(&str, &str)], key: &'static str| {
        settings(variables)
            .resource
            .get(&Key::from_static_str(key))
            .map(|value| value.to_string())
    };
    assert_eq!(
        of(&[("OTEL_SERVICE_NAME", "bot")], "service.name").as_deref(),
        Some("bot")
    );
    let both = [
        (
            ATTRIBUTES,
            "service.name=other,service.version=1%2C2, a.b = c ",
        ),
        ("OTEL_SERVICE_NAME", "bot"),
    ];
    assert_eq!(of(&both, "service.name").as_deref(), Some("bot"));
    assert_eq!(of(&both, "service.version").as_deref(), Some("1,2"));
    assert_eq!(of(&both, "a.b").as_deref(), Some("c"));
    assert_eq!(of(&both[..1], "service.name").as_deref(), Some("other"));
    assert_eq!(of(&both, "telemetry.sdk.language").as_deref(), Some("rust"));
    let unnamed = of(&[], "service.name").expect("a name in any case");
    assert!(unnamed.starts_with("unknown_service:"), "{unnamed}");
    assert_eq!(
        complaint(&[(ATTRIBUTES, "a=1,secret")]),
        "OTEL_RESOURCE_ATTRIBUTES=\"…\" cannot be used: allowed is key=value,key=value with percent-encoded values; \
         entry 2 is none"
    );
}

#[test]
fn otel_traces_sampler_and_its_arg() {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    let sampler = |variables| format!("{:?}", settings(variables).sampler);
    assert_eq!(sampler(&[]), "ParentBased(AlwaysOn)");
    assert_eq!(sampler(&[(NAME, "always_on")]), "AlwaysOn");
    assert_eq!(sampler(&[(NAME, "always_off")]), "AlwaysOff");
    assert_eq!(
        sampler(&[(NAME, "parentbased_always_off")]),
        "ParentBased(AlwaysOff)"
    );
    assert_eq!(sampler(&[(NAME, "traceidratio")]), "TraceIdRatioBased(1.0)");
    assert_eq!(
        sampler(&[(NAME, "traceidratio"), (ARG, "0.25")]),
        "TraceIdRatioBased(0.25)"
    );
    assert_eq!(
        sampler(&[(NAME, "parentbased_traceidratio"), (ARG, "0")]),
        "ParentBased(TraceIdRatioBased(0.0))"
    );
    // An argument that no sampler reads is nobody's business.
    assert_eq!(sampler(&[(ARG, "many")]), "ParentBased(AlwaysOn)");
    for wrong in ["1.5", "-0.1", "NaN", "half"] {
        assert_eq!(
            complaint(&[(NAME, "traceidratio"), (ARG, wrong)]),
            format!(
                "OTEL_TRACES_SAMPLER_ARG=\"{wrong}\" cannot be used: allowed is a number from 0 to 1"
            )
        );
    }
    assert_eq!(
        complaint(&[(NAME, "jaeger_remote")]),
        "OTEL_TRACES_SAMPLER=\"jaeger_remote\" cannot be used: allowed is always_on, always_off, traceidratio, \
         parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
    );
}

#[test]
fn otel_bsp() {
    const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
    const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
    const TIMEOUT: &str = "OTEL_BSP_EXPORT_TIMEOUT";
    let limits = |variables| {
        let limits = settings(variables).limits;
        (
            limits.queue_spans,
            limits.batch_spans,
            limits.delay.as_millis(),
            limits.give_up_after.as_millis(),
        )
    };
    assert_eq!(limits(&[]), (65_536, 512, 500, 120_000));
    assert_eq!(
        limits(&[
            (QUEUE, "1000"),
            (BATCH, "1000"),
            (DELAY, "0"),
            (TIMEOUT, "30000")
        ]),
        (1000, 1000, 0, 30_000)
    );
    assert_eq!(limits(&[(QUEUE, "100")]).1, 100);
    assert_eq!(
        complaint(&[(QUEUE, "100"), (BATCH, "101")]),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"101\" cannot be used: allowed is a whole number of spans up to \
         OTEL_BSP_MAX_QUEUE_SIZE, which is 100"
    );
    for name in [QUEUE, BATCH, TIMEOUT] {
        assert!(
            complaint(&[(name, "0")])
                .starts_with(&format!("{name}=\"0\" cannot be used: allowed is a whole"))
        );
    }
    assert!(complaint(&[(DELAY, "soon")]).starts_with("OTEL_BSP_SCHEDULE_DELAY=\"soon\""));
}

#[test]
fn otel_instrumentation_genai_capture_message_content() {
    const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    assert!(settings(&[]).content);
    for on in ["true", "SPAN_ONLY", "span_and_event"] {
        assert!(settings(&[(NAME, on)]).content, "{on}");
    }
    for off in ["false", "False", "NO_CONTENT", "EVENT_ONLY"] {
        assert!(!settings(&[(NAME, off)]).content, "{off}");
    }
    assert_eq!(
        complaint(&[(NAME, "some")]),
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=\"some\" cannot be used: allowed is true, false, \
         NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT"
    );
}

#[test]
fn conversation_rules() {
    const NAME: &str = "CONVERSATION_RULES";
    assert_eq!(settings(&[]).rules, None);
    // It is read with the rules of the program: tests/behaviour/rules/setup.rs.
    assert_eq!(
        settings(&[(NAME, " a/b.toml ")]).rules.as_deref(),
        Some("a/b.toml")
    );
}

#[test]
fn conversation_rules_debug() {
    const NAME: &str = "CONVERSATION_RULES_DEBUG";
    for (value, prints) in [
        ("", false),
        ("0", false),
        ("False", false),
        ("1", true),
        ("true", true),
    ] {
        assert_eq!(
            settings(&[(NAME, value)]).reports_rules,
            prints,
            "{value:?}"
        );
    }
    assert_eq!(
        complaint(&[(NAME, "perhaps")]),
        "CONVERSATION_RULES_DEBUG=\"perhaps\" cannot be used: allowed is 1, true, 0, false"
    );
}

#[test]
fn conversation_trace() {
    const NAME: &str = "CONVERSATION_TRACE";
    assert_eq!(settings(&[]).trace_mode, TraceMode::Conversation);
    assert_eq!(
        settings(&[(NAME, "conversation")]).trace_mode,
        TraceMode::Conversation
    );
    assert_eq!(settings(&[(NAME, "Turn")]).trace_mode, TraceMode::Turn);
    assert_eq!(
        complaint(&[(NAME, "session")]),
        "CONVERSATION_TRACE=\"session\" cannot be used: allowed is conversation, turn"
    );
}

#[test]
fn conversation_prices() {
    const NAME: &str = "CONVERSATION_PRICES";
    assert!(settings(&[]).prices.is_none());
    let folder = env!("CARGO_MANIFEST_DIR");
    let path = |file: &str| format!("{folder}/src/environment/prices/{file}");
    let prices = settings(&[(NAME, &path("good.json"))]).prices;
    assert_eq!(prices.map(|prices| prices.len()), Some(1));
    const ALLOWED: &str = "cannot be used: allowed is the path of a JSON file in the format of LiteLLM's \
                           model_prices_and_context_window.json";
    for (file, problem) in [
        (
            "bad.json",
            "line 4, column 54: invalid type: string \"free\", expected a number of US dollars from 0 upwards as \
                      `input_cost_per_token` of `gpt-4o`",
        ),
        ("", "it is no regular file"),
    ] {
        assert_eq!(
            complaint(&[(NAME, &path(file))]),
            format!("{NAME}={:?} {ALLOWED} ({problem})", path(file))
        );
    }
    let missing = complaint(&[(NAME, "/nowhere/prices.json")]);
    let start = format!("{NAME}=\"/nowhere/prices.json\" {ALLOWED} (");
    assert!(missing.starts_with(&start), "{missing}");
}

#[cfg(feature = "http")]
#[test]
fn conversation_profile() {
    const NAME: &str = "CONVERSATION_PROFILE";
    let langfuse = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://cloud.langfuse.com/api/public/otel",
    );
    let chosen = |variables: &[(&str, &str)]| settings(variables).profiles.chosen().to_vec();
    assert_eq!(chosen(&[]), [Profile::Default]);
    assert_eq!(chosen(&[langfuse]), [Profile::Langfuse]);
    assert_eq!(chosen(&[langfuse, (NAME, "default")]), [Profile::Default]);
    assert_eq!(chosen(&[(NAME, "OpenInference")]), [Profile::OpenInference]);
    assert_eq!(
        chosen(&[(NAME, "langfuse, openinference,pipecat,langfuse")]),
        [Profile::Langfuse, Profile::OpenInference, Profile::Pipecat]
    );
    for wrong in ["phoenix", "langfuse,phoenix", "langfuse,"] {
        assert_eq!(
            complaint(&[(NAME, wrong)]),
            format!(
                "CONVERSATION_PROFILE={wrong:?} cannot be used: allowed is default, pipecat, langfuse, openinference, \
                 langsmith, opik, or several of them with commas between"
            )
        );
    }
}

#[cfg(all(feature = "http", feature = "grpc", feature = "tls"))]
#[test]
fn langfuse_host_and_keys() {
    const HOST: (&str, &str) = ("LANGFUSE_HOST", "https://langfuse.example.com/");
    const PUBLIC_KEY: (&str, &str) = ("LANGFUSE_PUBLIC_KEY", "pk-lf-1");
    const SECRET_KEY: (&str, &str) = ("LANGFUSE_SECRET_KEY", "sk-lf-2");
    let all = [HOST, PUBLIC_KEY, SECRET_KEY];
    let read = settings(&all);
    let connection = read.otlp.expect("OTLP is on").connection;
    assert_eq!(
        connection.url,
        "https://langfuse.example.com/api/public/otel/v1/traces"
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let pairs = |headers: &http::HeaderMap| {
        let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            pair(name.as_str(), value.to_str().unwrap())
        };
        let mut pairs: Vec<_> = headers.iter().map(pair).collect();
        pairs.sort();
        pairs
    };
    // printf 'pk-lf-1:sk-lf-2' | base64
    let authorization = pair("authorization", "Basic cGstbGYtMTpzay1sZi0y");
    let version = pair("x-langfuse-ingestion-version", "4");
    assert_eq!(
        pairs(&connection.headers),
        [authorization.clone(), version.clone()]
    );
    assert_eq!(read.profiles.chosen(), [Profile::Langfuse]);
    // They stand for an endpoint: the console does not take its place.
    let console = ("OTEL_CONSOLE_EXPORT", "tree");
    let with = |more: (&'static str, &'static str)| [HOST, PUBLIC_KEY, SECRET_KEY, more];
    assert_eq!(destinations(&with(console)), (Some(Console::Tree), true));
    assert_eq!(
        settings(&with(("CONVERSATION_PROFILE", "default")))
            .profiles
            .chosen(),
        [Profile::Default]
    );
    let headers = |variable| pairs(&otlp(&with(variable)).connection.headers);
    assert_eq!(
        headers(("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1")),
        [authorization, pair("x-a", "1"), version.clone()]
    );
    assert_eq!(
        headers(("OTEL_EXPORTER_OTLP_HEADERS", "authorization=mine")),
        [pair("authorization", "mine"), version]
    );
    // An endpoint wins, and two of them are none.
    for endpoint in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        let read = otlp(&with((endpoint, "http://c:4318/v1/traces")));
        assert!(read.connection.url.starts_with("http://c:4318/"));
        assert!(read.connection.headers.is_empty());
    }
    for missing in 0..all.len() {
        let mut two = all.to_vec();
        two.remove(missing);
        assert_eq!(url(&two), "http://localhost:4318/v1/traces");
    }
    assert_eq!(
        complaint(&[
            ("LANGFUSE_HOST", "langfuse.example.com"),
            PUBLIC_KEY,
            SECRET_KEY
        ]),
        "LANGFUSE_HOST=\"langfuse.example.com\" cannot be used: allowed is a URL such as https://cloud.langfuse.com \
         (http or https, a host, no user or password)"
    );
    // Off is off, whatever else is wrong.
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let mut off = with(grpc).to_vec();
    off.push(("OTEL_SDK_DISABLED", "true"));
    assert_eq!(destinations(&off), (None, false));
    assert_eq!(
        complaint(&with(grpc)),
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grpc\" cannot be used: allowed is http/protobuf or http/json together with \
         LANGFUSE_HOST: Langfuse takes no gRPC"
    );
}

#[test]
fn a_programs_own_settings_stand_in_front_of_the_environment() {
    let explicit = HashMap::from([
        ("CONVERSATION_TRACE".to_owned(), "turn".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), String::new()),
    ]);
    let lookup = |name: &str| match name {
        "CONVERSATION_TRACE" | "OTEL_BSP_SCHEDULE_DELAY" => Some(OsString::from("nonsense")),
        "OTEL_TRACES_EXPORTER" => Some(OsString::from("none")),
        _ => None,
    };
    let settings =
        Settings::read(&Variables::new(&explicit, &lookup)).expect("the nonsense is hidden");
    assert_eq!(settings.trace_mode, TraceMode::Turn);
    assert_eq!(settings.limits.delay, Duration::from_millis(500));
}

/// Characters that parsers stumble over, and the words that the values are made of.
fn hostile_value() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::collection::vec(
        proptest::prop_oneof![
            proptest::sample::select(vec![
                "http://",
                "https://",
                "[::1]",
                "@",
                ":",
                "/",
                "?",
                "#",
                "=",
                ",",
                "%",
                "%0a",
                "%ff",
                "grpc",
                "http/json",
                "http/protobuf",
                "18446744073709551615",
                "-1",
                "1e400",
                "NaN",
                "inf",
                "gzip",
                "none",
                "content-length=1",
                "console",
                "otlp",
                "é",
                "\u{202e}",
                "\0",
                "\r\n",
                " ",
            ])
            .prop_map(str::to_owned),
            ".{0,3}",
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest::proptest! {
    #[test]
    fn no_value_panics_and_no_error_shows_a_key(
        values in proptest::collection::vec((proptest::sample::select(fuzzed::VARIABLES.clone()), hostile_value()), 1..6)
    ) {
        let bytes: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        fuzzed::check(&bytes);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        fuzzed::run(&data);
    }
}

/// The table in the documentation has exactly the variables that these tests are about.
#[test]
fn every_documented_variable_has_a_test_and_the_other_way_round() {
    let table = include_str!("../../docs/environment.md");
    let mut tested = names(include_str!("tests.rs"), "\"");
    tested.extend(names(include_str!("metrics/tests.rs"), "\""));
    assert_eq!(names(table, "`"), tested);
}

fn names(text: &'static str, quote: &str) -> std::collections::BTreeSet<&'static str> {
    text.split(quote)
        .filter(|word| {
            ["OTEL_", "CONVERSATION_", "LANGFUSE_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .filter(|word| {
            !word.ends_with('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .collect()
}
