//! What a person must say twice.
//!
//! A guard compares what would be with what is: what is bad already does not stand in the way of a change
//! that makes it no worse.

use super::base::{Base, BaseAnswer};
use super::live::weight;
use super::model::{Model, Time};

/// What the guards say of a change, in words: what would happen.
pub fn guards(base: &Base, before: &Model, after: &Model, now: Time) -> Vec<String> {
    if before.drains == after.drains && before.splits == after.splits {
        return Vec::new();
    }
    let mut said = emptied(base, before, after, now);
    for (name, pool) in &base.pools {
        let (was, is) = (drained_capacity(base, before, name, now), drained_capacity(base, after, name, now));
        let most = pool.policy.max_drained_capacity;
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
    let capacities = base.pools[pool].policy.capacities(base.pops_of(pool).into_iter());
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

/// Records that would have nothing undrained.
fn emptied(base: &Base, before: &Model, after: &Model, now: Time) -> Vec<String> {
    let has_any = |model: &Model, answers: &[BaseAnswer]| {
        answers.iter().any(|answer| {
            let drained = model.drains.values().filter(|drain| drain.percent_at_most(now) >= 100);
            weight(model, answer) > 0.0 && !drained.into_iter().any(|drain| drain.scope.covers(answer))
        })
    };
    let is_emptied = |answers: &Vec<BaseAnswer>| !has_any(after, answers) && has_any(before, answers);
    let steerings: Vec<bool> = base.steerings.iter().map(is_emptied).collect();
    let names: Vec<&str> = base
        .records
        .iter()
        .filter(|record| steerings[record.steering as usize])
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
