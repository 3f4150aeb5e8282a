//! Plays a timeline through plain `tracing` and the installed layer on a virtual clock, and prints the spans that leave
//! as OTLP/JSON lines.
//!
//!     cargo run --release --example replay -- [--turn-end-timeout SECS] TIMELINE.jsonl

#![allow(clippy::print_stderr)] // its way to tell a user what is wrong

mod any_fields;
mod player;
mod timeline;

use std::process::ExitCode;
use std::time::Duration;
use tracing_conversation::{Console, ManualClock, Telemetry};

const USAGE: &str = "usage: replay [--turn-end-timeout SECS] TIMELINE.jsonl";

struct Arguments {
    timeline: String,
    turn_end_timeout: Option<Duration>,
}

fn arguments() -> Result<Arguments, String> {
    let mut timeline = None;
    let mut turn_end_timeout = None;
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        if argument == "--turn-end-timeout" {
            let seconds = given.next().unwrap_or_default();
            let parsed = seconds
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            turn_end_timeout = Some(parsed.ok_or_else(|| {
                format!(
                    "--turn-end-timeout {seconds:?} is not a number of seconds from 0 up\n{USAGE}"
                )
            })?);
        } else if argument.starts_with("--") || timeline.is_some() {
            return Err(format!("{argument:?} is not understood\n{USAGE}"));
        } else {
            timeline = Some(argument);
        }
    }
    let timeline = timeline.ok_or(USAGE)?;
    Ok(Arguments {
        timeline,
        turn_end_timeout,
    })
}

fn run() -> Result<(), String> {
    let arguments = arguments()?;
    let text = std::fs::read_to_string(&arguments.timeline)
        .map_err(|error| format!("{}: cannot be read: {error}", arguments.timeline))?;
    let steps =
        timeline::read(&text).map_err(|error| format!("{}: {error}", arguments.timeline))?;

    let clock = ManualClock::new();
    let mut telemetry = Telemetry::builder()
        .console(Some(Console::Json))
        .clock(clock.clone());
    if let Some(timeout) = arguments.turn_end_timeout {
        telemetry = telemetry.turn_end_timeout(timeout);
    }
    let telemetry = telemetry.init().map_err(|error| error.to_string())?;
    player::play(&steps, &clock).map_err(|error| format!("{}: {error}", arguments.timeline))?;
    telemetry.shutdown().map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
