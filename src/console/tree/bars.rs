//! Lengths on a line of characters: the time axis, a span's bar on it, shares of a whole. Half a column is the finest
//! step, because box-drawing characters come in halves.

use super::figures;

/// The time that a row of columns stands for, in seconds after the moment its turn started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) columns: usize,
}

/// A span's bar: waiting for the first output is drawn light, output heavy.
#[derive(Debug, PartialEq)]
pub(super) struct Bar {
    /// Blank columns before it.
    pub(super) before: usize,
    pub(super) drawn: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Weight {
    None,
    Light,
    Heavy,
}

impl Axis {
    fn halves(&self) -> usize {
        self.columns * 2
    }

    fn half(&self, at: f64) -> usize {
        let share = (at - self.from) / (self.to - self.from);
        // An axis without length puts everything at its beginning.
        if self.to > self.from && !share.is_nan() {
            (share.clamp(0.0, 1.0) * self.halves() as f64).round() as usize
        } else {
            0
        }
    }

    /// The bar of a span from `start` to `end` that waited until `first`. Where it sticks out, it ends in an arrow; one
    /// that is too short to see takes half a column.
    pub(super) fn bar(&self, start: f64, first: f64, end: f64) -> Bar {
        let (mut from, mut to) = (self.half(start), self.half(end));
        if to <= from {
            from = from.min(self.halves().saturating_sub(1));
            to = from + 1;
        }
        let output = if first >= end { to } else { self.half(first) };
        let weight = |half: usize| match half {
            half if half < from || half >= to => Weight::None,
            half if half < output => Weight::Light,
            _ => Weight::Heavy,
        };
        // A tenth of a column beyond an end is rounding, not sticking out.
        let slack = (self.to - self.from) / self.columns as f64 / 10.0;
        let (before, last) = (from / 2, (to - 1) / 2);
        let drawn = (before..=last)
            .map(
                |column| match (weight(column * 2), weight(column * 2 + 1)) {
                    _ if column == last && end > self.to + slack => '▸',
                    _ if column == before && start < self.from - slack => '◂',
                    (Weight::None, Weight::Light) => '╶',
                    (Weight::Light, Weight::None) => '╴',
                    (Weight::Light, Weight::Light) => '─',
                    (Weight::Light, Weight::Heavy) => '╼',
                    (Weight::Heavy, Weight::None) => '╸',
                    (Weight::None, Weight::Heavy) => '╺',
                    _ => '━',
                },
            )
            .collect();
        Bar { before, drawn }
    }

    /// The scale above the bars: round numbers of seconds, each with a tick where it is.
    pub(super) fn scale(&self) -> String {
        const LABEL: usize = 6;
        let length = self.to - self.from;
        let mut scale = "╷0".to_owned();
        if !(length > 0.0 && length.is_finite()) || self.columns < LABEL {
            return scale;
        }
        let most = (self.columns / LABEL).max(1) as f64;
        let mut step = 10_f64.powf((length / most).log10().floor());
        step *= [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|times| step * times * most >= length)
            .unwrap_or(10.0);
        for at in (1..)
            .map(|tick| f64::from(tick) * step)
            .take_while(|at| *at < length)
        {
            let column = self.half(self.from + at) / 2;
            let label = figures::round(at);
            let used = scale.chars().count();
            if column <= used || column + 1 + label.chars().count() > self.columns {
                break;
            }
            scale.extend(std::iter::repeat_n(' ', column - used));
            scale.push('╷');
            scale.push_str(&label);
        }
        scale
    }
}

/// Splits `columns` among `parts` in proportion, in whole columns; every part gets at least one while there are enough.
pub(super) fn shares(parts: &[f64], columns: usize) -> Vec<usize> {
    let parts: Vec<f64> = parts
        .iter()
        .map(|part| if part.is_finite() { part.max(0.0) } else { 0.0 })
        .collect();
    let mut shares = vec![0; parts.len()];
    // A column at a time, to whom it is most due: simple, and exact for the hundred columns there are.
    for _ in 0..columns {
        let due = |at: usize| {
            if shares[at] == 0 {
                f64::INFINITY
            } else {
                parts[at] / (shares[at] as f64 + 0.5)
            }
        };
        let Some(most) = (0..parts.len()).max_by(|a, b| due(*a).total_cmp(&due(*b)).then(b.cmp(a)))
        else {
            break;
        };
        shares[most] += 1;
    }
    shares
}
