//! Who asked for what in the last hour: one query in 64, for reports on what a change would move.
//!
//! ```text
//! steered query, one in 64 -> Ring, one per worker -> Samples::collect, every few seconds -> a minute each
//! ```
//!
//! A sample has no time of its own: it belongs to the minute it was collected in. Clients are kept as
//! networks, /24 and /56, which is what the coins of drains and splits are tossed for, and no more than
//! that is remembered of anybody.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

use super::shares::Slots;
use super::stats::Stats;
use crate::wire::Name;

/// Queries for each that is sampled: a power of two, so that six bits of the number drawn for a query
/// decide.
pub const ONE_IN: u64 = 64;
/// Samples a worker keeps until they are collected, 16 octets each. At 250,000 queries a second a ring
/// lasts one second; what is overwritten before it is collected still counts by the weight of the rest.
const RING: u64 = 4096;
/// Samples kept of each minute, 24 octets each: 6 MB for the hour, however many are asked.
const MINUTE_SAMPLES: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The newest samples of one worker.
///
/// One thread writes and one reads; neither waits for the other. A sample is two words, and the writer may
/// come round and overwrite both while they are read. That cannot go unseen: the sample numbered `n + RING`
/// is written after `written` was set to that number, and every word is stored with release and loaded
/// with acquire. So a reader that got a word of it finds `written` at `n + RING` or beyond when it looks
/// again, and lets the pair go. On x86 all of these are plain loads and stores.
#[derive(Debug)]
pub struct Ring {
    written: AtomicU64,
    samples: Box<[[AtomicU64; 2]]>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring { written: AtomicU64::new(0), samples: (0..RING).map(|_| Default::default()).collect() }
    }
}

/// The bit beside a record's number that says IPv6.
const IPV6: u64 = 1 << 32;

impl Ring {
    /// Adds a sample. Only the ring's one writer may call it. Apart from counting, because one query in 64
    /// does it.
    #[cold]
    pub fn add(&self, record: u32, client: IpAddr) {
        let at = self.written.load(Relaxed);
        let (family, network) = match client {
            IpAddr::V4(v4) => (0, u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => (IPV6, (v6.to_bits() >> 72) as u64),
        };
        let sample = &self.samples[(at % RING) as usize];
        sample[0].store(u64::from(record) | family, Release);
        sample[1].store(network, Release);
        self.written.store(at + 1, Release);
    }

    /// Gives every sample from number `from` on that is still there. Says how many have been written ever,
    /// which is where to go on.
    pub fn read(&self, from: u64, mut take: impl FnMut(u32, IpAddr)) -> u64 {
        let written = self.written.load(Acquire);
        for at in from.max(written.saturating_sub(RING))..written {
            let [who, network] = &self.samples[(at % RING) as usize];
            let (who, network) = (who.load(Acquire), network.load(Acquire));
            if self.written.load(Relaxed) >= at + RING {
                continue;
            }
            let network = if who & IPV6 == 0 {
                IpAddr::V4(Ipv4Addr::from_bits((network << 8) as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 72))
            };
            take(who as u32, network);
        }
        written
    }
}

/// The query mix of the last hour, by minutes.
#[derive(Debug)]
pub struct Samples {
    /// How far each worker's ring has been read.
    read: Vec<u64>,
    minutes: VecDeque<Minute>,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Minute {
    start: Instant,
    /// Samples the workers took, those that were overwritten unread included.
    taken: u64,
    /// Samples that were read, those that gave way to others included.
    read: u64,
    kept: Vec<(u32, IpAddr)>,
}

/// How often a client's network asked for a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// The record.
    pub record: Name,
    /// The network's first address: of a /24 or a /56.
    pub network: IpAddr,
    /// How many queries it stands for.
    pub weight: f64,
}

impl Samples {
    /// An empty mix. `seed` starts the numbers that choose what is kept of a crowded minute.
    pub fn new(seed: u64) -> Samples {
        Samples { read: Vec::new(), minutes: VecDeque::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Takes what the workers have sampled since the last call. Call it every few seconds, with the
    /// workers always in the same order, new ones at the end.
    pub fn collect(&mut self, now: Instant, workers: &[Arc<Stats>]) {
        if self.minutes.back().is_none_or(|minute| now >= minute.start + MINUTE) {
            self.minutes.push_back(Minute { start: now, taken: 0, read: 0, kept: Vec::new() });
        }
        self.minutes.retain(|minute| now < minute.start + HOUR);
        self.read.resize(workers.len().max(self.read.len()), 0);
        let Some(minute) = self.minutes.back_mut() else { return };
        for (from, worker) in self.read.iter_mut().zip(workers) {
            let written = worker.ring.read(*from, |record, network| {
                minute.keep((record, network), &mut self.random);
            });
            minute.taken += written - *from;
            *from = written;
        }
    }

    /// Which networks asked for which records how often in the last hour, as of the last call of
    /// [`Samples::collect`].
    pub fn hour(&self, slots: &Slots) -> Vec<Sampled> {
        let mut weights: BTreeMap<(u32, IpAddr), f64> = BTreeMap::new();
        for minute in self.minutes.iter().filter(|minute| !minute.kept.is_empty()) {
            let weight = (minute.taken * ONE_IN) as f64 / minute.kept.len() as f64;
            for &sample in &minute.kept {
                *weights.entry(sample).or_default() += weight;
            }
        }
        let names = slots.names();
        let sampled = weights.into_iter().filter_map(|((record, network), weight)| {
            Some(Sampled { record: names.get(record as usize)?.clone(), network, weight })
        });
        sampled.collect()
    }
}

impl Minute {
    /// Keeps each sample of a crowded minute with the same probability (Vitter's algorithm R).
    fn keep(&mut self, sample: (u32, IpAddr), random: &mut fastrand::Rng) {
        self.read += 1;
        if self.kept.len() < MINUTE_SAMPLES {
            self.kept.push(sample);
        } else if let Some(kept) = self.kept.get_mut(random.u64(..self.read) as usize) {
            *kept = sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    /// A network that is known by its record's number, so that a torn pair shows.
    fn network_of(record: u32) -> IpAddr {
        if record.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::from_bits(record << 8))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(record) << 72))
        }
    }

    proptest! {
        /// However writing and reading alternate, what is collected was written, once and in order, and
        /// nothing is missing but what was overwritten.
        #[test]
        fn what_is_collected_was_written(runs in prop::collection::vec(0..2 * RING, 1..6)) {
            let ring = Ring::default();
            let (mut written, mut from) = (0, 0);
            for run in runs {
                for number in written..written + run {
                    ring.add(number as u32, network_of(number as u32));
                }
                let mut seen = Vec::new();
                let next = ring.read(from, |record, network| seen.push((record, network)));
                written += run;
                prop_assert_eq!(next, written);
                // The place that would be written next is given up, too.
                let first = if run >= RING { written + 1 - RING } else { from };
                let expected: Vec<_> =
                    (first..written).map(|number| (number as u32, network_of(number as u32))).collect();
                prop_assert_eq!(seen, expected);
                from = next;
            }
        }

        #[test]
        fn clients_are_cut_to_their_network(client: u128, record: u32, v4: bool) {
            let (client, cut) = if v4 {
                let client = Ipv4Addr::from_bits(client as u32);
                (client.into(), IpAddr::V4(Ipv4Addr::from_bits(client.to_bits() & !0xFF)))
            } else {
                (Ipv6Addr::from_bits(client).into(), Ipv6Addr::from_bits(client >> 72 << 72).into())
            };
            let ring = Ring::default();
            ring.add(record, client);
            let mut seen = None;
            ring.read(0, |record, network| seen = Some((record, network)));
            prop_assert_eq!(seen, Some((record, cut)));
        }
    }

    #[test]
    fn a_pair_is_never_torn() {
        let (ring, done) = (Ring::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..2_000_000 {
                    ring.add(number, network_of(number));
                }
                done.store(true, Release);
            });
            let (mut from, mut last, mut seen) = (0, None, 0);
            while !done.load(Acquire) || seen == 0 {
                from = ring.read(from, |record, network| {
                    assert_eq!(network, network_of(record));
                    assert!(last < Some(record), "{record} after {last:?}");
                    (last, seen) = (Some(record), seen + 1);
                });
            }
        });
    }

    /// What is collected at these seconds, of so many queries each for one network and record, and how many
    /// queries the hour has after that.
    #[test]
    fn the_last_hour_is_an_hour() {
        let (slots, workers) = (Slots::default(), [Arc::new(Stats::default()), Arc::new(Stats::default())]);
        let names: [Name; 2] = ["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        let numbers = names.clone().map(|name| slots.number(&name));
        let (start, mut samples) = (Instant::now(), Samples::new(1));
        let mut check = |second: u64, [a, b]: [u64; 2], expected: [u64; 2]| {
            (0..a).for_each(|_| workers[0].ring.add(numbers[0], network_of(2)));
            (0..b).for_each(|_| workers[1].ring.add(numbers[1], network_of(3)));
            samples.collect(start + Duration::from_secs(second), &workers);
            let hour = samples.hour(&slots);
            let weight = |name: &Name| {
                let sampled = hour.iter().filter(|sampled| sampled.record == *name);
                sampled.map(|sampled| sampled.weight.round() as u64).sum::<u64>()
            };
            assert_eq!([weight(&names[0]), weight(&names[1])], expected.map(|n| n * ONE_IN), "at {second}");
        };
        check(0, [0, 0], [0, 0]);
        check(5, [10, 1], [10, 1]);
        check(10, [0, 2], [10, 3]);
        check(65, [5, 0], [15, 3]);
        check(3599, [0, 0], [15, 3]);
        check(3600, [0, 0], [5, 0]);
        check(3664, [1, 0], [6, 0]);
        check(3665, [0, 0], [1, 0]);
        check(9999, [0, 1], [0, 1]);
    }

    #[test]
    fn a_crowded_minute_is_thinned_out_and_weighs_the_same() {
        let (slots, workers) = (Slots::default(), [Arc::new(Stats::default())]);
        slots.number(&"a.example".parse().unwrap());
        let (now, mut samples) = (Instant::now(), Samples::new(1));
        // A ring that is full each time, a third of whose samples are of one network, twelve rings in all.
        for _ in 0..8 {
            for number in 0..RING as u32 * 3 / 2 {
                workers[0].ring.add(0, network_of(if number % 3 == 0 { 2 } else { 4 }));
            }
            samples.collect(now, &workers);
        }
        assert_eq!(samples.minutes[0].kept.len(), MINUTE_SAMPLES);
        let hour = samples.hour(&slots);
        let all: f64 = hour.iter().map(|sampled| sampled.weight).sum();
        assert_eq!(all.round() as u64, 12 * RING * ONE_IN);
        let third = hour.iter().find(|sampled| sampled.network == network_of(2)).unwrap().weight / all;
        assert!((0.31..0.36).contains(&third), "{third}");
    }
}
