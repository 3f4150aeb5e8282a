//! Whether spans go to the console, over OTLP, to Langfuse or nowhere.

use opentelemetry::Key;

use super::*;

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
fn any_word_on_where_spans_go_overrules_a_default_exporter() {
    const NAME: &str = "OTEL_TRACES_EXPORTER";
    let destinations = |variables: &[(&str, &str)]| {
        let settings = with_defaults(&[(NAME, "none")], variables);
        (settings.console, settings.otlp.is_some())
    };
    assert_eq!(destinations(&[]), (None, false));
    assert_eq!(
        destinations(&[("OTEL_CONSOLE_EXPORT", "off")]),
        (None, true)
    );
    assert_eq!(
        destinations(&[("OTEL_CONSOLE_EXPORT", "json")]),
        (Some(Console::Json), false)
    );
    for endpoint in TRACES.endpoint {
        assert_eq!(destinations(&[(endpoint, "http://c:4318")]), (None, true));
    }
    assert_eq!(
        destinations(&[(NAME, "console")]),
        (Some(Console::Stdout), false)
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
         (http or https, a host, no user or password, no query)"
    );
    // Off is off, whatever else is wrong.
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let mut off = with(grpc).to_vec();
    off.push(("OTEL_SDK_DISABLED", "true"));
    assert_eq!(destinations(&off), (None, false));
    // What is wrong with a variable is said of that variable.
    for name in TRACES.headers {
        assert_eq!(
            complaint(&with((name, "x-a: 1"))),
            format!(
                "{name}=\"…\" cannot be used: allowed is name=value,name=value with percent-encoded values; entry 1 is \
                 none"
            )
        );
    }
    assert!(
        complaint(&with((TRACES.protocol[0], "grpc")))
            .starts_with("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=\"grpc\" ")
    );
    assert_eq!(
        complaint(&with(grpc)),
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grpc\" cannot be used: allowed is http/protobuf or http/json together with \
         LANGFUSE_HOST: Langfuse takes no gRPC"
    );
}
