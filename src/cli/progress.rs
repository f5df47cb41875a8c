//! Long work shown on a terminal.

use std::cell::RefCell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, when that is a terminal and the work lasts; otherwise nothing.
pub struct Progress {
    bar: Option<RefCell<ProgressBar>>,
}

impl Progress {
    /// Nothing is shown before there is something to report.
    pub fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} %").expect("a fixed template");
            let bar = ProgressBar::new(1000).with_style(style.progress_chars("=> "));
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr_with_hz(10));
            RefCell::new(bar)
        });
        Progress { bar }
    }

    /// Shows how far a step has come, 0 to 1.
    pub fn report(&self, step: &str, share: f64) {
        if let Some(bar) = &self.bar {
            let bar = bar.borrow_mut();
            bar.set_message(step.to_string());
            bar.set_position((share * 1000.0) as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.borrow().finish_and_clear();
        }
    }
}
