//! How far work is, for somebody who waits: nothing for a second, then a line that renews itself.
//!
//! ```text
//! ████████████░░░░░░░░░░░░  1.20 GiB of 2.41 GiB, 310.52 MiB/s, 4s left
//! 1,204,113 addresses, 610,400/s
//! ```
//!
//! The second is for lists that have no known end. Nothing is shown where standard error is no terminal.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done in less is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line; it goes when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When the work began, until the line is shown; `None` where nobody sees it.
    waiting_since: Option<Instant>,
}

impl Progress {
    /// Of work on so many bytes.
    pub(crate) fn of_bytes(total: u64) -> Self {
        let template = "{wide_bar}  {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        Self::new(Some(total), template, true)
    }

    /// Of a list that has no known end, of `what`; where it is printed on the terminal it tells itself.
    pub(crate) fn of_list(what: &'static str) -> Self {
        let progress = Self::new(
            None,
            "{human_pos} {msg}, {per_sec:0}",
            !io::stdout().is_terminal(),
        );
        progress.bar.set_message(what);
        progress
    }

    fn new(total: Option<u64>, template: &str, wanted: bool) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            waiting_since: (wanted && io::stderr().is_terminal()).then(Instant::now),
        }
    }

    /// Counts what was done since.
    pub(crate) fn advance(&mut self, by: u64) {
        self.bar.inc(by);
        if self
            .waiting_since
            .take_if(|since| since.elapsed() >= PATIENCE)
            .is_some()
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Lets something else be said.
    pub(crate) fn pause<T>(&self, say: impl FnOnce() -> T) -> T {
        self.bar.suspend(say)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
