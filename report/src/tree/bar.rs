//! When a span was at work, as a bar on the time of its turn.

use super::node::Node;

/// Columns of a bar's axis.
pub(super) const COLUMNS: usize = 32;

/// A stretch of time, in nanoseconds since 1970.
pub(super) struct Axis {
    from: u64,
    to: u64,
}

impl Axis {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            from: node.start.unwrap_or(0),
            to: node.end.unwrap_or(0),
        }
    }

    /// Light while the span waited for its first output, heavy from there; always at least a column, at the axis' end for
    /// what lies beyond it. Nothing where times are not known.
    pub(super) fn bar(&self, node: &Node) -> String {
        let (Some(start), Some(end)) = (node.start, node.end) else {
            return String::new();
        };
        if self.to <= self.from {
            return String::new();
        }
        let first = node.first_byte.map_or(start, |seconds| {
            // Saturates for what no clock has.
            start.saturating_add((seconds * 1e9) as u64)
        });
        let from = self.column(start).min(COLUMNS - 1);
        let to = self.column(end).max(from + 1);
        let first = self.column(first).clamp(from, to - 1);
        [(" ", from), ("─", first - from), ("━", to - first)]
            .into_iter()
            .map(|(glyph, times)| glyph.repeat(times))
            .collect()
    }

    fn column(&self, at: u64) -> usize {
        let share = at.saturating_sub(self.from) as f64 / (self.to - self.from) as f64;
        (share.min(1.0) * COLUMNS as f64).round() as usize
    }
}
