//! A small formant synthesiser: a buzz for the voice and a hiss for the breath, shaped by three resonances that move from
//! letter to letter. It sounds like speech and is not meant to be understood easily; the transcript has the words.

use crate::audio::{RATE, seconds};
use std::collections::HashMap;
use std::f32::consts::{PI, TAU};
use std::sync::{Arc, Mutex, PoisonError};

/// Sentences that are kept once made.
const KEPT: usize = 128;
/// Samples between two settings of the resonances: 5 ms.
const STEP: usize = RATE as usize / 200;

/// A sentence as sound.
pub(super) struct Spoken {
    pub(super) samples: Vec<i16>,
    /// The words, and the second at which each begins.
    pub(super) words: Vec<(String, f64)>,
}

#[derive(Default)]
pub(super) struct Voice(Mutex<HashMap<String, Arc<Spoken>>>);

/// How a letter sounds.
#[derive(Clone, Copy)]
struct Sound {
    /// The resonances, in Hz.
    formants: [f32; 3],
    voice: f32,
    breath: f32,
    secs: f32,
}

impl Voice {
    pub(super) fn say(&self, text: &str) -> Arc<Spoken> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spoken) = made.get(text) {
            return spoken.clone();
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let spoken = Arc::new(synthesise(text));
        made.insert(text.to_owned(), spoken.clone());
        spoken
    }
}

fn synthesise(text: &str) -> Spoken {
    let mut throat = Throat::default();
    let mut samples = Vec::new();
    let mut words = Vec::new();
    let length = text.chars().count().max(1) as f32;
    for word in text.split_whitespace() {
        words.push((word.to_owned(), seconds(samples.len())));
        let letters: Vec<char> = word.to_lowercase().chars().collect();
        let mut at = 0;
        while at < letters.len() {
            let (sound, taken) = sound(letters[at], letters.get(at + 1).copied());
            // The pitch falls towards the end of the sentence.
            let progress = (samples.len() as f32 / (RATE as f32 * 0.065 * length)).min(1.0);
            throat.utter(sound, 125.0 - 30.0 * progress, &mut samples);
            at += taken;
        }
        throat.utter(
            Sound {
                voice: 0.0,
                breath: 0.0,
                secs: 0.03,
                ..SCHWA
            },
            100.0,
            &mut samples,
        );
    }
    Spoken { samples, words }
}

const SCHWA: Sound = Sound {
    formants: [500.0, 1500.0, 2500.0],
    voice: 1.0,
    breath: 0.0,
    secs: 0.05,
};

/// The sound of a letter before another, and how many letters it takes.
fn sound(letter: char, next: Option<char>) -> (Sound, usize) {
    let vowel = |formants, secs| Sound {
        formants,
        voice: 1.0,
        breath: 0.0,
        secs,
    };
    let hiss = |formants, voice, breath, secs| Sound {
        formants,
        voice,
        breath,
        secs,
    };
    let pause = |secs| Sound {
        voice: 0.0,
        breath: 0.0,
        secs,
        ..SCHWA
    };
    match (letter, next) {
        ('s', Some('h')) | ('c', Some('h')) => {
            return (hiss([1800.0, 2600.0, 3500.0], 0.0, 0.7, 0.1), 2);
        }
        ('t', Some('h')) => return (hiss([400.0, 1600.0, 2600.0], 0.4, 0.25, 0.06), 2),
        ('e', Some('e')) | ('e', Some('a')) => return (vowel([280.0, 2250.0, 2900.0], 0.11), 2),
        ('o', Some('o')) | ('o', Some('u')) => return (vowel([320.0, 900.0, 2250.0], 0.11), 2),
        _ => {}
    }
    let sound = match letter {
        'a' => vowel([730.0, 1200.0, 2450.0], 0.09),
        'e' => vowel([530.0, 1840.0, 2480.0], 0.075),
        'i' | 'y' => vowel([350.0, 2100.0, 2700.0], 0.075),
        'o' => vowel([520.0, 900.0, 2400.0], 0.09),
        'u' => vowel([400.0, 1050.0, 2240.0], 0.08),
        'm' | 'n' => Sound {
            voice: 0.5,
            ..vowel([260.0, 1200.0, 2200.0], 0.06)
        },
        'l' | 'r' | 'w' => Sound {
            voice: 0.7,
            ..vowel([380.0, 1000.0, 2300.0], 0.055)
        },
        's' | 'z' | 'x' | 'c' => hiss([2500.0, 4200.0, 5500.0], 0.0, 0.6, 0.075),
        'f' | 'v' | 'h' => hiss([900.0, 1800.0, 4500.0], 0.1, 0.3, 0.055),
        'p' | 't' | 'k' | 'q' => hiss([1200.0, 2200.0, 3600.0], 0.0, 0.35, 0.035),
        'b' | 'd' | 'g' | 'j' => hiss([300.0, 1500.0, 2400.0], 0.6, 0.1, 0.04),
        ',' | ';' | ':' => pause(0.12),
        '.' | '!' | '?' => pause(0.22),
        other if other.is_alphanumeric() => vowel([500.0, 1600.0, 2500.0], 0.16),
        _ => pause(0.01),
    };
    (sound, 1)
}

/// What goes on from one letter to the next.
struct Throat {
    now: Sound,
    phase: f32,
    noise: u32,
    resonances: [(f32, f32); 3],
}

impl Default for Throat {
    fn default() -> Self {
        Self {
            now: Sound {
                voice: 0.0,
                ..SCHWA
            },
            phase: 0.0,
            noise: 0x2545_f491,
            resonances: [(0.0, 0.0); 3],
        }
    }
}

impl Throat {
    fn utter(&mut self, target: Sound, pitch: f32, out: &mut Vec<i16>) {
        for _ in 0..((target.secs * RATE as f32) as usize).div_ceil(STEP) {
            // A tongue does not jump: each step goes part of the way.
            let near = |from: &mut f32, to: f32| *from += (to - *from) * 0.4;
            for (formant, to) in self.now.formants.iter_mut().zip(target.formants) {
                near(formant, to);
            }
            near(&mut self.now.voice, target.voice);
            near(&mut self.now.breath, target.breath);
            self.step(pitch, out);
        }
    }

    fn step(&mut self, pitch: f32, out: &mut Vec<i16>) {
        const WIDTHS: [f32; 3] = [80.0, 110.0, 160.0];
        const LEVELS: [f32; 3] = [1.0, 0.6, 0.35];
        let rate = RATE as f32;
        let factors: [(f32, f32, f32); 3] = std::array::from_fn(|index| {
            let radius = (-PI * WIDTHS[index] / rate).exp();
            let b = 2.0 * radius * (TAU * self.now.formants[index] / rate).cos();
            let c = -radius * radius;
            ((1.0 - b - c).abs(), b, c)
        });
        for _ in 0..STEP {
            self.phase = (self.phase + pitch / rate).fract();
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 17;
            self.noise ^= self.noise << 5;
            let hiss = self.noise as f32 / u32::MAX as f32 - 0.5;
            // A saw tooth, softened: rich in overtones, as the vocal folds are.
            let buzz = (1.0 - self.phase).powi(3) - 0.25;
            let source = buzz * self.now.voice + hiss * self.now.breath;
            let mut sum = 0.0;
            for ((last, before), (index, (a, b, c))) in
                self.resonances.iter_mut().zip(factors.iter().enumerate())
            {
                let value = a * source + b * *last + c * *before;
                (*before, *last) = (*last, value);
                sum += LEVELS[index] * value;
            }
            out.push((sum * 9_000.0).clamp(-32_000.0, 32_000.0) as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_audible_and_its_words_are_placed() {
        let spoken = synthesise("Hello there, this is a test of the voice.");
        let length = seconds(spoken.samples.len());
        assert!((1.5..5.0).contains(&length), "{length} s");
        let power = spoken
            .samples
            .iter()
            .map(|&s| f64::from(s).powi(2))
            .sum::<f64>()
            / spoken.samples.len() as f64;
        assert!(power.sqrt() > 500.0, "{}", power.sqrt());
        assert_eq!(spoken.words.len(), 9);
        assert!(spoken.words.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }
}
