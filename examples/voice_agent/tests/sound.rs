//! The traced latency against what is heard: the caller's last sound and the bot's first in the recorded WAV.
//!
//! A binary of its own, as the calls of other tests would make the machine busy. `--nocapture` prints the table of
//! `docs/voice_agent.md`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

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
        .map(|(seed, fault)| (seed, fault, thread::spawn(|| Call::hold(seed, fault))))
        .collect();
    let mut errors = Vec::new();
    println!("| seed, fault | turn 2 | turn 3 | turn 4 | turn 5 |\n|---|---|---|---|---|");
    for (seed, fault, call) in calls {
        let call = call.join().unwrap();
        call.assert_marked();
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

/// A call that is over.
struct Call {
    recording: PathBuf,
    labels: PathBuf,
    printed: String,
}

impl Call {
    fn hold(seed: &str, fault: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let recording = directory.join(format!("sound-{seed}.wav"));
        let labels = recording.with_extension("txt");
        let mut command = Command::new(env!("CARGO_BIN_EXE_voice_agent"));
        for (name, _) in std::env::vars() {
            if name.starts_with("OTEL_") || name.ends_with("_API_KEY") || name == "OPENAI_BASE_URL"
            {
                command.env_remove(name);
            }
        }
        let output = command
            .args(["--seed", seed, "--fault", fault])
            .arg("--record")
            .arg(&recording)
            .arg("--labels")
            .arg(&labels)
            .env("OTEL_CONSOLE_EXPORT", "json")
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(output.status.success());
        Self {
            recording,
            labels,
            printed: String::from_utf8(output.stdout).unwrap(),
        }
    }

    /// Seconds from the caller's last sound to the bot's first, for each answer: in the recording, and in the trace.
    fn latencies(&self) -> (Vec<f64>, Vec<f64>) {
        let [user, bot] = sounds(&self.recording);
        let heard = utterances(&user).into_iter().map(|(_, last)| {
            let answer = bot.iter().find(|at| **at > last).unwrap();
            answer - last
        });
        (heard.collect(), traced(&self.printed))
    }

    /// Cue points and labels are where the caller starts to speak; a turn starts once that is certain, after 0.2 s.
    fn assert_marked(&self) {
        let labels = std::fs::read_to_string(&self.labels).unwrap();
        let turns: Vec<f64> = labels
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|label| label[2].starts_with("turn "))
            .map(|label| label[0].parse().unwrap())
            .collect();
        let [user, _] = sounds(&self.recording);
        let starts = utterances(&user).into_iter().map(|(first, _)| first);
        assert_eq!(turns.len(), 5, "{labels}");
        for (turn, start) in turns[1..].iter().zip(starts) {
            assert!((0.0..0.4).contains(&(turn - start)), "{start}: {labels}");
        }
        for (cue, turn) in cues(&self.recording).iter().zip(&turns) {
            assert!((cue - turn).abs() < 0.001, "{cue} is not {turn}");
        }
        for label in [
            "\tstt That is all",
            "\ttool get_weather",
            "\tturn 2, answered after",
        ] {
            assert!(labels.contains(label), "{label} is not in\n{labels}");
        }
    }
}

/// The cue points of a WAV file, in seconds.
fn cues(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(4), bytes.len() - 8);
    let mut at = 12;
    while &bytes[at..at + 4] != b"cue " {
        at += 8 + number(at + 4).next_multiple_of(2);
    }
    let count = number(at + 8);
    assert_eq!((count, number(at + 4)), (5, 4 + 24 * 5));
    let positions = (0..count).map(|cue| number(at + 12 + 24 * cue + 20));
    positions.map(|sample| sample as f64 / 16_000.0).collect()
}

/// When there is sound on each side of a recording, in seconds.
fn sounds(recording: &Path) -> [Vec<f64>; 2] {
    let mut reader = hound::WavReader::open(recording).unwrap();
    let rate = f64::from(reader.spec().sample_rate);
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    [0, 1].map(|side| {
        let samples = samples.iter().skip(side).step_by(2).enumerate();
        samples
            .filter(|(_, sample)| sample.unsigned_abs() > 100)
            .map(|(index, _)| index as f64 / rate)
            .collect()
    })
}

/// The first and the last sound of each thing that the caller says. Between two of them the caller waits for the bot, which
/// takes longer than any gap in one.
fn utterances(sounds: &[f64]) -> Vec<(f64, f64)> {
    let mut utterances: Vec<(f64, f64)> = Vec::new();
    for at in sounds {
        match utterances.last_mut() {
            Some((_, last)) if at - *last < 2.0 => *last = *at,
            _ => utterances.push((*at, *at)),
        }
    }
    utterances
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
