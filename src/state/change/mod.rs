//! What may be asked for, and what becomes of it.
//!
//! ```text
//! Change + Situation (files, model, time, who) -> decide -> Draft (rows before and after, in words)
//!                                                       or Refusal, naming the object and the field
//! Draft -> guards: what a person must say twice
//! ```
//!
//! Pure: the same change on the same model at the same time is the same draft. The keeper commits it, and
//! asks again on the newer model when another writer was first (DESIGN, decision 11).

mod checks;
mod drains;
mod monitors;
mod policies;
mod rollback;
mod splits;
mod suspensions;
mod tokens;
mod words;

use std::collections::BTreeMap;

pub use checks::{check_pool, check_reason, check_reason_if_any, no_such, some_of};
pub use drains::drain_id;
pub use rollback::to_undo;

use super::base::Base;
use super::live::Values;
use super::migration;
use super::model::{Actor, Entry, Model, Plan, Return, Role, Row, RowChange, Scope, Time, Token};
use crate::files::{Json, Problem};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Take answers out; the same owner and scope is the same drain.
    Drain(DrainAsk),
    /// Change an own drain.
    EditDrain {
        /// Which.
        id: String,
        /// What is new about it.
        edit: DrainEdit,
    },
    /// Bring answers back.
    Undrain {
        /// Which drains.
        which: Which,
        /// At once, without the steps of their return.
        now: bool,
    },
    /// Forget a drain whose clients are all back. Our own automation asks for it.
    EndDrain {
        /// Which.
        id: String,
    },
    /// Set the weights of a pool's stacks at a PoP, or at every PoP.
    Split {
        /// The pool.
        pool: String,
        /// The site; none for all.
        pop: Option<String>,
        /// By stack.
        weights: BTreeMap<String, f64>,
    },
    /// Go back to the files' weights.
    ClearSplit {
        /// The pool.
        pool: String,
        /// The site; none for all.
        pop: Option<String>,
    },
    /// Begin a migration.
    StartMigration {
        /// What is to happen.
        plan: Plan,
        /// Makes a second start a repetition of the first.
        idempotency_key: Option<String>,
    },
    /// Move a migration on, stop it, or take it back.
    Migrate {
        /// Which.
        id: String,
        /// How.
        step: MigrationStep,
    },
    /// Make a token; the secret's hash is all we keep.
    CreateToken(Token),
    /// Make a token worthless.
    RevokeToken {
        /// Which.
        name: String,
    },
    /// Put drains, splits, monitors and policies back to where they were at a revision.
    RollBack {
        /// The revision, for the words.
        to: u64,
        /// What was committed since, the newest first.
        since: Vec<Entry>,
    },
    /// Stop a pool's automation.
    Suspend {
        /// The pool.
        pool: String,
        /// Until when.
        until: Option<Time>,
    },
    /// Let a pool's automation act again.
    Unsuspend {
        /// The pool.
        pool: String,
    },
    /// Put a monitor beside the files', or in the place of the one of its name.
    SetMonitor {
        /// Its name.
        name: String,
        /// The fields of its table.
        fields: Json,
    },
    /// Take such a monitor away; the files' of its name is in force again.
    ClearMonitor {
        /// Its name.
        name: String,
    },
    /// Operate a pool otherwise than the files say.
    SetPolicy {
        /// The pool.
        pool: String,
        /// The fields of its table that are about operating it.
        fields: Json,
    },
    /// Operate a pool as the files say again.
    ClearPolicy {
        /// The pool.
        pool: String,
    },
}

/// A drain as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainAsk {
    /// What it takes out.
    pub scope: Scope,
    /// For how many of a hundred clients.
    pub percent: u8,
    /// From when on; none for now.
    pub starts_at: Option<Time>,
    /// Seconds from its start until it ends by itself.
    pub expires_in_s: Option<u64>,
    /// How its clients come back; none for the pool's way.
    pub return_steps: Option<Return>,
}

/// What is new about a drain; what is not there stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrainEdit {
    /// For how many of a hundred clients.
    pub percent: Option<u8>,
    /// Why.
    pub reason: Option<String>,
    /// From when on, while it has not begun; or now.
    pub starts_at: Option<Option<Time>>,
    /// Seconds from now, or from its start, until it ends by itself; or never.
    pub expires_in_s: Option<Option<u64>>,
    /// How its clients come back; or the pool's way.
    pub return_steps: Option<Option<Return>>,
}

/// Which drains.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// One.
    Id(String),
    /// Those of a scope: one's own, or everybody's.
    Scope {
        /// The scope, as it was drained.
        scope: Scope,
        /// Everybody's.
        all_owners: bool,
    },
}

/// What to do with a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStep {
    /// The next step; where it is named by its number, only if that is the next.
    Advance(Option<usize>),
    /// Stay here.
    Hold,
    /// Go on by itself, if the plan says so.
    Resume,
    /// Every PoP back to where it was before.
    RollBack,
}

/// What a change is decided upon.
#[derive(Clone, Copy)]
pub struct Situation<'s> {
    /// What the files say.
    pub base: &'s Base,
    /// What is wanted so far.
    pub model: &'s Model,
    /// What feeds and monitors say.
    pub values: &'s Values,
    /// When.
    pub now: Time,
    /// Who asks.
    pub actor: &'s Actor,
    /// What they may do.
    pub role: Role,
    /// The pool they are confined to.
    pub pool: Option<&'s str>,
    /// Why they ask.
    pub reason: &'s str,
    /// They know what the guards would say.
    pub force: bool,
}

/// A change that can be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What is done, in one word, for the audit log.
    pub action: &'static str,
    /// To what, in words.
    pub object: String,
    /// What it changes; nothing when all is as asked for already.
    pub rows: Vec<RowChange>,
    /// The identity of what was made or changed, if it has one.
    pub id: String,
    /// What the asker should know.
    pub words: Vec<String>,
    /// What only `force` lets pass.
    pub guards: Vec<String>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It names something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// A field is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What to write instead.
        message: String,
    },
    /// Fields of a table are wrong: each with its object, and what to write instead.
    #[error("{}", .0.iter().map(Problem::words).collect::<Vec<String>>().join("; "))]
    Fields(Vec<Problem>),
    /// Its asker may not.
    #[error("{0}")]
    Forbidden(String),
    /// It does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// A guard stands before it; what would happen.
    #[error("{}", .0.join("; "))]
    Guarded(Vec<String>),
    /// The revision it was made for is not the newest.
    #[error("expected revision {expected}, and the newest is {current}")]
    Stale {
        /// What was expected.
        expected: u64,
        /// What is.
        current: u64,
    },
    /// The store cannot be written.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    fn invalid(field: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::Invalid { field, message: message.into() }
    }
}

/// Longest name, reason or key taken, in characters.
pub const TEXT_CHARS_MAX: usize = 500;

/// Decides upon a change: what it would do, with what the guards say, or why it cannot be.
pub fn decide(change: &Change, at: &Situation) -> Result<Draft, Refusal> {
    let mut draft = match change {
        Change::Drain(ask) => drains::drain(ask, at)?,
        Change::EditDrain { id, edit } => drains::edit(id, edit, at)?,
        Change::Undrain { which, now } => drains::undrain(which, *now, at)?,
        Change::EndDrain { id } => drains::end(id, at)?,
        Change::Split { pool, pop, weights } => splits::split(pool, pop.as_deref(), Some(weights), at)?,
        Change::ClearSplit { pool, pop } => splits::split(pool, pop.as_deref(), None, at)?,
        Change::StartMigration { plan, idempotency_key } => {
            migration::start(plan, idempotency_key.as_deref(), at)?
        }
        Change::Migrate { id, step } => migration::step(id, *step, at)?,
        Change::CreateToken(token) => tokens::create(token, at)?,
        Change::RevokeToken { name } => tokens::revoke(name, at)?,
        Change::RollBack { to, since } => rollback::roll_back(*to, since, at)?,
        Change::Suspend { pool, until } => suspensions::suspend(pool, Some(*until), at)?,
        Change::Unsuspend { pool } => suspensions::suspend(pool, None, at)?,
        Change::SetMonitor { name, fields } => monitors::set(name, fields, at)?,
        Change::ClearMonitor { name } => monitors::clear(name, at)?,
        Change::SetPolicy { pool, fields } => policies::set(pool, fields, at)?,
        Change::ClearPolicy { pool } => policies::clear(pool, at)?,
    };
    draft.rows.retain(|row| row.before != row.after);
    if draft.rows.is_empty() {
        return Ok(draft);
    }
    let mut after = at.model.clone();
    for row in &draft.rows {
        after.set(&row.key, row.after.clone());
    }
    draft.words.extend(words::of_splits(&draft.rows, at.model, &after, at));
    draft.guards.extend(super::guards::guards(at.base, at.model, &after, &draft.rows, at.now));
    Ok(draft)
}

impl Draft {
    /// The draft of something done to an object.
    pub fn new(action: &'static str, object: impl Into<String>, rows: Vec<RowChange>) -> Draft {
        Draft {
            action,
            object: object.into(),
            rows,
            id: String::new(),
            words: Vec::new(),
            guards: Vec::new(),
        }
    }
}

/// A row before and after, where it is put.
pub fn put(model: &Model, row: Row) -> RowChange {
    let key = row.key();
    RowChange { before: model.get(&key), key, after: Some(row) }
}

/// A row before and after, where it is removed.
pub fn remove(model: &Model, key: String) -> RowChange {
    RowChange { before: model.get(&key), key, after: None }
}
