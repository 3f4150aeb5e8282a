//! Two inputs side by side.

use super::{Block, Table, shown};
use crate::compare::{Comparison, Difference, Verdict};
use crate::figures::count;

pub(crate) fn comparison(comparison: &Comparison) -> Vec<Block> {
    let [before, after] = [&comparison.before, &comparison.after];
    let sides = |of: fn(&crate::report::Report) -> u64| {
        format!("{} → {}", count(of(before)), count(of(after)))
    };
    let mut facts = vec![
        ["calls".to_owned(), sides(|it| it.calls), String::new()],
        ["turns".to_owned(), sides(|it| it.turns), String::new()],
    ];
    let bad = before.input.lines.bad_lines + after.input.lines.bad_lines;
    if bad > 0 {
        let sides = sides(|it| it.input.lines.bad_lines);
        facts.push(["lines that cannot be read".to_owned(), sides, String::new()]);
    }
    let mut table = Table::new(
        "Before and after",
        &["", ">before", ">after", ">difference", ">error", "verdict"],
    );
    table.rows = comparison.figures.iter().map(row).collect();
    let found = comparison
        .figures
        .iter()
        .filter(|it| !matches!(it.verdict, Verdict::Same | Verdict::Unknown))
        .count();
    let what = match found {
        0 => "No figure differs.".to_owned(),
        1 => "1 figure differs.".to_owned(),
        found => format!("{found} figures differ."),
    };
    let how = match comparison.resampled {
        "run" => "runs (a file each)",
        "call" => {
            "calls. What the calls of one run have in common, such as a busy machine, is not in it: for that, compare folders of at least five runs, a file each"
        }
        _ => {
            "turns, because there are fewer than five calls. What the turns of one call have in common is not in it"
        }
    };
    vec![
        Block::Facts(facts),
        Block::Table(table),
        Block::Note(what),
        Block::Note(format!(
            "A difference counts if it is larger than its error, than {} % of the figure before and, of times, than 20 ms.",
            comparison.least_change * 100.0,
        )),
        Block::Note(format!(
            "The error is that of the difference at {} % confidence, from {} Poisson bootstrap resamples of {how}.",
            comparison.confidence * 100.0,
            crate::resamples::RESAMPLES,
        )),
    ]
}

fn row(difference: &Difference) -> Vec<String> {
    let show = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| difference.unit.show(value))
    };
    let signed = difference.difference.map_or_else(
        || "–".to_owned(),
        |value| match difference.unit.show(value.abs()) {
            nothing if nothing == difference.unit.show(0.0) => nothing,
            shown if value < 0.0 => format!("−{shown}"),
            shown => format!("+{shown}"),
        },
    );
    let verdict = match difference.verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Differs => "differs",
        Verdict::Same => "",
        Verdict::Unknown => "too few values",
    };
    vec![
        shown(&difference.figure),
        show(difference.before),
        show(difference.after),
        signed,
        difference.error.map_or_else(
            || "–".to_owned(),
            |error| format!("± {}", difference.unit.show(error)),
        ),
        verdict.to_owned(),
    ]
}
