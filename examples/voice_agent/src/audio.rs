//! Sound inside the agent: 16-bit mono at 16 kHz, in frames of 32 ms.

use std::io::Cursor;
use std::sync::Arc;

/// Samples a second, everywhere in the agent.
pub(crate) const RATE: u32 = 16_000;
/// Samples in a frame: two of the voice activity detector's.
pub(crate) const FRAME: usize = 512;
/// Seconds in a frame.
pub(crate) const FRAME_SECS: f64 = FRAME as f64 / RATE as f64;

/// A stretch of sound, cheap to clone.
pub(crate) type Samples = Arc<[i16]>;

/// How many seconds `samples` samples last.
pub(crate) fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(RATE)
}

pub(crate) fn silence() -> Samples {
    Arc::from([0; FRAME])
}

/// Sound as little-endian bytes, as both speech services and the web page carry it.
pub(crate) fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// The reverse of [`to_bytes`]. A last odd byte is left out.
pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<i16> {
    bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Reads a WAV file's content: 8 or 16 bits, any number of channels (the first is taken), any rate (resampled linearly).
///
/// `Err` says what is allowed.
pub(crate) fn read_wav(bytes: &[u8]) -> Result<Samples, String> {
    let refused = |what: String| {
        format!(
            "{what}; allowed is a WAV file of 8 or 16 bit integers, of any rate and number of channels"
        )
    };
    let mut reader =
        hound::WavReader::new(Cursor::new(bytes)).map_err(|error| refused(error.to_string()))?;
    let spec = reader.spec();
    if spec.sample_format != hound::SampleFormat::Int || !matches!(spec.bits_per_sample, 8 | 16) {
        let kind = match spec.sample_format {
            hound::SampleFormat::Int => "integers",
            hound::SampleFormat::Float => "floating-point numbers",
        };
        return Err(refused(format!("{} bit {kind}", spec.bits_per_sample)));
    }
    let shift = 16 - spec.bits_per_sample;
    let channels = usize::from(spec.channels.max(1));
    let first: Vec<i16> = reader
        .samples::<i16>()
        .step_by(channels)
        .map(|sample| sample.map(|value| value << shift))
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    Ok(resample(&first, spec.sample_rate, RATE).into())
}

/// Brings sound from one rate to another, linearly.
pub(crate) fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || from == 0 {
        return samples.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    let length = (samples.len() as f64 / step) as usize;
    (0..length)
        .map(|index| {
            let at = index as f64 * step;
            let (left, share) = (at as usize, at.fract());
            let a = f64::from(samples[left]);
            let b = f64::from(samples.get(left + 1).copied().unwrap_or(samples[left]));
            (a + (b - a) * share) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_audio_says_what_is_allowed() {
        let allowed =
            "; allowed is a WAV file of 8 or 16 bit integers, of any rate and number of channels";
        let mut bytes = Vec::new();
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
        writer.write_sample(0.5f32).unwrap();
        writer.finalize().unwrap();
        let error = read_wav(&bytes).unwrap_err();
        assert_eq!(error, format!("32 bit floating-point numbers{allowed}"));
        let error = read_wav(b"OggS").unwrap_err();
        assert!(error.ends_with(allowed), "{error}");
    }
}
