//! What one receiver has not yet taken. Plain data, into which time comes as a value.
//!
//! ```text
//! push -> waiting -> take -> (sent) -> ended: taken | refused: again later | failed: everything rests
//!           | full: the oldest is dropped                      | an hour old: given up
//! ```
//!
//! In order while the receiver is well. One that answers 4xx has read a notice and will not have it: that one
//! waits, and those behind it go on. Any other failure is the receiver's own, and everything waits with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Notice;

/// Notices that wait for one receiver at the most: a bad day's worth, and under a megabyte.
pub const WAITING_MOST: usize = 1000;
/// The first pause after a failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_secs(300);
/// How old a notice gets before it is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);

/// What waits for one receiver, and what became of the rest.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    /// Failures of the receiver in a row, until when it is left alone, and what was wrong last.
    failures: u32,
    rests_until: Duration,
    /// What was wrong last; empty when nothing is.
    pub error: String,
    /// What became of those that wait no longer.
    pub counts: Counts,
}

/// What became of notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
    /// Dropped because too many waited.
    pub dropped: u64,
}

/// A notice on its way to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The same in each try.
    pub id: String,
    /// What is told.
    pub notice: Arc<Notice>,
}

#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    since: Duration,
    tries: u32,
    due: Duration,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Taken,
    /// The receiver has read it, and will not have it.
    Refused(String),
    /// It did not get there.
    Failed(String),
}

impl Queue {
    /// One more. True when an older one was dropped for it.
    pub fn push(&mut self, delivery: Delivery, now: Duration) -> bool {
        let is_full = self.waiting.len() >= WAITING_MOST;
        if is_full {
            self.waiting.pop_front();
            self.counts.dropped += 1;
        }
        self.waiting.push_back(Waiting { delivery, since: now, tries: 0, due: now });
        is_full
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Which is to be tried now. It stays until its try has ended.
    pub fn take(&self, now: Duration) -> Option<Delivery> {
        let is_due = |waiting: &&Waiting| waiting.due <= now && self.rests_until <= now;
        self.waiting.iter().find(is_due).map(|waiting| waiting.delivery.clone())
    }

    /// When something is to be tried next.
    pub fn next(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.due.max(self.rests_until)).min()
    }

    /// A try has ended; how many notices are given up with it.
    pub fn ended(&mut self, id: &str, outcome: Outcome, now: Duration) -> u64 {
        let at = self.waiting.iter().position(|waiting| waiting.delivery.id == id);
        match outcome {
            Outcome::Taken => {
                (self.failures, self.rests_until) = (0, now);
                self.error.clear();
                self.counts.delivered += 1;
                at.and_then(|at| self.waiting.remove(at));
            }
            Outcome::Refused(error) => {
                (self.failures, self.rests_until, self.error) = (0, now, error);
                if let Some(waiting) = at.and_then(|at| self.waiting.get_mut(at)) {
                    waiting.tries += 1;
                    waiting.due = now + pause(waiting.tries);
                }
            }
            Outcome::Failed(error) => {
                self.failures += 1;
                (self.rests_until, self.error) = (now + pause(self.failures), error);
            }
        }
        let before = self.waiting.len();
        let is_failing = self.failures > 0;
        self.waiting
            .retain(|waiting| now - waiting.since < GIVEN_UP_AFTER || (waiting.tries == 0 && !is_failing));
        let given_up = (before - self.waiting.len()) as u64;
        self.counts.failed += given_up;
        given_up
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(PAUSE_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::model::Time;

    const S: Duration = Duration::from_secs(1);

    fn delivery(id: usize) -> Delivery {
        let notice = Notice::of_alarm("x", false, Time::UNIX_EPOCH);
        Delivery { id: id.to_string(), notice: Arc::new(notice) }
    }

    fn failed() -> Outcome {
        Outcome::Failed("no route".into())
    }

    /// The times at which a queue of one is tried, until it is empty.
    fn tries(outcome: Outcome) -> Vec<u64> {
        let mut queue = Queue::default();
        queue.push(delivery(1), Duration::ZERO);
        let mut tries = Vec::new();
        while let Some(at) = queue.next() {
            let delivery = queue.take(at).unwrap();
            tries.push(at.as_secs());
            queue.ended(&delivery.id, outcome.clone(), at);
        }
        assert_eq!(queue.counts, Counts { failed: 1, ..Counts::default() });
        tries
    }

    #[test]
    fn pauses_double_and_an_hour_is_enough() {
        for outcome in [failed(), Outcome::Refused("404".into())] {
            let tries = tries(outcome);
            assert_eq!(tries[..10], [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);
            assert!(tries[10..].windows(2).all(|pair| pair[1] - pair[0] == 300), "{tries:?}");
            assert!((3600..3900).contains(tries.last().unwrap()), "{tries:?}");
        }
    }

    #[test]
    fn the_oldest_is_dropped() {
        let mut queue = Queue::default();
        let dropped = (0..WAITING_MOST + 7).filter(|id| queue.push(delivery(*id), Duration::ZERO)).count();
        assert_eq!((dropped, queue.counts.dropped, queue.waiting()), (7, 7, WAITING_MOST));
        assert_eq!(queue.take(S).unwrap().id, "7");
        // The try of one that was dropped meanwhile ends without harm.
        queue.ended("3", Outcome::Taken, S);
        assert_eq!(queue.waiting(), WAITING_MOST);
    }

    #[test]
    fn what_is_refused_does_not_hold_up_the_others() {
        let mut queue = Queue::default();
        for id in 1..=3 {
            queue.push(delivery(id), Duration::ZERO);
        }
        queue.ended("1", Outcome::Refused("404".into()), Duration::ZERO);
        assert_eq!(queue.take(Duration::ZERO).unwrap().id, "2");
        queue.ended("2", Outcome::Taken, Duration::ZERO);
        // A receiver that fails holds up everything, and is well with the first that it takes.
        queue.ended("3", failed(), Duration::ZERO);
        queue.ended("3", failed(), S);
        assert_eq!((queue.take(2 * S), queue.next()), (None, Some(3 * S)));
        assert_eq!(queue.take(3 * S).unwrap().id, "1");
        queue.ended("1", Outcome::Taken, 3 * S);
        assert_eq!((queue.take(3 * S).unwrap().id.as_str(), queue.error.as_str()), ("3", ""));
    }

    #[test]
    fn what_waited_behind_an_outage_goes_with_it_after_an_hour_of_its_own() {
        let mut queue = Queue::default();
        queue.push(delivery(1), Duration::ZERO);
        queue.push(delivery(2), 1800 * S);
        assert_eq!(queue.ended("1", failed(), 3600 * S), 1);
        assert_eq!(queue.waiting(), 1);
        assert_eq!(queue.ended("2", failed(), 5400 * S), 1);
    }
}
