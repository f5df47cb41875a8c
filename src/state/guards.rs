//! What a person must say twice.
//!
//! A guard compares what would be with what is: what is bad already does not stand in the way of a change
//! that makes it no worse.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use super::base::{Base, BaseAnswer, BasePool};
use super::live::{Percents, weight};
use super::model::{Model, RowChange, Scope, Time};
use super::policy::in_force;

/// What the guards say of a change, in words: what would happen. Only what its rows touch can become worse, and
/// nothing else is looked at; and how it was is asked only where it would be bad.
pub fn guards(base: &Base, before: &Model, after: &Model, rows: &[RowChange], now: Time) -> Vec<String> {
    let scopes: BTreeSet<Scope> = rows.iter().flat_map(RowChange::scopes).collect();
    let (was, is) = (LazyCell::new(|| TakenOut::at_most(before, now)), TakenOut::at_most(after, now));
    let mut said: Vec<String> = emptied(base, &was, &is, &scopes).into_iter().collect();
    let is_touched = |answer: &BaseAnswer| scopes.iter().any(|scope| scope.covers(answer));
    for (name, _) in base.pools.iter().filter(|(_, pool)| pool.answers.iter().any(is_touched)) {
        let most = in_force(base, after, name).max_drained_capacity;
        let out = is.capacity(base, name);
        if out <= most {
            continue;
        }
        let out_before = was.capacity(base, name);
        if out > out_before {
            said.push(format!(
                "drains would take {:.0} % of the capacity of pool {name}, more than its \
                 max_drained_capacity of {:.0} % (now {:.0} %)",
                out * 100.0,
                most * 100.0,
                out_before * 100.0
            ));
        }
    }
    said
}

/// What drains and weights take out together.
pub struct TakenOut<'m> {
    model: &'m Model,
    drained: Percents<'m>,
    /// Pools and PoPs.
    split: BTreeSet<(&'m str, &'m str)>,
}

impl<'m> TakenOut<'m> {
    /// With each drain at its fullest.
    pub fn at_most(model: &'m Model, now: Time) -> TakenOut<'m> {
        let split = model.splits.keys().map(|(pool, pop)| (pool.as_str(), pop.as_str())).collect();
        TakenOut { model, drained: Percents::new(model, |drain| drain.percent_at_most(now)), split }
    }

    /// Share of a pool's capacity, 0 to 1.
    pub fn capacity(&self, base: &Base, pool: &str) -> f64 {
        let BasePool { answers, by_pop, .. } = &base.pools[pool];
        let capacities = in_force(base, self.model, pool).capacities(by_pop.keys().map(String::as_str));
        let (mut all, mut taken, mut never) = (0.0, 0.0, 0.0);
        for ((pop, capacity), here) in capacities.zip(by_pop.values()) {
            all += capacity;
            if !self.drained.may_take_of(pop) && !self.split.contains(&(pool, pop)) {
                continue;
            }
            let here = || here.iter().map(|at| &answers[*at]);
            // While one stack is left, a client that loses the other goes there.
            let used = here().filter(|answer| weight(self.model, answer) > 0.0);
            let out = used.map(|answer| self.drained.of(answer)).min().unwrap_or(100);
            taken += capacity * f64::from(out) / 100.0;
            // What the files leave without weight is no drain.
            if here().all(|answer| answer.weight <= 0.0) {
                never += capacity;
            }
        }
        if all > 0.0 { f64::max(taken - never, 0.0) / all } else { 0.0 }
    }

    /// Whether it leaves any of these answers to some client.
    pub fn leaves_any(&self, answers: &[BaseAnswer]) -> bool {
        answers.iter().any(|answer| weight(self.model, answer) > 0.0 && self.drained.of(answer) < 100)
    }
}

/// Records of some steerings that would have nothing undrained.
fn emptied<'m>(
    base: &Base,
    was: &LazyCell<TakenOut<'m>, impl FnOnce() -> TakenOut<'m>>,
    is: &TakenOut,
    scopes: &BTreeSet<Scope>,
) -> Option<String> {
    let is_emptied = |steering: &u32| {
        let answers = &base.steerings[*steering as usize];
        !is.leaves_any(answers) && was.leaves_any(answers)
    };
    // One that two scopes touch counts once.
    let touched = scopes.iter().flat_map(|scope| base.steerings_of(scope));
    let emptied: BTreeSet<u32> = touched.filter(is_emptied).collect();
    let (name, more) = base.names_of(emptied)?;
    Some(match more {
        0 => format!("nothing of {name} would be left undrained; it would go on with what is drained"),
        more => format!(
            "nothing of {name} and {more} more records would be left undrained; they would go on with what is \
             drained"
        ),
    })
}
