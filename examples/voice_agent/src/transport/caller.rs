//! The bundled caller: four recorded lines, each spoken when its cue comes. It listens to the bot as a person does, so
//! that the conversation has the same shape however fast the providers are.

use super::{Connection, Playback, line};
use crate::audio::{FRAME, FRAME_SECS, Samples, read_wav, seconds, silence};
use crate::pace::Pace;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One line of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) cue: Cue,
    /// The recording, a WAV file.
    pub(crate) recording: &'static [u8],
    /// What is said in it.
    pub(crate) says: &'static str,
}

/// When a line is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cue {
    /// This many seconds after the bot has finished.
    Answer(f64),
    /// When this many seconds of the bot's speech have been heard: the caller interrupts.
    Interrupt(f64),
}

/// The conversation of a run without arguments. `speech/README.md` says where the recordings come from.
pub(crate) fn script() -> [Line; 4] {
    [
        Line {
            cue: Cue::Answer(0.5),
            recording: include_bytes!("../../speech/weather.wav"),
            says: "What is the weather like in Paris today?",
        },
        Line {
            cue: Cue::Answer(0.6),
            recording: include_bytes!("../../speech/sights.wav"),
            says: "What should I see while I am there?",
        },
        Line {
            cue: Cue::Interrupt(2.5),
            recording: include_bytes!("../../speech/one_place.wav"),
            says: "Sorry to interrupt, just one place please.",
        },
        Line {
            cue: Cue::Answer(0.5),
            recording: include_bytes!("../../speech/goodbye.wav"),
            says: "That is all, thank you and goodbye.",
        },
    ]
}

/// After this many seconds without hearing what it waits for, the caller goes on.
const PATIENCE: f64 = 25.0;
/// The caller hangs up this long after the bot's last words. Not sped up: it outlasts the 2.5 s of silence that end a
/// turn.
const HANG_UP: Duration = Duration::from_millis(2_800);

/// Calls the agent with `script`, and hangs up after it.
pub(crate) fn call(script: &[Line], pace: Pace) -> Result<Connection, String> {
    let mut lines = VecDeque::new();
    for line in script {
        lines.push_back((line.cue, read_wav(line.recording)?));
    }
    let (connection, said, heard) = line();
    tokio::spawn(speak(lines, pace, said, heard));
    Ok(connection)
}

async fn speak(
    mut lines: VecDeque<(Cue, Samples)>,
    pace: Pace,
    said: mpsc::Sender<Samples>,
    mut heard: mpsc::Receiver<Playback>,
) {
    let mut ticks = pace.every(FRAME_SECS);
    let mut speaking: Option<(Samples, usize)> = None;
    // Seconds of the bot's speech heard, frames since it finished, frames waited; all since the caller's last line.
    let (mut bot, mut since_finished, mut waited) = (0.0, None::<u32>, 0u32);
    let mut hang_up_at: Option<Instant> = None;
    loop {
        ticks.tick().await;
        loop {
            match heard.try_recv() {
                Ok(Playback::Audio(samples)) => {
                    bot += seconds(samples.len());
                    since_finished = None;
                }
                Ok(Playback::Finished) => since_finished = Some(0),
                Ok(Playback::Clear) => {}
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        }
        if speaking.is_none() {
            waited += 1;
            since_finished = since_finished.map(|frames| frames + 1);
            let after = |frames: u32, secs: f64| f64::from(frames) * FRAME_SECS >= secs;
            let cue = match lines.front() {
                Some((Cue::Answer(pause), _)) => {
                    since_finished.is_some_and(|frames| after(frames, *pause))
                }
                Some((Cue::Interrupt(spoken), _)) => bot >= *spoken,
                None => since_finished.is_some(),
            };
            if cue || after(waited, PATIENCE) {
                match lines.pop_front() {
                    Some((_, samples)) => speaking = Some((samples, 0)),
                    None => {
                        let at = *hang_up_at.get_or_insert_with(|| Instant::now() + HANG_UP);
                        if Instant::now() >= at {
                            return;
                        }
                    }
                }
            }
        }
        let frame = match &mut speaking {
            None => silence(),
            Some((samples, at)) => {
                let end = (*at + FRAME).min(samples.len());
                let mut frame = samples[*at..end].to_vec();
                frame.resize(FRAME, 0);
                *at = end;
                if end == samples.len() {
                    speaking = None;
                    (bot, since_finished, waited) = (0.0, None, 0);
                }
                frame.into()
            }
        };
        if said.send(frame).await.is_err() {
            return;
        }
    }
}
