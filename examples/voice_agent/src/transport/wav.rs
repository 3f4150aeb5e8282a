//! A WAV file as the user: played at the speed of sound from its first sample to its last, whatever the bot does.

use super::{Connection, Playback, line};
use crate::audio::{FRAME, FRAME_SECS, Samples, silence};
use crate::pace::Pace;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// After the file's end the bot may finish, for at most this long, before the client disconnects. Not sped up.
const LISTEN: Duration = Duration::from_secs(20);
const SILENT: Duration = Duration::from_millis(2_800);

pub(crate) fn play(samples: Samples, pace: Pace) -> Connection {
    let (connection, said, heard) = line();
    tokio::spawn(speak(samples, pace, said, heard));
    connection
}

async fn speak(
    samples: Samples,
    pace: Pace,
    said: mpsc::Sender<Samples>,
    mut heard: mpsc::Receiver<Playback>,
) {
    let mut ticks = pace.every(FRAME_SECS);
    let mut frames = samples.chunks(FRAME);
    let mut ended: Option<Instant> = None;
    let mut bot_until = Instant::now();
    loop {
        ticks.tick().await;
        while let Ok(playback) = heard.try_recv() {
            if !matches!(playback, Playback::Clear) {
                bot_until = Instant::now();
            }
        }
        let frame = match frames.next() {
            Some(frame) => {
                let mut frame = frame.to_vec();
                frame.resize(FRAME, 0);
                frame.into()
            }
            None => {
                let ended = *ended.get_or_insert_with(Instant::now);
                if ended.elapsed() > LISTEN || ended.max(bot_until).elapsed() > SILENT {
                    return;
                }
                silence()
            }
        };
        if said.send(frame).await.is_err() {
            return;
        }
    }
}
