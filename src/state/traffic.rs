//! Which share of the traffic each answer has had lately: what drains and splits are watched by.
//!
//! The workers count since the start; every ten seconds a reading is taken, and a window is the difference
//! of two readings. Only what was given in a window is shown, so an answer that is gone is forgotten with
//! the last reading that knew it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::shares::{Counted, Given, Slots};
use crate::engine::stats::AllStats;

/// Between two readings.
const EVERY: Duration = Duration::from_secs(10);
/// Readings kept: ten minutes of them, both ends included.
const READINGS: usize = 61;

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last minute.
    Minute,
    /// The last ten minutes.
    TenMinutes,
}

impl Window {
    fn span(self) -> Duration {
        match self {
            Window::Minute => Duration::from_secs(60),
            Window::TenMinutes => Duration::from_secs(600),
        }
    }
}

/// What one answer was given in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its pool, if any.
    pub pool: Option<String>,
    /// Its PoP, if any.
    pub pop: Option<String>,
    /// Its stack, if any.
    pub stack: Option<String>,
    /// The answer itself: `pool/PoP/stack`, or `record/answer`.
    pub answer: String,
    /// Times it was given to queries with a client subnet.
    pub with_ecs: u64,
    /// Times it was given to queries without.
    pub without_ecs: u64,
    /// Its part of all that was given of its pool, or of its record where it is of no pool, 0 to 1.
    pub share: f64,
}

/// The readings of the last ten minutes.
#[derive(Debug)]
pub struct Traffic {
    slots: Arc<Slots>,
    readings: VecDeque<Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    given: Vec<Given>,
}

impl Traffic {
    /// No readings yet.
    pub fn new(slots: Arc<Slots>) -> Traffic {
        Traffic { slots, readings: VecDeque::new() }
    }

    /// Takes a reading if one is due. Call it every second or so.
    pub fn tick(&mut self, now: Instant, stats: &AllStats) {
        if self.readings.back().is_some_and(|last| now < last.at + EVERY) {
            return;
        }
        if self.readings.len() == READINGS {
            self.readings.pop_front();
        }
        let given = stats.given(self.slots.counted().len());
        self.readings.push_back(Reading { at: now, given });
    }

    /// What each answer was given in the window that ends with the newest reading. While the process is
    /// younger than the window, since its first reading.
    pub fn share(&self, window: Window) -> Vec<Share> {
        let Some(newest) = self.readings.back() else { return Vec::new() };
        let is_before = |reading: &&Reading| reading.at + window.span() <= newest.at;
        let earlier = self.readings.iter().rev().find(is_before).or(self.readings.front());
        let earlier = earlier.map_or(&[][..], |reading| &reading.given);
        let counted = self.slots.counted();
        let mut given = Vec::new();
        let mut sums: HashMap<&str, u64> = HashMap::new();
        for (slot, (counted, now)) in counted.iter().zip(&newest.given).enumerate() {
            let Counted::Answer { id, of, pool, pop, stack } = &**counted else { continue };
            let times = now.since(earlier.get(slot).copied().unwrap_or_default());
            if times.all() > 0 {
                *sums.entry(of).or_default() += times.all();
                given.push((id, of, [pool, pop, stack], times));
            }
        }
        let share = given.into_iter().map(|(id, of, [pool, pop, stack], times)| Share {
            pool: pool.clone(),
            pop: pop.clone(),
            stack: stack.clone(),
            answer: id.clone(),
            with_ecs: times.with_ecs,
            without_ecs: times.without_ecs,
            share: times.all() as f64 / sums[of.as_str()] as f64,
        });
        share.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let (slots, stats) = (Arc::new(Slots::default()), AllStats::default());
        let answer = |id: &str, of: &str, pool: bool| {
            slots.slot(Counted::Answer {
                id: id.into(),
                of: of.into(),
                pool: pool.then(|| of.into()),
                pop: None,
                stack: None,
            })
        };
        let (dublin, tokyo) = (answer("wss/dublin", "wss", true), answer("wss/tokyo", "wss", true));
        let _counted_aside = slots.slot(Counted::Record("chat.example.com".into()));
        let (start, mut traffic) = (Instant::now(), Traffic::new(slots.clone()));
        let workers = [stats.new_worker(), stats.new_worker()];
        let give = |slot: u32, with_ecs: u64, without_ecs: u64| {
            (0..with_ecs).for_each(|_| workers[0].shares.add(slot, true));
            (0..without_ecs).for_each(|_| workers[1].shares.add(slot, false));
        };
        let shown = |traffic: &Traffic, window| -> Vec<String> {
            let line = |s: Share| format!("{} {}+{} {:.2}", s.answer, s.with_ecs, s.without_ecs, s.share);
            traffic.share(window).into_iter().map(line).collect()
        };
        let tick = |traffic: &mut Traffic, second| traffic.tick(start + Duration::from_secs(second), &stats);
        assert_eq!(shown(&traffic, Window::Minute), [""; 0]);
        tick(&mut traffic, 0);
        give(dublin, 3, 0);
        give(tokyo, 0, 1);
        tick(&mut traffic, 9);
        assert_eq!(shown(&traffic, Window::Minute), [""; 0], "a reading is not due before ten seconds");
        tick(&mut traffic, 10);
        for window in [Window::Minute, Window::TenMinutes] {
            assert_eq!(shown(&traffic, window), ["wss/dublin 3+0 0.75", "wss/tokyo 0+1 0.25"]);
        }
        // An answer that is new since, of a record alone.
        give(answer("chat.example.com/a", "chat.example.com", false), 1, 0);
        give(tokyo, 1, 2);
        for second in (20..=70).step_by(10) {
            tick(&mut traffic, second);
        }
        assert_eq!(shown(&traffic, Window::Minute), ["wss/tokyo 1+2 1.00", "chat.example.com/a 1+0 1.00"]);
        assert_eq!(
            shown(&traffic, Window::TenMinutes),
            ["wss/dublin 3+0 0.43", "wss/tokyo 1+3 0.57", "chat.example.com/a 1+0 1.00"]
        );
        for second in (80..=630).step_by(10) {
            tick(&mut traffic, second);
            assert!(traffic.readings.len() <= READINGS);
        }
        assert_eq!(shown(&traffic, Window::Minute), [""; 0]);
        assert_eq!(shown(&traffic, Window::TenMinutes), [""; 0]);
    }
}
