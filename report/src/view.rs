//! A report as blocks of facts and tables, whatever the format.

mod comparison;
mod text;

mod markdown;

use crate::clean::clean;
use crate::distribution::RELATIVE_ERROR;
use crate::figures::{Unit, count, dollars, seconds};
use crate::report::{Report, Summary};
use crate::usage::Usage;

pub(crate) use self::comparison::comparison;
pub(crate) use self::markdown::markdown;
pub(crate) use self::text::text;

/// How many characters of an id or a name are shown; JSON has them in full.
const SHOWN_CHARS: usize = 60;

/// Columns of the histogram's longest bar.
const BAR: f64 = 40.0;

/// How many models and kinds of errors are shown; JSON has all.
const SHOWN_ROWS: usize = 30;

#[derive(Debug)]
pub(crate) enum Block {
    /// A name, a value, and what else is to be said of it.
    Facts(Vec<[String; 3]>),
    Table(Table),
    Note(String),
}

#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// A column per title; those of `>` and a title are aligned to the right.
    fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        let columns = columns.iter().map(|title| Column {
            title: title.strip_prefix('>').unwrap_or(title),
            right: title.starts_with('>'),
        });
        Self {
            title: title.into(),
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }
}

pub(crate) fn report(report: &Report) -> Vec<Block> {
    let mut blocks = vec![Block::Facts(facts(report))];
    if let Some(table) = times(report) {
        blocks.push(Block::Table(table));
    }
    blocks.extend(histogram(report));
    blocks.extend(parts(report));
    blocks.extend(services(report));
    blocks.extend(errors(report));
    blocks.extend(worst(report));
    blocks.extend(notes(report));
    blocks
}

fn facts(report: &Report) -> Vec<[String; 3]> {
    let mut facts = Vec::new();
    let mut fact =
        |name: &str, value: String, more: String| facts.push([name.to_owned(), value, more]);
    let per_call = |value: f64, show: fn(f64) -> String| match report.calls {
        0 => String::new(),
        calls => format!("{} a call", show(value / calls as f64)),
    };
    let share = |share: Option<f64>, of: &str| {
        share.map_or_else(String::new, |share| {
            format!("{} of {of}", Unit::Share.show(share))
        })
    };
    let incomplete = match report.incomplete_calls {
        0 => String::new(),
        calls => format!("{} without a conversation span", count(calls)),
    };
    fact("calls", count(report.calls), incomplete);
    fact("turns", count(report.turns), String::new());
    fact(
        "interruptions",
        count(report.interruptions),
        share(report.interruption_rate, "turns"),
    );
    fact(
        "errors",
        count(report.errors),
        share(report.error_rate, "requests"),
    );
    if let Some(dead_air) = report.dead_air_seconds {
        fact("dead air", seconds(dead_air), per_call(dead_air, seconds));
    }
    let usage = &report.usage;
    if usage.input_tokens.is_some() || usage.output_tokens.is_some() {
        let cached = usage
            .cached_input_tokens
            .map_or_else(String::new, |cached| {
                format!("{} of the input cached", count(cached))
            });
        fact("tokens", tokens(usage), cached);
    }
    if let Some(characters) = usage.characters {
        fact(
            "characters",
            count(characters),
            "spoken by the bot".to_owned(),
        );
    }
    if let Some(audio) = usage.audio_seconds {
        fact("audio", seconds(audio), "transcribed".to_owned());
    }
    if let Some(cost) = usage.cost_usd {
        let mut more = per_call(cost, dollars);
        if usage.cost_is_partial {
            more.push_str(", without services of unknown price");
        }
        fact("cost", dollars(cost), more);
    }
    facts
}

fn tokens(usage: &Usage) -> String {
    let shown = |tokens: Option<u64>| tokens.map_or_else(|| "?".to_owned(), count);
    format!(
        "{} in → {} out",
        shown(usage.input_tokens),
        shown(usage.output_tokens)
    )
}

/// Count, mean, three quantiles, maximum.
fn cells(summary: &Summary) -> [String; 6] {
    let exact = [
        summary.mean,
        summary.p50,
        summary.p95,
        summary.p99,
        summary.max,
    ]
    .map(seconds);
    let [mean, p50, p95, p99, max] = exact;
    [count(summary.count), mean, p50, p95, p99, max]
}

fn times(report: &Report) -> Option<Table> {
    let mut table = Table::new(
        "Times",
        &["", ">count", ">mean", ">p50", ">p95", ">p99", ">max"],
    );
    for (name, summary) in [
        ("user-bot latency", &report.user_bot_latency),
        ("greeting", &report.greeting),
        ("barge-in to silence", &report.barge_in_stop),
        ("turn", &report.turn_duration),
        ("call", &report.call_duration),
    ] {
        if let Some(summary) = summary {
            table.rows.push(
                [name.to_owned()]
                    .into_iter()
                    .chain(cells(summary))
                    .collect(),
            );
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

fn histogram(report: &Report) -> Option<Block> {
    let most = report.histogram.iter().map(|bucket| bucket.turns).max()?;
    let mut table = Table::new("User-bot latency", &[">up to", ">turns", ""]);
    for bucket in &report.histogram {
        let bound = bucket.to.map_or_else(|| "more".to_owned(), seconds);
        // Half a column is the finest step, and nothing that happened is invisible.
        let halves = (bucket.turns as f64 / most.max(1) as f64 * BAR * 2.0).round() as usize;
        let halves = halves.max(usize::from(bucket.turns > 0));
        let bar = "█".repeat(halves / 2) + if halves % 2 == 1 { "▌" } else { "" };
        table.rows.push(vec![bound, count(bucket.turns), bar]);
    }
    Some(Block::Table(table))
}

fn parts(report: &Report) -> Option<Block> {
    let mut table = Table::new(
        "Parts of the latency, of turns that have them",
        &[
            "", ">share", ">count", ">mean", ">p50", ">p95", ">p99", ">max",
        ],
    );
    for part in &report.parts {
        let share = format!("{:.1} %", part.share * 100.0);
        let row = [shown(&part.part), share]
            .into_iter()
            .chain(cells(&part.summary));
        table.rows.push(row.collect());
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}

fn services(report: &Report) -> Vec<Block> {
    let none = || "–".to_owned();
    let mut times = Table::new(
        "Services: time to first byte, and duration",
        &[
            "service",
            "provider",
            "model",
            ">requests",
            ">errors",
            ">cut off",
            ">p50",
            ">p95",
            ">p99",
            ">duration p50",
            ">p95",
        ],
    );
    let mut usage = Table::new(
        "Services: usage",
        &[
            "service",
            "provider",
            "model",
            ">tokens in",
            ">cached",
            ">tokens out",
            ">characters",
            ">audio",
            ">cost",
        ],
    );
    for service in report.services.iter().take(SHOWN_ROWS) {
        let name = [
            Some(&service.service),
            service.provider.as_ref(),
            service.model.as_ref(),
        ]
        .map(|word| word.map_or_else(none, |word| shown(word)));
        let quantile = |summary: Option<Summary>, of: fn(&Summary) -> f64| {
            summary.map_or_else(none, |summary| seconds(of(&summary)))
        };
        let first = service.time_to_first_byte;
        let duration = service.duration;
        let figures = [
            count(service.requests),
            count(service.errors),
            count(service.interrupted),
            quantile(first, |it| it.p50),
            quantile(first, |it| it.p95),
            quantile(first, |it| it.p99),
            quantile(duration, |it| it.p50),
            quantile(duration, |it| it.p95),
        ];
        times
            .rows
            .push(name.iter().cloned().chain(figures).collect());
        let used = &service.usage;
        if *used == Usage::default() {
            continue;
        }
        let counted = |it: Option<u64>| it.map_or_else(none, count);
        let figures = [
            counted(used.input_tokens),
            counted(used.cached_input_tokens),
            counted(used.output_tokens),
            counted(used.characters),
            used.audio_seconds.map_or_else(none, seconds),
            used.cost_usd.map_or_else(none, dollars),
        ];
        usage.rows.push(name.into_iter().chain(figures).collect());
    }
    let tables = [times, usage].into_iter();
    let mut blocks: Vec<Block> = tables
        .filter(|table| !table.rows.is_empty())
        .map(Block::Table)
        .collect();
    blocks.extend(left_out(report.services.len(), "services"));
    blocks
}

fn left_out(rows: usize, what: &str) -> Option<Block> {
    let left = rows.checked_sub(SHOWN_ROWS).filter(|left| *left > 0)?;
    Some(Block::Note(format!(
        "… and {left} {what} more; --format json has them all."
    )))
}

fn errors(report: &Report) -> Vec<Block> {
    let mut table = Table::new("Errors", &["service", "error.type", ">count"]);
    for error in report.error_types.iter().take(SHOWN_ROWS) {
        table.rows.push(vec![
            shown(&error.service),
            shown(&error.error_type),
            count(error.count),
        ]);
    }
    if table.rows.is_empty() {
        return Vec::new();
    }
    let left = left_out(report.error_types.len(), "kinds of errors");
    [Block::Table(table)].into_iter().chain(left).collect()
}

fn worst(report: &Report) -> Option<Block> {
    let mut table = Table::new(
        "Turns that users waited for longest",
        &[
            ">latency",
            "conversation.id",
            ">turn",
            "longest part",
            "end",
            "trace id",
            "span id",
        ],
    );
    for turn in &report.worst_turns {
        let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "–".to_owned(), shown);
        let part = turn.longest_part.as_deref().zip(turn.longest_part_seconds);
        table.rows.push(vec![
            seconds(turn.user_bot_latency_seconds),
            shown(&turn.conversation_id),
            turn.turn_number.map_or_else(|| "–".to_owned(), count),
            part.map_or_else(
                || "–".to_owned(),
                |(part, length)| format!("{} {}", shown(part), seconds(length)),
            ),
            or_none(&turn.end_reason),
            or_none(&turn.trace_id),
            or_none(&turn.span_id),
        ]);
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}

/// What a reader has to know of the figures.
fn notes(report: &Report) -> Vec<Block> {
    let input = &report.input;
    let mut notes = Vec::new();
    let several = |count: u64, one: &str, more: &str| {
        if count == 1 {
            one.to_owned()
        } else {
            more.to_owned()
        }
    };
    notes.push(format!(
        "{} spans in {} {} of {} {}.",
        count(input.spans),
        count(input.lines.lines),
        several(input.lines.lines, "line", "lines"),
        count(input.lines.files),
        several(input.lines.files, "file", "files"),
    ));
    let parts = report.parts.iter().map(|part| &part.summary);
    let services = report.services.iter();
    let services = services
        .flat_map(|it| [&it.time_to_first_byte, &it.duration])
        .flatten();
    let all = [
        &report.user_bot_latency,
        &report.greeting,
        &report.barge_in_stop,
        &report.turn_duration,
        &report.call_duration,
    ];
    let all = all.into_iter().flatten().chain(parts).chain(services);
    if all.into_iter().any(|summary| summary.quantile_error > 0.0) {
        notes.push(format!(
            "Quantiles of more than {} values are within {} % of the exact ones; the others are exact.",
            count(crate::distribution::EXACT as u64),
            RELATIVE_ERROR * 100.0
        ));
    }
    if input.spans_outside_conversations > 0 {
        notes.push(format!(
            "Left out: {} turn and service spans that belong to no conversation.",
            count(input.spans_outside_conversations)
        ));
    }
    if input.unusable_values > 0 {
        notes.push(format!(
            "Left out: {} attributes that are no figure (not finite, negative or too large).",
            count(input.unusable_values)
        ));
    }
    if input.lines.bad_lines > 0 {
        notes.push(format!(
            "Left out: {} {} that cannot be read.",
            count(input.lines.bad_lines),
            several(input.lines.bad_lines, "line", "lines"),
        ));
    }
    notes.into_iter().map(Block::Note).collect()
}

/// A name or an id of the input, harmless and not too long.
fn shown(text: &str) -> String {
    clean(text, SHOWN_CHARS)
}
