//! The table of docs/environment.md with good, empty, bad and hostile values in each row.

use super::*;
use crate::terminal::is_unsafe;

/// A row of the table in `docs/environment.md`.
struct Row {
    name: String,
    /// What has to be set for it to be read.
    beside: Vec<(String, &'static str)>,
    good: &'static [&'static str],
    bad: &'static [&'static str],
}

impl Row {
    fn new(
        name: impl Into<String>,
        good: &'static [&'static str],
        bad: &'static [&'static str],
    ) -> Self {
        Self {
            name: name.into(),
            beside: Vec::new(),
            good,
            bad,
        }
    }

    fn beside(mut self, name: impl Into<String>, value: &'static str) -> Self {
        self.beside.push((name.into(), value));
        self
    }

    fn read(&self, value: &[u8]) -> Result<Settings, SetupError> {
        let explicit = HashMap::new();
        let lookup = |name: &str| {
            if name == self.name {
                return Some(fuzzed::os_string(value.to_vec()));
            }
            let (_, value) = self.beside.iter().find(|(other, _)| other == name)?;
            Some(value.into())
        };
        Settings::read(&Variables::new(&explicit, &lookup))
    }

    /// How an error shows the value.
    fn shown(&self, value: &str) -> String {
        let is_secret = self.name.ends_with("_HEADERS") || self.name == "OTEL_RESOURCE_ATTRIBUTES";
        if is_secret { "…" } else { value }.to_owned()
    }
}

/// Settings as text, or the error.
fn outcome(read: Result<Settings, SetupError>) -> Vec<String> {
    let text = match read {
        Ok(settings) => format!("{settings:#?}"),
        Err(error) => error.to_string(),
    };
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    // A resource shows its attributes in any order.
    lines.sort();
    lines
}

macro_rules! in_package {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)
    };
}

const CERTIFICATE: &str = in_package!("tests/behaviour/delivery/certificates/client.pem");
const KEY: &str = in_package!("tests/behaviour/delivery/certificates/client.key");

/// Every row, with those of OTLP in all their forms.
fn rows() -> Vec<Row> {
    const COUNTS: &[&str] = &["1", "18446744073709551615"];
    const NO_COUNTS: &[&str] = &[
        "0",
        "-1",
        "1.5",
        "ten",
        "1 000",
        "0x10",
        "18446744073709551616",
    ];
    const SWITCH: &[&str] = &["1", "0", "true", "FALSE"];
    const EXPORTERS: &[&str] = &["otlp", "Console", "none", "otlp, console"];
    let mut rows = vec![
        Row::new("OTEL_SDK_DISABLED", &["true", "False"], &["1", "yes"]),
        Row::new(
            "OTEL_TRACES_EXPORTER",
            EXPORTERS,
            &["zipkin", "otlp;console", "otlp,"],
        ),
        Row::new(
            "OTEL_CONSOLE_EXPORT",
            &["tree", "JSON", "off", "please"],
            &[],
        ),
        Row::new(
            "LANGFUSE_HOST",
            &["http://localhost:3000", "http://c/"],
            &["c", "ftp://c", "http://c?x", "http://c#x"],
        )
        .beside("LANGFUSE_PUBLIC_KEY", "pk")
        .beside("LANGFUSE_SECRET_KEY", "sk"),
        Row::new("LANGFUSE_PUBLIC_KEY", &["pk", "a:b,c=d"], &[])
            .beside("LANGFUSE_HOST", "http://c")
            .beside("LANGFUSE_SECRET_KEY", "sk"),
        Row::new("LANGFUSE_SECRET_KEY", &["sk", "a:b,c=d"], &[])
            .beside("LANGFUSE_HOST", "http://c")
            .beside("LANGFUSE_PUBLIC_KEY", "pk"),
        Row::new("OTEL_SERVICE_NAME", &["bot", "a bot, with = signs"], &[]),
        Row::new(
            "OTEL_RESOURCE_ATTRIBUTES",
            &["a=1", "a=%2C,,b="],
            &["a", "=1", "a=1,b", "a=%FF"],
        ),
        Row::new(
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
            &["true", "span_only", "NO_CONTENT"],
            &["1", "0", "some"],
        ),
        Row::new(
            "CONVERSATION_TRACE",
            &["conversation", "Turn"],
            &["session"],
        ),
        Row::new(
            "CONVERSATION_PRICES",
            &[in_package!("src/environment/prices/good.json")],
            &[
                "/nowhere.json",
                "/dev/zero",
                "/",
                in_package!("src/environment/prices/bad.json"),
            ],
        ),
        Row::new(
            "CONVERSATION_PROFILE",
            &["default", "LangSmith,opik"],
            &["phoenix", "opik,"],
        ),
        Row::new(
            "OTEL_TRACES_SAMPLER",
            &["always_off", "ParentBased_TraceIdRatio"],
            &["jaeger_remote"],
        ),
        Row::new(
            "OTEL_TRACES_SAMPLER_ARG",
            &["0", "1", "5e-1"],
            &["1.5", "-0.1", "NaN", "inf", "half"],
        )
        .beside("OTEL_TRACES_SAMPLER", "traceidratio"),
        // What the file holds is looked at where the program's own rules are: tests/behaviour/rules/setup.rs.
        Row::new("CONVERSATION_RULES", &["a/b.toml"], &[]),
        Row::new("CONVERSATION_RULES_DEBUG", SWITCH, &["on"]),
        Row::new("CONVERSATION_DOCTOR", SWITCH, &["on"]),
        Row::new("OTEL_BSP_MAX_QUEUE_SIZE", COUNTS, NO_COUNTS),
        Row::new("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &["1", "65536"], NO_COUNTS),
        Row::new("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &["100"], &["101"])
            .beside("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        Row::new(
            "OTEL_BSP_SCHEDULE_DELAY",
            &["0", "18446744073709551615"],
            &NO_COUNTS[1..],
        ),
        Row::new("OTEL_BSP_EXPORT_TIMEOUT", COUNTS, NO_COUNTS),
    ];
    let mut metrics = vec![
        Row::new("OTEL_METRIC_EXPORT_INTERVAL", COUNTS, NO_COUNTS),
        Row::new("OTEL_METRIC_EXPORT_TIMEOUT", COUNTS, NO_COUNTS),
        Row::new(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            &["cumulative", "Delta", "lowmemory"],
            &["absolute"],
        ),
        Row::new(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            &[
                "explicit_bucket_histogram",
                "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM",
            ],
            &["summary"],
        ),
    ];
    for form in [
        "OTEL_EXPORTER_OTLP_",
        "OTEL_EXPORTER_OTLP_TRACES_",
        "OTEL_EXPORTER_OTLP_METRICS_",
    ] {
        let row = |end: &str, good, bad| Row::new(format!("{form}{end}"), good, bad);
        let forms = [
            row(
                "ENDPOINT",
                &["http://c:4318", "HTTP://[::1]/a?b=c"],
                &["c:4318", "grpc://c", "http://c:0", "http://1.2.3"],
            ),
            row("PROTOCOL", &["HTTP/JSON", "grpc"], &["http", "grcp"]),
            row(
                "HEADERS",
                &["a=1,b=%2C", "a=1,,"],
                &["a", "a: 1", "a=%0A", "ü=1", "host=h", "Content-Length=1"],
            ),
            row("HEADERS", &["a=1"], &["a-bin=AAAA", "grpc-timeout=1"])
                .beside(format!("{form}PROTOCOL"), "grpc"),
            row("TIMEOUT", COUNTS, NO_COUNTS),
            row("COMPRESSION", &["GZIP", "none"], &["zstd"]),
            row(
                "CERTIFICATE",
                &[CERTIFICATE],
                &["/nowhere.pem", "/", "/dev/zero", KEY],
            ),
            row("CLIENT_CERTIFICATE", &[CERTIFICATE], &["/nowhere.pem", KEY])
                .beside(format!("{form}CLIENT_KEY"), KEY),
            row("CLIENT_KEY", &[KEY], &["/nowhere.pem", CERTIFICATE])
                .beside(format!("{form}CLIENT_CERTIFICATE"), CERTIFICATE),
        ];
        let of = if form.contains("METRICS") {
            &mut metrics
        } else {
            &mut rows
        };
        of.extend(forms);
    }
    if cfg!(feature = "metrics") {
        rows.push(Row::new(
            "OTEL_METRICS_EXPORTER",
            EXPORTERS,
            &["prometheus", "otlp,"],
        ));
        rows.extend(
            metrics
                .into_iter()
                .map(|row| row.beside("OTEL_METRICS_EXPORTER", "otlp")),
        );
    }
    rows
}

#[cfg(feature = "metrics")]
#[test]
fn every_row_of_the_documentation_is_in_the_table() {
    let rows = rows();
    let names_of_rows: BTreeSet<&str> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(
        names_of_rows,
        names(include_str!("../../../docs/environment.md"), "`")
    );
}

#[test]
fn good_values_are_taken_and_empty_ones_count_as_unset() {
    for mut row in rows() {
        for good in row.good {
            let read = row.read(good.as_bytes());
            assert!(read.is_ok(), "{}={good:?}: {read:?}", row.name);
            let blanks = row.read(format!(" {good}\t").as_bytes());
            assert_eq!(outcome(blanks), outcome(read), "{}={good:?}", row.name);
        }
        let blank = [row.read(b""), row.read(b" \t")].map(outcome);
        let name = std::mem::take(&mut row.name);
        for blank in blank {
            assert_eq!(blank, outcome(row.read(b"")), "{name}");
        }
    }
}

#[test]
fn errors_name_variable_value_and_remedy() {
    for row in rows() {
        for bad in row.bad {
            let Err(error) = row.read(bad.as_bytes()) else {
                panic!("{}={bad:?} is taken", row.name);
            };
            let SetupError::Variable {
                name,
                value,
                allowed,
            } = &error
            else {
                panic!("{}={bad:?}: {error}", row.name);
            };
            let shown = (row.name.clone(), row.shown(bad));
            let hides_query =
                value.ends_with("?…") && bad.starts_with(value.trim_end_matches("?…"));
            assert!(
                (name.clone(), value.clone()) == shown || hides_query,
                "{}={bad:?}: {error}",
                row.name
            );
            assert!(!allowed.is_empty());
            assert_eq!(
                format!("{error:?}"),
                error.to_string(),
                "as `main` prints it"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn values_that_are_not_utf_8_are_refused_under_their_name() {
    for row in rows() {
        let error = row.read(b"secret\xff").expect_err(&row.name);
        assert_eq!(
            error.to_string(),
            format!(
                "{}=\"…\" cannot be used: allowed is text in UTF-8",
                row.name
            )
        );
    }
}

#[test]
fn hostile_values_are_taken_or_refused_under_their_name_and_drive_no_terminal() {
    let long = "a".repeat(1 << 15);
    let hostile = [
        "\u{1b}]0;title\u{7}",
        "\u{1b}[2J\r",
        "\u{9b}31m",
        "a\u{202e}b\u{2066}",
        "a\u{2028}b",
        "a\0b",
        "a\nb=c",
        "\u{feff}1",
        "%",
        "%1b%5b31m",
        "=",
        ",=,=",
        "a=%1b%5b31m",
        "http://\u{1b}[31m",
        "http://c/%1b%5b31m",
        "http://c/?\u{1b}",
        "http://c:99999999999",
        "http://user@c",
        "-0",
        "1e400",
        "..",
        "/dev/stdin",
        "file:///etc/passwd",
        "${HOME}",
        &long,
    ];
    for row in rows() {
        for value in hostile {
            match row.read(value.as_bytes()) {
                Ok(settings) => {
                    if let Some(otlp) = settings.otlp {
                        let shown = otlp.connection.destination();
                        assert!(
                            !shown.contains(is_unsafe),
                            "{}={value:?}: {shown:?}",
                            row.name
                        );
                    }
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.starts_with(&format!("{}=\"", row.name)), "{said}");
                    assert!(!said.contains(is_unsafe), "{said:?}");
                }
            }
        }
    }
}
