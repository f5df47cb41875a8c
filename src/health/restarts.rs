//! When what ran into a bug of ours is started again, and for how long that is told.
//!
//! Plain data into which time comes as a value. A bug that trips at once must not make a loop of starts, and one that
//! trips now and then must not go unseen.

use std::time::Duration;

/// How long it rests the first time; each further time twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest rest: probes of a round or two.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// It ran well for so long: the alarm is over, and the next rest is short again.
pub const RAN_WELL: Duration = Duration::from_secs(600);

/// What is remembered of it.
#[derive(Debug)]
pub struct Restarts {
    pause: Duration,
    /// Since when it has stopped.
    stopped: Option<Duration>,
    /// When it was started last, after it had stopped.
    started: Option<Duration>,
}

impl Default for Restarts {
    fn default() -> Restarts {
        Restarts { pause: PAUSE_FIRST, stopped: None, started: None }
    }
}

impl Restarts {
    /// Sees whether it runs; whether it is to be started now.
    pub fn is_due(&mut self, is_running: bool, now: Duration) -> bool {
        if is_running {
            if self.started.is_some_and(|at| now.saturating_sub(at) >= RAN_WELL) {
                *self = Restarts::default();
            }
            return false;
        }
        let stopped = *self.stopped.get_or_insert(now);
        if now.saturating_sub(stopped) < self.pause {
            return false;
        }
        (self.stopped, self.started) = (None, Some(now));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }

    /// Whether it has stopped, and has not run well for a while since.
    pub fn is_told(&self) -> bool {
        self.stopped.is_some() || self.started.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second; the seconds in which it is started, where each time it runs for so long.
    fn starts(mut restarts: Restarts, runs_s: &[u64], until_s: u64) -> (Vec<u64>, Restarts) {
        let (mut starts, mut ends) = (Vec::new(), Some(runs_s[0]));
        for second in 0..until_s {
            let is_running = ends.is_none_or(|end| second < end);
            if restarts.is_due(is_running, Duration::from_secs(second)) {
                starts.push(second);
                ends = runs_s.get(starts.len()).map(|runs| second + runs);
            }
            assert!(is_running || restarts.is_told(), "{second}s");
        }
        (starts, restarts)
    }

    #[test]
    fn it_is_started_again_and_rests_longer_each_time() {
        let (at, restarts) = starts(Restarts::default(), &[10, 0, 0, 0, 0, 0, 0, 0, 0], 400);
        assert_eq!(at, [11, 14, 19, 28, 45, 78, 139, 200, 261]);
        assert!(restarts.is_told());
    }

    #[test]
    fn what_ran_well_begins_anew() {
        let (at, restarts) = starts(Restarts::default(), &[10, 20, 599, 700, 5], 2500);
        // The third start follows a run that was not long enough; the fourth one that was.
        assert_eq!(at, [11, 33, 636, 1337, 1344]);
        assert!(!restarts.is_told(), "the last goes on");
    }
}
