//! What a change does to splits and drains, in words: what its asker reads, and automation logs.

use std::collections::BTreeMap;

use super::Situation;
use super::drains::still_drained;
use crate::state::live::weight;
use crate::state::model::{Model, RowChange};

/// Sentences about PoPs; of more the rest is counted.
const TOLD_MAX: usize = 10;

/// How the stacks of a pool's PoPs share their clients from now on: PoPs where it is alike are told together.
pub(super) fn of_splits(rows: &[RowChange], before: &Model, after: &Model, at: &Situation) -> Vec<String> {
    let mut alike: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for row in rows {
        let Some((pool, pop)) = row.key.strip_prefix("split/").and_then(|key| key.split_once('/')) else {
            continue;
        };
        let (was, is) = (shares(before, pool, pop, at), shares(after, pool, pop, at));
        if was != is {
            alike.entry((pool.into(), said(&was, &is))).or_default().push(pop);
        }
    }
    let told = alike.into_iter().map(|((pool, said), pops)| match pops.as_slice() {
        [one, two, _, more @ ..] if !more.is_empty() => {
            format!("pool {pool} at {one}, {two} and {} more: {said}", more.len() + 1)
        }
        few => format!("pool {pool} at {}: {said}", few.join(", ")),
    });
    cut(told.collect())
}

/// What still drains anything, after a rollback of everything.
pub(super) fn of_drains(after: &Model, at: &Situation) -> Vec<String> {
    let mut drains: Vec<_> = after.drains.values().collect();
    drains.sort_by_key(|drain| (&drain.scope, &drain.owner));
    let told: Vec<String> = drains.into_iter().map(|drain| still_drained(drain, at)).collect();
    match told.is_empty() {
        true => vec!["nothing is drained any more".into()],
        false => cut(told),
    }
}

/// Percent of the clients by stack, of those that get any.
fn shares(model: &Model, pool: &str, pop: &str, at: &Situation) -> Vec<(String, f64)> {
    let stacks = at.base.stacks(pool, pop);
    let weights = stacks.map(|answer| (answer.stack.clone().unwrap_or_default(), weight(model, answer)));
    let mut weights: Vec<(String, f64)> = weights.filter(|(_, weight)| *weight > 0.0).collect();
    let all: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.iter_mut().for_each(|(_, weight)| *weight *= 100.0 / all);
    weights
}

fn said(was: &[(String, f64)], is: &[(String, f64)]) -> String {
    let share = |(stack, percent): &(String, f64)| format!("{} % {stack}", (percent * 10.0).round() / 10.0);
    let shares = |shares: &[(String, f64)]| shares.iter().map(share).collect::<Vec<_>>().join(", ");
    match (was, is) {
        (_, []) => {
            format!("no stack has any weight left (it was {}): its clients go to other PoPs", shares(was))
        }
        ([], _) => format!("{} (it had no weight)", shares(is)),
        _ => format!("{} (it was {})", shares(is), shares(was)),
    }
}

fn cut(mut told: Vec<String>) -> Vec<String> {
    let more = told.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        told.truncate(TOLD_MAX);
        told.push(format!("and {more} more"));
    }
    told
}
