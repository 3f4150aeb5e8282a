use super::*;
use crate::otlp;

/// `ID < PARENT NAME key=value …`, all in one trace; a value is an integer, a float, a boolean or text.
fn line(spans: &[&str]) -> String {
    let spans = spans.iter().map(|span| {
        let mut words = span.split_whitespace();
        let mut word = || words.next().unwrap();
        let (id, _, parent, name) = (word(), word(), word(), word());
        let attributes = words.map(|word| {
            let (key, value) = word.split_once('=').unwrap();
            let value = match value {
                it if it.parse::<i64>().is_ok() => serde_json::json!({"intValue": it}),
                it if it.parse::<f64>().is_ok() => {
                    serde_json::json!({"doubleValue": it.parse::<f64>().unwrap()})
                }
                it if it.parse::<bool>().is_ok() => {
                    serde_json::json!({"boolValue": it.parse::<bool>().unwrap()})
                }
                it => serde_json::json!({"stringValue": it}),
            };
            serde_json::json!({"key": key, "value": value})
        });
        serde_json::json!({
            "traceId": format!("{:032x}", 1), "spanId": format!("{id:0>16}"), "parentSpanId": format!("{parent:0>16}"),
            "name": name, "startTimeUnixNano": "1000000000", "endTimeUnixNano": "2000000000",
            "attributes": attributes.collect::<serde_json::Value>(),
        })
    });
    let spans: serde_json::Value = spans.collect();
    serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

fn gathered(spans: &[&str]) -> Totals {
    let mut totals = Totals::default();
    let line = line(spans);
    otlp::read(line.as_bytes(), |span| totals.span(span)).unwrap();
    totals.finish();
    totals
}

const CHAT: &str = "llm conversation.id=c gen_ai.operation.name=chat";
const AGENT: &str = "agent conversation.id=c gen_ai.operation.name=invoke_agent";
const CALL: &str = "conversation conversation.id=c conversation.type=voice";
const TURN: &str = "turn conversation.id=c turn.type=conversation";

#[test]
fn a_total_over_requests_is_not_counted_beside_them() {
    let totals = gathered(&[
        &format!("a1 < a2 {CHAT} gen_ai.usage.input_tokens=10 usage.cost_usd=0.5"),
        &format!("a3 < a4 {CHAT} gen_ai.usage.input_tokens=20"),
        // An ordinary span between the agent and one of its requests.
        "a2 < a4 attempt conversation.id=c",
        &format!(
            "a4 < a5 {AGENT} gen_ai.usage.input_tokens=30 gen_ai.usage.output_tokens=7 usage.cost_usd=0.5"
        ),
        // Not below the agent.
        &format!("a6 < a5 {CHAT} gen_ai.usage.input_tokens=100"),
        &format!("a5 < 0 {TURN}"),
        &format!("a7 < 0 {CALL}"),
    ]);
    assert_eq!(totals.usage.input_tokens, Some(130));
    // Only the agent reports it.
    assert_eq!(totals.usage.output_tokens, Some(7));
    assert_eq!(totals.usage.cost_usd, Some(0.5));
}

#[test]
fn what_a_conversation_sums_up_is_preferred_in_any_order() {
    let spans = [
        format!("a1 < a2 {CHAT} gen_ai.usage.input_tokens=10 gen_ai.usage.output_tokens=3"),
        format!("a2 < a3 {TURN} turn.dead_air_seconds=1.5"),
        format!(
            "a3 < 0 {CALL} conversation.turn_count=1 conversation.usage.input_tokens=11 conversation.dead_air_seconds=2.5"
        ),
    ];
    let mut spans: Vec<&str> = spans.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let totals = gathered(&spans);
        assert_eq!((totals.calls, totals.incomplete_calls), (1, 0));
        assert_eq!(totals.usage.input_tokens, Some(11));
        assert_eq!(totals.usage.output_tokens, Some(3));
        assert_eq!(totals.dead_air, Some(2.5));
        spans.reverse();
    }
}

#[test]
fn no_dead_air_and_unknown_dead_air_are_told_apart() {
    let summed_up = format!("a1 < 0 {CALL} conversation.turn_count=1");
    assert_eq!(gathered(&[&summed_up]).dead_air, Some(0.0));
    let bare = format!("a1 < 0 {CALL}");
    assert_eq!(gathered(&[&bare]).dead_air, None);
}

#[test]
fn a_call_without_its_conversation_span_is_a_call() {
    let totals = gathered(&[
        &format!("a1 < a2 {TURN} turn.end_reason=interrupted turn.dead_air_seconds=1.0"),
        &format!("a3 < a2 {TURN} turn.was_interrupted=true turn.ended_by_conversation_end=true"),
        // Pipecat's own spans have no reason.
        &format!("a4 < a2 {TURN} turn.was_interrupted=true"),
    ]);
    assert_eq!((totals.calls, totals.incomplete_calls), (1, 1));
    assert_eq!((totals.turns, totals.interruptions), (3, 2));
    assert_eq!(totals.dead_air, Some(1.0));
}

#[test]
fn an_id_that_was_opened_twice_is_two_calls() {
    let call = format!("a1 < 0 {CALL}");
    assert_eq!(gathered(&[&call, &call]).calls, 2);
}

#[test]
fn a_programs_own_spans_are_no_turns_and_no_calls() {
    let totals = gathered(&[
        "a1 < 0 turn conversation.id=c turn.number=1",
        "a2 < 0 conversation conversation.id=c turn.number=1",
        "a3 < 0 work",
    ]);
    assert_eq!((totals.calls, totals.turns, totals.outside), (0, 0, 0));
}

#[test]
fn services_outside_of_conversations_are_counted_and_left_out() {
    let totals = gathered(&["a1 < 0 llm gen_ai.operation.name=chat gen_ai.usage.input_tokens=5"]);
    assert_eq!((totals.calls, totals.outside), (0, 1));
    assert_eq!(totals.usage, Usage::default());
    assert_eq!(totals.services.iter().count(), 0);
}

#[test]
fn a_greeting_is_the_sum_of_its_parts_and_no_latency() {
    let totals = gathered(&[&format!(
        "a1 < 0 {TURN} turn.latency.measured_from=client_connected turn.latency.first_request=0.25 turn.latency.llm_inference=0.5"
    )]);
    assert_eq!(totals.greeting.max(), Some(0.75));
    assert_eq!(totals.latency.count(), 0);
    assert_eq!(totals.parts.iter().count(), 0);
}

#[test]
fn values_that_are_no_figure_are_counted_and_left_out() {
    let totals = gathered(&[
        &format!("a1 < a2 {TURN} turn.user_bot_latency_seconds=-1 turn.latency.pipeline=NaN"),
        &format!("a3 < a2 {TURN} turn.user_bot_latency_seconds=1e300 turn.duration_seconds=soon"),
        &format!(
            "a4 < a2 {CHAT} gen_ai.usage.input_tokens=-5 gen_ai.usage.output_tokens=many metrics.ttfb=inf"
        ),
    ]);
    assert_eq!(totals.unusable, 7);
    assert_eq!(totals.latency.count(), 0);
    // The span's own length serves.
    assert_eq!(totals.turn_duration.max(), Some(1.0));
}

#[test]
fn huge_counts_do_not_overflow() {
    let chat = format!("a1 < a2 {CHAT} gen_ai.usage.input_tokens={}", i64::MAX);
    let totals = gathered(&[&chat, &chat, &chat]);
    assert_eq!(totals.usage.input_tokens, Some(u64::MAX));
}

#[test]
fn the_number_of_names_is_bounded() {
    let spans: Vec<String> = (0..250)
        .map(|at| format!("{at:x} < 0 {CHAT} gen_ai.request.model=m{at} turn.latency.p{at}=1"))
        .collect();
    let spans: Vec<&str> = spans.iter().map(String::as_str).collect();
    let totals = gathered(&spans);
    // A hundred, and the rest together.
    assert_eq!(totals.services.iter().count(), 101);
    let rest = totals
        .services
        .iter()
        .find(|([service, ..], _)| service == OTHER);
    assert_eq!(rest.map(|(_, it)| it.requests), Some(150));
}

#[test]
fn bounds_belong_to_the_bucket_below_them() {
    let turn = |latency: &str| format!("a1 < 0 {TURN} turn.user_bot_latency_seconds={latency}");
    let totals = gathered(&[
        &turn("0.05"),
        &turn("0.0501"),
        &turn("10.0"),
        &turn("10.01"),
    ]);
    let filled = totals
        .histogram
        .iter()
        .enumerate()
        .filter(|(_, turns)| **turns > 0);
    let filled: Vec<(usize, u64)> = filled.map(|(at, turns)| (at, *turns)).collect();
    assert_eq!(filled, [(0, 1), (1, 1), (18, 1), (19, 1)]);
}

#[test]
fn the_worst_turns_are_the_worst_in_falling_order() {
    let turns: Vec<String> = (0..30)
        .map(|at| {
            let latency = (at * 7 % 30) as f64 / 10.0 + 0.01;
            format!(
                "{:x} < 0 {TURN} turn.number={at} turn.user_bot_latency_seconds={latency}",
                at + 1
            )
        })
        .collect();
    let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
    let worst = gathered(&turns).worst;
    let latencies: Vec<f64> = worst.turns().iter().map(|turn| turn.latency).collect();
    let expected: Vec<f64> = (20..30)
        .rev()
        .map(|tenths| f64::from(tenths) / 10.0 + 0.01)
        .collect();
    assert_eq!(latencies, expected);
}

#[test]
fn more_calls_at_once_than_are_kept_are_all_counted() {
    let mut totals = Totals::default();
    for call in 0..70_000 {
        let line = line(&[&format!(
            "a1 < 0 conversation conversation.id=c{call} conversation.type=voice"
        )]);
        otlp::read(line.as_bytes(), |span| totals.span(span)).unwrap();
    }
    assert_eq!(totals.calls, 70_000 - 65_536);
    totals.finish();
    assert_eq!((totals.calls, totals.incomplete_calls), (70_000, 0));
}
