//! A tap on a line: writes what is said on it to a WAV file, the user on the left, the bot on the right.

use super::{Connection, Playback, line};
use crate::audio::{FRAME, RATE, Samples, seconds};
use crate::marks::Recording;
use crate::pace::Pace;
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

/// Samples by which sound may be late before the gap is taken for silence.
const SLACK: u64 = FRAME as u64;
/// Samples in which the clock is set: the first frame of a call may be late, and the clock must not be.
const SETTING: u64 = RATE as u64;
/// Samples after which the file is made whole again: a second. What ends the program costs no more than that.
const FLUSHED: u64 = RATE as u64;

/// Records `connection` to `path` until it ends, and marks the turns in it; then the task ends. The file keeps to the clock: frames that a busy machine leaves out are
/// silence in it.
pub(crate) fn tap(
    mut connection: Connection,
    path: &Path,
    pace: Pace,
    recording: Recording,
) -> Result<(Connection, JoinHandle<()>), hound::Error> {
    recording.marks.follow(&recording.conversation);
    let mut recorder = Recorder::create(path)?;
    let (tapped, said, mut heard) = line();
    let task = tokio::spawn(async move {
        let mut clock = Clock {
            started: None,
            pace,
        };
        loop {
            tokio::select! {
                frame = connection.microphone.recv() => {
                    let Some(frame) = frame else { break };
                    recorder.user(clock.user(recorder.tracks.user_ends, frame.len()), &frame);
                    if said.send(frame).await.is_err() {
                        break;
                    }
                }
                playback = heard.recv() => {
                    let Some(playback) = playback else { break };
                    let at = clock.now();
                    match &playback {
                        Playback::Audio(samples) => recorder.tracks.bot(at, samples),
                        Playback::Clear => recorder.tracks.clear(at),
                        Playback::Finished => {}
                    }
                    if connection.speaker.send(playback).await.is_err() {
                        break;
                    }
                }
            }
        }
        // Whoever waits for the line's end is not to wait for the marks.
        drop((connection, said, heard));
        let path = recorder.path.clone();
        if recorder.finish()
            && let Some(started) = clock.started
            && let Some(started) = SystemTime::now().checked_sub(started.elapsed())
            && let Err(error) = recording.finish(&path, started, pace.speed()).await
        {
            warn!(error, "the recording cannot be marked");
        }
    });
    Ok((tapped, task))
}

/// Where in the recording, in samples, it is now. It starts with the user's first frame.
struct Clock {
    started: Option<Instant>,
    pace: Pace,
}

impl Clock {
    fn now(&self) -> u64 {
        self.started.map_or(0, |started| {
            (self.pace.world_secs(started.elapsed()) * f64::from(RATE)) as u64
        })
    }

    /// Where a frame of the user's ends that has come just now, after `before` samples. A frame comes when its last
    /// sample has been said.
    fn user(&mut self, before: u64, length: usize) -> u64 {
        let follows = before + length as u64;
        let (now, at_first) = (self.now(), self.started.is_none());
        if at_first || (follows < SETTING && now < follows) {
            let since = self.pace.duration(seconds(follows as usize));
            self.started = Instant::now().checked_sub(since);
        }
        self.now()
    }
}

/// The file and what is to be written to it.
struct Recorder {
    path: PathBuf,
    /// None once writing has failed: the call goes on.
    writer: Option<hound::WavWriter<BufWriter<File>>>,
    tracks: Tracks,
    flushed: u64,
}

impl Recorder {
    fn create(path: &Path) -> Result<Self, hound::Error> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        Ok(Self {
            path: path.to_owned(),
            writer: Some(hound::WavWriter::create(path, spec)?),
            tracks: Tracks::default(),
            flushed: 0,
        })
    }

    fn user(&mut self, ends: u64, frame: &Samples) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let mut written = Ok(());
        self.tracks.user(ends, frame, |pair| {
            for sample in pair {
                if written.is_ok() {
                    written = writer.write_sample(sample);
                }
            }
        });
        if written.is_ok() && self.tracks.user_ends >= self.flushed + FLUSHED {
            self.flushed = self.tracks.user_ends;
            written = writer.flush();
        }
        if let Err(error) = written {
            warn!(file = %self.path.display(), %error, "the recording stops");
            self.writer = None;
        }
    }

    /// Whether there is a whole file.
    fn finish(self) -> bool {
        match self.writer.map(hound::WavWriter::finalize) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                warn!(file = %self.path.display(), %error, "the recording cannot be finished");
                false
            }
            None => false,
        }
    }
}

/// Both sides of the line in samples since the start of the recording.
#[derive(Default)]
struct Tracks {
    /// Up to here all has been written.
    user_ends: u64,
    /// What the bot says up to `bot_ends`.
    bot: VecDeque<i16>,
    bot_ends: u64,
}

impl Tracks {
    /// The user has said `frame` by `ends`. Writes it, and the silence before it if it is late.
    fn user(&mut self, ends: u64, frame: &[i16], mut write: impl FnMut([i16; 2])) {
        let begins = ends.saturating_sub(frame.len() as u64);
        let late = begins.saturating_sub(self.user_ends);
        let missing = if late >= SLACK { late } else { 0 };
        let silence = std::iter::repeat_n(0, missing as usize);
        for user in silence.chain(frame.iter().copied()) {
            let bot_begins = self.bot_ends - self.bot.len() as u64;
            let bot = if bot_begins <= self.user_ends {
                self.bot.pop_front().unwrap_or(0)
            } else {
                0
            };
            write([user, bot]);
            self.user_ends += 1;
        }
    }

    /// The bot starts to say `samples` at `begins`, or when it has said what came before.
    fn bot(&mut self, begins: u64, samples: &[i16]) {
        let follows = begins <= self.bot_ends + 2 * SLACK;
        let begins = if follows { self.bot_ends } else { begins }.max(self.user_ends);
        if !self.bot.is_empty() {
            let pause = begins - self.bot_ends;
            self.bot.extend(std::iter::repeat_n(0, pause as usize));
        }
        self.bot.extend(samples);
        self.bot_ends = begins + samples.len() as u64;
    }

    /// The bot is cut off at `at`.
    fn clear(&mut self, at: u64) {
        let begins = self.bot_ends - self.bot.len() as u64;
        let said = at.max(self.user_ends).saturating_sub(begins);
        self.bot.truncate(said as usize);
        self.bot_ends = begins + self.bot.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = FRAME as u64;

    /// Says frames of `1`s at these places, in frames; returns where the user's sound and the bot's is, in frames.
    fn recorded(user: &[u64], tracks: &mut Tracks) -> (Vec<u64>, Vec<u64>) {
        let mut pairs = Vec::new();
        for place in user {
            tracks.user((place + 1) * LENGTH, &[1; FRAME], |pair| pairs.push(pair));
        }
        let side = |side: usize| {
            let frames = pairs.chunks(FRAME).enumerate();
            frames
                .filter(|(_, frame)| frame.iter().any(|pair| pair[side] != 0))
                .map(|(index, _)| index as u64)
                .collect()
        };
        (side(0), side(1))
    }

    #[test]
    fn frames_left_out_by_a_busy_machine_are_silence() {
        let mut tracks = Tracks::default();
        let (user, _) = recorded(&[0, 1, 2, 40, 41], &mut tracks);
        assert_eq!(user, [0, 1, 2, 40, 41]);
        assert_eq!(tracks.user_ends, 42 * LENGTH);
    }

    #[test]
    fn frames_that_come_a_little_early_or_late_follow_each_other() {
        let mut tracks = Tracks::default();
        let mut pairs = Vec::new();
        for ends in [512, 1100, 1500, 2500, 2560] {
            tracks.user(ends, &[1; FRAME], |pair| pairs.push(pair));
        }
        assert_eq!(pairs, vec![[1, 0]; 5 * FRAME]);
    }

    #[test]
    fn bot_is_heard_where_it_starts_to_speak() {
        let mut tracks = Tracks::default();
        tracks.bot(3 * LENGTH, &[1; FRAME]);
        // Early, as speech that is made up for; then after a pause.
        tracks.bot(3 * LENGTH + 100, &[1; FRAME]);
        tracks.bot(9 * LENGTH, &[1; FRAME]);
        let (_, bot) = recorded(&(0..12).collect::<Vec<_>>(), &mut tracks);
        assert_eq!(bot, [3, 4, 9]);
        // Too late for what has been written.
        tracks.bot(5 * LENGTH, &[1; FRAME]);
        let (_, bot) = recorded(&[12, 13], &mut tracks);
        assert_eq!(bot, [0]);
    }

    #[test]
    fn bot_that_is_cut_off_is_not_heard_any_more() {
        let mut tracks = Tracks::default();
        tracks.bot(0, &[1; 10 * FRAME]);
        tracks.clear(2 * LENGTH);
        let (_, bot) = recorded(&[0, 1, 2, 3], &mut tracks);
        assert_eq!(bot, [0, 1]);
    }
}
