//! Service spans: their turn, their parent, and when and how they end.

use crate::stage::{
    self, Stage, assert_each_key_once, attribute, end_turn, next_turn, scope, seconds,
};
use opentelemetry::trace::SpanKind;
use std::borrow::Cow;
use tracing::field::Empty;
use tracing::{info, info_span};

const TURN: &[&str] = &["turn.number"];

#[test]
fn service_is_child_of_open_turn_or_of_conversation_between_turns() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        drop(info_span!("llm", gen_ai.operation.name = "chat"));
        stage.pass(10);
        end_turn(&stage);
        let between = info_span!("tts", gen_ai.operation.name = "tts");
        stage.pass(10);
        info!(conversation.event = "user_started_speaking");
        drop(between);
        drop(info_span!("llm", gen_ai.operation.name = "chat"));
    });
    assert_eq!(
        stage.tree(TURN),
        [
            "conversation",
            "  turn turn.number=1",
            "    llm turn.number=1",
            "  tts",
            "  turn turn.number=2",
            "    llm turn.number=2",
        ]
    );
}

#[test]
fn session_long_task_spans_do_not_determine_turn_of_service() {
    let stage = Stage::new();
    stage.play(|| {
        let scope = scope();
        let task = scope.in_scope(|| info_span!("tts_task"));
        let inner_task = task.in_scope(|| info_span!("writer"));
        inner_task.in_scope(|| drop(info_span!("tts", gen_ai.operation.name = "tts")));
        stage.pass(10);
        inner_task.in_scope(|| {
            next_turn();
            let tts = info_span!("tts", gen_ai.operation.name = "tts");
            tts.in_scope(|| drop(info_span!("POST")));
        });
        drop((inner_task, task, scope));
    });
    let spans = stage.spans();
    let tree = stage::tree(&spans, TURN);
    assert_eq!(
        tree,
        [
            "conversation",
            "  turn turn.number=1",
            "    tts turn.number=1",
            "  tts_task",
            "    writer",
            "  turn turn.number=2",
            "    tts turn.number=2",
            "      POST turn.number=2",
        ]
    );
}

#[test]
fn service_nests_below_service_of_same_turn_only() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let agent = info_span!("invoke_agent", gen_ai.operation.name = "invoke_agent");
        agent.in_scope(|| {
            let chat = info_span!("chat", gen_ai.operation.name = "chat");
            chat.in_scope(|| {
                let step = info_span!("step");
                step.in_scope(|| drop(info_span!("tool", gen_ai.operation.name = "execute_tool")));
            });
            stage.pass(10);
            next_turn();
            drop(info_span!("chat", gen_ai.operation.name = "chat"));
        });
        stage.pass(10);
        // The same with explicit parents.
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        drop(info_span!(parent: &llm, "tool", gen_ai.operation.name = "execute_tool"));
        drop(llm);
        stage.pass(10);
        drop(info_span!(parent: &agent, "tts", gen_ai.operation.name = "tts"));
    });
    assert_eq!(
        stage.tree(TURN),
        [
            "conversation",
            "  turn turn.number=1",
            "    invoke_agent turn.number=1",
            "      chat turn.number=1",
            "        step turn.number=1",
            "          tool turn.number=1",
            "  turn turn.number=2",
            "    chat turn.number=2",
            "    llm turn.number=2",
            "      tool turn.number=2",
            "    tts turn.number=2",
        ]
    );
}

#[test]
fn explicit_number_of_known_turn_takes_precedence() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        stage.pass(10);
        next_turn();
        stage.pass(10);
        next_turn();
        drop(info_span!(
            "past",
            gen_ai.operation.name = "chat",
            turn.number = 1_u32
        ));
        drop(info_span!(
            "open",
            gen_ai.operation.name = "chat",
            turn.number = 3_i64
        ));
        drop(info_span!(
            "unknown",
            gen_ai.operation.name = "chat",
            turn.number = 99_u64
        ));
        drop(info_span!(
            "zero",
            gen_ai.operation.name = "chat",
            turn.number = 0
        ));
        drop(info_span!(
            "negative",
            gen_ai.operation.name = "chat",
            turn.number = -1
        ));
        drop(info_span!(
            "float",
            gen_ai.operation.name = "chat",
            turn.number = 2.0
        ));
        drop(info_span!(
            "text",
            gen_ai.operation.name = "chat",
            turn.number = "two"
        ));
        drop(info_span!(
            "huge",
            gen_ai.operation.name = "chat",
            turn.number = u128::MAX
        ));
        let stt = info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            turn.number = 2,
            transcript = Empty
        );
        next_turn();
        stt.record("transcript", "explicitly in the second");
    });
    let tree = stage.tree(TURN);
    let mut third: Vec<_> = tree
        .iter()
        .filter(|line| line.starts_with("    "))
        .map(|line| line.trim())
        .collect();
    third.sort_unstable();
    assert_eq!(
        third,
        [
            "float turn.number=2",
            "huge turn.number=3",
            "negative turn.number=3",
            "open turn.number=3",
            "past turn.number=1",
            "stt turn.number=2",
            "text turn.number=3",
            "unknown turn.number=3",
            "zero turn.number=3",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn service_without_parent_joins_only_by_conversation_id() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        drop(info_span!(parent: None, "llm", gen_ai.operation.name = "chat", turn.number = 1));
        drop(
            info_span!(parent: None, "tts", gen_ai.operation.name = "tts", conversation.id = "c1"),
        );
    });
    let llm = stage.span("llm");
    assert_eq!(llm.parent_span_id, opentelemetry::SpanId::INVALID);
    assert_eq!(attribute(&llm, "conversation.id"), None);
    assert_eq!(
        stage.span("tts").parent_span_id,
        stage.span("turn").span_context.span_id()
    );
}

#[test]
fn operation_aliases_map_to_their_service() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        for operation in [
            "stt",
            "speech_to_text",
            "transcription",
            "chat",
            "text_completion",
            "generate_content",
            "tts",
            "text_to_speech",
            "audio_generation",
            "execute_tool",
            "realtime",
            "embeddings",
            "",
        ] {
            let span = info_span!("work", gen_ai.operation.name = operation);
            stage.pass(500);
            span.in_scope(|| info!(conversation.event = "first_byte"));
        }
    });
    let lines: Vec<_> = stage
        .spans()
        .iter()
        .filter(|span| span.name == "work")
        .map(|span| {
            let ttfb = |key| attribute(span, key).unwrap_or("-".to_owned());
            format!(
                "{} {} {} {}",
                ttfb("gen_ai.operation.name"),
                ttfb("gen_ai.output.type"),
                ttfb("metrics.ttfb"),
                ttfb("stt.incomplete")
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "stt - - true",
            "speech_to_text - - true",
            "transcription - - true",
            "chat text 0.5 -",
            "text_completion text 0.5 -",
            "generate_content text 0.5 -",
            "tts speech 0.5 -",
            "text_to_speech speech 0.5 -",
            "audio_generation speech 0.5 -",
            "execute_tool - - -",
            "realtime - 0.5 -",
            "embeddings - 0.5 -",
            " - 0.5 -",
        ]
    );
}

#[test]
fn operation_recorded_late_makes_span_a_service() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        info!(
            conversation.event = "vad_user_stopped_speaking",
            stop_secs = 0.0
        );
        let work = info_span!("work", gen_ai.operation.name = Empty, output = Empty);
        work.record("gen_ai.operation.name", "chat");
        work.record("output", "hello");
        stage.pass(250);
        work.in_scope(|| info!(conversation.event = "first_byte"));
        info!(conversation.event = "bot_started_speaking");
    });
    assert_eq!(
        stage.tree(&[
            "gen_ai.output.type",
            "metrics.ttfb",
            "turn.output",
            "turn.latency.llm_inference"
        ]),
        [
            "conversation",
            "  turn turn.output=hello turn.latency.llm_inference=0.25",
            "    work gen_ai.output.type=text metrics.ttfb=0.25",
        ]
    );
}

#[test]
fn ttfb_is_set_once_and_only_with_first_byte() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let llm = info_span!("answered", gen_ai.operation.name = "chat");
        let silent = info_span!("cut off", gen_ai.operation.name = "chat");
        let given = info_span!("given", gen_ai.operation.name = "tts", metrics.ttfb = 0.75);
        let at_once = info_span!("at once", gen_ai.operation.name = "tts");
        at_once.in_scope(|| info!(conversation.event = "first_byte"));
        let wrong = info_span!(
            "wrong",
            gen_ai.operation.name = "tts",
            metrics.ttfb = "soon"
        );
        let zero = info_span!("zero", gen_ai.operation.name = "tts", metrics.ttfb = 0.0);
        let nan = info_span!(
            "nan",
            gen_ai.operation.name = "tts",
            metrics.ttfb = f64::NAN
        );
        stage.pass(500);
        for span in [&llm, &given, &wrong, &zero, &nan] {
            span.in_scope(|| info!(conversation.event = "first_byte"));
        }
        stage.pass(500);
        llm.in_scope(|| info!(conversation.event = "first_byte"));
        info!(conversation.event = "interruption");
        drop((llm, silent, given, at_once, wrong, zero, nan));
    });
    let ttfb = |name| {
        let span = stage.span(name);
        let ttfb = attribute(&span, "metrics.ttfb");
        assert_eq!(
            ttfb,
            attribute(&span, "gen_ai.response.time_to_first_chunk")
        );
        ttfb
    };
    assert_eq!(ttfb("answered").as_deref(), Some("0.5"));
    assert_eq!(ttfb("cut off"), None);
    assert_eq!(ttfb("given").as_deref(), Some("0.75"));
    assert_eq!(ttfb("at once"), None, "never 0");
    for name in ["wrong", "zero", "nan"] {
        assert_eq!(ttfb(name).as_deref(), Some("0.5"), "{name}");
    }
}

#[test]
fn interruption_marks_only_running_llm_and_tts_services() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        drop(info_span!("before", gen_ai.operation.name = "chat"));
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        let tts = info_span!("tts", gen_ai.operation.name = "tts");
        let realtime = info_span!("realtime", gen_ai.operation.name = "realtime");
        let tool = info_span!("tool", gen_ai.operation.name = "execute_tool");
        let stt = info_span!("stt", gen_ai.operation.name = "stt");
        stage.pass(10);
        info!(conversation.event = "bot_started_speaking");
        stage.pass(10);
        info!(conversation.event = "user_started_speaking");
        let later = info_span!("later", gen_ai.operation.name = "chat");
        drop((llm, tts, realtime, tool, stt, later));
        let explicit = info_span!(
            "explicit",
            gen_ai.operation.name = "tts",
            interrupted = Empty
        );
        explicit.record("interrupted", true);
        drop(explicit);
        drop(info_span!(
            "not",
            gen_ai.operation.name = "tts",
            interrupted = false
        ));
        let dropped = info_span!("dropped", gen_ai.operation.name = "tts");
        info!(conversation.event = "interruption");
        drop(dropped);
    });
    let mut interrupted: Vec<_> = stage
        .tree(&["interrupted", "tts.interrupted"])
        .into_iter()
        .filter(|line| line.contains("interrupted"))
        .map(|line| line.trim().to_owned())
        .collect();
    interrupted.sort();
    assert_eq!(
        interrupted,
        [
            "dropped interrupted=true tts.interrupted=true",
            "explicit interrupted=true tts.interrupted=true",
            "llm interrupted=true",
            "realtime interrupted=true",
            "tts interrupted=true tts.interrupted=true",
        ]
    );
    let turns: Vec<_> = stage
        .spans()
        .iter()
        .filter(|span| span.name == "turn")
        .map(seconds)
        .collect();
    assert_eq!(
        turns,
        [0.02, 0.0],
        "an interruption alone neither starts nor ends a turn"
    );
}

#[derive(Debug)]
struct Refused;
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}
impl std::error::Error for Refused {}

#[tracing::instrument(name = "instrumented", err, fields(gen_ai.operation.name = "chat"))]
fn fails() -> Result<(), Refused> {
    Err(Refused)
}

#[test]
fn failure_sets_status_and_error_type_however_recorded() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let llm = || info_span!("llm", gen_ai.operation.name = "chat", otel.status_code = Empty, otel.status_description = Empty, error = Empty, error.type = Empty);
        let _ = llm().record("otel.status_code", "ERROR");
        let _ = llm().record("otel.status_code", "error").record("otel.status_description", "quota exceeded");
        let _ = llm().record("otel.status_description", "only described");
        let _ = llm().record("error", "said so");
        let _ = llm().record("error", tracing::field::display(Refused));
        let _ = llm().record("error", &Refused as &(dyn std::error::Error + 'static));
        let _ = llm().record("error", true);
        let _ = llm().record("error", false);
        let _ = llm().record("error.type", "timeout");
        let _ = llm().record("error.type", "429").record("otel.status_description", "slow down");
        let _ = llm().record("otel.status_code", "ERROR").record("otel.status_code", "OK");
        let _ = llm().record("otel.status_code", "whatever");
        let _ = fails();
    });
    let lines: Vec<_> = stage
        .tree(&["status", "error.type", "error"])
        .into_iter()
        .filter(|line| line.starts_with("    "))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "llm status=error() error.type=_OTHER",
            "llm status=error(quota exceeded) error.type=_OTHER",
            "llm status=error(only described) error.type=_OTHER",
            "llm status=error(said so) error.type=_OTHER",
            "llm status=error(refused) error.type=_OTHER",
            "llm status=error(refused) error.type=_OTHER",
            "llm status=error() error.type=_OTHER",
            "llm",
            "llm status=error() error.type=timeout",
            "llm status=error(slow down) error.type=429",
            "llm status=ok",
            "llm",
            "instrumented status=error(refused) error.type=_OTHER",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn service_ended_ends_span_despite_remaining_handles() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let llm = info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            service.ended = Empty,
            output = Empty
        );
        stage.pass(100);
        llm.record("output", "done").record("service.ended", true);
        let kept_by_a_pool = llm.clone();
        stage.pass(100);
        llm.record("output", "more");
        llm.in_scope(|| {
            info!(conversation.event = "first_byte");
            info!(conversation.event = "annotate", mood = "late");
            drop(info_span!("tool", gen_ai.operation.name = "execute_tool"));
        });
        drop((llm, kept_by_a_pool));
    });
    assert_eq!(
        stage.tree(&["output", "service.ended", "metrics.ttfb", "mood"]),
        [
            "conversation",
            "  turn mood=late",
            "    llm output=done",
            "    tool"
        ]
    );
    assert_eq!(seconds(&stage.span("llm")), 0.1);
}

#[test]
fn annotations_go_to_current_service_else_turn_else_conversation() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        llm.in_scope(|| {
            info!(conversation.event = "annotate", to = "service", n = 1_u64);
            let step = info_span!("step");
            step.in_scope(|| {
                info!(
                    conversation.event = "annotate",
                    deep = true,
                    conversation.id = "c1"
                )
            });
            info!(
                conversation.event = "annotate",
                to = "elsewhere",
                conversation.id = "c2"
            );
        });
        info!(
            conversation.event = "annotate",
            to = "turn",
            n = 2_usize,
            "with a message"
        );
        info!(conversation.event = "annotate", n = 3_u8, nan = f64::NAN);
        stage.pass(10);
        end_turn(&stage);
        info!(conversation.event = "annotate", to = "conversation");
        info!(
            conversation.event = "conversation_ended",
            conversation.id = "c2"
        );
    });
    let mut tree = stage.tree(&["conversation.id", "to", "n", "deep", "nan", "message"]);
    tree.sort();
    assert_eq!(
        tree,
        [
            "      step conversation.id=c1",
            "    llm conversation.id=c1 to=service n=1 deep=true",
            "  turn conversation.id=c1 to=turn n=3",
            "  turn conversation.id=c2 to=elsewhere",
            "conversation conversation.id=c1 to=conversation",
            "conversation conversation.id=c2",
        ]
    );
}

#[test]
fn annotation_does_not_override_derived_attributes() {
    let stage = Stage::new();
    stage.play(|| {
        let _scope = scope().entered();
        stage.pass(500);
        info!(
            conversation.event = "annotate",
            turn.number = 77,
            turn.duration_seconds = 99.0,
            turn.was_interrupted = false,
            turn.end_reason = "boredom",
            turn.type = "monologue",
            conversation.id = "c1",
            otel.name = "renamed",
        );
    });
    assert_eq!(
        stage.tree(&[
            "turn.number",
            "turn.duration_seconds",
            "turn.was_interrupted",
            "turn.end_reason",
            "turn.type",
            "otel.name"
        ]),
        [
            "conversation",
            "  turn turn.number=1 turn.duration_seconds=0.5 turn.was_interrupted=true turn.end_reason=conversation_ended turn.type=conversation",
        ]
    );
    assert_each_key_once(&stage.spans());
}

#[test]
fn models_of_another_process_are_clients_unless_declared_otherwise() {
    let stage = Stage::new();
    stage.play(|| {
        // The root of a trace: its kind is what is known when it starts.
        drop(info_span!(
            "outside",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai"
        ));
        let _scope = info_span!("conversation", conversation.id = "c1").entered();
        let service = |operation: &str, provider: &str| {
            info_span!(
                "work",
                gen_ai.operation.name = operation,
                gen_ai.provider.name = provider,
                server.address = Empty,
            )
        };
        service("stt", "whisper.cpp").in_scope(|| ());
        service("stt", "deepgram").in_scope(|| ());
        let with_address = service("tts", "piper");
        with_address.record("server.address", "10.0.0.7");
        drop(with_address);
        service("execute_tool", "openai").in_scope(|| ());
        service("chat", "").in_scope(|| ());
        drop(info_span!(
            "work",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai",
            otel.kind = "internal",
        ));
        drop(info_span!("ordinary", gen_ai.provider.name = "openai"));
    });
    let kinds: Vec<_> = stage
        .spans()
        .into_iter()
        .map(|span| (span.name, span.span_kind))
        .collect();
    let expected = [
        ("outside", SpanKind::Client),
        ("work", SpanKind::Internal),
        ("work", SpanKind::Client),
        ("work", SpanKind::Client),
        ("work", SpanKind::Internal),
        ("work", SpanKind::Internal),
        ("work", SpanKind::Internal),
        ("ordinary", SpanKind::Internal),
        ("turn", SpanKind::Internal),
        ("conversation", SpanKind::Internal),
    ];
    assert_eq!(kinds, expected.map(|(name, kind)| (Cow::from(name), kind)));
}
