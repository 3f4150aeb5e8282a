//! Exported values: typed, unique by key, and valid in OTLP.

use crate::stage::{self, Stage, assert_each_key_once, attribute};
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use tracing::field::Empty;
use tracing::{info, info_span};

fn typed(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|attribute| attribute.value.clone())
}

#[test]
fn integers_of_any_type_are_exported_as_integers() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            n.u64 = 1_u64,
            n.usize = 2_usize,
            n.late = Empty
        );
        conversation.record("n.late", 3_u64);
        conversation.in_scope(|| {
            info!(
                conversation.event = "annotate",
                n.u64 = 4_u64,
                n.i128 = 5_i128
            );
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                n.u8 = 1_u8,
                n.u16 = 2_u16,
                n.u32 = 3_u32,
                n.u64 = 4_u64,
                n.usize = 5_usize,
                n.i8 = -1_i8,
                n.i16 = -2_i16,
                n.i32 = -3_i32,
                n.i64 = i64::MIN,
                n.isize = -5_isize,
                n.u128 = 6_u128,
                n.i128 = -6_i128,
                n.some = Some(7_u64),
                n.nonzero = std::num::NonZeroU64::new(8).unwrap(),
                gen_ai.usage.input_tokens = Empty,
            );
            llm.record("gen_ai.usage.input_tokens", 1_000_usize);
        });
    });
    let spans = stage.spans();
    for (name, values) in [
        (
            "conversation",
            &[("n.u64", 1), ("n.usize", 2), ("n.late", 3)][..],
        ),
        ("turn", &[("n.u64", 4), ("n.i128", 5), ("turn.number", 1)]),
        (
            "llm",
            &[
                ("n.u8", 1),
                ("n.u16", 2),
                ("n.u32", 3),
                ("n.u64", 4),
                ("n.usize", 5),
                ("n.i8", -1),
                ("n.i16", -2),
                ("n.i32", -3),
                ("n.i64", i64::MIN),
                ("n.isize", -5),
                ("n.u128", 6),
                ("n.i128", -6),
                ("n.some", 7),
                ("n.nonzero", 8),
                ("gen_ai.usage.input_tokens", 1_000),
                ("turn.number", 1),
            ],
        ),
    ] {
        let span = stage::one(&spans, name);
        for (key, value) in values {
            assert_eq!(
                typed(&span, key),
                Some(Value::I64(*value)),
                "{key} of {name}"
            );
        }
    }
}

#[test]
fn integer_out_of_otlp_range_is_exported_as_text() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        drop(info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            n.u64 = u64::MAX,
            n.u128 = u128::MAX,
            n.i128 = i128::MIN
        ));
    });
    let llm = stage.span("llm");
    assert_eq!(
        attribute(&llm, "n.u64").as_deref(),
        Some("18446744073709551615")
    );
    assert_eq!(attribute(&llm, "n.u128"), Some(u128::MAX.to_string()));
    assert_eq!(attribute(&llm, "n.i128"), Some(i128::MIN.to_string()));
}

#[test]
fn non_finite_floats_are_not_exported() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!(
            "conversation",
            conversation.id = "c1",
            odd = f64::NAN,
            fine = 0.5,
            ok = true
        );
        conversation.in_scope(|| {
            info!(
                conversation.event = "annotate",
                odd = f64::INFINITY,
                fine = 0.25
            );
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                odd = f64::NEG_INFINITY,
                fine = -0.0
            );
            llm.in_scope(|| drop(info_span!("POST", odd = f64::NAN, fine = f64::MIN_POSITIVE)));
        });
    });
    assert_eq!(
        stage.tree(&["odd", "fine", "ok"]),
        [
            "conversation fine=0.5 ok=true",
            "  turn fine=0.25",
            "    llm fine=-0.0",
            "      POST fine=2.2250738585072014e-308",
        ]
    );
}

#[test]
fn key_recorded_twice_is_exported_once_with_last_value() {
    let stage = Stage::new();
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1", mood = "calm");
        conversation
            .record("mood", "excited")
            .record("mood", "angry");
        conversation.in_scope(|| {
            for n in 0..5 {
                info!(conversation.event = "annotate", count = n);
            }
            let llm = info_span!("llm", gen_ai.operation.name = "chat", tokens = 1);
            llm.in_scope(|| {
                for n in 2..5 {
                    llm.record("tokens", n);
                }
                let post = info_span!("POST", status = 100);
                post.record("status", 200).record("status", 404);
                info!(twice = 1, "an event of the program");
            });
        });
    });
    assert_eq!(
        stage.tree(&["mood", "count", "tokens", "status"]),
        [
            "conversation mood=angry",
            "  turn count=4",
            "    llm tokens=4",
            "      POST"
        ]
    );
    assert_eq!(typed(&stage.span("POST"), "status"), Some(Value::I64(404)));
    assert_each_key_once(&stage.spans());
}

#[test]
fn unusual_text_is_exported_unchanged() {
    let stage = Stage::new();
    let text = "line\nline\t\u{0} \u{1F600} \"quoted\" \u{202e}";
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = text, empty = "", shown = %text, debugged = ?Some(1)).entered();
        drop(info_span!("llm", gen_ai.operation.name = "chat", input = text));
    });
    let conversation = stage.span("conversation");
    assert_eq!(
        attribute(&conversation, "conversation.id").as_deref(),
        Some(text)
    );
    assert_eq!(
        attribute(&conversation, "gen_ai.conversation.id").as_deref(),
        Some(text)
    );
    assert_eq!(attribute(&conversation, "empty").as_deref(), Some(""));
    assert_eq!(attribute(&conversation, "shown").as_deref(), Some(text));
    assert_eq!(
        attribute(&conversation, "debugged").as_deref(),
        Some("Some(1)")
    );
    assert_eq!(
        attribute(&stage.span("llm"), "input").as_deref(),
        Some(text)
    );
}

#[test]
fn megabyte_values_are_cut_and_ids_still_match() {
    let stage = Stage::new();
    let huge = "x".repeat(1 << 20);
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = %huge);
        let stt = info_span!("stt", gen_ai.operation.name = "stt", conversation.id = %huge, transcript = %huge);
        drop(stt);
        let tts = info_span!("tts", gen_ai.operation.name = "tts", conversation.id = %huge, text = Empty);
        for _ in 0..10 {
            tts.record("text", &*huge);
        }
        info!(conversation.event = "annotate", conversation.id = %huge, note = %huge);
        assert_eq!(stage.conversations.open(), 1);
    });
    assert_eq!(
        stage.tree(&[]),
        ["conversation", "  turn", "    stt", "    tts"]
    );
    for span in stage.spans() {
        for attribute in &span.attributes {
            assert!(
                attribute.value.as_str().len() <= 64 * 1024,
                "{} of {}",
                attribute.key,
                span.name
            );
        }
    }
    assert_eq!(
        attribute(&stage.span("tts"), "metrics.character_count"),
        Some((10 << 20).to_string())
    );
}

#[test]
fn values_are_cut_in_every_span_and_field() {
    let stage = Stage::new();
    let huge = "x".repeat(1 << 20);
    stage.play(|| {
        for id in ["short", &*huge] {
            let _scope = info_span!("conversation", conversation.id = id).entered();
            for _ in 0..3 {
                drop(info_span!(
                    "llm",
                    gen_ai.operation.name = "chat",
                    gen_ai.provider.name = &*huge,
                    gen_ai.request.model = &*huge,
                    language = &*huge
                ));
                drop(info_span!("own", gen_ai.operation.name = &*huge));
                info!(conversation.event = "user_started_speaking");
                info!(conversation.event = "bot_started_speaking");
            }
        }
    });
    let spans = stage.spans();
    assert_eq!(spans.len(), 2 + 6 + 6 + 6);
    for span in &spans {
        for attribute in &span.attributes {
            let length = attribute.value.as_str().len();
            assert!(length <= 64 * 1024, "{} of {}", attribute.key, span.name);
        }
    }
}

#[test]
fn characters_are_counted_unless_count_is_given() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let tts = |name| {
            info_span!(
                "tts",
                gen_ai.operation.name = "tts",
                name,
                text = Empty,
                metrics.character_count = Empty
            )
        };
        let counted = tts("counted");
        counted.record("text", "Grüß").record("text", "dich 👋");
        let given = tts("given");
        given
            .record("text", "Hello.")
            .record("metrics.character_count", 6_u64);
        given
            .record("text", "Bye.")
            .record("metrics.character_count", 4_usize);
        let wrong = tts("wrong");
        wrong
            .record("text", "abc")
            .record("metrics.character_count", "many");
        drop((counted, given, wrong, tts("silent")));
    });
    let lines: Vec<_> = stage
        .tree(&["name", "metrics.character_count"])
        .into_iter()
        .filter(|line| line.contains("tts"))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "tts name=counted metrics.character_count=10",
            "tts name=given metrics.character_count=10",
            "tts name=wrong metrics.character_count=3",
            "tts name=silent"
        ]
    );
}

#[test]
fn capture_off_exports_no_content_in_attributes_events_or_status() {
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SimpleSpanProcessor};
    use tracing_conversation::{ContentPolicy, ConversationProcessor};

    let policy = ContentPolicy::default()
        .with_capture(false)
        .with_allowed_keys(["tier"]);
    let exporter = InMemorySpanExporter::default();
    let processor =
        ConversationProcessor::new(SimpleSpanProcessor::new(exporter.clone())).with_content(policy);
    let output = stage::Output::over(exporter, processor, |builder| builder);
    let stage = Stage::over(output, |layer| layer);
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1", tier = "premium").entered();
        let stt = info_span!("stt", gen_ai.operation.name = "stt", transcript = "SECRET", is_final = true, language = "en");
        drop(stt);
        let llm = info_span!(
            "llm", gen_ai.operation.name = "chat", input = "SECRET", output = "SECRET", tools = "SECRET", tool_count = 2_u64,
            gen_ai.system_instructions = "SECRET", gen_ai.input.messages = "SECRET", otel.status_description = "SECRET",
            error.type = "timeout",
        );
        llm.in_scope(|| {
            info!(conversation.event = "annotate", output = "SECRET", mood = "SECRET", attempt = 2_i64);
            info!(said = "SECRET", "SECRET {}", "SECRET");
            tracing::error!(error = "SECRET", "SECRET");
            drop(info_span!("tool", gen_ai.operation.name = "execute_tool", gen_ai.tool.call.arguments = "SECRET", gen_ai.tool.call.result = "SECRET", gen_ai.tool.name = "weather"));
            drop(info_span!("realtime", gen_ai.operation.name = "realtime", transcript = "SECRET", input = "SECRET", output = "SECRET"));
        });
        drop(llm);
        info!(conversation.event = "annotate", turn.input = "SECRET", turn.output = "SECRET", transcript = "SECRET");
        drop(info_span!("tts", gen_ai.operation.name = "tts", text = "SECRET", voice_id = "alto"));
    });
    let everything = format!("{:#?}", stage.spans());
    assert!(!everything.contains("SECRET"), "{everything}");
    assert_eq!(
        stage.tree(&[
            "status",
            "error.type",
            "tier",
            "is_final",
            "language",
            "tool_count",
            "attempt",
            "gen_ai.tool.name",
            "voice_id",
            "metrics.character_count",
            "stt.incomplete"
        ]),
        [
            "conversation tier=premium",
            "  turn",
            "    stt is_final=true language=en",
            "    llm status=error() error.type=timeout tool_count=2 attempt=2",
            "      tool gen_ai.tool.name=weather",
            "      realtime",
            "    tts voice_id=alto metrics.character_count=6",
        ]
    );
}

#[test]
fn declared_but_unrecorded_fields_are_not_exported() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1", tier = Empty).entered();
        drop(info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            text = Empty,
            voice_id = Empty,
            interrupted = Empty,
            otel.status_code = Empty,
            nothing = None::<u64>
        ));
        info!(
            conversation.event = "annotate",
            nothing = Empty,
            also = None::<&str>
        );
    });
    for span in stage.spans() {
        for key in [
            "tier",
            "text",
            "voice_id",
            "interrupted",
            "otel.status_code",
            "nothing",
            "also",
            "error.type",
        ] {
            assert_eq!(attribute(&span, key), None, "{key} of {}", span.name);
        }
    }
}

#[test]
fn control_fields_are_not_exported() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope =
            info_span!("conversation", conversation.id = "c1", otel.kind = "server").entered();
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            conversation.id = "c1",
            turn.number = 1_u8,
            otel.status_code = "ERROR"
        );
        llm.in_scope(|| {
            info!(
                conversation.event = "annotate",
                ago_secs = 0.5,
                conversation.id = "c1",
                "message"
            )
        });
    });
    for span in stage.spans() {
        for key in [
            "conversation.event",
            "ago_secs",
            "otel.kind",
            "otel.status_code",
            "message",
            "service.ended",
        ] {
            assert_eq!(attribute(&span, key), None, "{key} of {}", span.name);
        }
    }
    assert_each_key_once(&stage.spans());
}
