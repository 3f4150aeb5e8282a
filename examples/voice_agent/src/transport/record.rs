//! A tap on a line: writes what is said on it to a WAV file, the user on the left, the bot on the right.

use super::{Connection, Playback, line};
use crate::audio::{FRAME, RATE};
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use tracing::warn;

/// Records `connection` to `path` until it ends. The user's audio is the clock: it never pauses.
pub(crate) fn tap(mut connection: Connection, path: &Path) -> Result<Connection, hound::Error> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    let (tapped, said, mut heard) = line();
    tokio::spawn(async move {
        let mut bot: VecDeque<i16> = VecDeque::new();
        loop {
            tokio::select! {
                frame = connection.microphone.recv() => {
                    let Some(frame) = frame else { break };
                    if let Err(error) = write(&mut writer, &frame, &mut bot) {
                        warn!(%error, "recording");
                        break;
                    }
                    if said.send(frame).await.is_err() {
                        break;
                    }
                }
                playback = heard.recv() => {
                    let Some(playback) = playback else { break };
                    match &playback {
                        Playback::Audio(samples) => bot.extend(samples.iter()),
                        Playback::Clear => bot.clear(),
                        Playback::Finished => {}
                    }
                    if connection.speaker.send(playback).await.is_err() {
                        break;
                    }
                }
            }
        }
        if let Err(error) = writer.finalize() {
            warn!(%error, "recording");
        }
    });
    Ok(tapped)
}

fn write(
    writer: &mut hound::WavWriter<BufWriter<File>>,
    user: &[i16],
    bot: &mut VecDeque<i16>,
) -> Result<(), hound::Error> {
    debug_assert!(user.len() <= FRAME);
    for sample in user {
        writer.write_sample(*sample)?;
        writer.write_sample(bot.pop_front().unwrap_or(0))?;
    }
    Ok(())
}
