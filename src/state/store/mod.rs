//! Where what is wanted is kept: one suite of behaviour, several backends.
//!
//! ```text
//! read everything once -> commit (compare and swap on the revision) -> watch: entries come back, ours too
//! ```
//!
//! Nothing assumes that we are the only writer: a commit names the revision it was checked against, and
//! loses against another's. Values (feeds, verdicts) are apart: they have no revision, and the last one
//! written wins.

use std::collections::BTreeMap;

use super::model::{Entry, Model, Time};

/// Everything a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The rows, at their revision.
    pub model: Model,
    /// Fast values, by key.
    pub values: BTreeMap<String, String>,
    /// The newest time anything was written at: a clock behind it is wrong (DESIGN, decision 14).
    pub newest: Option<Time>,
}

/// A backend. Calls block; one thread makes them.
pub trait Store: Send {
    /// Everything, at the newest revision.
    fn read(&mut self) -> Result<Contents, StoreError>;

    /// Commits entries whose revisions follow `after` one by one: all of them or none. When it returns,
    /// they survive a power cut.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when `after` is no longer the newest revision.
    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError>;

    /// The entries after a revision, in order, whoever wrote them.
    fn watch(&mut self, after: u64) -> Result<Vec<Entry>, StoreError>;

    /// At most `limit` entries before a revision (not itself), the newest first: the audit log.
    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Writes fast values; none removes. `now` becomes the newest time.
    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError>;

    /// Drops log entries that are older than `before`, and all but the newest `keep` of the others. Rows
    /// stay.
    fn compact(&mut self, before: Time, keep: usize) -> Result<(), StoreError>;

    /// Replaces everything, as one change: `rhumb state import`.
    fn replace(&mut self, contents: &Contents) -> Result<(), StoreError>;
}

/// A store does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be written or read now: a full disk, a lost mount, no right. It may be later.
    #[error("{0}")]
    Unavailable(String),
    /// What is there cannot be understood.
    #[error("{0}")]
    Corrupt(String),
}

/// A commit did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another writer was first; the newest revision.
    #[error("the newest revision is {0}")]
    Conflict(u64),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
