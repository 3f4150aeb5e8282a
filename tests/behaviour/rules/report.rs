//! What rules say of themselves.

use super::adopted;
use tracing::{info, info_span};
use tracing_conversation::rules::Rules;

const RULES: &str = r#"
[[rule]]
match = { target = "report::vad", message = "speech_start" }
event = "user_started_speaking"

[[rule]]
match = { target = "report::vad", message = "speech_stop" }
event = "user_stopped_speaking"

[[rule]]
match = { span = "report_cal" }
conversation = "id"
"#;

fn program() {
    let _call = info_span!("report_call", id = 7).entered();
    info!(target: "report::vad", "speech_start");
    info!(target: "report::vad", "speech_end");
    info!(target: "report::other", "unrelated");
}

/// Without the places in this file.
fn without_places(report: &str) -> String {
    let lines = report.lines().map(|line| {
        let (before, rest) = line.split_once(" (tests").unwrap_or((line, ")"));
        let (_, after) = rest.split_once(')').unwrap();
        format!("{before}{after}\n")
    });
    lines.collect()
}

#[test]
fn report_lists_rules_callsites_and_what_never_matched() {
    let stage = adopted(RULES);
    stage.play(program);
    let report = without_places(&stage.conversations.rules_report());
    assert_eq!(
        report,
        r#"rules
  rules:2: { target = "report::vad", message = "speech_start" } is event user_started_speaking
  rules:6: { target = "report::vad", message = "speech_stop" } is event user_stopped_speaking
  rules:10: { span = "report_cal" } is conversation
callsites
  event of target "report::other", level info: no rule
  event of target "report::vad" with message "speech_end", level info: no rule; rules:2, rules:6 might have matched
  event of target "report::vad" with message "speech_start", level info: taken by rules:2
  span "report_call" of target "behaviour::rules::report", level info: no rule
never matched: rules:6: no event matched { target = "report::vad", message = "speech_stop" }; the nearest seen is event of target "report::vad" with message "speech_start", level info
never matched: rules:10: no span matched { span = "report_cal" }; the nearest seen is span "report_call" of target "behaviour::rules::report", level info
"#
    );
}

#[test]
fn dry_run_reports_and_adopts_nothing() {
    let rules =
        Rules::from_toml("[[rule]]\nmatch = { span = \"report_call\" }\nconversation = \"id\"\n");
    let rules = rules.unwrap().dry_run();
    let stage = crate::stage::Stage::with(|layer| layer.rules(rules));
    stage.play(program);
    let report = stage.conversations.rules_report();
    assert!(
        report.starts_with("rules (dry run: nothing was adopted)\n"),
        "{report}"
    );
    assert!(
        report.contains("level info (tests/behaviour/rules/report.rs:22): taken by rules:1\n"),
        "{report}"
    );
    let spans = stage.spans();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["report_call"]);
    assert_eq!(spans[0].events.len(), 3);
}

#[test]
fn layer_without_rules_reports_nothing() {
    let stage = crate::stage::Stage::new();
    stage.play(program);
    assert_eq!(stage.conversations.rules_report(), "");
}

#[test]
fn rule_of_preset_that_never_matched_is_not_reported_as_such() {
    let stage = adopted("presets = [\"rig\"]\n");
    stage.play(program);
    let report = stage.conversations.rules_report();
    assert!(report.contains("\n  preset rig, rule 1: "), "{report}");
    assert!(!report.contains("never matched"), "{report}");
}
