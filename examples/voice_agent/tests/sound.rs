//! The traced latency against what is heard: the caller's last sound and the bot's first in the recorded WAV.
//!
//! A binary of its own, as the calls of other tests would make the machine busy. `--nocapture` prints the table of
//! `docs/voice_agent.md`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seeds of the stand-ins' delays, and what goes wrong in the call.
const CALLS: [(&str, &str); 6] = [
    ("1", "openai:5:429"),
    ("2", "none"),
    ("3", "openai:3:500"),
    ("4", "deepgram:1:disconnect"),
    ("5", "openai:2:slow"),
    ("6", "cartesia:3:slow"),
];

#[test]
fn traced_latency_is_what_is_heard() {
    let calls: Vec<_> = CALLS
        .iter()
        .map(|(seed, fault)| (seed, fault, Call::start(seed, fault)))
        .collect();
    let mut errors = Vec::new();
    println!("| seed, fault | turn 2 | turn 3 | turn 4 | turn 5 |\n|---|---|---|---|---|");
    for (seed, fault, call) in calls {
        let (heard, traced) = call.latencies();
        assert_eq!(heard.len(), 4, "seed {seed}: {heard:?}");
        assert_eq!(traced.len(), 4, "seed {seed}: {traced:?}");
        print!("| {seed}, `{fault}` |");
        for (heard, traced) in heard.iter().zip(&traced) {
            print!(" {:.0}, {:.0} |", 1000.0 * heard, 1000.0 * traced);
            errors.push(1000.0 * (traced - heard));
        }
        println!();
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().map(|error| error.abs()).fold(0.0, f64::max);
    println!("mean {mean:.1} ms, worst {worst:.1} ms of {}", errors.len());
    assert!(mean.abs() < 20.0, "mean {mean:.1} ms");
    assert!(worst < 60.0, "worst {worst:.1} ms");
}

/// A call that is under way.
struct Call {
    recording: PathBuf,
    program: std::process::Child,
}

impl Call {
    fn start(seed: &str, fault: &str) -> Self {
        let recording = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sound-{seed}.wav"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_voice_agent"));
        for (name, _) in std::env::vars() {
            if name.starts_with("OTEL_") || name.ends_with("_API_KEY") || name == "OPENAI_BASE_URL"
            {
                command.env_remove(name);
            }
        }
        let program = command
            .args(["--seed", seed, "--fault", fault, "--record"])
            .arg(&recording)
            .env("OTEL_CONSOLE_EXPORT", "json")
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { recording, program }
    }

    /// Seconds from the caller's last sound to the bot's first, for each answer: in the recording, and in the trace.
    fn latencies(self) -> (Vec<f64>, Vec<f64>) {
        let output = self.program.wait_with_output().unwrap();
        assert!(output.status.success());
        (
            heard(&self.recording),
            traced(&String::from_utf8(output.stdout).unwrap()),
        )
    }
}

fn heard(recording: &Path) -> Vec<f64> {
    let mut reader = hound::WavReader::open(recording).unwrap();
    let rate = f64::from(reader.spec().sample_rate);
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let side = |side: usize| {
        let samples = samples.iter().skip(side).step_by(2).enumerate();
        samples
            .filter(|(_, sample)| sample.unsigned_abs() > 100)
            .map(|(index, _)| index as f64 / rate)
    };
    // The caller waits for the bot between two lines, and that takes longer than any gap in one.
    let mut ends: Vec<f64> = Vec::new();
    for at in side(0) {
        match ends.last_mut() {
            Some(last) if at - *last < 2.0 => *last = at,
            _ => ends.push(at),
        }
    }
    ends.into_iter()
        .map(|end| side(1).find(|at| *at > end).unwrap() - end)
        .collect()
}

fn traced(lines: &str) -> Vec<f64> {
    let mut turns = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        collect(&line, &mut turns);
    }
    turns.sort_by_key(|(number, _)| *number);
    turns.into_iter().map(|(_, latency)| latency).collect()
}

/// Number and latency of every turn that has one.
fn collect(value: &Value, turns: &mut Vec<(u64, f64)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, turns)),
        Value::Object(fields) if fields.get("name").is_some_and(|name| name == "turn") => {
            let attributes = fields["attributes"].as_array().unwrap();
            let get = |key: &str| {
                let attribute = attributes
                    .iter()
                    .find(|attribute| attribute["key"] == key)?;
                Some(&attribute["value"])
            };
            if let Some(latency) = get("turn.user_bot_latency_seconds") {
                let number = get("turn.number").unwrap()["intValue"].as_str().unwrap();
                turns.push((
                    number.parse().unwrap(),
                    latency["doubleValue"].as_f64().unwrap(),
                ));
            }
        }
        Value::Object(fields) => fields.values().for_each(|value| collect(value, turns)),
        _ => {}
    }
}
