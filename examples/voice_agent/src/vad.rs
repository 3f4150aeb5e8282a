//! Voice activity: where speech starts and stops in a stream of samples.

use crate::audio::RATE;
use earshot::Detector;

/// Samples that the detector scores at a time.
const WINDOW: usize = 256;
const WINDOW_SECS: f64 = WINDOW as f64 / RATE as f64;
/// A window scored at least this high is speech; once speaking, somewhat less will do.
const SPEECH: f32 = 0.5;
const STILL_SPEECH: f32 = 0.35;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Started,
    Stopped,
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

    /// Seconds of speech that confirm a start, as rounded to windows.
    pub(crate) fn start_secs(&self) -> f64 {
        self.start_windows as f64 * WINDOW_SECS
    }

    /// Seconds of silence that confirm a stop, as rounded to windows.
    pub(crate) fn stop_secs(&self) -> f64 {
        self.stop_windows as f64 * WINDOW_SECS
    }

    /// Takes the next samples, and tells of a change that they confirm.
    pub(crate) fn push(&mut self, samples: &[i16]) -> Option<Activity> {
        self.rest.extend_from_slice(samples);
        let mut change = None;
        let whole = self.rest.len() - self.rest.len() % WINDOW;
        for window in self.rest[..whole].chunks_exact(WINDOW) {
            let bar = if self.speaking { STILL_SPEECH } else { SPEECH };
            let speech = self.detector.predict_i16(window) >= bar;
            self.against = if speech == self.speaking {
                0
            } else {
                self.against + 1
            };
            let needed = if self.speaking {
                self.stop_windows
            } else {
                self.start_windows
            };
            if self.against >= needed {
                self.speaking = !self.speaking;
                self.against = 0;
                change = Some(if self.speaking {
                    Activity::Started
                } else {
                    Activity::Stopped
                });
            }
        }
        self.rest.drain(..whole);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{FRAME, read_wav, seconds};

    /// Where, in seconds of audio, each change is confirmed.
    fn changes(samples: &[i16]) -> Vec<(Activity, f64)> {
        let mut vad = Vad::new(0.2, 0.3);
        let mut at = 0;
        let mut changes = Vec::new();
        for frame in samples.chunks(FRAME) {
            at += frame.len();
            changes.extend(vad.push(frame).map(|change| (change, seconds(at))));
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
            let end = 1.0 + seconds(speech.len());
            assert!((found[0].1 - 1.2).abs() < 0.3, "{}: {found:?}", line.says);
            assert!(
                (found[1].1 - 0.3 - end).abs() < 0.3,
                "{}: {found:?}, ends {end}",
                line.says
            );
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
