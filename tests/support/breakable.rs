//! A store whose disk can be full, or lie about what it did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rhumb::state::model::{Entry, Time};
use rhumb::state::store::embedded::Embedded;
use rhumb::state::store::{CommitError, Contents, Store, StoreError, Watched};

/// See the head of the file.
pub struct Breakable {
    pub store: Embedded,
    /// What is wrong with it. Whoever holds it keeps commits waiting.
    pub trouble: Arc<Mutex<Trouble>>,
    /// Commits that were made.
    pub commits: Arc<AtomicUsize>,
}

/// What may be wrong with a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It takes nothing more.
    Full,
    /// It commits, and says that it did not.
    Denies,
    /// It commits, and cannot be read.
    Unreadable,
}

const FULL: &str = "the disk is full";

impl Breakable {
    fn fails_at(&self, trouble: Trouble, why: &str) -> Result<(), StoreError> {
        match *self.trouble.lock().unwrap() == trouble {
            true => Err(StoreError::Unavailable(why.into())),
            false => Ok(()),
        }
    }
}

impl Store for Breakable {
    fn read(&mut self) -> Result<Contents, StoreError> {
        self.store.read()
    }

    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError> {
        self.fails_at(Trouble::Full, FULL)?;
        self.store.commit(after, entries)?;
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(self.fails_at(Trouble::Denies, "the answer was lost")?)
    }

    fn watch(&mut self, after: u64) -> Result<Watched, StoreError> {
        self.fails_at(Trouble::Unreadable, "it cannot be read")?;
        self.store.watch(after)
    }

    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.log(before, limit)
    }

    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError> {
        self.fails_at(Trouble::Full, FULL)?;
        self.store.put_values(values, now)
    }

    fn compact(&mut self, before: Time, keep: usize) -> Result<(), StoreError> {
        self.store.compact(before, keep)
    }

    fn back_up(&mut self, now: Time) -> Result<(), StoreError> {
        self.store.back_up(now)
    }

    fn replace(&mut self, contents: &Contents, entry: Entry) -> Result<u64, StoreError> {
        self.store.replace(contents, entry)
    }
}
