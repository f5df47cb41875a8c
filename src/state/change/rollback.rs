//! Break-glass: steering as it was.

use std::collections::BTreeSet;

use super::{Draft, Refusal, Situation, check_reason, put, words};
use crate::state::migration;
use crate::state::model::{Entry, Row, RowChange};
use crate::state::store::Watched;

/// What steers: rows of these kinds go back.
const STEERING: [&str; 4] = ["drain/", "split/", "monitor/", "policy/"];

/// What was committed after a revision, the newest first: what is undone where everything goes back to it.
pub fn to_undo(to: u64, newest: u64, since: Watched) -> Result<Vec<Entry>, Refusal> {
    match since {
        _ if to > newest => {
            Err(Refusal::NotFound(format!("there is no revision {to} yet; the newest is {newest}")))
        }
        Watched::Entries(entries) => Ok(entries.into_iter().rev().collect()),
        Watched::TooOld => Err(Refusal::NotFound(format!(
            "what was changed since revision {to} cannot be undone: it is no longer in the log, or an import has \
             replaced everything since"
        ))),
    }
}

/// Drains, splits, monitors and policies as they were: what was committed since is undone, the newest first.
pub(super) fn roll_back(to: u64, since: &[Entry], at: &Situation) -> Result<Draft, Refusal> {
    check_reason(at.reason)?;
    let mut wanted = at.model.clone();
    let mut keys = BTreeSet::new();
    for change in since.iter().flat_map(|entry| entry.rows.iter().rev()) {
        if STEERING.iter().any(|kind| change.key.starts_with(kind)) {
            wanted.set(&change.key, change.before.clone());
            keys.insert(change.key.clone());
        }
    }
    let mut rows: Vec<RowChange> = keys
        .into_iter()
        .map(|key| RowChange { before: at.model.get(&key), after: wanted.get(&key), key })
        .collect();
    // A migration that is open would go on from splits that are not its own.
    let open = at.model.migrations.values().filter(|migration| migration.is_open());
    rows.extend(open.map(|open| {
        put(at.model, Row::Migration(migration::held(open, "steering was rolled back", at.now)))
    }));
    let object = format!("drains, splits, monitors and policies to revision {to}");
    let mut draft = Draft::new("rolled back", object, rows);
    draft.words = words::of_drains(&wanted, at);
    Ok(draft)
}
