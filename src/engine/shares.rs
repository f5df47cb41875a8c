//! How often each answer was given: what drains and splits are watched by.
//!
//! ```text
//! compile: identity -> Slots -> a number     query: number -> Shares, one per worker
//! ```
//!
//! An identity keeps its number as long as the process lives, through every reload and after it is gone
//! from the files, so a number never changes its meaning while somebody subtracts two readings of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stats::Counter;
use crate::chain::Answer;
use crate::wire::Name;

/// Identities counted apart. Two counters each: 64 KiB per worker, of which a query touches what it
/// answers with.
pub const SLOTS: usize = 4096;

/// What has a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// An answer, of a pool or of one record.
    Answer {
        /// `pool/PoP/stack`, or `record/answer`.
        id: String,
        /// What its share is a share of: the name of its pool, or of its record.
        of: String,
        /// Its pool, if any.
        pool: Option<String>,
        /// Its PoP, if any.
        pop: Option<String>,
        /// Its stack, if any.
        stack: Option<String>,
    },
    /// A record, where records are counted: its name.
    Record(String),
    /// Everything there was no slot left for.
    Rest,
}

/// Which identity has which slot. Shared by every reload of one process.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    slots: HashMap<Arc<Counted>, u32>,
    counted: Vec<Arc<Counted>>,
    numbers: HashMap<Name, u32>,
    names: Vec<Name>,
}

impl Slots {
    /// The slot of an identity: the one it has, or a new one. When all are given, the last one collects
    /// the rest, and the log says so once.
    pub fn slot(&self, counted: Counted) -> u32 {
        let mut known = self.known();
        if let Some(&slot) = known.slots.get(&counted) {
            return slot;
        }
        let slot = known.counted.len();
        if slot >= SLOTS - 1 {
            if slot == SLOTS - 1 {
                known.counted.push(Arc::new(Counted::Rest));
                tracing::warn!(
                    "more than {} answers and records have been served since the start; the rest is \
                     counted together, until a restart",
                    SLOTS - 1
                );
            }
            return SLOTS as u32 - 1;
        }
        let counted = Arc::new(counted);
        known.counted.push(counted.clone());
        known.slots.insert(counted, slot as u32);
        slot as u32
    }

    /// The slot of a compiled answer. `record` is the name of the record it stands in.
    pub fn slot_of_answer(&self, answer: &Answer, record: &str) -> u32 {
        self.slot(Counted::Answer {
            id: answer.id.clone(),
            of: answer.pool.as_deref().unwrap_or(record).to_string(),
            pool: answer.pool.clone(),
            pop: answer.pop.clone(),
            stack: answer.stack.clone(),
        })
    }

    /// What has a slot so far, by slot.
    pub fn counted(&self) -> Vec<Arc<Counted>> {
        self.known().counted.clone()
    }

    /// The number of a record's name, which samples are taken under: no counter goes with it, so there are
    /// as many as there are names.
    pub fn number(&self, name: &Name) -> u32 {
        let mut known = self.known();
        if let Some(&number) = known.numbers.get(name) {
            return number;
        }
        let number = known.names.len() as u32;
        known.names.push(name.clone());
        known.numbers.insert(name.clone(), number);
        number
    }

    /// The names that have a number so far, by number.
    pub fn names(&self) -> Vec<Name> {
        self.known().names.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one push behind another: a panic between them leaves a slot that nobody has.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers one worker has given, by slot: with a client subnet, and without.
#[derive(Debug)]
pub struct Shares(Box<[[Counter; 2]]>);

impl Default for Shares {
    fn default() -> Shares {
        Shares((0..SLOTS).map(|_| Default::default()).collect())
    }
}

impl Shares {
    /// Counts an answer given.
    #[inline]
    pub fn add(&self, slot: u32, with_ecs: bool) {
        self.0[slot as usize % SLOTS][usize::from(!with_ecs)].add();
    }

    /// Adds the worker's counts to totals, as far as these go.
    pub fn add_to(&self, totals: &mut [Given]) {
        for (total, [with_ecs, without_ecs]) in totals.iter_mut().zip(&self.0) {
            total.with_ecs += with_ecs.get();
            total.without_ecs += without_ecs.get();
        }
    }
}

/// How often an answer was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// To queries with a client subnet.
    pub with_ecs: u64,
    /// To queries without.
    pub without_ecs: u64,
}

impl Given {
    /// To all queries.
    pub fn all(self) -> u64 {
        self.with_ecs + self.without_ecs
    }

    /// What has come since an earlier reading.
    pub fn since(self, earlier: Given) -> Given {
        Given {
            with_ecs: self.with_ecs.saturating_sub(earlier.with_ecs),
            without_ecs: self.without_ecs.saturating_sub(earlier.without_ecs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_keeps_its_slot_and_the_last_collects_the_rest() {
        let slots = Slots::default();
        let record = |number: usize| Counted::Record(format!("r{number}.example.com"));
        for number in 0..SLOTS - 1 {
            assert_eq!(slots.slot(record(number)), number as u32);
        }
        for number in [SLOTS, SLOTS + 1] {
            assert_eq!(slots.slot(record(number)), SLOTS as u32 - 1);
        }
        assert_eq!(slots.slot(record(7)), 7, "full or not");
        let counted = slots.counted();
        assert_eq!(counted.len(), SLOTS);
        assert_eq!((&*counted[7], &*counted[SLOTS - 1]), (&record(7), &Counted::Rest));
    }

    #[test]
    fn names_have_numbers() {
        let slots = Slots::default();
        let name = |text: &str| text.parse::<Name>().unwrap();
        let numbers = ["a.example", "b.example", "a.example"].map(|text| slots.number(&name(text)));
        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!(slots.names(), [name("a.example"), name("b.example")]);
    }

    #[test]
    fn counts_are_added_up_by_slot() {
        let (one, other) = (Shares::default(), Shares::default());
        for (shares, slot, with_ecs) in
            [(&one, 0, true), (&other, 0, true), (&one, 1, false), (&one, 3, true)]
        {
            shares.add(slot, with_ecs);
        }
        let mut totals = [Given::default(); 2];
        [one, other].iter().for_each(|shares| shares.add_to(&mut totals));
        let given = |with_ecs, without_ecs| Given { with_ecs, without_ecs };
        assert_eq!(totals, [given(2, 0), given(0, 1)]);
    }
}
