//! Sharing a PoP's clients between its stacks.

use std::collections::{BTreeMap, BTreeSet};

use super::{Draft, Refusal, Situation, check_pool, no_such, put, remove};
use crate::state::migration;
use crate::state::model::{Row, RowChange, Split};

pub(super) fn split(
    pool: &str,
    pop: Option<&str>,
    weights: Option<&BTreeMap<String, f64>>,
    at: &Situation,
) -> Result<Draft, Refusal> {
    check_pool(Some(pool), at)?;
    let mut pops = at.base.pops_of(pool);
    if weights.is_none() {
        // A split outlives what the files had at its PoP.
        let of_pool = at.model.splits.keys().filter(|(of, _)| of == pool);
        pops.extend(of_pool.map(|(_, pop)| pop.as_str()));
    }
    if pops.is_empty() && !at.base.pools.contains_key(pool) {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    }
    let meant: Vec<&str> = match pop {
        None => pops.iter().copied().collect(),
        Some(pop) if pops.contains(pop) => vec![pop],
        Some(pop) => return Err(Refusal::NotFound(no_such(&format!("PoP of pool {pool}"), pop, pops))),
    };
    let stacks: BTreeSet<&str> = at
        .base
        .pools
        .get(pool)
        .into_iter()
        .flat_map(|pool| &pool.answers)
        .filter_map(|answer| answer.stack.as_deref())
        .collect();
    for (stack, weight) in weights.into_iter().flatten() {
        if !stacks.contains(stack.as_str()) {
            return Err(Refusal::NotFound(no_such(&format!("stack of pool {pool}"), stack, stacks)));
        }
        if !weight.is_finite() || !(0.0..=1e9).contains(weight) {
            return Err(Refusal::invalid("weights", format!("{stack}: write a number from 0 to 1000000000")));
        }
    }
    if weights.is_some_and(BTreeMap::is_empty) {
        return Err(Refusal::invalid("weights", "name each stack's weight, such as haproxy=90 envoy=10"));
    }
    for pop in &meant {
        if let Some(open) = migration::open_at(at.model, pool, pop)
            && !at.force
        {
            return Err(Refusal::Conflict(format!(
                "the migration {} steers {pop} now; roll it back, or hold it and use force",
                open.id
            )));
        }
    }
    let rows = meant.iter().filter_map(|pop| {
        let key = format!("split/{pool}/{pop}");
        let Some(weights) = weights else { return Some(remove(at.model, key)) };
        let here: Vec<&str> =
            at.base.stacks(pool, pop).filter_map(|answer| answer.stack.as_deref()).collect();
        let old = at.model.splits.get(&(pool.to_string(), pop.to_string()));
        let mut all = old.map(|old| old.weights.clone()).unwrap_or_default();
        all.extend(
            weights.iter().filter(|(stack, _)| here.contains(&stack.as_str())).map(|(s, w)| (s.clone(), *w)),
        );
        let unchanged = old.is_some_and(|old| old.weights == all);
        (!all.is_empty() && !unchanged).then(|| {
            put(
                at.model,
                Row::Split(Split {
                    pool: pool.into(),
                    pop: pop.to_string(),
                    weights: all,
                    owner: at.actor.name.clone(),
                    since: at.now,
                    revision: old.map_or(0, |old| old.revision),
                }),
            )
        })
    });
    let rows: Vec<RowChange> = rows.collect();
    let object = format!("{pool} at {}", pop.unwrap_or("every PoP"));
    let mut draft = Draft::new(if weights.is_some() { "split" } else { "split cleared" }, object, rows);
    if let Some(weights) = weights {
        let shares: Vec<String> = weights.iter().map(|(stack, weight)| format!("{stack}={weight}")).collect();
        draft.object = format!("{}: {}", draft.object, shares.join(" "));
    }
    Ok(draft)
}
