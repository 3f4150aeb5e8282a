use super::*;
use crate::otlp;

fn span(id: u64, parent: u64, name: &str, attributes: &str) -> String {
    format!(
        r#"{{"traceId":"{:032x}","spanId":"{id:016x}","parentSpanId":"{parent:016x}","name":"{name}",
            "startTimeUnixNano":"{}","endTimeUnixNano":"9000000000","attributes":[
            {{"key":"conversation.id","value":{{"stringValue":"c"}}}}{attributes}]}}"#,
        7,
        1_000_000_000 + id
    )
}

fn text(key: &str, value: &str) -> String {
    format!(r#",{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}

fn printed(id: &str, spans: &[String]) -> Result<String, String> {
    let mut tree = Tree::of(id);
    let line = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        spans.join(",")
    )
    .replace('\n', "");
    otlp::read(line.as_bytes(), |span| tree.span(span))?;
    tree.print().map_err(|failure| failure.to_string())
}

#[test]
fn parents_in_a_circle_are_all_drawn_once() {
    let spans = [
        span(1, 2, "one", ""),
        span(2, 3, "two", ""),
        span(3, 1, "three", ""),
        span(4, 4, "own", ""),
    ];
    let printed = printed("c", &spans).unwrap();
    for name in ["one", "two", "three", "own"] {
        assert_eq!(printed.matches(name).count(), 1, "{name}\n{printed}");
    }
}

#[test]
fn a_deep_tree_is_drawn_in_bounded_width() {
    let spans: Vec<String> = (1..3_000).map(|id| span(id, id - 1, "deep", "")).collect();
    let printed = printed("c", &spans).unwrap();
    assert_eq!(printed.matches("deep").count(), 2_999);
    let widest = printed.lines().map(width).max().unwrap();
    assert!(widest < 120, "{widest}");
}

#[test]
fn a_turn_without_a_parent_hangs_below_its_call() {
    let turn = text("turn.type", "conversation") + &text("turn.end_reason", "silence");
    let printed = printed(
        "c",
        &[
            span(1, 0, "conversation", &text("conversation.type", "voice")),
            span(2, 0, "turn", &turn),
        ],
    );
    let printed = printed.unwrap();
    assert!(
        printed.starts_with("call c · 1 turn · 8.00 s\n└─ turn · silence · 8.00 s\n"),
        "{printed}"
    );
}

#[test]
fn sums_of_the_call_stand_below_its_line() {
    let double =
        |key: &str, value: f64| format!(r#",{{"key":"{key}","value":{{"doubleValue":{value}}}}}"#);
    let int =
        |key: &str, value: u64| format!(r#",{{"key":"{key}","value":{{"intValue":"{value}"}}}}"#);
    let sums = text("conversation.type", "voice")
        + &double("conversation.user_speech_seconds", 3.4)
        + &double("conversation.dead_air_seconds", 8.0)
        + &int("conversation.usage.input_tokens", 1_598)
        + &int("conversation.usage.output_tokens", 56)
        + &int("conversation.usage.audio_seconds", 4)
        + &double("usage.cost_usd", 0.25);
    let printed = printed("c", &[span(1, 0, "conversation", &sums)]).unwrap();
    assert_eq!(
        printed,
        "call c · 8.00 s\n   speech   user 3.40 s · dead air 8.00 s\n   used     1,598→56 tok · 4.00 s audio · $0.250\n"
    );
}

#[test]
fn a_call_is_found_by_its_trace_too() {
    assert!(
        printed(&format!("{:032X}", 7), &[span(1, 0, "one", "")])
            .unwrap()
            .contains("one")
    );
}

#[test]
fn an_unknown_id_names_those_there_are() {
    let error = printed("x\u{1b}", &[span(1, 0, "one", "")]).unwrap_err();
    assert_eq!(
        error,
        "--tree \"x␛\": no conversation and no trace has this id; there are c"
    );
    assert!(
        printed("x", &[])
            .unwrap_err()
            .ends_with("there is none at all")
    );
}
