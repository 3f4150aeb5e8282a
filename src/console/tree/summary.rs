//! The summary of a conversation.

use super::collect::Frame;
use super::figures::{count, dollars, of, seconds};
use super::record::{Kind, Record};
use super::rows::{View, rows};
use super::style::{Line, Role};
use super::text::cut;
use super::totals::Totals;
use super::turn::heading;

pub(super) fn summary(
    conversation: &str,
    totals: &Totals,
    span: Option<&Record>,
    spans: &[Record],
    view: View,
) -> Vec<Line> {
    let duration = span.map_or(totals.seconds(), Record::seconds);
    let mut facts = Vec::new();
    if totals.failures > 0 {
        facts.push((Role::Failure, of(totals.failures, "error")));
    }
    if span.is_none() {
        facts.push((Role::Interruption, "not ended".to_owned()));
    }
    if totals.interruptions > 0 {
        facts.push((Role::Interruption, of(totals.interruptions, "interruption")));
    }
    facts.push((Role::Plain, of(totals.turns, "turn")));
    facts.push((Role::Strong, seconds(duration)));
    let mut lines = vec![heading("conversation", conversation, &facts, view)];
    if let Some(Record {
        failure: Some(failure),
        kind: Kind::Conversation(_),
        ..
    }) = span
    {
        let mut line = Line::default();
        line.put(Role::Failure, "✗ ")
            .put(Role::Failure, cut(failure, view.width - 2));
        lines.push(line);
    }

    let mut table = Vec::new();
    if let Some(median) = totals.median_reply() {
        let mut figures = format!(
            "median {} · max {}",
            seconds(median),
            seconds(totals.slowest_reply)
        );
        if totals.replies.len() > 2 {
            figures.push_str(&format!(" · {}", sparkline(totals)));
        }
        table.push(("reply", figures));
    }
    if totals.input_tokens + totals.output_tokens > 0 {
        let cached = if totals.cached_tokens > 0 {
            format!(" ({} cached)", count(totals.cached_tokens))
        } else {
            String::new()
        };
        table.push((
            "tokens",
            format!(
                "{} in{cached} → {} out · {}",
                count(totals.input_tokens),
                count(totals.output_tokens),
                of(totals.models, "llm request")
            ),
        ));
    }
    if totals.tools > 0 {
        table.push(("tools", of(totals.tools, "call")));
    }
    let speech: Vec<String> = [
        ("user", totals.speech.user),
        ("bot", totals.speech.bot),
        ("dead air", totals.speech.dead_air),
    ]
    .into_iter()
    .filter(|(_, lasted)| *lasted > 0.0)
    .map(|(what, lasted)| format!("{what} {}", seconds(lasted)))
    .collect();
    if !speech.is_empty() {
        table.push(("speech", speech.join(" · ")));
    }
    let mut audio = Vec::new();
    if totals.audio_seconds > 0.0 {
        audio.push(format!("{} transcribed", seconds(totals.audio_seconds)));
    }
    if totals.characters > 0 {
        audio.push(format!("{} characters spoken", count(totals.characters)));
    }
    if !audio.is_empty() {
        table.push(("audio", audio.join(" · ")));
    }
    if let Some((cost, span)) = span.and_then(|span| Some((span.cost?, span))) {
        let mut figures = dollars(cost);
        if span.cost_is_partial {
            figures.push_str(" · some prices are not known");
        }
        table.push(("cost", figures));
    }
    for (name, figures) in table {
        let mut line = Line::default();
        line.pad(view.left)
            .put(Role::Strong, name)
            .pad(view.left + 8)
            .put(Role::Plain, cut(&figures, view.width - view.left - 8));
        lines.push(line);
    }
    if !spans.is_empty() {
        let frame = match span {
            Some(span) => Frame {
                start: span.start,
                end: span.end,
            },
            None => Frame::of(spans),
        };
        lines.extend(rows(spans, frame, view));
    }
    lines
}

/// Draws the last reply times as a sparkline; the slowest is the highest.
fn sparkline(totals: &Totals) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const SHOWN: usize = 30;
    let shown = totals
        .replies
        .iter()
        .skip(totals.replies.len().saturating_sub(SHOWN));
    let highest = shown.clone().copied().fold(f64::MIN_POSITIVE, f64::max);
    shown
        .map(|reply| LEVELS[((reply / highest * 8.0).ceil() as usize).clamp(1, 8) - 1])
        .collect()
}
