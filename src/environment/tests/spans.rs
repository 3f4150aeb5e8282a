//! What is in a span, and how many of them wait.

use opentelemetry::Key;

use super::*;

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
fn conversation_doctor() {
    const NAME: &str = "CONVERSATION_DOCTOR";
    let doctor = |value: &'static str| {
        let explicit = HashMap::from([(NAME.to_owned(), value.to_owned())]);
        super::super::doctor(&Variables::new(&explicit, &|_| None))
    };
    for (value, prints) in [("", false), ("1", true), ("TRUE", true), ("0", false)] {
        assert_eq!(doctor(value).unwrap(), prints, "{value:?}");
    }
    assert_eq!(
        doctor("please").unwrap_err().to_string(),
        "CONVERSATION_DOCTOR=\"please\" cannot be used: allowed is 1, true, 0, false"
    );
}
