//! A bar on standard error while a long input is read.

use std::io::{self, IsTerminal as _, Read};

use indicatif::{ProgressBar, ProgressBarIter, ProgressStyle};

/// Less is read before a bar could be seen.
const WORTH_A_BAR: u64 = 64 << 20;

pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Over sources of so many bytes each, as far as is known. Shown only on a terminal and only if the input is long, or
    /// of unknown length.
    pub(super) fn over(sizes: impl Iterator<Item = Option<u64>>) -> Self {
        let total = sizes.sum::<Option<u64>>();
        if !io::stderr().is_terminal() || total.is_some_and(|total| total < WORTH_A_BAR) {
            return Self(ProgressBar::hidden());
        }
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{wide_bar} {bytes} of {total_bytes} · {bytes_per_sec} · {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {bytes} · {bytes_per_sec}",
            ),
        };
        // The template is a constant; were it wrong, indicatif's own would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// `reader`, whose bytes count.
    pub(super) fn watch<R: Read>(&self, reader: R) -> ProgressBarIter<R> {
        self.0.wrap_read(reader)
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
