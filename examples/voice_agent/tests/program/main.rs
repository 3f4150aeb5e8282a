//! The voice agent as a program: what it prints, where it sends, and fifty of its conversations at once.
//!
//! Its parts have their tests beside them, in `src`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod fifty;
#[path = "../../../../tests/programs/mod.rs"]
mod programs;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs it without anything of this machine's environment that could change what it does.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments, variables).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = programs::command(env!("CARGO_BIN_EXE_voice_agent"));
    command.args(arguments).current_dir(std::env::temp_dir());
    for (name, _) in std::env::vars() {
        if name.ends_with("_API_KEY") || name == "OPENAI_BASE_URL" {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn refused_key_is_said_at_the_start() {
    let mut stand_ins = command(&["--stand-ins", "127.0.0.1:0"], &[]);
    let mut stand_ins = Running(stand_ins.stderr(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(stand_ins.0.stderr.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let address = said.split("ws://").nth(1).unwrap();
    let address = address.split(')').next().unwrap();
    let (web_socket, http) = (format!("ws://{address}"), format!("http://{address}/v1"));
    let variables = [
        ("DEEPGRAM_URL", web_socket.as_str()),
        ("CARTESIA_URL", &web_socket),
        ("OPENAI_BASE_URL", &http),
        ("OPENAI_API_KEY", "stand-in-key"),
    ];
    for (key, refusal) in [
        (
            "DEEPGRAM_API_KEY",
            "DEEPGRAM_API_KEY is refused: INVALID_AUTH: HTTP 401: Invalid credentials: ***.",
        ),
        (
            "OPENAI_API_KEY",
            "OPENAI_API_KEY is refused: invalid_api_key: HTTP 401: Incorrect API key provided: ***.",
        ),
        (
            "CARTESIA_API_KEY",
            "CARTESIA_API_KEY is refused: unauthorized: HTTP 401: Invalid API key: ***.",
        ),
    ] {
        let output = command(&["--fast"], &variables)
            .env(key, "sk-wrong-key")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(refusal), "{said}");
        assert!(!said.contains("wrong-key"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn recording_is_valid_after_ctrl_c() {
    let recording = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ctrl-c.wav");
    let _ = std::fs::remove_file(&recording);
    let mut command = command(&["--record", recording.to_str().unwrap()], &[]);
    let mut call = Running(command.stdout(Stdio::null()).spawn().unwrap());
    // Two seconds of sound with a second after them, as what is written last may not have left the program.
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&recording).map_or(0, |file| file.len()) < 3 * 64_000 {
        assert!(Instant::now() < deadline, "nothing is recorded");
        thread::sleep(Duration::from_millis(50));
    }
    let process = call.0.id().to_string();
    let kill = Command::new("kill").args(["-INT", &process]).status();
    assert!(kill.unwrap().success());
    assert_eq!(call.0.wait().unwrap().code(), Some(130));
    let reader = hound::WavReader::open(&recording).unwrap();
    assert!(reader.duration() >= 2 * 16_000, "{}", reader.duration());
    assert_eq!(
        reader.into_samples::<i16>().filter(Result::is_err).count(),
        0
    );
}

#[test]
fn errors_name_the_file() {
    for (option, file) in [("--wav", "no/such.wav"), ("--record", "no/such/call.wav")] {
        let output = command(&["--fast", option, file], &[]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("voice_agent: {file}: ")), "{said}");
    }
}

#[test]
fn without_any_variable_it_prints_each_turn_as_a_tree() {
    let output = run(&["--fast"], &[]);
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    for number in 1..=5 {
        assert!(printed.contains(&format!("turn {number} ")), "{printed}");
    }
    for part in [
        "get_weather",
        "rate_limit_exceeded",
        "interrupted",
        "It is ",
        "Have a good trip!",
    ] {
        assert!(printed.contains(part), "`{part}` is not in\n{printed}");
    }
    assert!(said.contains("stand in"), "{said}");
    assert!(!printed.contains("resourceSpans"));
}
