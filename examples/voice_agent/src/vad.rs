//! Voice activity: where speech starts and stops in a stream of samples.

use crate::audio::{RATE, seconds};
use earshot::Detector;

/// Samples that the detector scores at a time.
const WINDOW: usize = 256;
const WINDOW_SECS: f64 = WINDOW as f64 / RATE as f64;
/// A window scored at least this high is speech; once speaking, somewhat less will do.
const SPEECH: f32 = 0.5;
const STILL_SPEECH: f32 = 0.35;

/// The detector's own lag, in seconds: how long after speech starts, and after it stops, its windows are first scored so.
/// A window is scored by what was before it too. Measured with the bundled recordings, which a test repeats: starts -13 to
/// 21 ms from this mean, stops -38 to 28 ms.
const START_LAG: f64 = 0.013;
const STOP_LAG: f64 = 0.134;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Started,
    Stopped,
}

/// A change of activity that has been confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) activity: Activity,
    /// Seconds of sound between the change and the last sample that was pushed, the detector's lag included.
    pub(crate) ago: f64,
}

/// Confirms a change only after it has lasted a while, so that a click is no speech and a breath no end.
pub(crate) struct Vad {
    detector: Box<Detector>,
    rest: Vec<i16>,
    start_windows: usize,
    stop_windows: usize,
    speaking: bool,
    /// Windows in a row that contradict `speaking`.
    against: usize,
}

impl Vad {
    pub(crate) fn new(start_secs: f64, stop_secs: f64) -> Self {
        let windows = |secs: f64| ((secs / WINDOW_SECS).round() as usize).max(1);
        Self {
            detector: Detector::default_boxed(),
            rest: Vec::with_capacity(2 * WINDOW),
            start_windows: windows(start_secs),
            stop_windows: windows(stop_secs),
            speaking: false,
            against: 0,
        }
    }

    /// Takes the next samples, and returns the change that they confirm.
    pub(crate) fn push(&mut self, samples: &[i16]) -> Option<Change> {
        self.rest.extend_from_slice(samples);
        let mut change = None;
        let whole = self.rest.len() - self.rest.len() % WINDOW;
        for (index, window) in self.rest[..whole].chunks_exact(WINDOW).enumerate() {
            let bar = if self.speaking { STILL_SPEECH } else { SPEECH };
            let speech = self.detector.predict_i16(window) >= bar;
            self.against = if speech == self.speaking {
                0
            } else {
                self.against + 1
            };
            let (needed, lag, activity) = if self.speaking {
                (self.stop_windows, STOP_LAG, Activity::Stopped)
            } else {
                (self.start_windows, START_LAG, Activity::Started)
            };
            if self.against >= needed {
                self.speaking = !self.speaking;
                self.against = 0;
                let after = self.rest.len() - (index + 1) * WINDOW;
                let ago = needed as f64 * WINDOW_SECS + seconds(after) + lag;
                change = Some(Change { activity, ago });
            }
        }
        self.rest.drain(..whole);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{FRAME, read_wav};

    /// Where, in seconds of audio, each change is found to have been.
    fn changes(samples: &[i16]) -> Vec<(Activity, f64)> {
        let mut vad = Vad::new(0.2, 0.3);
        let mut at = 0;
        let mut changes = Vec::new();
        for frame in samples.chunks(FRAME) {
            at += frame.len();
            let change = vad.push(frame);
            changes.extend(change.map(|change| (change.activity, seconds(at) - change.ago)));
        }
        changes
    }

    #[test]
    fn each_bundled_utterance_is_one_stretch_of_speech() {
        for line in crate::transport::caller::script() {
            let speech = read_wav(line.recording).unwrap();
            let second = vec![0; RATE as usize];
            let around = [second.as_slice(), &speech, &second].concat();
            let found = changes(&around);
            let kinds: Vec<_> = found.iter().map(|(change, _)| *change).collect();
            assert_eq!(
                kinds,
                [Activity::Started, Activity::Stopped],
                "{}: {found:?}",
                line.says
            );
        }
    }

    #[test]
    fn changes_are_dated_to_where_the_sound_starts_and_stops() {
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        for line in crate::transport::caller::script() {
            let speech = read_wav(line.recording).unwrap();
            // The recordings are cut at their first and last sound. Where it falls in a window matters.
            for phase in (0..WINDOW).step_by(WINDOW / 8) {
                let before = vec![0; RATE as usize + phase];
                let after = vec![0; RATE as usize];
                let found = changes(&[before.as_slice(), &speech, &after].concat());
                let start = seconds(before.len());
                starts.push(found[0].1 - start);
                stops.push(found[1].1 - start - seconds(speech.len()));
            }
        }
        for errors in [starts, stops] {
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            assert!(mean.abs() < 0.002, "mean {mean}: {errors:?}");
            let worst = errors.iter().map(|error| error.abs()).fold(0.0, f64::max);
            assert!(worst < 0.045, "worst {worst}: {errors:?}");
        }
    }

    #[test]
    fn silence_and_clicks_are_no_speech() {
        let mut samples = vec![0i16; 4 * RATE as usize];
        for at in (0..samples.len()).step_by(9_000) {
            samples[at] = 20_000;
        }
        assert_eq!(changes(&samples), []);
    }
}
