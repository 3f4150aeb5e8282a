//! Recognises the bundled recordings, also over a microphone: compares how their spectrum changes over time.
//!
//! This is dynamic time warping against a handful of templates, not speech recognition: what is none of the recordings
//! is distinguished from them, and not understood.

use crate::audio::{RATE, read_wav};
use crate::transport::caller;

/// Samples in a step: 20 ms.
const STEP: usize = RATE as usize / 50;
/// The middles of the bands that are compared, in Hz.
const BANDS: [f32; 10] = [
    250.0, 400.0, 600.0, 850.0, 1150.0, 1500.0, 1950.0, 2500.0, 3200.0, 4200.0,
];
/// Steps with less power than this (mean square of samples) are silence.
const QUIET: f32 = 60.0 * 60.0;
/// The mean distance of a step from its counterpart above which it is something else that is said.
const DIFFERENT: f32 = 4.0;
/// Steps of audio that are kept: 30 s.
const LONGEST: usize = 1500;

type Step = [f32; BANDS.len()];

pub(super) struct Ear {
    templates: Vec<(Vec<Step>, &'static str)>,
}

/// What has been heard since the last transcript.
#[derive(Default)]
pub(super) struct Heard {
    rest: Vec<i16>,
    steps: Vec<Step>,
}

impl Heard {
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.rest.extend_from_slice(samples);
        let whole = self.rest.len() - self.rest.len() % STEP;
        for step in self.rest[..whole].chunks_exact(STEP) {
            if self.steps.len() < LONGEST {
                self.steps.extend(spectrum(step));
            }
        }
        self.rest.drain(..whole);
    }

    /// Seconds of sound, silence left out.
    pub(super) fn seconds(&self) -> f64 {
        self.steps.len() as f64 * STEP as f64 / f64::from(RATE)
    }
}

impl Ear {
    pub(super) fn new() -> Result<Self, String> {
        let mut templates = Vec::new();
        for line in caller::script() {
            let mut heard = Heard::default();
            heard.push(&read_wav(line.recording)?);
            templates.push((heard.steps, line.says));
        }
        Ok(Self { templates })
    }

    /// What is said in `heard`: nothing, one of the recordings, or something that is not known (`None`).
    pub(super) fn transcript(&self, heard: &Heard) -> Option<&'static str> {
        if heard.seconds() < 0.25 {
            return Some("");
        }
        let scored = self
            .templates
            .iter()
            .map(|(steps, says)| (distance(&heard.steps, steps), *says));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 < DIFFERENT).then_some(best.1)
    }
}

/// The shape of a step's spectrum, in logarithms around their mean: neither loudness nor a microphone's gain matters.
fn spectrum(step: &[i16]) -> Option<Step> {
    let power = step
        .iter()
        .map(|&sample| f32::from(sample).powi(2))
        .sum::<f32>()
        / step.len() as f32;
    if power < QUIET {
        return None;
    }
    // Goertzel's algorithm: one bin of a Fourier transform each, over the decimated step.
    let mut bands = BANDS.map(|frequency| {
        let turn = std::f32::consts::TAU * frequency / RATE as f32;
        let factor = 2.0 * turn.cos();
        let (mut before, mut last) = (0.0f32, 0.0f32);
        for &sample in step {
            (before, last) = (last, f32::from(sample) + factor * last - before);
        }
        (before * before + last * last - factor * before * last + 1e4).ln()
    });
    let mean = bands.iter().sum::<f32>() / bands.len() as f32;
    bands.iter_mut().for_each(|band| *band -= mean);
    Some(bands)
}

/// The mean distance of two stretches' steps along their best alignment.
fn distance(one: &[Step], other: &[Step]) -> f32 {
    if one.is_empty() || other.is_empty() {
        return f32::INFINITY;
    }
    let apart = |a: &Step, b: &Step| {
        a.iter()
            .zip(b)
            .map(|(x, y)| (x - y).powi(2))
            .sum::<f32>()
            .sqrt()
    };
    let mut row = vec![f32::INFINITY; other.len() + 1];
    row[0] = 0.0;
    for a in one {
        let mut diagonal = row[0];
        row[0] = f32::INFINITY;
        for (at, b) in other.iter().enumerate() {
            let best = diagonal.min(row[at]).min(row[at + 1]);
            diagonal = row[at + 1];
            row[at + 1] = best + apart(a, b);
        }
    }
    row[other.len()] / (one.len() + other.len()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn hear(samples: &[i16]) -> Heard {
        let mut heard = Heard::default();
        heard.push(samples);
        heard
    }

    #[test]
    fn a_recording_is_known_over_a_bad_line() {
        let ear = Ear::new().unwrap();
        let mut noise = StdRng::seed_from_u64(1);
        for line in caller::script() {
            let mut samples = vec![0i16; 4_321];
            let clean = read_wav(line.recording).unwrap();
            samples.extend(
                clean
                    .iter()
                    .map(|sample| sample / 2 + noise.random_range(-60..=60)),
            );
            let heard = hear(&samples);
            let distances: Vec<_> = ear
                .templates
                .iter()
                .map(|(steps, _)| distance(&heard.steps, steps))
                .collect();
            assert_eq!(ear.transcript(&heard), Some(line.says), "{distances:?}");
        }
    }

    #[test]
    fn silence_has_no_words_and_other_sounds_are_not_understood() {
        let ear = Ear::new().unwrap();
        assert_eq!(ear.transcript(&hear(&[0; 16_000])), Some(""));
        let whistle: Vec<i16> = (0..24_000)
            .map(|at| (8_000.0 * (at as f32 * 0.4).sin()) as i16)
            .collect();
        let heard = hear(&whistle);
        let distances: Vec<_> = ear
            .templates
            .iter()
            .map(|(steps, _)| distance(&heard.steps, steps))
            .collect();
        assert_eq!(ear.transcript(&heard), None, "{distances:?}");
    }
}
