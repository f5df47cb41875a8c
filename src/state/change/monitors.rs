//! Monitors beside the files', and instead of them.

use super::checks::check_reason_if_any;
use super::{Draft, Refusal, Situation, TEXT_CHARS_MAX, no_such, put, remove};
use crate::files::{Json, Problem};
use crate::state::model::{Monitor, Row, RowChange};
use crate::state::monitors::{MonitorSpec, Unfit, read_monitor_json};
use crate::state::policy::why_blind;

pub(super) fn set(name: &str, fields: &Json, at: &Situation) -> Result<Draft, Refusal> {
    check_name(name)?;
    check_reason_if_any(at.reason)?;
    let spec = read_monitor_json(name, fields).map_err(Refusal::Fields)?;
    check_own(name, Some(&spec), at)?;
    let probed = at.base.monitors.fit(&spec).map_err(|unfit| refusal(name, &unfit))?;
    let old = at.model.monitors.get(name);
    let is_new = old.is_none_or(|old| old.row.fields != *fields);
    let monitor = Row::Monitor(Monitor {
        name: name.into(),
        fields: fields.clone(),
        owner: at.actor.name.clone(),
        reason: at.reason.into(),
        since: at.now,
        revision: old.map_or(0, |old| old.row.revision),
    });
    let rows: Vec<RowChange> = is_new.then(|| put(at.model, monitor)).into_iter().collect();
    check_named(name, &rows, at)?;
    let mut draft = Draft::new("monitor set", name, rows);
    draft.id = name.into();
    draft.words.push(match probed {
        1 => "it watches one answer".into(),
        probed => format!("it watches {probed} answers"),
    });
    if let Some(of_files) = at.base.monitors.files.get(name) {
        draft
            .words
            .push(format!("until it is taken back, the monitor at {} is not in force", of_files.place));
    }
    Ok(draft)
}

pub(super) fn clear(name: &str, at: &Situation) -> Result<Draft, Refusal> {
    check_reason_if_any(at.reason)?;
    let of_files = at.base.monitors.files.get(name);
    if !at.model.monitors.contains_key(name) {
        return Err(match of_files {
            Some(monitor) => Refusal::Conflict(format!(
                "the monitor {name} is written at {}; take it out there, or set another in its place",
                monitor.place
            )),
            None => Refusal::NotFound(no_such("monitor", name, at.base.monitors.names(&at.model.monitors))),
        });
    }
    check_own(name, None, at)?;
    let rows = vec![remove(at.model, format!("monitor/{name}"))];
    check_named(name, &rows, at)?;
    let mut draft = Draft::new("monitor deleted", name, rows);
    draft.id = name.into();
    draft.words.extend(of_files.map(|monitor| format!("the monitor at {} is in force again", monitor.place)));
    Ok(draft)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let is_long = name.chars().count() > TEXT_CHARS_MAX;
    if name.is_empty() || is_long || name.chars().any(char::is_control) {
        let message = format!("write a name of 1 to {TEXT_CHARS_MAX} characters that can be seen");
        return Err(Refusal::invalid("monitor", message));
    }
    Ok(())
}

/// That a token that is confined to a pool watches its answers alone, and puts nothing in the place of what watches
/// others'.
fn check_own(name: &str, new: Option<&MonitorSpec>, at: &Situation) -> Result<(), Refusal> {
    let Some(own) = at.pool else { return Ok(()) };
    let confined = |why: String| {
        Err(Refusal::Forbidden(format!("the token {} is confined to pool {own}; {why}", at.actor.name)))
    };
    let monitors = &at.base.monitors;
    if new.is_some_and(|spec| !monitors.is_within(spec, own)) {
        return confined("name it in the target of the monitor".into());
    }
    let row = at.model.monitors.get(name);
    let is_own_row = row.is_none_or(|row| row.said.as_ref().is_ok_and(|spec| monitors.is_within(spec, own)));
    let of_files = monitors.files.get(name);
    if !is_own_row || of_files.is_some_and(|monitor| !monitors.is_within(&monitor.spec, own)) {
        return confined(format!("the monitor {name} watches answers of others"));
    }
    Ok(())
}

/// That no failover loses the monitor it names.
fn check_named(name: &str, rows: &[RowChange], at: &Situation) -> Result<(), Refusal> {
    let mut after = at.model.clone();
    rows.iter().for_each(|row| after.set(&row.key, row.after.clone()));
    let loses = |pool: &&String| {
        why_blind(at.base, at.model, pool).is_none() && why_blind(at.base, &after, pool).is_some()
    };
    let Some(pool) = at.base.pools.keys().find(loses) else { return Ok(()) };
    let policy = match at.model.policies.get(pool) {
        Some(policy) => format!("that {} set", policy.row.owner),
        None => format!("at {}", at.base.pools[pool].place),
    };
    Err(Refusal::Conflict(format!(
        "the failover of pool {pool} names the monitor {name}, in the policy {policy}; take it out there first"
    )))
}

fn refusal(name: &str, unfit: &Unfit) -> Refusal {
    let problem = Problem::of_request(unfit.words()).of(format!("monitor {name}")).at("target");
    match unfit {
        Unfit::Missing(_) => Refusal::NotFound(problem.words()),
        Unfit::NoAddress(_) => Refusal::Fields(vec![problem]),
    }
}
