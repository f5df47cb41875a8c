//! When each probe is due: spread over its interval, never in step, and none lost.
//!
//! ```text
//! set(key, beat) -> | a heap, the next on top | -> due(now) -> probe -> done(key) -> back into the heap
//! ```
//!
//! A probe's place in its interval is a hash of what it probes, so it stays over reloads and whatever else
//! comes and goes; the seed differs from node to node, so that nodes are not in step either. Each round is
//! late by a random share of the interval. A probe that runs is not in the heap: it cannot overtake itself.
//!
//! One heap rather than a task each: an idle monitor costs sixty octets, and the next of 10,000 is found in
//! fourteen comparisons, of which there are a thousand a second.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use siphasher::sip::SipHasher13;

/// The longest that the first round takes: a node that starts has no verdicts, and nobody may be served
/// before it has. Three seconds are 3,300 probes a second of 10,000 addresses, once.
pub const FIRST_ROUND: Duration = Duration::from_secs(3);

/// What is due, by the number its owner gave it.
pub type Key = u64;

/// The rhythm of one probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    /// Time from one probe to the next.
    pub interval: Duration,
    /// Share of it by which each is late at random.
    pub jitter: f64,
    /// What places it in the interval.
    pub hash: u64,
}

impl Beat {
    /// The rhythm of what these words name.
    pub fn new(interval: Duration, jitter: f64, seed: u64, words: impl Hash) -> Beat {
        let mut hasher = SipHasher13::new_with_keys(seed, 0);
        words.hash(&mut hasher);
        Beat { interval, jitter, hash: hasher.finish() }
    }

    /// Where in the interval it is, 0 to 1.
    fn phase(&self) -> f64 {
        share(self.hash)
    }

    /// When its round of this number is due, on the clock of the schedule.
    fn round(&self, number: u64) -> Duration {
        let mut hasher = SipHasher13::new_with_keys(self.hash, 1);
        number.hash(&mut hasher);
        let late = self.phase() + self.jitter * share(hasher.finish());
        self.interval.mul_f64(number as f64 + late)
    }

    /// Its first round after a time.
    pub fn next(&self, after: Duration) -> Duration {
        let rounds = after.as_secs_f64() / self.interval.as_secs_f64() - self.phase();
        let number = rounds.max(0.0) as u64;
        // The round before may be late enough to be still ahead, and rounding may be off by one.
        let mut ahead = (number.saturating_sub(1)..).map(|number| self.round(number));
        ahead.find(|due| *due > after).expect("rounds go on for ever")
    }
}

/// A hash as a number from 0 up to 1.
fn share(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// Everything that is to be probed, and when. Time is what the caller says.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Each key's rhythm, and when it came up last.
    beats: HashMap<Key, (Beat, Duration)>,
    /// May hold keys that are gone: they are passed over when they come up.
    heap: BinaryHeap<Reverse<(Duration, Key)>>,
}

impl Schedule {
    /// Adds a key that was never there before; its first round comes soon.
    pub fn set(&mut self, key: Key, beat: Beat, now: Duration) {
        let soon = beat.interval.min(FIRST_ROUND).mul_f64(beat.phase());
        self.wait(key, beat, now + soon);
    }

    /// Adds a key that was never there before, whose first round is at a time of its own.
    pub fn wait(&mut self, key: Key, beat: Beat, first: Duration) {
        self.beats.insert(key, (beat, first));
        self.heap.push(Reverse((first, key)));
    }

    /// Takes a key out for good.
    pub fn remove(&mut self, key: Key) {
        self.beats.remove(&key);
    }

    /// The next key that is due, and since when. It comes up again after [`Schedule::done`].
    pub fn due(&mut self, now: Duration) -> Option<(Key, Duration)> {
        while let Some(Reverse((due, key))) = self.heap.peek().copied() {
            if due > now {
                return None;
            }
            self.heap.pop();
            if let Some((_, came_up)) = self.beats.get_mut(&key) {
                *came_up = now;
                return Some((key, due));
            }
        }
        None
    }

    /// A key's probe has ended: it waits for its next round that is not too near to the last. It is after
    /// the first, which came early, and after one that came late.
    pub fn done(&mut self, key: Key, now: Duration) {
        if let Some((beat, came_up)) = self.beats.get(&key) {
            let earliest = *came_up + beat.interval.mul_f64(0.5 - beat.jitter / 2.0);
            self.heap.push(Reverse((beat.next(now.max(earliest)), key)));
        }
    }

    /// A key that came up is due again at a time of its own.
    pub fn again(&mut self, key: Key, due: Duration) {
        self.heap.push(Reverse((due, key)));
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn beat(name: u64, interval_s: u64, jitter: f64) -> Beat {
        Beat::new(Duration::from_secs(interval_s), jitter, 7, ("monitor", name))
    }

    #[test]
    fn ten_thousand_are_spread() {
        let mut schedule = Schedule::default();
        for key in 0..10_000 {
            schedule.set(key, beat(key, 10, 0.1), Duration::ZERO);
        }
        // A tenth of a second has one in a hundred, give or take what chance does to a hundred.
        let most = |schedule: &mut Schedule, from_ms: u64, to_ms: u64| {
            let mut most = 0;
            for now in (from_ms..to_ms).step_by(100).map(Duration::from_millis) {
                let due: Vec<Key> = std::iter::from_fn(|| schedule.due(now).map(|(key, _)| key)).collect();
                most = most.max(due.len());
                due.into_iter().for_each(|key| schedule.done(key, now));
            }
            most
        };
        assert!(most(&mut schedule, 0, 3_100) < 400, "the first round takes three seconds");
        let later = most(&mut schedule, 3_100, 60_000);
        assert!(later < 160, "{later}");
    }

    proptest! {
        /// A round follows a round by an interval, give or take the jitter, and stays where it is.
        #[test]
        fn rounds_keep_their_distance(name: u64, interval_s in 1u64..3600, jitter in 0.0f64..0.5, at in 0u64..1_000_000) {
            let beat = beat(name, interval_s, jitter);
            let interval = interval_s as f64;
            let first = beat.next(Duration::from_secs(at));
            let second = beat.next(first);
            let apart = (second - first).as_secs_f64();
            prop_assert!(first > Duration::from_secs(at));
            prop_assert!(first.as_secs_f64() - at as f64 <= interval * (1.0 + jitter) + 1e-6);
            prop_assert!(apart >= interval * (1.0 - jitter) - 1e-6 && apart <= interval * (1.0 + jitter) + 1e-6, "{apart}");
        }

        /// Whatever is added, taken out, slow or quick: what is there is probed in every two intervals, what
        /// is gone never, and nothing twice at once.
        #[test]
        fn none_is_lost_over_updates(steps in proptest::collection::vec((0u64..40, 0u8..4, 0u64..2_000), 1..200)) {
            let mut schedule = Schedule::default();
            let mut now = Duration::ZERO;
            // Key -> when it was seen last, and whether it runs.
            let mut there: HashMap<Key, (Duration, bool)> = HashMap::new();
            let (mut numbers, mut next) = (HashMap::new(), 0);
            for (name, what, ms) in steps {
                match what {
                    0 if !numbers.contains_key(&name) => {
                        schedule.set(next, beat(name, 10, 0.2), now);
                        there.insert(next, (now, false));
                        numbers.insert(name, next);
                        next += 1;
                    }
                    1 => if let Some(key) = numbers.remove(&name) {
                        schedule.remove(key);
                        there.remove(&key);
                    },
                    // Those that run end.
                    2 => for (key, (seen, runs)) in &mut there {
                        if std::mem::take(runs) {
                            schedule.done(*key, now);
                            *seen = now;
                        }
                    },
                    _ => {}
                }
                now += Duration::from_millis(ms);
                while let Some((key, due)) = schedule.due(now) {
                    prop_assert!(due <= now);
                    let (seen, runs) = there.get_mut(&key).expect("what is gone is not due");
                    prop_assert!(!*runs, "twice at once");
                    (*seen, *runs) = (now, true);
                }
                for (seen, runs) in there.values() {
                    prop_assert!(*runs || now - *seen <= Duration::from_secs(20), "lost");
                }
            }
        }
    }
}
