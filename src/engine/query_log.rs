//! One query in so many, for the query log.
//!
//! ```text
//! query, one in N -> Sampler (in the worker) -> ring of entries -> whoever writes them
//! ```
//!
//! The worker gives entries away and never waits for anybody: what finds the ring full is dropped and
//! counted. Deliberately absent: time and text, which are the writer's.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};

use super::stats::Tally;
use super::steering::Rung;
use super::{Peer, Snapshot};
use crate::wire::{Qname, Rcode, Subnet};

/// Entries a worker keeps until they are taken, about 400 octets each. Taken twenty times a second, they
/// are 20,000 a second of each worker, more than anybody wants to read.
pub const RING_ENTRIES: usize = 1024;
/// Answers of a record an entry names. Clients try the first, hardly ever the fourth.
pub const ANSWERS_MAX: usize = 4;
/// Octets of a name in wire form (RFC 1035 section 2.3.4).
const NAME_OCTETS_MAX: usize = 255;

/// One query and its answer. Numbers are those of [`super::shares::Slots`], which never change their
/// meaning: the files may be others by the time they are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Who asked, and how.
    pub peer: Peer,
    /// The name in wire form and lower case; empty where it could not be read.
    pub name: ArrayVec<u8, NAME_OCTETS_MAX>,
    /// The type; none where it could not be read.
    pub qtype: Option<u16>,
    /// The client's subnet, if the query gave one.
    pub subnet: Option<Subnet>,
    /// The scope it was answered with.
    pub scope: u8,
    /// The response code.
    pub rcode: Rcode,
    /// The steered record that was answered from, if any: the last one, behind CNAMEs.
    pub steered: Option<SteeredEntry>,
    /// Whether TC was set.
    pub truncated: bool,
    /// Octets of the response.
    pub octets: u16,
}

impl Entry {
    /// Of a query that was answered so; more is filled in where more is known.
    pub fn new(peer: Peer, question: Option<(&Qname, u16)>, rcode: Rcode, octets: usize) -> Entry {
        Entry {
            peer,
            name: question.iter().flat_map(|(name, _)| name.lower()).copied().collect(),
            qtype: question.map(|(_, qtype)| qtype),
            subnet: None,
            scope: 0,
            rcode,
            steered: None,
            truncated: false,
            octets: octets as u16,
        }
    }
}

/// What was answered from a steered record.
#[derive(Clone, Debug, PartialEq)]
pub struct SteeredEntry {
    /// The number of the record's name.
    pub record: u32,
    /// The slots of the answers given, in order, as far as there is room.
    pub answers: ArrayVec<u32, ANSWERS_MAX>,
    /// How far the ladder of last resort was climbed.
    pub rung: Rung,
}

/// What is remembered of the steered record a query was answered from, until it is known whether anybody
/// wants to know.
#[derive(Clone, Copy)]
pub struct Trail {
    /// The record's place in the snapshot.
    pub record: u32,
    /// How many of the picks were given.
    pub given: u8,
    /// How far the ladder was climbed.
    pub rung: Rung,
}

impl Trail {
    /// What an entry keeps of it. `picks` are those of the last chain that ran, which is this record's.
    pub fn entry(self, snapshot: &Snapshot, picks: &[u8]) -> Option<SteeredEntry> {
        let record = snapshot.records.get(self.record as usize)?;
        let slots = &snapshot.steerings.get(record.steering as usize)?.slots;
        let given = picks.iter().take(usize::from(self.given).min(ANSWERS_MAX));
        let answers = given.filter_map(|&pick| slots.get(usize::from(pick)).copied()).collect();
        Some(SteeredEntry { record: record.number, answers, rung: self.rung })
    }
}

/// A worker's part of the log: says which queries are sampled, and gives the entries away.
pub struct Sampler {
    /// Queries until one is sampled, that one included.
    left: u64,
    log: Option<Log>,
}

struct Log {
    one_in: u32,
    /// Its own, so that answers are drawn the same with a log and without.
    random: fastrand::Rng,
    ring: Producer<Entry>,
}

impl Sampler {
    /// No log: nothing is ever sampled.
    pub fn none() -> Sampler {
        Sampler { left: u64::MAX, log: None }
    }

    /// One query in `one_in`, and where its entries come out. `seed` starts the numbers that choose.
    pub fn new(one_in: u32, entries: usize, seed: u64) -> (Sampler, Consumer<Entry>) {
        let (ring, entries) = RingBuffer::new(entries);
        let mut log = Log { one_in, random: fastrand::Rng::with_seed(seed), ring };
        (Sampler { left: log.gap(), log: Some(log) }, entries)
    }

    /// Whether this query is sampled. Asked once for each.
    #[inline(always)]
    pub fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Gives the entry of a sampled query away, and draws which one is next. What makes the entry comes as a
    /// function, so that it lies aside with this and not in the way of every query.
    #[cold]
    #[inline(never)]
    pub fn add(&mut self, tally: &Tally, entry: impl FnOnce() -> Entry) {
        let Some(log) = &mut self.log else {
            self.left = u64::MAX;
            return;
        };
        self.left = log.gap();
        tally.sampled.add();
        if log.ring.push(entry()).is_err() {
            tally.sampled_dropped.add();
        }
    }
}

impl Log {
    /// Queries until the next sample. Each query has the same chance, whatever was sampled before it, so no
    /// rhythm of the clients' is preferred: that is the geometric distribution, by its inverse.
    fn gap(&mut self) -> u64 {
        let chance = 1.0 / f64::from(self.one_in);
        // From above 0 to 1, so that the logarithm is finite.
        let drawn = 1.0 - self.random.f64();
        1 + (drawn.ln() / (-chance).ln_1p()) as u64
    }
}

/// What has become of the entries that were taken. One thread writes it.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines written.
    pub lines: AtomicU64,
    /// Lines that could not be written.
    pub lost: AtomicU64,
    /// Times the file could not be opened or written.
    pub errors: AtomicU64,
}

impl Written {
    /// Lines written, lines lost, errors.
    pub fn get(&self) -> [u64; 3] {
        [&self.lines, &self.lost, &self.errors].map(|count| count.load(Relaxed))
    }
}

/// The network of an address that may be remembered: no longer than what clients' coins are tossed for.
pub fn network_of(address: IpAddr, source: u8) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(v4) => {
            let bits = source.min(24);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (IpAddr::V4((v4.to_bits() & mask).into()), bits)
        }
        IpAddr::V6(v6) => {
            let bits = source.min(56);
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (IpAddr::V6((v6.to_bits() & mask).into()), bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::Transport;
    use crate::wire::Name;

    fn entry(number: u64) -> Entry {
        let address = IpAddr::from((number as u32).to_be_bytes());
        let peer = Peer { address: SocketAddr::new(address, 53), transport: Transport::Udp };
        let steered =
            SteeredEntry { record: number as u32, answers: (0..number as u32 % 4).collect(), rung: Rung::Up };
        let name = Qname::from(&"a.example".parse::<Name>().unwrap());
        let entry = Entry::new(peer, Some((&name, number as u16)), Rcode::NoError, 100);
        Entry { steered: Some(steered), ..entry }
    }

    /// Runs so many queries past a sampler; the entries' numbers that come out at the end.
    fn sample(sampler: &mut Sampler, tally: &Tally, queries: std::ops::Range<u64>) {
        for number in queries {
            if sampler.is_due() {
                sampler.add(tally, || entry(number));
            }
        }
    }

    proptest! {
        /// However adding and taking alternate, entries come out as they went in, in order, and what is
        /// missing was counted.
        #[test]
        fn entries_come_out_as_they_went_in(runs in prop::collection::vec(0..50_u64, 1..8), seed: u64) {
            let (mut sampler, mut entries) = Sampler::new(1, 16, seed);
            let (tally, mut written, mut dropped) = (Tally::default(), 0, 0);
            for run in runs {
                sample(&mut sampler, &tally, written..written + run);
                let seen: Vec<Entry> = std::iter::from_fn(|| entries.pop().ok()).collect();
                let expected: Vec<Entry> = (written..written + run.min(16)).map(entry).collect();
                prop_assert_eq!(seen, expected);
                written += run;
                dropped += run.saturating_sub(16);
            }
            prop_assert_eq!((tally.sampled.get(), tally.sampled_dropped.get()), (written, dropped));
        }

        #[test]
        fn networks_have_no_bits_behind_their_length(address: u128, source in 0..=128_u8, v4: bool) {
            let (address, most) = match v4 {
                true => (IpAddr::V4((address as u32).into()), 24),
                false => (IpAddr::V6(address.into()), 56),
            };
            let (network, bits) = network_of(address, source);
            prop_assert_eq!(bits, source.min(most));
            prop_assert_eq!(network, ipnet::IpNet::new(address, bits).unwrap().network());
        }
    }

    /// As many as should be, and of each of two kinds of queries that alternate as many as of the other.
    #[test]
    fn one_in_so_many_is_sampled_fairly() {
        for one_in in [1, 2, 100, 1000] {
            let (mut sampler, mut entries) = Sampler::new(one_in, 1 << 21, 7);
            let tally = Tally::default();
            let queries = 2000 * u64::from(one_in);
            sample(&mut sampler, &tally, 0..queries);
            let numbers: Vec<u16> = std::iter::from_fn(|| entries.pop().ok()?.qtype).collect();
            assert_eq!(numbers.len() as u64, tally.sampled.get());
            let all = numbers.len() as f64;
            let even = numbers.iter().filter(|number| **number % 2 == 0).count() as f64;
            assert!((1850.0..2150.0).contains(&all), "one in {one_in}: {all}");
            assert!((0.46..0.54).contains(&(even / all)), "one in {one_in}: {even} of {all}");
        }
    }

    #[test]
    fn without_a_log_nothing_is_sampled() {
        let mut sampler = Sampler::none();
        assert!((0..1_000_000).all(|_| !sampler.is_due()));
    }
}
