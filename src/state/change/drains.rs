//! Taking answers out, and bringing them back.

use sha2::{Digest, Sha256};

use super::checks::{after, check_percent, check_pool, check_reason, check_scope};
use super::{Draft, DrainAsk, DrainEdit, Refusal, Situation, Which, put, remove};
use crate::state::model::{Drain, Return, Role, Row, Scope, Time};
use crate::state::policy::in_force;

/// The identity of a drain: the same owner and scope is the same drain.
pub fn drain_id(owner: &str, scope: &Scope) -> String {
    let text = serde_json::to_string(&(owner, scope)).expect("texts are JSON");
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8])
}

pub(super) fn drain(ask: &DrainAsk, at: &Situation) -> Result<Draft, Refusal> {
    check_scope(&ask.scope, at)?;
    check_percent(ask.percent)?;
    check_reason(at.reason)?;
    let id = drain_id(&at.actor.name, &ask.scope);
    let old = at.model.drains.get(&id);
    let starts_at = start(ask, old, at)?;
    let ends = |start| ask.expires_in_s.map(|s| after(start, s, "expires_in")).transpose();
    let expires_at = match ends(starts_at)? {
        // Asked for anew long after it began: it does not end before it is said.
        Some(end) if end <= at.now => ends(at.now)?,
        end => end,
    };
    let drain = Drain {
        id: id.clone(),
        scope: ask.scope.clone(),
        owner: at.actor.name.clone(),
        percent: ask.percent,
        reason: at.reason.into(),
        created_at: old.map_or(at.now, |old| old.created_at),
        starts_at,
        expires_at,
        return_steps: ask.return_steps.clone().or_else(|| default_return(&ask.scope, at)),
        returning_since: None,
        revision: old.map_or(0, |old| old.revision),
    };
    let mut words = others_draining(&ask.scope, Some(&id), at);
    if starts_at > at.now {
        words.insert(0, format!("it begins at {starts_at:.0}; until then nothing moves"));
    }
    let mut draft = Draft::new(
        "drain",
        format!("{} by {} %", ask.scope, ask.percent),
        vec![put(at.model, Row::Drain(drain))],
    );
    (draft.id, draft.words) = (id, words);
    Ok(draft)
}

/// From when on a drain is in force. Nothing begins before it is asked for; and a retry of a drain that has begun does
/// not begin it anew.
///
/// # Errors
/// One that would begin later in place of one that takes clients out now: they would come back until then.
fn start(ask: &DrainAsk, old: Option<&Drain>, at: &Situation) -> Result<Time, Refusal> {
    let wanted = ask.starts_at.unwrap_or(at.now).max(at.now);
    let Some(old) = old.filter(|old| old.percent_at(at.now) > 0) else { return Ok(wanted) };
    let is_ending = old.ending_since(at.now).is_some();
    if wanted > at.now {
        let (how, instead) = match is_ending {
            true => {
                ("is on its way back from a drain", "wait until every client is back, or lift it with now")
            }
            false => ("is drained now", "lift it first, or ask without starts_at to keep it"),
        };
        return Err(Refusal::Conflict(format!(
            "{} {how} by {} ({}), and one that begins later would take its place and bring the clients back at once; \
             {instead}, or use another token",
            old.scope, old.owner, old.reason
        )));
    }
    Ok(if is_ending { wanted } else { old.starts_at })
}

pub(super) fn edit(id: &str, edit: &DrainEdit, at: &Situation) -> Result<Draft, Refusal> {
    let mut drain = own_drain(id, at)?;
    if let Some(percent) = edit.percent {
        check_percent(percent)?;
        drain.percent = percent;
    }
    if let Some(reason) = &edit.reason {
        check_reason(reason)?;
        drain.reason.clone_from(reason);
    }
    if let Some(starts_at) = edit.starts_at {
        move_start(&mut drain, starts_at, at)?;
    }
    if let Some(seconds) = edit.expires_in_s {
        let ends = |seconds| after(at.now.max(drain.starts_at), seconds, "expires_in");
        drain.expires_at = seconds.map(ends).transpose()?;
    }
    if let Some(steps) = &edit.return_steps {
        drain.return_steps = steps.clone().or_else(|| default_return(&drain.scope, at));
    }
    let object = format!("{} by {} %", drain.scope, drain.percent);
    let words = others_draining(&drain.scope, Some(id), at);
    let mut draft = Draft::new("drain", object, vec![put(at.model, Row::Drain(drain))]);
    (draft.id, draft.words) = (id.into(), words);
    Ok(draft)
}

/// Moves the start of a drain that has not begun, and its end with it.
fn move_start(drain: &mut Drain, wanted: Option<Time>, at: &Situation) -> Result<(), Refusal> {
    let starts_at = wanted.unwrap_or(at.now).max(at.now);
    if drain.starts_at <= at.now {
        return match wanted {
            Some(wanted) if wanted == drain.starts_at => Ok(()),
            _ => Err(Refusal::Conflict(format!(
                "the drain of {} began at {:.0}; starts_at can be moved until it begins",
                drain.scope, drain.starts_at
            ))),
        };
    }
    if let Some(expires_at) = drain.expires_at {
        let lasts = expires_at.duration_since(drain.starts_at).as_secs().unsigned_abs();
        drain.expires_at = Some(after(starts_at, lasts, "starts_at")?);
    }
    drain.starts_at = starts_at;
    Ok(())
}

pub(super) fn undrain(which: &Which, now: bool, at: &Situation) -> Result<Draft, Refusal> {
    let (ids, scope) = match which {
        Which::Id(id) => {
            let drain = own_drain(id, at)?;
            (vec![id.clone()], drain.scope)
        }
        Which::Scope { scope, all_owners } => {
            check_pool(scope.pool.as_deref(), at)?;
            if *all_owners && !at.role.includes(Role::Operate) {
                return Err(Refusal::Forbidden("lifting others' drains needs the role operate".into()));
            }
            let is_meant =
                |drain: &&Drain| drain.scope == *scope && (*all_owners || drain.owner == at.actor.name);
            let ids: Vec<String> =
                at.model.drains.values().filter(is_meant).map(|drain| drain.id.clone()).collect();
            if ids.is_empty() {
                // A drain outlives what the files had in its scope, so this is asked only now.
                check_scope(scope, at)?;
                return nothing_to_lift(scope, *all_owners, at);
            }
            (ids, scope.clone())
        }
    };
    let rows = ids.iter().map(|id| {
        let drain = &at.model.drains[id];
        let has_steps = drain.return_steps.is_some() && at.now >= drain.starts_at;
        if now || !has_steps {
            return remove(at.model, format!("drain/{id}"));
        }
        let returning_since = drain.ending_since(at.now).or(Some(at.now));
        put(at.model, Row::Drain(Drain { returning_since, ..drain.clone() }))
    });
    let mut draft = Draft::new("undrain", scope.to_string(), rows.collect());
    let mut without = at.model.clone();
    for row in &draft.rows {
        without.set(&row.key, row.after.clone());
    }
    draft.words = others_draining(&scope, None, &Situation { model: &without, ..*at });
    if draft.words.is_empty() {
        draft.words.push(format!("nothing drains {scope} any more"));
    }
    draft.id = ids.first().cloned().unwrap_or_default();
    Ok(draft)
}

pub(super) fn end(id: &str, at: &Situation) -> Result<Draft, Refusal> {
    match at.model.drains.get(id) {
        Some(drain) if drain.is_over(at.now) => Ok(Draft::new(
            "drain ended",
            drain.scope.to_string(),
            vec![remove(at.model, format!("drain/{id}"))],
        )),
        // Another node was first, or somebody asked for the drain anew.
        _ => Ok(Draft::new("drain ended", "", Vec::new())),
    }
}

/// A drain that the asker may change.
fn own_drain(id: &str, at: &Situation) -> Result<Drain, Refusal> {
    let drain = at.model.drains.get(id).cloned();
    let drain = drain.ok_or_else(|| Refusal::NotFound(format!("there is no drain {id}")))?;
    if drain.owner != at.actor.name && !at.role.includes(Role::Operate) {
        let message =
            format!("the drain is {}'s; lifting others' drains needs the role operate", drain.owner);
        return Err(Refusal::Forbidden(message));
    }
    check_pool(drain.scope.pool.as_deref(), at)?;
    Ok(drain)
}

/// What drains a scope in other ways, in words.
fn others_draining(scope: &Scope, but: Option<&str>, at: &Situation) -> Vec<String> {
    let overlaps = |drain: &&Drain| at.base.overlap(scope, &drain.scope);
    let others = at.model.drains.values().filter(|drain| Some(drain.id.as_str()) != but).filter(overlaps);
    others.map(|drain| still_drained(drain, at)).collect()
}

/// What a drain does now, in words.
pub(super) fn still_drained(drain: &Drain, at: &Situation) -> String {
    let how = match drain.ending_since(at.now) {
        _ if at.now < drain.starts_at => format!("will be drained from {:.0}", drain.starts_at),
        Some(_) => "is on its way back from a drain".into(),
        None => "stays out: drained".into(),
    };
    format!("{} {how} {}", drain.scope, drain.by(drain.percent_at_most(at.now)))
}

/// A scope that nothing drains is as it is asked to be: of a retry there is nothing left to do.
///
/// # Errors
/// One that others drain is not, and stays out.
fn nothing_to_lift(scope: &Scope, all_owners: bool, at: &Situation) -> Result<Draft, Refusal> {
    let others: Vec<String> = others_draining(scope, None, at);
    if !others.is_empty() {
        let none = match all_owners {
            true => format!("there is no drain on {scope} itself"),
            false => format!("{} has no drain on {scope}", at.actor.name),
        };
        let mut message = format!("{none}; {}", others.join("; "));
        if at.model.drains.values().any(|drain| drain.scope == *scope) {
            message += "; `all_owners` lifts others' drains too, with the role operate";
        }
        return Err(Refusal::NotFound(message));
    }
    let mut draft = Draft::new("undrain", scope.to_string(), Vec::new());
    // Of one that is lifted in memory alone, this is what is not durable.
    draft.id = drain_id(&at.actor.name, scope);
    draft.words = vec![format!("nothing drains {scope}, so there was nothing to lift")];
    Ok(draft)
}

/// How clients come back where the drain does not say: the pool's way, and of several pools the slowest.
fn default_return(scope: &Scope, at: &Situation) -> Option<Return> {
    let base = at.base;
    let is_meant = |name: &&String| base.pools[*name].answers.iter().any(|answer| scope.covers(answer));
    let pools = base.pools.keys().filter(is_meant);
    let steps = pools.filter_map(|name| in_force(base, at.model, name).steps().cloned());
    steps.max_by_key(|steps| steps.pause_s * steps.steps.len() as u64)
}
