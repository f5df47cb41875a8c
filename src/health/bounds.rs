//! What health takes out of a pool, for what stands before taking more.
//!
//! Counted once for each look, and only where something is about to be taken out: a pool may have hundreds of answers,
//! of which hundreds fail.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::failover::{Acts, OWNER};
use super::seen::Seen;
use crate::state::base::BaseAnswer;
use crate::state::change::Change;
use crate::state::live::{Percents, VerdictValue};
use crate::state::model::{Drain, Scope};

/// What is out of each pool that was asked for.
#[derive(Default)]
pub struct Bounds<'s> {
    drained: Option<Percents<'s>>,
    pools: BTreeMap<String, Gone<'s>>,
}

impl<'s> Bounds<'s> {
    /// What is out of a pool: by verdicts that count, by drains of ours, and by what has been asked for in this look.
    pub fn of(
        &mut self,
        pool: &str,
        seen: &Seen<'s>,
        applied: &BTreeMap<String, VerdictValue>,
        acts: &Acts,
    ) -> &mut Gone<'s> {
        let ours = |drain: &Drain| if drain.owner == OWNER { drain.percent_at(seen.now) } else { 0 };
        let drained = self.drained.get_or_insert_with(|| Percents::new(seen.model, ours));
        let gone = match self.pools.entry(pool.into()) {
            Entry::Occupied(gone) => gone.into_mut(),
            Entry::Vacant(free) => free.insert(Gone::new(pool, seen, applied, drained)),
        };
        gone.count(acts);
        gone
    }
}

/// What is out of a pool.
pub struct Gone<'s> {
    pops: Vec<Here<'s>>,
    /// What the pool can hold.
    all: f64,
    /// So many wishes of this look have been counted.
    counted: usize,
}

/// What is out of a pool at a PoP.
struct Here<'s> {
    capacity: f64,
    /// Its stacks, and for how many of a hundred clients each is out.
    stacks: Vec<(&'s BaseAnswer, u8)>,
}

impl Here<'_> {
    /// While one stack is left, a client that loses the other goes there.
    fn out(&self, percent: impl Fn(&BaseAnswer, u8) -> u8) -> f64 {
        let out = self.stacks.iter().map(|(answer, out)| percent(answer, *out)).min().unwrap_or(0);
        self.capacity * f64::from(out) / 100.0
    }
}

impl<'s> Gone<'s> {
    fn new(
        pool: &str,
        seen: &Seen<'s>,
        applied: &BTreeMap<String, VerdictValue>,
        drained: &Percents,
    ) -> Gone<'s> {
        let out = |answer: &BaseAnswer| match applied.get(&answer.id) {
            Some(said) if !said.up => 100,
            _ => drained.of(answer),
        };
        let pops = seen.base.pops_of(pool);
        let capacities = seen.policy(pool).capacities(pops.iter().copied());
        let here = |(pop, capacity)| {
            let stacks = seen.weighted(pool, pop).map(|answer| (answer, out(answer))).collect();
            Here { capacity, stacks }
        };
        let pops: Vec<Here> = capacities.map(here).collect();
        let all = pops.iter().map(|here| here.capacity).sum();
        Gone { pops, all, counted: 0 }
    }

    /// Counts what has been asked for since it was last looked at.
    fn count(&mut self, acts: &Acts) {
        for act in &acts.wishes[self.counted..] {
            if let Change::Drain(ask) = &act.change {
                self.take(&ask.scope, ask.percent);
            }
        }
        self.counted = acts.wishes.len();
    }

    /// From now on this is out, too.
    pub fn take(&mut self, scope: &Scope, percent: u8) {
        for (answer, out) in self.pops.iter_mut().flat_map(|here| &mut here.stacks) {
            if scope.covers(answer) {
                *out = percent.max(*out);
            }
        }
    }

    /// Share of its capacity, 0 to 1.
    pub fn share(&self) -> f64 {
        self.share_of(|_, out| out)
    }

    /// The same, if this were out, too.
    pub fn share_with(&self, scope: &Scope, percent: u8) -> f64 {
        self.share_of(|answer, out| if scope.covers(answer) { percent.max(out) } else { out })
    }

    fn share_of(&self, percent: impl Fn(&BaseAnswer, u8) -> u8) -> f64 {
        let out: f64 = self.pops.iter().map(|here| here.out(&percent)).sum();
        if self.all > 0.0 { out / self.all } else { 0.0 }
    }
}
