//! Operating a pool otherwise than the files say.

use super::checks::check_reason_if_any;
use super::{Draft, Refusal, Situation, check_pool, no_such, put, remove};
use crate::files::{Json, Problem};
use crate::state::model::{Policy, Row};
use crate::state::policy::PoolPolicy;

pub(super) fn set(pool: &str, fields: &Json, at: &Situation) -> Result<Draft, Refusal> {
    check_pool(Some(pool), at)?;
    check_reason_if_any(at.reason)?;
    let of_files = at.base.pools.get(pool);
    let of_files = of_files.ok_or_else(|| Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())))?;
    let (policy, named) = PoolPolicy::read_json(pool, fields).map_err(Refusal::Fields)?;
    let pops = at.base.pops_of(pool);
    if let Some(missing) = named.iter().find(|pop| !pops.contains(pop.as_str())) {
        let words = no_such(&format!("PoP of pool {pool}"), missing, pops);
        return Err(Refusal::NotFound(format!("pool {pool} capacity: {words}")));
    }
    let monitor = policy.failover.as_ref().and_then(|failover| failover.monitor.as_ref());
    let why = monitor.and_then(|named| at.base.monitors.why_blind(&at.model.monitors, &named.value, pool));
    if let Some(why) = why {
        let problem = Problem::of_request(why).of(format!("pool {pool} failover")).at("monitor");
        return Err(Refusal::Fields(vec![problem]));
    }
    let old = at.model.policies.get(pool);
    let is_new = old.is_none_or(|old| old.row.fields != *fields);
    let policy = Row::Policy(Policy {
        pool: pool.into(),
        fields: fields.clone(),
        owner: at.actor.name.clone(),
        reason: at.reason.into(),
        since: at.now,
        revision: old.map_or(0, |old| old.row.revision),
    });
    let rows = is_new.then(|| put(at.model, policy)).into_iter().collect();
    let mut draft = Draft::new("policy set", pool, rows);
    draft.id = pool.into();
    draft
        .words
        .push(format!("until it is taken back, nothing of the policy at {} is in force", of_files.place));
    Ok(draft)
}

pub(super) fn clear(pool: &str, at: &Situation) -> Result<Draft, Refusal> {
    check_pool(Some(pool), at)?;
    check_reason_if_any(at.reason)?;
    // A policy outlives its pool.
    let of_files = at.base.pools.get(pool);
    if of_files.is_none() && !at.model.policies.contains_key(pool) {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    }
    let mut draft = Draft::new("policy reset", pool, vec![remove(at.model, format!("policy/{pool}"))]);
    draft.id = pool.into();
    draft.words.extend(of_files.map(|pool| format!("the policy at {} is in force", pool.place)));
    Ok(draft)
}
