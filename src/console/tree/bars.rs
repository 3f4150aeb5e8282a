//! Lengths drawn as characters: the time axis, a span's bar on it, shares of a whole. The resolution is half a column,
//! because box-drawing characters come in halves.

use super::figures;

/// The time that a row of columns covers, in seconds since the start of its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) columns: usize,
}

/// A span's bar: light until the first output, heavy from then on.
#[derive(Debug, PartialEq)]
pub(super) struct Bar {
    /// Number of blank columns before the bar.
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
        // On an axis of length zero, everything is at the beginning.
        if self.to > self.from && !share.is_nan() {
            (share.clamp(0.0, 1.0) * self.halves() as f64).round() as usize
        } else {
            0
        }
    }

    /// Returns the bar of a span from `start` to `end` with its first output at `first`. Where it exceeds the axis, it
    /// ends in an arrow. A bar is at least half a column long.
    pub(super) fn bar(&self, start: f64, first: f64, end: f64) -> Bar {
        let (mut from, mut to) = (self.half(start), self.half(end));
        if to <= from {
            from = from.min(self.halves().saturating_sub(1));
            to = from + 1;
        }
        // A span with output always has a heavy part, however late the output.
        let output = if first > end {
            to
        } else {
            self.half(first).min(to - 1)
        };
        let weight = |half: usize| match half {
            half if half < from || half >= to => Weight::None,
            half if half < output => Weight::Light,
            _ => Weight::Heavy,
        };
        // Up to a tenth of a column beyond an end is a rounding error.
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

    /// Returns the scale above the bars: ticks at round numbers of seconds, as many as fit.
    pub(super) fn scale(&self) -> String {
        let mut scale = "╷0".to_owned();
        let length = self.to - self.from;
        if !(length > 0.0 && length.is_finite()) {
            return scale;
        }
        let ticks = |step: f64| {
            (1..100)
                .map(move |tick| f64::from(tick) * step)
                .take_while(move |at| *at < length)
        };
        // A tick and its label, with at least two blanks before the next.
        let label_columns = |at: f64| 1 + figures::round(at).chars().count();
        let fits = |step: &f64| {
            let between = step / length * self.columns as f64;
            ticks(*step).all(|at| (label_columns(at) + 2) as f64 <= between)
        };
        let finest = 10_f64
            .powf((length / self.columns as f64).log10().floor())
            .max(1e-3);
        let steps = (0..6)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * finest * 10_f64.powi(power)));
        let Some(step) = steps.into_iter().find(fits) else {
            return scale;
        };
        for at in ticks(step) {
            let column = self.half(self.from + at) / 2;
            if column + label_columns(at) <= self.columns {
                scale.extend(std::iter::repeat_n(
                    ' ',
                    column.saturating_sub(scale.chars().count()),
                ));
                scale.push('╷');
                scale.push_str(&figures::round(at));
            }
        }
        scale
    }
}

/// Splits `columns` among `parts` proportionally, in whole columns; every part gets at least one if there are enough.
pub(super) fn shares(parts: &[f64], columns: usize) -> Vec<usize> {
    let parts: Vec<f64> = parts
        .iter()
        .map(|part| if part.is_finite() { part.max(0.0) } else { 0.0 })
        .collect();
    let mut shares = vec![0; parts.len()];
    // Assigns one column at a time to the part with the highest quotient (Sainte-Laguë): fast enough for a line's width.
    for _ in 0..columns {
        let quotient = |at: usize| {
            if shares[at] == 0 {
                f64::INFINITY
            } else {
                parts[at] / (shares[at] as f64 + 0.5)
            }
        };
        let Some(most) =
            (0..parts.len()).max_by(|a, b| quotient(*a).total_cmp(&quotient(*b)).then(b.cmp(a)))
        else {
            break;
        };
        shares[most] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(to: f64, columns: usize) -> Axis {
        Axis {
            from: 0.0,
            to,
            columns,
        }
    }

    fn drawn(start: f64, first: f64, end: f64) -> String {
        let bar = axis(4.0, 8).bar(start, first, end);
        format!("{}{}|", " ".repeat(bar.before), bar.drawn)
    }

    #[test]
    fn bar_is_light_until_first_output_and_exact_to_half_a_column() {
        assert_eq!(drawn(0.0, 0.0, 4.0), "━━━━━━━━|");
        assert_eq!(drawn(0.0, 2.0, 4.0), "────━━━━|");
        assert_eq!(drawn(0.25, 1.25, 2.75), "╶─╼━━╸|");
        assert_eq!(drawn(1.0, f64::INFINITY, 1.75), "  ─╴|");
    }

    #[test]
    fn bar_is_at_least_half_a_column_long() {
        assert_eq!(drawn(1.0, 1.0, 1.0), "  ╸|");
        assert_eq!(drawn(4.0, 4.0, 4.0), "       ╺|");
        assert_eq!(drawn(2.0, 1.0, 1.0), "    ╸|");
    }

    #[test]
    fn bar_exceeding_axis_ends_in_arrow() {
        assert_eq!(drawn(-1.0, -1.0, 2.0), "◂━━━|");
        assert_eq!(drawn(3.0, 3.0, 9.0), "      ━▸|");
        assert_eq!(drawn(-3.0, -3.0, -1.0), "◂|");
        assert_eq!(drawn(5.0, 5.0, 6.0), "       ▸|");
    }

    #[test]
    fn degenerate_axes_and_times_are_drawn() {
        for (to, at) in [
            (0.0, 0.0),
            (0.0, 1.0),
            (-1.0, 0.0),
            (1.0, f64::NAN),
            (f64::NAN, 1.0),
            (1e-300, 1e300),
        ] {
            let bar = axis(to, 8).bar(at, at, at);
            assert_eq!(
                (bar.before < 8, bar.drawn.chars().count()),
                (true, 1),
                "to {to} at {at}"
            );
            assert!(axis(to, 8).scale().chars().count() <= 8, "to {to}");
        }
    }

    #[test]
    fn scale_has_as_many_round_numbers_as_fit() {
        assert_eq!(axis(4.9, 23).scale(), "╷0       ╷2 s      ╷4 s");
        assert_eq!(
            axis(4.9, 40).scale(),
            "╷0      ╷1 s    ╷2 s    ╷3 s    ╷4 s"
        );
        assert_eq!(axis(3.0, 40).scale(), "╷0           ╷1 s         ╷2 s");
        assert_eq!(axis(0.3, 40).scale(), "╷0           ╷0.1 s       ╷0.2 s");
        assert_eq!(
            axis(125.0, 40).scale(),
            "╷0              ╷50 s           ╷1m 40s"
        );
        assert_eq!(axis(1e-9, 40).scale(), "╷0");
    }

    #[test]
    fn shares_fill_all_columns_and_omit_no_part() {
        assert_eq!(shares(&[1.0, 1.0, 2.0], 8), [2, 2, 4]);
        assert_eq!(shares(&[0.001, 1.0], 10), [1, 9]);
        assert_eq!(shares(&[1.0; 5], 3), [1, 1, 1, 0, 0]);
        assert_eq!(shares(&[f64::NAN, -1.0, 1.0], 6), [1, 1, 4]);
        assert_eq!(shares(&[], 6), [0; 0]);
    }
}
