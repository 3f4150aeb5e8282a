//! Lays out a turn: outcome, what was said, service spans, latency parts.

use super::bars::shares;
use super::collect::Frame;
use super::figures::{of, seconds};
use super::record::{Kind, Record, TurnFacts};
use super::rows::{View, rows};
use super::speech::speech;
use super::style::{Line, Role};
use super::text::{cut, width};
use crate::service_kind::ServiceKind;

/// Lays out a block's first line: title and conversation id, and facts at the right. Facts that do not fit are omitted,
/// starting with the first.
pub(super) fn heading(
    title: &str,
    conversation: &str,
    mut facts: &[(Role, String)],
    view: View,
) -> Line {
    const MIN_ID_COLUMNS: usize = 8;
    let mut line = Line::default();
    line.put(Role::Dimmed, "── ")
        .put(Role::Strong, title)
        .put(Role::Dimmed, " · ");
    // Each fact is preceded by ` · `, the first one by ` `; ` ──` separates the id from them.
    let columns = |facts: &[(Role, String)]| {
        let facts = facts.iter().map(|(_, fact)| width(fact) + 3);
        facts.sum::<usize>().saturating_sub(2)
    };
    let room = view.width.saturating_sub(line.width() + 3);
    while columns(facts) + MIN_ID_COLUMNS > room && !facts.is_empty() {
        facts = &facts[1..];
    }
    line.put(Role::Plain, cut(conversation, room - columns(facts)))
        .put(Role::Plain, " ")
        .fill(Role::Dimmed, '─', view.width - columns(facts));
    for (at, (role, fact)) in facts.iter().enumerate() {
        line.put(Role::Dimmed, if at == 0 { " " } else { " · " })
            .put(*role, fact);
    }
    line
}

pub(super) fn turn(conversation: &str, turn: &Record, spans: &[Record], view: View) -> Vec<Line> {
    let Kind::Turn(facts) = &turn.kind else {
        return Vec::new();
    };
    let title = turn
        .turn
        .map_or("turn".to_owned(), |number| format!("turn {number}"));
    let mut ends = Vec::new();
    let failures = spans
        .iter()
        .filter(|span| span.service().is_some() && span.failure.is_some())
        .count();
    if failures > 0 {
        ends.push((Role::Failure, of(failures as u64, "error")));
    }
    if let Some(reason) = &facts.end_reason {
        let role = match reason.as_str() {
            "interrupted" => Role::Interruption,
            "conversation_lost" => Role::Failure,
            _ => Role::Plain,
        };
        ends.push((role, cut(&reason.replace('_', " "), 20)));
    } else if facts.interrupted {
        ends.push((Role::Interruption, "interrupted".to_owned()));
    }
    if let Some(played) = facts.played_seconds {
        ends.push((Role::Plain, format!("{} heard", seconds(played))));
    }
    if let Some(reply) = facts.reply_seconds {
        ends.push((Role::Strong, format!("reply {}", seconds(reply))));
    }
    ends.push((Role::Plain, seconds(turn.seconds())));
    let mut lines = vec![heading(&title, conversation, &ends, view)];
    if let Some(failure) = &turn.failure {
        let mut line = Line::default();
        line.put(Role::Failure, "✗ ")
            .put(Role::Failure, cut(failure, view.width - 2));
        lines.push(line);
    }
    let input = facts
        .input
        .clone()
        .or_else(|| joined(spans, ServiceKind::Stt));
    let output = facts
        .output
        .clone()
        .or_else(|| joined(spans, ServiceKind::Tts))
        .or_else(|| joined(spans, ServiceKind::Llm));
    let heard = facts.heard.as_deref();
    speech("user", input.as_deref(), None, view, &mut lines);
    speech("bot", output.as_deref(), heard, view, &mut lines);
    if !spans.is_empty() {
        lines.extend(rows(
            spans,
            Frame {
                start: turn.start,
                end: turn.end,
            },
            view,
        ));
    }
    lines.extend(latency(facts, view));
    lines
}

/// Joins the texts of the turn's services of one kind, in order.
fn joined(spans: &[Record], kind: ServiceKind) -> Option<String> {
    let mut spans: Vec<_> = spans
        .iter()
        .filter(|span| span.service().is_some_and(|it| it.service == kind))
        .collect();
    spans.sort_by_key(|span| span.start);
    let texts: Vec<&str> = spans
        .iter()
        .filter_map(|span| {
            span.service()
                .and_then(|service| service.input.as_deref().or(service.output.as_deref()))
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Draws the latency parts as one bar with a legend below.
fn latency(facts: &TurnFacts, view: View) -> Vec<Line> {
    let parts: Vec<(&str, f64)> = facts
        .latency
        .iter()
        .filter(|(_, seconds)| *seconds > 0.0)
        .map(|(part, seconds)| (part.as_str(), *seconds))
        .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    let whole: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    let from = match facts.measured_from.as_deref() {
        Some("client_connected") => "greeting",
        _ => "reply",
    };
    let mut bar = Line::default();
    bar.pad(view.left)
        .put(Role::Strong, from)
        .put(Role::Plain, " ")
        .put(Role::Plain, seconds(whole));
    bar.pad(view.left + 18);
    let lengths: Vec<f64> = parts.iter().map(|(_, seconds)| *seconds).collect();
    let shares = shares(&lengths, view.width - view.left - 18);
    let mut legend = Vec::new();
    for (at, ((part, length), share)) in parts.into_iter().zip(shares).enumerate() {
        let (role, name) = part_style(part);
        // Without colour, shades distinguish the parts.
        let shade = ["█", "▓", "▒", "░"][at % 4];
        let (glyph, key) = if view.colour {
            ("▄", "■")
        } else {
            (shade, shade)
        };
        bar.put(role, glyph.repeat(share));
        legend.push((role, key, name, seconds(length)));
    }
    let name_columns = legend
        .iter()
        .map(|(_, _, name, _)| width(name))
        .max()
        .unwrap_or(0);
    let item_columns = 2 + name_columns + 8;
    let in_a_line = ((view.width - view.left + 3) / (item_columns + 3)).max(1);
    let mut lines = vec![bar];
    for items in legend.chunks(in_a_line) {
        let mut line = Line::default();
        line.pad(view.left);
        for (role, key, name, length) in items {
            let start = line.width();
            line.put(*role, *key)
                .put(Role::Plain, " ")
                .put(Role::Dimmed, name);
            line.put_right(Role::Plain, length, start + item_columns)
                .pad(start + item_columns + 3);
        }
        lines.push(line);
    }
    lines
}

/// Returns a part's colour, that of the service it waits for, and its short name.
fn part_style(part: &str) -> (Role, String) {
    let (role, name) = match part {
        "endpointing_wait" => (Role::Waiting, "endpointing"),
        "transcription" => (Role::Stt, "transcription"),
        "turn_detection" => (Role::TurnDetection, "turn detection"),
        "first_request" => (Role::Waiting, "first request"),
        "llm_inference" => (Role::Llm, "llm inference"),
        "llm_tool_call" => (Role::LlmOutput, "llm tool call"),
        "function_handler" => (Role::Tool, "function"),
        "sentence_aggregation" => (Role::LlmOutput, "aggregation"),
        "speech_synthesis" => (Role::Tts, "synthesis"),
        "output_transport" => (Role::Transport, "transport"),
        "pipeline" => (Role::Dimmed, "pipeline"),
        other => return (Role::Other, cut(&other.replace('_', " "), 20)),
    };
    (role, name.to_owned())
}
