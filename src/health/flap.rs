//! Flap damping: an answer that changes too often is held down, longer each time.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::verdict::Moment;
use crate::state::model::Time;
use crate::state::monitors::Flap;

/// One answer's changes, and its hold. What was kept of the last run is before the beginning of this one: times
/// since it may be negative.
#[derive(Clone, Debug, Default)]
pub struct Damping {
    /// When it changed lately, oldest first; no more than make it flap.
    changes: VecDeque<SignedDuration>,
    /// Its last hold.
    hold: Option<Hold>,
    /// Holds since it was last calm.
    holds: u32,
}

/// Until when it is held down, as both clocks have it.
#[derive(Clone, Copy, Debug)]
struct Hold {
    ends: SignedDuration,
    ends_at: Time,
}

/// What is kept of a damping over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptDamping {
    /// When it changed lately, oldest first.
    changes: Vec<Time>,
    /// When its last hold ends, or ended.
    hold_ends_at: Option<Time>,
    /// Holds since it was last calm.
    pub(super) holds: u32,
}

impl Damping {
    /// The answer has changed.
    pub fn change(&mut self, flap: &Flap, now: Moment) {
        if flap.changes == 0 {
            return;
        }
        let (within, hold_max) = (span(flap.within), span(flap.hold_max));
        let elapsed = span(now.elapsed);
        self.changes.push_back(elapsed);
        self.changes.retain(|at| elapsed - *at <= within);
        if self.changes.len() <= flap.changes as usize {
            return;
        }
        self.changes.clear();
        // It was calm when its last hold ended longer ago than the longest hold.
        if self.hold.is_none_or(|hold| elapsed - hold.ends > hold_max) {
            self.holds = 0;
        }
        let hold = span(flap.hold.saturating_mul(1 << self.holds.min(20)).min(flap.hold_max));
        self.holds += 1;
        self.hold = Some(Hold { ends: elapsed + hold, ends_at: now.wall + hold });
    }

    /// What has changed since then was not the answer's doing.
    pub fn forget(&mut self, since: Duration) {
        self.changes.retain(|at| *at < span(since));
    }

    /// Until when it is held down; none when it is not.
    pub fn held_until(&self, now: Duration) -> Option<Time> {
        self.hold.filter(|hold| span(now) < hold.ends).map(|hold| hold.ends_at)
    }

    /// Whether it is held down.
    pub fn holds(&self, now: Duration) -> bool {
        self.held_until(now).is_some()
    }

    /// What is to be kept of it.
    pub fn kept(&self, now: Moment) -> KeptDamping {
        let at = |elapsed: SignedDuration| now.wall.checked_add(elapsed - span(now.elapsed)).ok();
        KeptDamping {
            changes: self.changes.iter().filter_map(|change| at(*change)).collect(),
            hold_ends_at: self.hold.map(|hold| hold.ends_at),
            holds: self.holds,
        }
    }

    /// What was kept of the last run.
    pub fn of_kept(kept: &KeptDamping, now: Moment) -> Damping {
        let elapsed = |at: Time| span(now.elapsed) + at.duration_since(now.wall);
        Damping {
            changes: kept.changes.iter().map(|at| elapsed(*at)).collect(),
            hold: kept.hold_ends_at.map(|ends_at| Hold { ends: elapsed(ends_at), ends_at }),
            holds: kept.holds,
        }
    }
}

fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
