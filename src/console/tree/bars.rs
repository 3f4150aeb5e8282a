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
        // There is output in every span that had a first one, however late.
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

    /// The scale above the bars: round numbers of seconds, each with a tick where it is, as many as there is room for.
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
        // A tick and its label; between two of them, some air.
        let taken = |at: f64| 1 + figures::round(at).chars().count();
        let fits = |step: &f64| {
            let between = step / length * self.columns as f64;
            ticks(*step).all(|at| (taken(at) + 2) as f64 <= between)
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
            if column + taken(at) <= self.columns {
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
    fn a_bar_is_light_until_the_first_output_and_exact_to_half_a_column() {
        assert_eq!(drawn(0.0, 0.0, 4.0), "━━━━━━━━|");
        assert_eq!(drawn(0.0, 2.0, 4.0), "────━━━━|");
        assert_eq!(drawn(0.25, 1.25, 2.75), "╶─╼━━╸|");
        assert_eq!(drawn(1.0, f64::INFINITY, 1.75), "  ─╴|");
    }

    #[test]
    fn a_bar_that_is_too_short_to_see_is_seen() {
        assert_eq!(drawn(1.0, 1.0, 1.0), "  ╸|");
        assert_eq!(drawn(4.0, 4.0, 4.0), "       ╺|");
        assert_eq!(drawn(2.0, 1.0, 1.0), "    ╸|");
    }

    #[test]
    fn a_bar_that_sticks_out_ends_in_an_arrow() {
        assert_eq!(drawn(-1.0, -1.0, 2.0), "◂━━━|");
        assert_eq!(drawn(3.0, 3.0, 9.0), "      ━▸|");
        assert_eq!(drawn(-3.0, -3.0, -1.0), "◂|");
        assert_eq!(drawn(5.0, 5.0, 6.0), "       ▸|");
    }

    #[test]
    fn an_axis_without_length_and_times_that_are_none_are_drawn_all_the_same() {
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
    fn the_scale_has_as_many_round_numbers_as_fit() {
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
    fn shares_fill_the_columns_and_leave_nobody_out() {
        assert_eq!(shares(&[1.0, 1.0, 2.0], 8), [2, 2, 4]);
        assert_eq!(shares(&[0.001, 1.0], 10), [1, 9]);
        assert_eq!(shares(&[1.0; 5], 3), [1, 1, 1, 0, 0]);
        assert_eq!(shares(&[f64::NAN, -1.0, 1.0], 6), [1, 1, 4]);
        assert_eq!(shares(&[], 6), [0; 0]);
    }
}
