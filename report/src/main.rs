//! Reads the OTLP/JSON lines of voice conversations and says how they went. `docs/report.md` is the manual.

mod arguments;
mod calls;
mod clean;
mod compare;
mod condition;
mod distribution;
mod failure;
mod figures;
mod gather;
mod input;
mod otlp;
mod report;
mod resamples;
mod samples;
mod tree;
mod usage;
mod view;
mod vocabulary;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Format};
use self::compare::Comparison;
use self::condition::Condition;
use self::failure::Failure;
use self::gather::Totals;
use self::input::Input;
use self::report::Report;
use self::samples::Samples;
use self::tree::Tree;

const A_CONDITION_HOLDS: u8 = 1;
const NO_REPORT: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(status) => status,
        Err(failure) => {
            complain(&format!("conversation-report: {failure}"));
            ExitCode::from(NO_REPORT)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(id) = &arguments.tree {
        let mut tree = Tree::of(id);
        let input = input::read(&arguments.paths, &mut tree)?;
        complain_of_lines(&input);
        print(&tree.print()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.compare.is_none() && arguments.fail_if.contains(&Condition::Worse) {
        return Err(Failure(
            "--fail-if worse needs two inputs: --compare BEFORE AFTER".to_owned(),
        ));
    }
    let (report, worse, text) = match arguments.compare.as_deref() {
        Some([before, after]) => {
            let comparison = Comparison::new(
                sampled(before, 1)?,
                sampled(after, 2)?,
                arguments.least_change,
            );
            let text = match arguments.format {
                Format::Json => json(&comparison)?,
                Format::Text => view::text(&view::comparison(&comparison)),
                Format::Markdown => view::markdown(&view::comparison(&comparison)),
            };
            (comparison.after, comparison.worse, text)
        }
        _ => {
            let (report, _) = reported(&arguments.paths, Totals::default())?;
            let text = match arguments.format {
                Format::Json => json(&report)?,
                Format::Text => view::text(&view::report(&report)),
                Format::Markdown => view::markdown(&view::report(&report)),
            };
            (report, false, text)
        }
    };
    print(&text)?;
    judge(&arguments.fail_if, &report, worse)
}

/// Reads `paths` into `totals`.
fn reported(paths: &[PathBuf], mut totals: Totals) -> Result<(Report, Totals), Failure> {
    let input = input::read(paths, &mut totals)?;
    totals.finish();
    complain_of_lines(&input);
    let report = Report::new(&totals, input);
    if report.is_empty() {
        return Err(Failure(format!(
            "no conversation in {} (lines: {}, not readable: {}, spans: {}); each span of a conversation has the attribute conversation.id",
            named(paths),
            report.input.lines.lines,
            report.input.lines.bad_lines,
            report.input.spans,
        )));
    }
    Ok((report, totals))
}

fn sampled(path: &PathBuf, seed: u64) -> Result<(Report, Samples), Failure> {
    let totals = Totals::with_samples(Samples::new(seed));
    let (report, totals) = reported(std::slice::from_ref(path), totals)?;
    Ok((report, totals.samples.unwrap_or_else(|| Samples::new(seed))))
}

fn named(paths: &[PathBuf]) -> String {
    let names = paths.iter().map(|path| path.to_string_lossy());
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "standard input".to_owned(),
        names => clean::clean(&names, 1_000),
    }
}

fn judge(conditions: &[Condition], report: &Report, worse: bool) -> Result<ExitCode, Failure> {
    let mut status = ExitCode::SUCCESS;
    for condition in conditions {
        if let Some(why) = condition.holds(report, worse)? {
            complain(&format!("conversation-report: --fail-if {why}"));
            status = ExitCode::from(A_CONDITION_HOLDS);
        }
    }
    Ok(status)
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|error| Failure(format!("the report cannot be written as JSON: {error}")))?;
    Ok(clean::escape_json(&json) + "\n")
}

fn complain_of_lines(input: &Input) {
    for bad in &input.bad {
        complain(&format!(
            "conversation-report: {}: line {}: {}",
            bad.file, bad.line, bad.reason
        ));
    }
    let more = input.bad_lines - input.bad.len() as u64;
    if more > 0 {
        complain(&format!(
            "conversation-report: {more} more lines cannot be read"
        ));
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever read has read enough: `conversation-report … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure(format!("standard output: {error}"))),
    }
}

/// Writes to standard error; a failure to do so has nowhere to be reported.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}
