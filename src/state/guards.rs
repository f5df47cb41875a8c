//! What a person must say twice.
//!
//! A guard compares what would be with what is: what is bad already does not stand in the way of a change
//! that makes it no worse.

use std::collections::BTreeSet;

use super::base::{Base, BaseAnswer};
use super::live::{Percents, weight};
use super::model::{Model, RowChange, Scope, Time};
use super::policy::in_force;

/// What the guards say of a change, in words: what would happen. Only what its rows touch can become worse, and
/// nothing else is looked at.
pub fn guards(base: &Base, before: &Model, after: &Model, rows: &[RowChange], now: Time) -> Vec<String> {
    let scopes: Vec<Scope> = rows.iter().flat_map(RowChange::scopes).collect();
    let steerings: BTreeSet<u32> = scopes.iter().flat_map(|scope| base.steerings_of(scope)).collect();
    let mut said = emptied(base, before, after, &steerings, now);
    let is_touched = |answer: &BaseAnswer| scopes.iter().any(|scope| scope.covers(answer));
    for (name, _) in base.pools.iter().filter(|(_, pool)| pool.answers.iter().any(is_touched)) {
        let (was, is) = (drained_capacity(base, before, name, now), drained_capacity(base, after, name, now));
        let most = in_force(base, after, name).max_drained_capacity;
        if is > most && is > was {
            said.push(format!(
                "drains would take {:.0} % of the capacity of pool {name}, more than its \
                 max_drained_capacity of {:.0} % (now {:.0} %)",
                is * 100.0,
                most * 100.0,
                was * 100.0
            ));
        }
    }
    said
}

/// Share of a pool's capacity that drains and weights take out together, 0 to 1.
pub fn drained_capacity(base: &Base, model: &Model, pool: &str, now: Time) -> f64 {
    let capacities = in_force(base, model, pool).capacities(base.pops_of(pool).into_iter());
    let all: f64 = capacities.values().sum();
    if all <= 0.0 {
        return 0.0;
    }
    let out = capacities.iter().map(|(pop, capacity)| capacity * taken_out(base, model, pool, pop, now));
    // What the files leave without weight is no drain.
    let never = capacities.iter().map(|(pop, capacity)| {
        let stacks = base.stacks(pool, pop);
        if stacks.into_iter().all(|answer| answer.weight <= 0.0) { *capacity } else { 0.0 }
    });
    (out.sum::<f64>() - never.sum::<f64>()).max(0.0) / all
}

/// How much of a pool's PoP is taken out: by drains and by splits of weight 0 together, 0 to 1.
fn taken_out(base: &Base, model: &Model, pool: &str, pop: &str, now: Time) -> f64 {
    let stacks = base.stacks(pool, pop).filter(|answer| weight(model, answer) > 0.0);
    let out = stacks.map(|answer| {
        let covers = model.drains.values().filter(|drain| drain.scope.covers(answer));
        covers.map(|drain| drain.percent_at_most(now)).max().unwrap_or(0)
    });
    // While one stack is left, a client that loses the other goes there.
    f64::from(out.min().unwrap_or(100)) / 100.0
}

/// Records of some steerings that would have nothing undrained.
fn emptied(base: &Base, before: &Model, after: &Model, steerings: &BTreeSet<u32>, now: Time) -> Vec<String> {
    let drained = |model| Percents::new(model, |drain| drain.percent_at_most(now));
    let has_any = |model: &Model, drained: &Percents, answers: &[BaseAnswer]| {
        answers.iter().any(|answer| weight(model, answer) > 0.0 && drained.of(answer) < 100)
    };
    let (was, is) = (drained(before), drained(after));
    let is_emptied =
        |answers: &Vec<BaseAnswer>| !has_any(after, &is, answers) && has_any(before, &was, answers);
    let emptied: BTreeSet<u32> = steerings
        .iter()
        .copied()
        .filter(|steering| is_emptied(&base.steerings[*steering as usize]))
        .collect();
    if emptied.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = base
        .records
        .iter()
        .filter(|record| emptied.contains(&record.steering))
        .map(|record| record.name.as_str())
        .collect();
    match names.as_slice() {
        [] => Vec::new(),
        [name] => {
            vec![format!("nothing of {name} would be left undrained; it would go on with what is drained")]
        }
        [name, more @ ..] => vec![format!(
            "nothing of {name} and {} more records would be left undrained; they would go on with what is \
             drained",
            more.len()
        )],
    }
}
