//! Stopping our own automation.

use super::{Draft, Refusal, Situation, check_pool, check_reason, no_such, put, remove};
use crate::state::model::{Row, Suspension, Time};

pub(super) fn suspend(pool: &str, until: Option<Option<Time>>, at: &Situation) -> Result<Draft, Refusal> {
    if !at.base.pools.contains_key(pool) {
        return Err(Refusal::NotFound(no_such("pool", pool, at.base.pools.keys())));
    }
    check_pool(Some(pool), at)?;
    let Some(until) = until else {
        let rows = vec![remove(at.model, format!("suspension/{pool}"))];
        return Ok(Draft::new("automation resumed", pool, rows));
    };
    check_reason(at.reason)?;
    let suspension = Suspension {
        pool: pool.into(),
        owner: at.actor.name.clone(),
        reason: at.reason.into(),
        since: at.now,
        until,
    };
    Ok(Draft::new("automation suspended", pool, vec![put(at.model, Row::Suspension(suspension))]))
}
