//! The tree view.

use opentelemetry_sdk::trace::SpanExporter;
use tracing_conversation::console::TreeExporter;

use super::scenes;
use super::spans::{Builder, Caught, export, span};

/// Renders `batches` 80 columns wide.
fn rendered(batches: Vec<Vec<Builder>>) -> String {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone()).with_width(80);
    for batch in batches {
        export(&exporter, batch).unwrap();
    }
    caught.take()
}

/// Compares with `tests/behaviour/console/golden/<name>.txt`; `UPDATE_GOLDEN=1` writes it, for a reviewer to read.
fn assert_golden(name: &str, text: &str) {
    let path = format!(
        "{}/tests/behaviour/console/golden/{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(
        text == golden,
        "{name} is now shown so:\n{text}\nand not so:\n{golden}"
    );
}

fn call(width: usize, colour: bool) -> String {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone())
        .with_width(width)
        .with_colour(colour);
    for batch in scenes::all() {
        export(&exporter, batch).unwrap();
    }
    caught.take()
}

fn widest(text: &str) -> usize {
    text.lines()
        .map(unicode_width::UnicodeWidthStr::width)
        .max()
        .unwrap_or(0)
}

#[test]
fn call_fits_80_columns() {
    let text = call(80, false);
    assert_golden("call_80", &text);
    assert_eq!(widest(&text), 80);
}

#[test]
fn call_uses_120_columns() {
    let text = call(120, false);
    assert_golden("call_120", &text);
    assert_eq!(widest(&text), 120);
}

#[test]
fn call_is_coloured_if_enabled() {
    assert_golden("call_80_colour", &call(80, true));
}

#[test]
fn output_fits_every_width() {
    for width in 64..=160 {
        assert_eq!(widest(&call(width, false)), width);
    }
    assert_eq!(widest(&call(0, false)), 64);
    assert_eq!(widest(&call(usize::MAX, false)), 160);
}

#[test]
fn each_block_is_one_write() {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone());
    export(&exporter, scenes::all().into_iter().flatten().collect()).unwrap();
    assert_eq!(caught.writes(), 6);
}

#[test]
fn output_does_not_depend_on_batches() {
    let whole = rendered(scenes::all());
    let one_by_one = scenes::all()
        .into_iter()
        .flatten()
        .map(|span| vec![span])
        .collect();
    assert_eq!(rendered(one_by_one), whole);
    assert_eq!(
        rendered(vec![scenes::all().into_iter().flatten().collect()]),
        whole
    );
}

#[test]
fn turn_includes_spans_after_it_in_batch() {
    let mut batch = scenes::interruption();
    batch.rotate_right(1);
    assert_eq!(
        rendered(vec![batch]),
        rendered(vec![scenes::interruption()])
    );
}

#[test]
fn usage_of_the_summary_is_that_of_the_conversation_span() {
    let service = |name, id, parent| {
        in_call(name, id, parent, 0.1, 0.9)
            .with(
                "gen_ai.operation.name",
                if name == "llm" { "chat" } else { name },
            )
            .with("gen_ai.usage.input_tokens", 30)
            .with("turn.number", 1)
    };
    let text = rendered(vec![vec![
        service("llm", 3, 4),
        // Reports the total of its requests.
        service("invoke_agent", 4, 2),
        in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1),
        in_call("conversation", 1, 0, 0.0, 1.0)
            .with("conversation.turn_count", 1)
            .with("conversation.usage.input_tokens", 30),
    ]]);
    let tokens = text.lines().find(|line| line.contains("tokens")).unwrap();
    assert_eq!(tokens.trim_start(), "tokens  30 in → 0 out · 1 llm request");
}

#[test]
fn summary_shows_what_the_conversation_span_sums_up() {
    let text = rendered(vec![vec![
        in_call("turn", 2, 1, 0.0, 30.0)
            .with("turn.number", 1)
            .with("turn.user_speech_seconds", 4.0)
            .with("turn.dead_air_seconds", 1.0),
        in_call("conversation", 1, 0, 0.0, 90.0)
            .with("conversation.turn_count", 7)
            .with("conversation.interruption_count", 2)
            // As where services record integers.
            .with("conversation.usage.audio_seconds", 12)
            .with("conversation.user_speech_seconds", 12.5)
            .with("conversation.bot_speech_seconds", 62.0),
    ]]);
    let (_, summary) = text.split_once("\n\n").unwrap();
    assert!(
        summary.contains(" 2 interruptions · 7 turns · 1m 30s\n"),
        "{summary}"
    );
    assert!(
        summary.contains("\n  speech  user 12.5 s · bot 1m 02s\n"),
        "{summary}"
    );
    assert!(
        summary.contains("\n  audio   12.0 s transcribed\n"),
        "{summary}"
    );
}

#[test]
fn agent_whose_span_is_named_chat_is_shown_as_an_agent() {
    let service = |id, parent, operation: &'static str| {
        in_call("chat", id, parent, 0.0, 1.0).with("gen_ai.operation.name", operation)
    };
    let text = rendered(vec![vec![
        in_call("conversation", 1, 0, 0.0, 1.0),
        in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1),
        service(3, 2, "invoke_agent"),
        service(4, 3, "chat"),
    ]]);
    assert!(text.contains("  invoke_agent  "), "{text}");
    assert!(text.contains("  └ llm  "), "{text}");
}

#[test]
fn late_spans_are_shown_on_axis_of_their_turn() {
    let mut spans = scenes::interruption();
    let turn = spans.pop().unwrap();
    let late = spans.split_off(1);
    assert_golden("late", &rendered(vec![spans, vec![turn], late]));
}

#[test]
fn late_ordinary_spans_are_one_line_each() {
    let turn = in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1);
    let late = |name, id| in_call(name, id, 2, 0.5, 1.5).with("turn.number", 1);
    let text = rendered(vec![
        vec![turn],
        vec![late("POST /v1/speech", 3), late("sql", 4)],
    ]);
    let (_, late) = text.split_once("\n\n").unwrap();
    assert_eq!(
        late,
        "· turn 1, late · call-4711 · POST /v1/speech 1.00 s\n· turn 1, late · call-4711 · sql 1.00 s\n"
    );
}

#[test]
fn spans_after_summary_are_shown() {
    let mut spans = scenes::failure();
    let late = spans.remove(2);
    let text = rendered(vec![spans, scenes::end(), vec![late]]);
    assert_golden("afterwards", &text);
}

#[test]
fn waiting_spans_are_shown_at_shutdown() {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone()).with_width(80);
    let mut spans = scenes::answer();
    spans.pop();
    spans.push(in_call("llm", 60, 100, 15.0, 15.5).with("gen_ai.operation.name", "chat"));
    spans.push(in_call("POST", 61, 60, 15.1, 15.5));
    spans.push(in_call("ws session", 62, 100, 0.0, 16.0));
    export(&exporter, spans).unwrap();
    assert_eq!(caught.take(), "");
    exporter.shutdown().unwrap();
    assert_golden("not_ended", &caught.take());
    exporter.shutdown().unwrap();
    assert_eq!(caught.take(), "");
}

#[test]
fn services_between_turns_are_shown_before_the_next_turn() {
    let summarise = in_call("llm", 60, 100, 14.5, 15.5)
        .with("gen_ai.operation.name", "chat")
        .with("gen_ai.request.model", "gpt-4o-mini");
    assert_golden(
        "between",
        &rendered(vec![
            vec![summarise, in_call("POST", 61, 60, 14.6, 15.4)],
            scenes::tool(),
        ]),
    );
}

#[test]
fn concurrent_conversations_are_shown_in_separate_blocks() {
    let of = |id: &'static str, trace: u128| {
        scenes::interruption()
            .into_iter()
            .chain(scenes::end())
            .map(move |span| span.of(id, trace))
            .collect::<Vec<_>>()
    };
    let (one, other) = (
        of("call-1", 1),
        of("3f2b8c1e-7f6a-4d0c-9a5e-0d7f0e9b1c22", 2),
    );
    // Interleaved spans, in batches of three.
    let mut mixed = one
        .into_iter()
        .zip(other)
        .flat_map(|(one, other)| [one, other]);
    let batches = std::iter::from_fn(|| {
        let batch: Vec<Builder> = mixed.by_ref().take(3).collect();
        (!batch.is_empty()).then_some(batch)
    });
    assert_golden("two_conversations", &rendered(batches.collect()));
}

#[test]
fn turn_needs_only_conversation_id() {
    let text = rendered(vec![vec![
        span("task", 4, 3, 0.2, 0.4),
        in_call("llm", 3, 2, 0.0, 0.5),
        span("tts", 5, 2, 0.5, 0.9),
        in_call("turn", 2, 1, 0.0, 1.0),
        in_call("conversation", 1, 0, 0.0, 1.5),
    ]]);
    assert_golden("bare", &text);
}

#[test]
fn ordinary_spans_outside_conversations_are_one_line_each() {
    let text = rendered(vec![
        vec![
            span("GET /health", 1, 0, 0.0, 0.0021),
            span("GET /\n", 2, 0, 0.0, 1.2).failed("gone"),
        ],
        vec![
            span("turn", 3, 0, 0.0, 1.0),
            span("conversation", 4, 0, 0.0, 1.0),
        ],
    ]);
    assert_eq!(
        text,
        "· GET /health 2 ms\n· GET / 1.20 s ✗ gone\n· turn 1.00 s\n· conversation 1.00 s\n"
    );
}

#[test]
fn services_outside_conversations_are_shown_as_rows() {
    let chat = span("chat gpt-4o", 1, 0, 0.0, 1.2)
        .with("gen_ai.operation.name", "chat")
        .with("gen_ai.request.model", "gpt-4o")
        .with("gen_ai.usage.output_tokens", 12);
    assert_golden("outside", &rendered(vec![vec![chat]]));
}

#[test]
fn hostile_text_stays_in_its_column() {
    let long: &'static str = Box::leak(format!("long {}", "x".repeat(1 << 20)).into_boxed_str());
    let hostile = "\x1b[2J\x1b]0;title\x07first\r\nsecond\u{9b}31m \u{202e}reversed";
    let in_turn = |name, id, parent| {
        span(name, id, parent, 0.0, 1.0)
            .with("conversation.id", "id\nwith\x1b[1mnewline")
            .with("turn.number", 1)
    };
    let text = rendered(vec![vec![
        in_turn("stt", 3, 2).with("transcript", hostile).with("gen_ai.request.model", hostile),
        in_turn("tool", 4, 2)
            .with("gen_ai.tool.name", long)
            .with("gen_ai.tool.call.arguments", hostile)
            .with("gen_ai.tool.call.result", long)
            .failed(hostile),
        in_turn("tts", 5, 2)
            .with("gen_ai.provider.name", "音声合成サービス株式会社")
            .with("gen_ai.request.model", "日本語モデル")
            .with("metrics.ttfb", f64::NAN)
            .with("metrics.character_count", i64::MAX),
        in_turn(hostile, 6, 5),
        in_turn("llm", 7, 2).with("gen_ai.request.model", "❤\u{fe0f}".repeat(50)).later(1e9),
        in_turn("turn", 2, 1)
            .with("turn.input", "今日の東京の天気はどうですか。傘を持って行った方がいいでしょうか。明日の天気も教えてください。 👩\u{200d}🚒")
            .with("turn.output", long)
            .with("turn.end_reason", hostile)
            .with("turn.user_bot_latency_seconds", f64::INFINITY)
            .with("turn.latency.pipeline", f64::NAN)
            .with("turn.latency.x\ny", 1.0)
            .with("turn.latency.negative", -1.0),
        in_turn("conversation", 1, 0),
    ]]);
    assert_golden("hostile", &text);
    assert_eq!(widest(&text), 80);
    assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
}

#[test]
fn ids_equal_after_sanitizing_are_distinguished() {
    let turn = |id: &'static str, number: u64| {
        span("turn", number, 0, 0.0, 1.0)
            .with("conversation.id", id)
            .with("turn.number", number as i64)
    };
    let text = rendered(vec![vec![turn("a b", 1), turn("a\nb", 2), turn("a\tb", 3)]]);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("──")).collect();
    let heads: Vec<&str> = heads
        .iter()
        .map(|line| &line[line.find(" · ").unwrap()..])
        .collect();
    assert_eq!(heads.len(), 3);
    assert!(
        heads[0] != heads[1] && heads[1] != heads[2] && heads[0] != heads[2],
        "{text}"
    );
}

#[test]
fn many_ordinary_spans_are_folded() {
    let mut spans: Vec<Builder> = (10..40)
        .map(|id| in_call("sql", id, 3, 0.1, 0.2).with("turn.number", 1))
        .collect();
    spans.push(in_call("commit", 40, 39, 0.1, 0.2).with("turn.number", 1));
    spans.push(
        in_call("sql", 41, 3, 0.8, 0.9)
            .with("turn.number", 1)
            .failed("deadlock"),
    );
    spans.push(in_call("tool", 3, 2, 0.0, 1.0).with("turn.number", 1));
    spans.push(in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1));
    assert_golden("folded", &rendered(vec![spans]));
}

#[test]
fn services_below_ordinary_spans_are_not_folded() {
    let mut spans = Vec::new();
    for step in 10..15 {
        spans.push(in_call("http", step + 30, step + 10, 0.1, 0.2).with("turn.number", 1));
        let chat = in_call("chat", step + 10, step, 0.1, 0.3).with("turn.number", 1);
        spans.push(
            chat.with("gen_ai.operation.name", "chat")
                .with("gen_ai.request.model", "gpt-4o"),
        );
        spans.push(in_call("step", step, 3, 0.0, 0.4).with("turn.number", 1));
    }
    let agent = in_call("invoke_agent", 3, 2, 0.0, 1.0).with("turn.number", 1);
    spans.push(agent.with("gen_ai.operation.name", "invoke_agent"));
    spans.push(in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1));
    assert_golden("agent", &rendered(vec![spans]));
}

#[test]
fn long_chain_of_parents_does_not_overflow() {
    let mut spans: Vec<Builder> = (3..9_000)
        .map(|id| in_call("deeper", id, id - 1, 0.0, 1.0).with("turn.number", 1))
        .collect();
    spans.push(in_call("llm", 9_000, 8_999, 0.0, 1.0).with("turn.number", 1));
    spans.push(in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1));
    let text = rendered(vec![spans]);
    assert!(text.contains("llm"));
    assert_eq!(widest(&text), 80);
}

#[test]
fn later_conversation_with_same_id_is_separate() {
    let later = |batch: Vec<Builder>| {
        batch
            .into_iter()
            .map(|span| span.later(60.0).of(scenes::CALL, 2))
            .collect()
    };
    let once = rendered(scenes::all());
    let twice = rendered(
        scenes::all()
            .into_iter()
            .chain(scenes::all().into_iter().map(later))
            .collect(),
    );
    assert_eq!(twice, once.repeat(2));
}

#[test]
fn unended_conversations_are_summarized_beyond_limit() {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone());
    for number in 0..1_001 {
        let id: &'static str = Box::leak(format!("call-{number}").into_boxed_str());
        export(
            &exporter,
            vec![
                span("llm", number + 2, 1, 0.0, 1.0)
                    .of(id, number.into())
                    .with("turn.number", 1),
            ],
        )
        .unwrap();
    }
    let text = caught.take();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("──")).collect();
    assert_eq!(heads.len(), 2, "{text}");
    assert!(
        heads[0].starts_with("── turn 1, not ended · call-0 ─"),
        "{text}"
    );
    assert!(heads[1].starts_with("── conversation · call-0 ─"), "{text}");
}

#[test]
fn spans_of_unended_turn_are_shown_beyond_limit() {
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone());
    for number in 0..10_001 {
        assert_eq!(caught.take(), "");
        export(
            &exporter,
            vec![in_call("llm", number + 2, 1, 0.0, 1.0).with("turn.number", 1)],
        )
        .unwrap();
    }
    let text = caught.take();
    assert!(
        text.starts_with("── turn 1, not ended · call-4711 ─"),
        "{text}"
    );
    assert_eq!(text.matches("  llm  ").count(), 10_001);
    export(
        &exporter,
        vec![in_call("turn", 1, 0, 0.0, 1.0).with("turn.number", 1)],
    )
    .unwrap();
    assert!(caught.take().starts_with("── turn 1 · call-4711 ─"));
}

#[test]
fn spans_with_cyclic_parents_are_shown() {
    let text = rendered(vec![vec![
        in_call("llm", 3, 4, 0.0, 0.5).with("turn.number", 1),
        in_call("tts", 4, 3, 0.5, 1.0).with("turn.number", 1),
        in_call("tool", 5, 5, 0.5, 1.0).with("turn.number", 1),
        in_call("turn", 2, 1, 0.0, 1.0).with("turn.number", 1),
    ]]);
    for service in ["llm", "tts", "tool"] {
        assert!(text.contains(service), "{text}");
    }
}

fn in_call(name: &'static str, id: u64, parent: u64, start: f64, end: f64) -> Builder {
    span(name, id, parent, start, end).with("conversation.id", scenes::CALL)
}

#[test]
fn documentation_contains_actual_output() {
    let text = call(80, false);
    let documented = include_str!("../../../docs/tree.txt").trim_end();
    assert_eq!(
        documented
            .split("\n\n")
            .filter(|block| text.contains(block))
            .count(),
        2
    );
}

/// Prints the view for development: `cargo test --test behaviour console::tree::show -- --ignored --nocapture`.
#[test]
#[ignore = "not a test: shows the view in this terminal"]
fn show() {
    let exporter = TreeExporter::stdout();
    for batch in scenes::all() {
        export(&exporter, batch).unwrap();
    }
}
