//! Rows and entries for tests of stores.

use std::path::Path;

use rhumb::state::model::{Actor, Drain, Entry, Row, RowChange, Scope, Time};
use rhumb::state::store::Watched;
use rhumb::state::store::embedded::{Embedded, OpenError};

use super::disk::Disk;

/// A second of the time that tests live in.
pub fn time(second: u64) -> Time {
    Time::from_second(1_790_000_000 + second as i64).unwrap()
}

/// A drain of a PoP.
pub fn drain(pop: &str, revision: u64) -> Row {
    Row::Drain(Drain {
        id: format!("ops:{pop}"),
        scope: Scope { pop: Some(pop.into()), ..Scope::default() },
        owner: "ops".into(),
        percent: (revision % 100 + 1) as u8,
        reason: "line cards are replaced".into(),
        created_at: time(revision),
        starts_at: time(revision),
        expires_at: None,
        return_steps: None,
        returning_since: None,
        revision,
    })
}

/// An entry, at the second of its revision, that puts these rows and removes those.
pub fn entry(revision: u64, rows: &[Row], gone: &[&str]) -> Entry {
    let put = |row: &Row| RowChange { key: row.key(), before: None, after: Some(row.clone()) };
    let remove = |key: &&str| RowChange { key: key.to_string(), before: None, after: None };
    Entry {
        revision,
        time: time(revision),
        actor: Actor { name: "ops".into(), from: "192.0.2.7".into() },
        action: "drain".into(),
        object: "a test".into(),
        reason: "it is tested".into(),
        forced: false,
        rows: rows.iter().map(put).chain(gone.iter().map(remove)).collect(),
    }
}

/// An entry that drains one PoP.
pub fn drains(pop: &str, revision: u64) -> Entry {
    entry(revision, &[drain(pop, revision)], &[])
}

/// The entries of a watch that leads on.
#[track_caller]
pub fn entries(watched: Watched) -> Vec<Entry> {
    match watched {
        Watched::Entries(entries) => entries,
        Watched::TooOld => panic!("the log does not lead on"),
    }
}

/// Where a store on a disk in memory says it is; what it puts beside itself goes there for real.
pub const DISK: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/disk");

/// Makes an empty store on a disk.
pub fn new_disk() -> Disk {
    let disk = Disk::new(vec![]);
    Embedded::create_with(Path::new(DISK), disk.clone()).unwrap();
    disk
}

/// Opens the store on a disk.
pub fn open(disk: &Disk) -> Result<Embedded, OpenError> {
    let disk = disk.clone();
    Embedded::open_with(Path::new(DISK), move |_| Ok(disk.clone()))
}
