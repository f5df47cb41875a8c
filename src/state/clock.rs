//! Time, as far as it can be believed (DESIGN, decision 14).
//!
//! ```text
//! wall clock + elapsed time -> Clock -> now, or an alarm and a `now` that stands still
//! ```
//!
//! Drains expire and migrations move on by the wall clock, so that they survive a restart. A wall clock that
//! jumps against elapsed time, or that is behind what the store has seen, is not believed: nothing expires
//! or advances until it is plausible again, or a person says that it is right.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::model::Time;

/// How far the wall clock may be from where elapsed time puts it.
const JUMP_MOST: SignedDuration = SignedDuration::from_secs(60);
/// How far another node's clock may be before ours: a value made so far in the future was made now.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(10);

/// What the machine's clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Time,
    /// Time elapsed since any fixed moment.
    pub elapsed: Duration,
}

/// A source of readings. Tests have their own.
pub type Clocks = Box<dyn FnMut() -> Reading + Send>;

/// The machine's clocks.
pub fn machine() -> Clocks {
    let begun = Instant::now();
    Box::new(move || Reading { wall: Time::now(), elapsed: begun.elapsed() })
}

/// The time that is believed.
#[derive(Debug)]
pub struct Clock {
    now: Time,
    last: Reading,
    alarm: Option<String>,
}

impl Clock {
    /// Begins with a reading. `newest` is the newest time anything in the store was written at.
    pub fn new(reading: Reading, newest: Option<Time>) -> Clock {
        let mut clock = Clock { now: reading.wall, last: reading, alarm: None };
        if let Some(newest) = newest
            && reading.wall < newest - CLOCK_SKEW
        {
            clock.now = newest;
            clock.alarm = Some(format!(
                "the clock says {:.0}, and the store was written at {newest:.0}: nothing expires or advances \
                 until the clock is past that",
                reading.wall
            ));
        }
        clock
    }

    /// The time, after another reading.
    pub fn tick(&mut self, reading: Reading) -> Time {
        let elapsed = reading.elapsed.saturating_sub(self.last.elapsed);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        let expected = self.last.wall.saturating_add(elapsed).expect("spans of time saturate");
        let off = reading.wall.duration_since(expected);
        match &self.alarm {
            None if off.abs() > JUMP_MOST => {
                self.alarm = Some(format!(
                    "the clock jumped by {} seconds at {expected:.0}: nothing expires or advances until it is \
                     back, or `rhumb clock accept` says that it is right",
                    off.as_secs()
                ));
                // Elapsed time goes on from where the clock was believed last.
                self.last = Reading { wall: expected, elapsed: reading.elapsed };
            }
            None => {
                self.last = reading;
                self.now = self.now.max(reading.wall);
            }
            // Where it was behind the store, it is right when it has caught up; where it jumped, when it is
            // back near where elapsed time puts it.
            Some(_) if off.abs() <= JUMP_MOST && reading.wall >= self.now - CLOCK_SKEW => {
                (self.alarm, self.last) = (None, reading);
                self.now = self.now.max(reading.wall);
            }
            Some(_) => self.last = Reading { wall: expected, elapsed: reading.elapsed },
        }
        self.now
    }

    /// Believes the wall clock, whatever it says.
    pub fn accept(&mut self, reading: Reading) {
        *self = Clock { now: reading.wall, last: reading, alarm: None };
    }

    /// Why the time stands still.
    pub fn alarm(&self) -> Option<&str> {
        self.alarm.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, elapsed: u64) -> Reading {
        Reading { wall: Time::from_second(wall).unwrap(), elapsed: Duration::from_secs(elapsed) }
    }

    /// Readings (wall, elapsed), and the believed time and whether there is an alarm after each.
    fn check(newest: Option<i64>, first: (i64, u64), steps: &[(i64, u64, i64, bool)]) {
        let newest = newest.map(|second| Time::from_second(second).unwrap());
        let mut clock = Clock::new(at(first.0, first.1), newest);
        for &(wall, elapsed, now, alarm) in steps {
            let said = clock.tick(at(wall, elapsed)).as_second();
            assert_eq!((said, clock.alarm().is_some()), (now, alarm), "at {wall}, {elapsed}: {clock:?}");
        }
    }

    #[test]
    fn jumps_stop_the_time() {
        // It runs, drifts a little, and never goes back.
        check(None, (1000, 0), &[(1001, 1, 1001, false), (1030, 10, 1030, false), (1020, 20, 1030, false)]);
        // Forward by an hour: it stands until the clock is back.
        check(None, (1000, 0), &[(4610, 10, 1000, true), (4620, 20, 1000, true), (1030, 30, 1030, false)]);
        // Back by an hour.
        check(None, (5000, 0), &[(1410, 10, 5000, true), (1420, 20, 5000, true), (5030, 30, 5030, false)]);
    }

    #[test]
    fn a_clock_behind_the_store_stops_the_time() {
        check(
            Some(5000),
            (4000, 0),
            &[(4001, 1, 5000, true), (4989, 989, 5000, true), (4995, 995, 5000, false)],
        );
        check(Some(5000), (4995, 0), &[(4996, 1, 4996, false)]);
    }

    #[test]
    fn a_person_may_accept_it() {
        let mut clock = Clock::new(at(1000, 0), None);
        clock.tick(at(9000, 1));
        clock.accept(at(9001, 2));
        assert_eq!((clock.tick(at(9002, 3)).as_second(), clock.alarm()), (9002, None));
    }
}
