//! Audio in: marks where speech starts and stops, and passes all of it on to speech-to-text.

use crate::audio::Samples;
use crate::frames::{Floor, Heard};
use crate::pace::Pace;
use crate::vad::{Activity, Vad};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
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
    while let Some(samples) = audio.recv().await {
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
        let sent = match change {
            None => continue,
            Some(Activity::Started) => {
                info!(
                    conversation.event = "vad_user_started_speaking",
                    start_secs = pace.secs(vad.start_secs())
                );
                tokio::join!(
                    heard.send(Heard::SpeechStarted),
                    floor.send(Floor::SpeechStarted)
                )
            }
            Some(Activity::Stopped) => {
                info!(
                    conversation.event = "vad_user_stopped_speaking",
                    stop_secs = pace.secs(vad.stop_secs())
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
