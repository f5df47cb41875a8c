//! Flap damping: an answer that changes too often is held down, longer each time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::state::monitors::Flap;

/// One answer's changes, and its hold.
#[derive(Clone, Debug, Default)]
pub struct Damping {
    /// When it changed lately, oldest first; no more than make it flap.
    changes: VecDeque<Duration>,
    /// Until when it is held down.
    until: Option<Duration>,
    /// Holds since it was last calm.
    holds: u32,
}

impl Damping {
    /// The answer has changed.
    pub fn change(&mut self, flap: &Flap, now: Duration) {
        if flap.changes == 0 {
            return;
        }
        self.changes.push_back(now);
        self.changes.retain(|at| now - *at <= flap.within);
        if self.changes.len() <= flap.changes as usize {
            return;
        }
        self.changes.clear();
        // It was calm when its last hold ended longer ago than the longest hold.
        if self.until.is_none_or(|until| now > until + flap.hold_max) {
            self.holds = 0;
        }
        let hold = flap.hold.saturating_mul(1 << self.holds.min(20)).min(flap.hold_max);
        self.holds += 1;
        self.until = Some(now + hold);
    }

    /// What has changed since then was not the answer's doing.
    pub fn forget(&mut self, since: Duration) {
        self.changes.retain(|at| *at < since);
    }

    /// How long it is still held down.
    pub fn rest(&self, now: Duration) -> Option<Duration> {
        self.until?.checked_sub(now).filter(|rest| !rest.is_zero())
    }

    /// Whether it is held down.
    pub fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}
