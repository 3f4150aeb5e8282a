#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::MetricsSettings;
use crate::environment::{
    Protocol,
    tests::{complaint, settings},
};

const EXPORTER: (&str, &str) = ("OTEL_METRICS_EXPORTER", "otlp");

/// The settings of metrics that go out over OTLP.
fn metrics(variables: &[(&str, &str)]) -> MetricsSettings {
    let variables = [&[EXPORTER], variables].concat();
    settings(&variables).metrics.expect("metrics are on")
}

fn otlp(variables: &[(&str, &str)]) -> crate::environment::Otlp {
    metrics(variables).otlp.expect("OTLP is on")
}

/// What is said of a variable beside [`EXPORTER`].
fn said_of(name: &str, value: &str) -> String {
    complaint(&[EXPORTER, (name, value)])
}

#[test]
fn otel_metrics_exporter() {
    const NAME: &str = "OTEL_METRICS_EXPORTER";
    let destinations = |value| {
        let metrics = settings(&[(NAME, value)]).metrics;
        metrics.map(|metrics| (metrics.otlp.is_some(), metrics.console))
    };
    assert_eq!(settings(&[]).metrics, None);
    for off in ["", " ", "none", "None, none"] {
        assert_eq!(destinations(off), None, "{off:?}");
    }
    assert_eq!(destinations("otlp"), Some((true, false)));
    assert_eq!(destinations("Console"), Some((false, true)));
    assert_eq!(destinations("console, otlp"), Some((true, true)));
    for wrong in ["prometheus", "otlp,stdout"] {
        assert_eq!(
            complaint(&[(NAME, wrong)]),
            format!(
                "OTEL_METRICS_EXPORTER={wrong:?} cannot be used: allowed is otlp, console, none, or some of them with \
                 commas between"
            )
        );
    }
    let disabled = [(NAME, "otlp"), ("OTEL_SDK_DISABLED", "true")];
    assert_eq!(settings(&disabled).metrics, None);
    // What belongs to metrics is not looked at where there are none.
    assert_eq!(
        settings(&[("OTEL_METRIC_EXPORT_INTERVAL", "often")]).metrics,
        None
    );
}

#[test]
fn otel_metric_export_interval() {
    const NAME: &str = "OTEL_METRIC_EXPORT_INTERVAL";
    assert_eq!(metrics(&[]).interval, Duration::from_secs(60));
    assert_eq!(
        metrics(&[(NAME, "250")]).interval,
        Duration::from_millis(250)
    );
    for wrong in ["0", "-1", "1s", "1.5"] {
        assert_eq!(
            said_of(NAME, wrong),
            format!(
                "OTEL_METRIC_EXPORT_INTERVAL={wrong:?} cannot be used: allowed is a whole number of milliseconds from 1 \
                 upwards"
            )
        );
    }
}

#[test]
fn otel_metric_export_timeout() {
    const NAME: &str = "OTEL_METRIC_EXPORT_TIMEOUT";
    assert_eq!(metrics(&[]).timeout, Duration::from_secs(30));
    assert_eq!(metrics(&[(NAME, "1000")]).timeout, Duration::from_secs(1));
    assert_eq!(
        said_of(NAME, "soon"),
        "OTEL_METRIC_EXPORT_TIMEOUT=\"soon\" cannot be used: allowed is a whole number of milliseconds from 1 upwards"
    );
}

#[test]
fn otel_exporter_otlp_metrics_temporality_preference() {
    const NAME: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    assert_eq!(metrics(&[]).temporality, Temporality::Cumulative);
    for (value, temporality) in [
        ("cumulative", Temporality::Cumulative),
        ("Delta", Temporality::Delta),
        ("lowmemory", Temporality::LowMemory),
    ] {
        assert_eq!(metrics(&[(NAME, value)]).temporality, temporality);
    }
    assert_eq!(
        said_of(NAME, "absolute"),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=\"absolute\" cannot be used: allowed is cumulative, delta, \
         lowmemory"
    );
}

#[test]
fn otel_exporter_otlp_metrics_default_histogram_aggregation() {
    const NAME: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    assert!(!metrics(&[]).exponential);
    assert!(!metrics(&[(NAME, "explicit_bucket_histogram")]).exponential);
    assert!(metrics(&[(NAME, "base2_exponential_bucket_histogram")]).exponential);
    assert_eq!(
        said_of(NAME, "summary"),
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=\"summary\" cannot be used: allowed is \
         explicit_bucket_histogram, base2_exponential_bucket_histogram"
    );
}

#[test]
fn otel_exporter_otlp_metrics_endpoint() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let url = |variables: &[_]| otlp(variables).connection.url;
    assert_eq!(url(&[]), "http://localhost:4318/v1/metrics");
    assert_eq!(
        url(&[(GENERAL, "http://c/base/")]),
        "http://c/base/v1/metrics"
    );
    assert_eq!(
        url(&[(GENERAL, "http://c"), (METRICS, "http://m/in")]),
        "http://m/in"
    );
    // The form for the other signal is not for metrics.
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/in");
    assert_eq!(url(&[traces]), "http://localhost:4318/v1/metrics");
    assert_eq!(
        said_of(METRICS, "c:4318"),
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=\"c:4318\" cannot be used: allowed is a URL such as http://localhost:4318 \
         or https://collector.example.com (http or https, a host in ASCII, no user or password: those are headers)"
    );
}

#[test]
fn otel_exporter_otlp_metrics_protocol() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";
    assert_eq!(otlp(&[]).protocol, Protocol::HttpProtobuf);
    assert_eq!(otlp(&[(GENERAL, "http/json")]).protocol, Protocol::HttpJson);
    let both = [(GENERAL, "http/json"), (METRICS, "http/protobuf")];
    assert_eq!(otlp(&both).protocol, Protocol::HttpProtobuf);
    assert_eq!(
        said_of(METRICS, "http"),
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=\"http\" cannot be used: allowed is grpc, http/protobuf, http/json"
    );
}

#[test]
fn otel_exporter_otlp_metrics_headers_timeout_and_compression() {
    let own = otlp(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "b=%32"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
    ])
    .connection;
    assert_eq!(own.headers.len(), 1);
    assert_eq!(own.headers["b"], "2");
    assert_eq!(own.timeout, Duration::from_millis(250));
    assert!(own.gzip);
    assert_eq!(
        said_of("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "secret"),
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS=\"…\" cannot be used: allowed is name=value,name=value with percent-encoded \
         values; entry 1 is none"
    );
    assert_eq!(
        said_of("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=\"0\" cannot be used: allowed is a whole number of milliseconds from 1 upwards"
    );
    assert_eq!(
        said_of("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd"),
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION=\"zstd\" cannot be used: allowed is gzip, none"
    );
}

#[test]
fn otel_exporter_otlp_metrics_certificate_and_client_pair() {
    let absent = "/there/is/no/such.pem";
    for name in [
        "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
    ] {
        assert_eq!(
            said_of(name, absent),
            format!(
                "{name}={absent:?} cannot be used: allowed is the path of a PEM file (No such file or directory (os \
                 error 2))"
            )
        );
    }
}
