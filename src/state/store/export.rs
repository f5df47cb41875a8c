//! Everything a store holds, as JSON that a person can read: `rhumb state export`, `import` and `check`, and
//! the backup.
//!
//! ```text
//! Contents -> Export -> JSON -> Export -> check -> Contents
//! ```
//!
//! The log is not in it: an export says what is wanted, not who wanted it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Contents;
use crate::state::model::{Model, Row, Time};
use crate::state::monitors::read_monitor_json;
use crate::state::policy::PoolPolicy;

/// The version of the format that this program writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// The contents of a store, and when they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// See [`FORMAT`].
    pub format: u32,
    /// The revision of the rows.
    pub revision: u64,
    /// When it was made.
    pub made_at: Time,
    /// See [`Contents::newest`].
    pub newest: Option<Time>,
    /// The rows.
    pub rows: Vec<Keyed>,
    /// See [`Contents::values`].
    pub values: BTreeMap<String, String>,
}

/// A row under its key, so that a slip of the editor in either shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keyed {
    /// See [`Row::key`].
    pub key: String,
    /// The row.
    #[serde(flatten)]
    pub row: Row,
}

/// Only the version: what is read first, because the rest depends on it.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Export {
    /// Of some contents, taken at a time.
    pub fn new(contents: &Contents, made_at: Time) -> Export {
        Export {
            format: FORMAT,
            revision: contents.model.revision,
            made_at,
            newest: contents.newest,
            rows: contents.model.rows().map(|row| Keyed { key: row.key(), row }).collect(),
            values: contents.values.clone(),
        }
    }

    /// The contents. What [`check`] complains about is in them too, as far as it fits.
    pub fn contents(&self) -> Contents {
        let mut model = Model { revision: self.revision, ..Model::default() };
        for Keyed { row, .. } in &self.rows {
            model.set(&row.key(), Some(row.clone()));
        }
        Contents { model, values: self.values.clone(), newest: self.newest }
    }

    /// Reads one from JSON.
    ///
    /// # Errors
    /// In words: what cannot be read, where, or that another version wrote it.
    pub fn parse(text: &str) -> Result<Export, String> {
        let Version { format } = serde_json::from_str(text).map_err(|error| format!("no export: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "an export of format {format}, and this rhumb reads format {FORMAT}: use the rhumb that made it"
            ));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Writes it as JSON.
    pub fn write(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys, and no map in it fails") + "\n"
    }
}

/// Which rows are otherwise in another model, in words: some for each kind, and some where all are the same.
pub fn differences(before: &Model, after: &Model) -> Vec<String> {
    let by_key = |model: &Model| model.rows().map(|row| (row.key(), row)).collect::<BTreeMap<_, _>>();
    let (before, after) = (by_key(before), by_key(after));
    // By kind, how many are new, changed and gone.
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let what = match (before.get(key), after.get(key)) {
            (None, _) => 0,
            (Some(old), Some(new)) if old == new => continue,
            (_, Some(_)) => 1,
            (_, None) => 2,
        };
        let kind = key.split('/').next().unwrap_or_default();
        counts.entry(kind).or_default()[what] += 1;
    }
    if counts.is_empty() {
        return vec!["every row is as it is now".into()];
    }
    let told = counts.into_iter().map(|(kind, counts)| {
        let some = counts.iter().zip(["new", "changed", "gone"]).filter(|(count, _)| **count > 0);
        let parts: Vec<String> = some.map(|(count, how)| format!("{count} {how}")).collect();
        let kinds = kind.strip_suffix('y').map_or(format!("{kind}s"), |stem| format!("{stem}ies"));
        format!("{kinds}: {}", parts.join(", "))
    });
    told.collect()
}

/// What is wrong with an export, in words; nothing if it can be imported.
pub fn check(export: &Export) -> Vec<String> {
    let mut wrong = Vec::new();
    if export.format != FORMAT {
        wrong.push(format!("format: {} instead of {FORMAT}", export.format));
    }
    let mut seen = BTreeSet::new();
    for Keyed { key, row } in &export.rows {
        let mut say = |what: String| wrong.push(format!("{key}: {what}"));
        if *key != row.key() {
            say(format!("the key of this row is {}", row.key()));
        }
        if !seen.insert(key) {
            say("it is there twice".into());
        }
        if revision(row) > export.revision {
            say(format!("revision: {} is above the export's, which is {}", revision(row), export.revision));
        }
        check_names(row, &mut say);
        check_numbers(row, &mut say);
        check_fields(row, &mut say);
    }
    for key in export.values.keys().filter(|key| key.is_empty()) {
        wrong.push(format!("values: a key is empty, with `{}`", export.values[key]));
    }
    wrong
}

/// Zero for what carries none.
fn revision(row: &Row) -> u64 {
    match row {
        Row::Drain(drain) => drain.revision,
        Row::Split(split) => split.revision,
        Row::Monitor(monitor) => monitor.revision,
        Row::Policy(policy) => policy.revision,
        Row::Migration(_) | Row::Token(_) | Row::Suspension(_) => 0,
    }
}

fn check_names(row: &Row, say: &mut impl FnMut(String)) {
    let names: &[(&str, &str)] = match row {
        Row::Drain(drain) => &[("id", &drain.id), ("owner", &drain.owner)],
        Row::Split(split) => &[("pool", &split.pool), ("pop", &split.pop), ("owner", &split.owner)],
        Row::Migration(migration) => &[
            ("id", &migration.id),
            ("owner", &migration.owner),
            ("plan.pool", &migration.plan.pool),
            ("plan.from", &migration.plan.from),
            ("plan.to", &migration.plan.to),
        ],
        Row::Token(token) => &[("name", &token.name), ("hash", &token.hash)],
        Row::Suspension(suspension) => &[("pool", &suspension.pool), ("owner", &suspension.owner)],
        Row::Monitor(monitor) => &[("name", &monitor.name), ("owner", &monitor.owner)],
        Row::Policy(policy) => &[("pool", &policy.pool), ("owner", &policy.owner)],
    };
    for (field, _) in names.iter().filter(|(_, name)| name.is_empty()) {
        say(format!("{field}: empty"));
    }
    match row {
        // The key of a split is cut at its first slash.
        Row::Split(split) if split.pool.contains('/') => say("pool: a `/` cannot be in it".into()),
        Row::Drain(drain) => {
            let scope = &drain.scope;
            let parts = [&scope.pop, &scope.pool, &scope.stack, &scope.answer];
            if parts.iter().all(|part| part.is_none()) {
                say("scope: empty, and would take out everything".into());
            }
            if parts.iter().any(|part| part.as_deref() == Some("")) {
                say("scope: a name in it is empty".into());
            }
        }
        _ => {}
    }
}

fn check_numbers(row: &Row, say: &mut impl FnMut(String)) {
    let mut percents = |field: &str, percents: &[u8], least: u8| {
        for percent in percents.iter().filter(|percent| !(least..=100).contains(percent)) {
            say(format!("{field}: {percent} is not in {least} to 100"));
        }
    };
    match row {
        Row::Drain(drain) => {
            percents("percent", &[drain.percent], 1);
            if let Some(back) = &drain.return_steps {
                percents("return.steps", &back.steps, 1);
            }
        }
        Row::Migration(migration) => percents("plan.steps", &migration.plan.steps, 0),
        Row::Split(split) => {
            let is_weight = |weight: &f64| weight.is_finite() && *weight >= 0.0;
            for (stack, weight) in split.weights.iter().filter(|(_, weight)| !is_weight(weight)) {
                say(format!("weights.{stack}: {weight} is no weight"));
            }
        }
        Row::Token(_) | Row::Suspension(_) | Row::Monitor(_) | Row::Policy(_) => {}
    }
}

/// Fields that mean something only when they are read. What they name may be there or not.
fn check_fields(row: &Row, say: &mut impl FnMut(String)) {
    let problems = match row {
        Row::Monitor(monitor) => read_monitor_json(&monitor.name, &monitor.fields).err(),
        Row::Policy(policy) => PoolPolicy::read_json(&policy.pool, &policy.fields).err(),
        Row::Drain(_) | Row::Split(_) | Row::Migration(_) | Row::Token(_) | Row::Suspension(_) => None,
    };
    for problem in problems.into_iter().flatten() {
        say(format!("fields: {}", problem.words()));
    }
}
