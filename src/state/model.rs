//! What is wanted beside the files: drains, splits, migrations, tokens, suspensions, monitors and policies, as rows
//! of a store.
//!
//! ```text
//! Entry (one committed change: who, when, why, rows before and after) -> Model -> live values
//! ```
//!
//! Plain data: what may become of it is decided in [`super::change`], and how it is kept in
//! [`super::store`]. Every field here is in files on disk; a new one has a default.

mod rows;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::monitors::{MonitorSpec, read_monitor_json};
use super::policy::PoolPolicy;
use crate::files::Problem;

pub use rows::*;

/// A moment, in UTC.
pub type Time = jiff::Timestamp;

/// Rows by their identity. A copy shares what neither changes: a change tries itself out on copies of the model,
/// and what is shown to readers is one, however many rows there are.
pub type Rows<K, V> = rpds::RedBlackTreeMapSync<K, V>;

/// Everything that is wanted, at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Which: the number of the last committed change.
    pub revision: u64,
    /// Drains, by identity.
    pub drains: Rows<String, Drain>,
    /// Splits that differ from the files', by pool and PoP.
    pub splits: Rows<(String, String), Split>,
    /// Migrations, by identity; those that have ended too, until they are compacted away.
    pub migrations: Rows<String, Migration>,
    /// Tokens, by name.
    pub tokens: Rows<String, Token>,
    /// Pools whose automation is suspended, by pool.
    pub suspensions: Rows<String, Suspension>,
    /// Monitors beside the files', and instead of them, by name.
    pub monitors: Rows<String, Understood<Monitor, MonitorSpec>>,
    /// Policies instead of the files', by pool.
    pub policies: Rows<String, Understood<Policy, PoolPolicy>>,
}

/// A row that holds fields as somebody wrote them, and what they mean to this program. Only the row is kept: a
/// program that understands more reads more in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Understood<R, T> {
    /// The row.
    pub row: R,
    /// What it says, or what cannot be understood of it.
    pub said: Result<Arc<T>, Vec<Problem>>,
}

/// One object of the model, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    /// See [`Drain`].
    Drain(Drain),
    /// See [`Split`].
    Split(Split),
    /// See [`Migration`].
    Migration(Migration),
    /// See [`Token`].
    Token(Token),
    /// See [`Suspension`].
    Suspension(Suspension),
    /// See [`Monitor`].
    Monitor(Monitor),
    /// See [`Policy`].
    Policy(Policy),
}

impl Row {
    /// Where it is kept: its kind and its identity.
    pub fn key(&self) -> String {
        match self {
            Row::Drain(drain) => format!("drain/{}", drain.id),
            Row::Split(split) => format!("split/{}/{}", split.pool, split.pop),
            Row::Migration(migration) => format!("migration/{}", migration.id),
            Row::Token(token) => format!("token/{}", token.name),
            Row::Suspension(suspension) => format!("suspension/{}", suspension.pool),
            Row::Monitor(monitor) => format!("monitor/{}", monitor.name),
            Row::Policy(policy) => format!("policy/{}", policy.pool),
        }
    }
}

/// What one change does to one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowChange {
    /// Which row: see [`Row::key`].
    pub key: String,
    /// As it was; none if it is new.
    pub before: Option<Row>,
    /// As it is; none if it is gone.
    pub after: Option<Row>,
}

/// What the words of a drain that is lifted begin with.
pub const UNDRAIN: &str = "undrain of ";

impl RowChange {
    /// What is done to what, as an operator knows it; its key where that is all there is to say.
    pub fn words(&self) -> String {
        match (&self.before, &self.after) {
            (_, Some(Row::Drain(Drain { scope, owner, percent, returning_since: None, .. }))) => {
                format!("drain of {scope} by {owner}, {percent} %")
            }
            (_, Some(Row::Drain(Drain { scope, owner, .. })))
            | (Some(Row::Drain(Drain { scope, owner, .. })), None) => {
                format!("{UNDRAIN}{scope}, drained by {owner}")
            }
            _ => self.key.clone(),
        }
    }

    /// What it steers, before and after; a migration's next step is near or not, whether or not this one moves
    /// anybody. Nothing where it steers nothing.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        [&self.before, &self.after].into_iter().flatten().filter_map(|row| match row {
            Row::Drain(drain) => Some(drain.scope.clone()),
            Row::Split(split) => Some(Scope {
                pool: Some(split.pool.clone()),
                pop: Some(split.pop.clone()),
                ..Scope::default()
            }),
            Row::Migration(migration) => {
                Some(Scope { pool: Some(migration.plan.pool.clone()), ..Scope::default() })
            }
            Row::Token(_) | Row::Suspension(_) | Row::Monitor(_) | Row::Policy(_) => None,
        })
    }
}

/// One committed change: a line of the audit log, and what a watcher applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The revision it made.
    pub revision: u64,
    /// When.
    pub time: Time,
    /// Who.
    pub actor: Actor,
    /// What was done, in one word: `drain`, `undrain`, `split`, `migrate`, ...
    pub action: String,
    /// To what, in words.
    pub object: String,
    /// Why; empty where nobody asks for it.
    pub reason: String,
    /// A guard would have refused it.
    pub forced: bool,
    /// What it changed.
    pub rows: Vec<RowChange>,
}

/// Who asks for a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The token's name; `local` on the Unix socket, `health` and `rhumb` for our own automation.
    pub name: String,
    /// The address it came from; empty for our own.
    pub from: String,
}

impl Model {
    /// Applies a committed change.
    pub fn apply(&mut self, entry: &Entry) {
        for change in &entry.rows {
            self.set(&change.key, change.after.clone());
        }
        self.revision = entry.revision;
    }

    /// The row of a key.
    pub fn get(&self, key: &str) -> Option<Row> {
        let (kind, id) = key.split_once('/')?;
        match kind {
            "drain" => self.drains.get(id).cloned().map(Row::Drain),
            "split" => self.splits.get(&split_key(id)?).cloned().map(Row::Split),
            "migration" => self.migrations.get(id).cloned().map(Row::Migration),
            "token" => self.tokens.get(id).cloned().map(Row::Token),
            "suspension" => self.suspensions.get(id).cloned().map(Row::Suspension),
            "monitor" => self.monitors.get(id).map(|monitor| Row::Monitor(monitor.row.clone())),
            "policy" => self.policies.get(id).map(|policy| Row::Policy(policy.row.clone())),
            _ => None,
        }
    }

    /// Puts, replaces or removes a row.
    pub fn set(&mut self, key: &str, row: Option<Row>) {
        match row {
            Some(Row::Drain(drain)) => self.drains.insert_mut(drain.id.clone(), drain),
            Some(Row::Split(split)) => self.splits.insert_mut((split.pool.clone(), split.pop.clone()), split),
            Some(Row::Migration(migration)) => self.migrations.insert_mut(migration.id.clone(), migration),
            Some(Row::Token(token)) => self.tokens.insert_mut(token.name.clone(), token),
            Some(Row::Suspension(suspension)) => {
                self.suspensions.insert_mut(suspension.pool.clone(), suspension)
            }
            Some(Row::Monitor(row)) => {
                let said = read_monitor_json(&row.name, &row.fields).map(Arc::new);
                self.monitors.insert_mut(row.name.clone(), Understood { row, said });
            }
            Some(Row::Policy(row)) => {
                let said = PoolPolicy::read_json(&row.pool, &row.fields).map(|(policy, _)| Arc::new(policy));
                self.policies.insert_mut(row.pool.clone(), Understood { row, said });
            }
            None => self.remove(key),
        }
    }

    fn remove(&mut self, key: &str) {
        let Some((kind, id)) = key.split_once('/') else { return };
        match kind {
            "drain" => _ = self.drains.remove_mut(id),
            "split" => _ = split_key(id).map(|key| self.splits.remove_mut(&key)),
            "migration" => _ = self.migrations.remove_mut(id),
            "token" => _ = self.tokens.remove_mut(id),
            "suspension" => _ = self.suspensions.remove_mut(id),
            "monitor" => _ = self.monitors.remove_mut(id),
            "policy" => _ = self.policies.remove_mut(id),
            _ => {}
        }
    }

    /// Every row.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let drains = self.drains.values().cloned().map(Row::Drain);
        let splits = self.splits.values().cloned().map(Row::Split);
        let migrations = self.migrations.values().cloned().map(Row::Migration);
        let tokens = self.tokens.values().cloned().map(Row::Token);
        let suspensions = self.suspensions.values().cloned().map(Row::Suspension);
        let monitors = self.monitors.values().map(|monitor| Row::Monitor(monitor.row.clone()));
        let policies = self.policies.values().map(|policy| Row::Policy(policy.row.clone()));
        let others = suspensions.chain(monitors).chain(policies);
        drains.chain(splits).chain(migrations).chain(tokens).chain(others)
    }
}

fn split_key(id: &str) -> Option<(String, String)> {
    id.split_once('/').map(|(pool, pop)| (pool.into(), pop.into()))
}
