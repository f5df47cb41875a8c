//! Where what is wanted is kept: one suite of behaviour, several backends.
//!
//! ```text
//! read everything once -> commit (compare and swap on the revision) -> watch: entries come back, ours too
//! ```
//!
//! Nothing assumes that we are the only writer: a commit names the revision it was checked against, and
//! loses against another's. Values (feeds, verdicts) are apart: they have no revision, and the last one
//! written wins.

pub mod backup;
pub mod embedded;
pub mod export;

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

/// How many revisions a store may have given after its last copy was made, at the most: a change each millisecond
/// for a quarter of an hour, or a change a minute for two years without a copy.
const REVISIONS_BEHIND_MAX: u64 = 1_000_000;

/// Where revisions begin when a copy takes the place of a store that was lost: none that the store may have given
/// comes again, for clients may still hold it (`If-Match`, `events`).
///
/// The seconds since 1970 hold where no copy is left that knows of an earlier loss: no store makes a change a second
/// for all of its life.
pub fn revision_after_loss(copy: u64, now: Time) -> u64 {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    copy.saturating_add(REVISIONS_BEHIND_MAX).max(seconds)
}

/// A backend. Calls block; one thread makes them.
pub trait Store: Send {
    /// Everything, at the newest revision.
    fn read(&mut self) -> Result<Contents, StoreError>;

    /// Commits entries whose revisions follow `after` one by one: all of them or none. When it returns,
    /// they survive a power cut.
    ///
    /// The newest time is raised to the entries' own, never lowered.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when `after` is no longer the newest revision. After
    /// [`StoreError::Unavailable`] nobody knows whether the commit happened, as after any write that was cut
    /// short: the next [`read`](Store::read) or [`watch`](Store::watch) tells, and a repetition is either the
    /// commit or a conflict, never both.
    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError>;

    /// The entries after a revision, in order, whoever wrote them.
    fn watch(&mut self, after: u64) -> Result<Watched, StoreError>;

    /// At most `limit` entries before a revision (not itself), the newest first: the audit log.
    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Writes fast values; none removes. The newest time is raised to `now`, never lowered. A backend may
    /// make them durable later, at the latest with the next commit or the next call of this.
    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError>;

    /// Drops log entries that are older than `before`, and all but the newest `keep` of the others. Rows
    /// stay.
    fn compact(&mut self, before: Time, keep: usize) -> Result<(), StoreError>;

    /// Copies what is there, for the day on which it is damaged. Backends that keep copies of their own need
    /// not.
    fn back_up(&mut self, now: Time) -> Result<(), StoreError>;

    /// Replaces everything, the newest time included, as one change: `rhumb state import`. The log stays and
    /// has `entry` too, and the revision never goes back: it becomes that of the contents, or the next one if
    /// that has passed. That revision, which the entry gets. Whoever watches has to read again.
    fn replace(&mut self, contents: &Contents, entry: Entry) -> Result<u64, StoreError>;
}

/// What has happened since a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// These, in order; none if nothing has.
    Entries(Vec<Entry>),
    /// The log does not lead on from that revision: entries after it were compacted away, everything was
    /// replaced, or the store is older than who asks. [`Store::read`] is how to go on.
    TooOld,
}

/// A store does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be written or read now: a full disk, a lost mount, no right. It may be later.
    #[error("{0}")]
    Unavailable(String),
    /// What is there, or what should be written, makes no sense.
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
