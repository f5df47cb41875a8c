//! A store whose disk can be full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rhumb::state::model::{Entry, Time};
use rhumb::state::store::embedded::Embedded;
use rhumb::state::store::{CommitError, Contents, Store, StoreError, Watched};

/// See the head of the file.
pub struct Breakable {
    pub store: Embedded,
    /// Whether it is full.
    pub broken: Arc<AtomicBool>,
}

impl Breakable {
    fn check(&self) -> Result<(), StoreError> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("the disk is full".into())),
            false => Ok(()),
        }
    }
}

impl Store for Breakable {
    fn read(&mut self) -> Result<Contents, StoreError> {
        self.store.read()
    }

    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError> {
        self.check()?;
        self.store.commit(after, entries)
    }

    fn watch(&mut self, after: u64) -> Result<Watched, StoreError> {
        self.store.watch(after)
    }

    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.log(before, limit)
    }

    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError> {
        self.check()?;
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
