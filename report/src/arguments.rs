//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::condition::Condition;

/// Latency, interruptions, errors, tokens and cost of voice conversations, from OTLP/JSON lines.
///
/// The lines are what a program prints with OTEL_CONSOLE_EXPORT=json, and what a collector's file exporter writes.
#[derive(Debug, Parser)]
#[command(
    name = "conversation-report",
    version,
    after_help = "\
Exit status:
  0  the report was printed, and no --fail-if holds
  1  a --fail-if holds; which, and the figure, is on standard error
  2  there is no report, or a --fail-if cannot be decided; why is on standard error

Examples:
  conversation-report traces.jsonl
  my-agent | conversation-report --format markdown
  conversation-report traces/ --fail-if 'p95 > 1.5s' --fail-if 'errors > 0'
  conversation-report --compare before.jsonl after.jsonl --fail-if worse
  conversation-report traces.jsonl --tree call-4711"
)]
pub(crate) struct Arguments {
    /// Files, folders (their .jsonl, .json and .ndjson files, and those of folders below), or - for standard input
    /// [default: standard input]
    #[arg(value_name = "PATH", conflicts_with = "compare")]
    pub(crate) paths: Vec<PathBuf>,

    /// Compare two files or folders: each figure, the difference, and the error of the difference
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    pub(crate) compare: Option<Vec<PathBuf>>,

    /// With --compare: a difference counts if it is larger than its error, than 20 ms where it is a time, and than this share of
    /// the figure before
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub(crate) least_change: f64,

    /// Exit with status 1 if this holds: FIGURE, one of > >= < <=, VALUE with its unit. With --compare it is about AFTER;
    /// `worse` holds if any figure is worse by more than its error. May be given several times
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<Condition>,

    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Print one call as a tree instead: its conversation id or its trace id
    #[arg(long, value_name = "ID", conflicts_with_all = ["compare", "fail_if", "format"])]
    pub(crate) tree: Option<String>,
}

fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().ok().map(|it| it * scale);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is a number from 0% to 100%, or from 0 to 1".to_owned())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}
