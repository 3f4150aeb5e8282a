//! Audio in: marks where speech starts and stops, and passes all of it on to speech-to-text.

use crate::audio::{RATE, Samples, seconds};
use crate::frames::{Floor, Heard};
use crate::pace::Pace;
use crate::vad::{Activity, Vad};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// How long speech-to-text may hold audio up. Not sped up.
const STALL: Duration = Duration::from_millis(500);

/// Ends when the audio does, which is when the client is gone.
pub(crate) async fn listen(
    mut audio: mpsc::Receiver<Samples>,
    mut vad: Vad,
    pace: Pace,
    heard: mpsc::Sender<Heard>,
    floor: mpsc::Sender<Floor>,
) {
    let (mut stalled, mut dropped) = (false, 0u64);
    let mut arrivals = Arrivals::default();
    while let Some(samples) = audio.recv().await {
        arrivals.push(samples.len(), Instant::now());
        let change = vad.push(&samples);
        // Speech-to-text may take a moment. Audio that it does not take by then is lost to it: the user does not wait.
        let wait = if stalled { Duration::ZERO } else { STALL };
        stalled = timeout(wait, heard.send(Heard::Audio(samples)))
            .await
            .is_err();
        if stalled {
            dropped += 1;
            if dropped.is_power_of_two() {
                warn!(
                    dropped,
                    "speech-to-text does not keep up: frames of audio dropped"
                );
            }
        }
        let Some(change) = change else { continue };
        let ago = arrivals.ago(change.ago, pace, Instant::now());
        let sent = match change.activity {
            Activity::Started => {
                info!(
                    conversation.event = "vad_user_started_speaking",
                    start_secs = ago
                );
                tokio::join!(
                    heard.send(Heard::SpeechStarted),
                    floor.send(Floor::SpeechStarted)
                )
            }
            Activity::Stopped => {
                info!(
                    conversation.event = "vad_user_stopped_speaking",
                    stop_secs = ago
                );
                tokio::join!(
                    heard.send(Heard::SpeechStopped),
                    floor.send(Floor::SpeechStopped)
                )
            }
        };
        if sent.0.is_err() || sent.1.is_err() {
            break;
        }
    }
}

/// Frames whose arrival is kept: two seconds.
const KEPT: usize = 64;

/// When the last frames came.
#[derive(Default)]
struct Arrivals {
    samples: usize,
    /// How many samples there were with each frame, and when it came.
    frames: VecDeque<(usize, Instant)>,
}

impl Arrivals {
    fn push(&mut self, samples: usize, at: Instant) {
        self.samples += samples;
        self.frames.push_back((self.samples, at));
        if self.frames.len() > KEPT {
            self.frames.pop_front();
        }
    }

    /// How many seconds before `now` the sound was that is `secs` seconds from the end of what came. Frames that came in
    /// a burst were not said in one, and frames that were late or left out took longer than they sound.
    fn ago(&self, secs: f64, pace: Pace, now: Instant) -> f64 {
        let at = self
            .samples
            .saturating_sub((secs * f64::from(RATE)) as usize);
        let by_sound = pace.secs(secs);
        let frame = self.frames.iter().find(|(end, _)| *end >= at);
        frame.map_or(by_sound, |(end, came)| {
            let by_clock = now.duration_since(*came).as_secs_f64() + pace.secs(seconds(end - at));
            by_clock.max(by_sound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{FRAME, FRAME_SECS};

    /// Frames that come at these times, in seconds; how long ago the last 0.2 s began when the last one came.
    fn ago(times: &[f64]) -> f64 {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        let mut now = start;
        for secs in times {
            now = start + Duration::from_secs_f64(*secs);
            arrivals.push(FRAME, now);
        }
        arrivals.ago(0.2, Pace::times(1.0), now)
    }

    #[test]
    fn sound_is_dated_by_the_clock_where_frames_are_late() {
        let steady: Vec<f64> = (0..20).map(|frame| f64::from(frame) * FRAME_SECS).collect();
        assert!((ago(&steady) - 0.2).abs() < 1e-6);
        let burst = [0.0; 20];
        assert!((ago(&burst) - 0.2).abs() < 1e-6);
        // A quarter of a second without frames, in what is looked back on.
        let paused: Vec<f64> = (0..20)
            .map(|frame| f64::from(frame) * FRAME_SECS + if frame > 16 { 0.25 } else { 0.0 })
            .collect();
        assert!((ago(&paused) - 0.45).abs() < 1e-6);
    }
}
