//! The tables, and what is done to them: one transaction each.

use std::collections::BTreeMap;

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::trouble::Trouble;
use crate::state::model::{Entry, Model, Row, Time};
use crate::state::store::{Contents, Watched};

/// Key of a row, and the row as JSON.
const ROWS: TableDefinition<&str, &str> = TableDefinition::new("rows");
/// Revision, and the entry that made it as JSON.
const LOG: TableDefinition<u64, &str> = TableDefinition::new("log");
/// Fast values.
const VALUES: TableDefinition<&str, &str> = TableDefinition::new("values");
/// The four below. All is text: whoever comes later can read what it does not know.
const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// The version of all this.
const FORMAT: &str = "format";
/// The newest revision.
const REVISION: &str = "revision";
/// The lowest revision that the log leads on from.
const FLOOR: &str = "floor";
/// The newest time.
const NEWEST: &str = "newest";

/// The version that this program writes and reads. A new field of a row, with a default, needs no new one.
const THIS_FORMAT: &str = "1";

/// Makes the tables of a new store.
pub fn create(database: &Database) -> Result<(), Trouble> {
    let transaction = begin(database)?;
    {
        transaction.open_table(ROWS)?;
        transaction.open_table(LOG)?;
        transaction.open_table(VALUES)?;
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, THIS_FORMAT)?;
        meta.insert(REVISION, "0")?;
        meta.insert(FLOOR, "0")?;
    }
    Ok(transaction.commit()?)
}

/// Refuses a file of another version, and one that is no store.
pub fn check_format(database: &Database) -> Result<(), Trouble> {
    let meta = database.begin_read()?.open_table(META)?;
    let format = text(&meta, FORMAT)?.ok_or_else(|| unreadable("meta", FORMAT, "missing"))?;
    if format != THIS_FORMAT {
        return Err(Trouble::Format(format!(
            "this file has format {format}, and this rhumb knows format {THIS_FORMAT} alone: use the rhumb that \
             wrote it, and take its contents over with `rhumb state export` and `import`"
        )));
    }
    Ok(())
}

/// See [`crate::state::store::Store::read`].
pub fn read(database: &Database) -> Result<Contents, Trouble> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let mut model = Model { revision: number(&meta, REVISION)?, ..Model::default() };
    for item in transaction.open_table(ROWS)?.iter()? {
        let (key, json) = item?;
        let key = key.value();
        let row: Row = parse("rows", key, json.value())?;
        if row.key() != key {
            return Err(unreadable("rows", key, &format!("the row in it is {}", row.key())));
        }
        model.set(key, Some(row));
    }
    let mut values = BTreeMap::new();
    for item in transaction.open_table(VALUES)?.iter()? {
        let (key, value) = item?;
        values.insert(key.value().to_string(), value.value().to_string());
    }
    Ok(Contents { model, values, newest: newest(&meta)? })
}

/// See [`crate::state::store::Store::commit`].
pub fn commit(database: &Database, after: u64, entries: &[Entry]) -> Result<(), Trouble> {
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        let revision = number(&meta, REVISION)?;
        if revision != after {
            return Err(Trouble::Conflict(revision));
        }
        let Some(last) = entries.last() else { return Ok(()) };
        let mut rows = transaction.open_table(ROWS)?;
        let mut log = transaction.open_table(LOG)?;
        for (expected, entry) in (after + 1..).zip(entries) {
            if entry.revision != expected {
                let found = entry.revision;
                return Err(Trouble::Refused(format!("an entry has revision {found} instead of {expected}")));
            }
            for change in &entry.rows {
                set(&mut rows, &change.key, change.after.as_ref())?;
            }
            log.insert(entry.revision, written("log", entry)?.as_str())?;
        }
        meta.insert(REVISION, last.revision.to_string().as_str())?;
        raise(&mut meta, entries.iter().map(|entry| entry.time).max().unwrap_or(last.time))?;
    }
    Ok(transaction.commit()?)
}

fn set(rows: &mut Table<&str, &str>, key: &str, row: Option<&Row>) -> Result<(), Trouble> {
    match row {
        Some(row) if row.key() != key => {
            return Err(Trouble::Refused(format!("the row under {key} is {}", row.key())));
        }
        Some(row) => drop(rows.insert(key, written(key, row)?.as_str())?),
        None => drop(rows.remove(key)?),
    }
    Ok(())
}

/// See [`crate::state::store::Store::watch`].
pub fn watch(database: &Database, after: u64) -> Result<Watched, Trouble> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    if after < number(&meta, FLOOR)? || after > number(&meta, REVISION)? {
        return Ok(Watched::TooOld);
    }
    let mut entries = Vec::new();
    for item in open_log(&transaction)?.range(after + 1..)? {
        let (revision, json) = item?;
        entries.push(parse("log", &revision.value().to_string(), json.value())?);
    }
    Ok(Watched::Entries(entries))
}

/// See [`crate::state::store::Store::log`].
pub fn log(database: &Database, before: u64, limit: usize) -> Result<Vec<Entry>, Trouble> {
    let mut entries = Vec::new();
    for item in open_log(&database.begin_read()?)?.range(..before)?.rev().take(limit) {
        let (revision, json) = item?;
        entries.push(parse("log", &revision.value().to_string(), json.value())?);
    }
    Ok(entries)
}

fn open_log(transaction: &ReadTransaction) -> Result<ReadOnlyTable<u64, &'static str>, Trouble> {
    Ok(transaction.open_table(LOG)?)
}

/// See [`crate::state::store::Store::put_values`]. One phase is enough: the commit before stays safe in the
/// other slot, and the values come again.
pub fn put_values(
    database: &Database,
    values: &BTreeMap<String, Option<String>>,
    now: Time,
) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(VALUES)?;
        for (key, value) in values {
            match value {
                Some(value) => drop(table.insert(key.as_str(), value.as_str())?),
                None => drop(table.remove(key.as_str())?),
            }
        }
        raise(&mut transaction.open_table(META)?, now)?;
    }
    Ok(transaction.commit()?)
}

/// See [`crate::state::store::Store::compact`]. Says how many entries it dropped.
pub fn compact(database: &Database, before: Time, keep: usize) -> Result<usize, Trouble> {
    /// What is needed of an entry.
    #[derive(Deserialize)]
    struct When {
        time: Time,
    }
    let mut dropped = Vec::new();
    let mut kept = 0;
    for item in open_log(&database.begin_read()?)?.iter()?.rev() {
        let (revision, json) = item?;
        let revision = revision.value();
        let When { time } = parse("log", &revision.to_string(), json.value())?;
        match time >= before && kept < keep {
            true => kept += 1,
            false => dropped.push(revision),
        }
    }
    // The newest first: watching goes on from there.
    let Some(newest) = dropped.first() else { return Ok(0) };
    let transaction = begin(database)?;
    {
        let mut log = transaction.open_table(LOG)?;
        for revision in &dropped {
            log.remove(revision)?;
        }
        let mut meta = transaction.open_table(META)?;
        let floor = number(&meta, FLOOR)?.max(*newest);
        meta.insert(FLOOR, floor.to_string().as_str())?;
    }
    transaction.commit()?;
    Ok(dropped.len())
}

/// See [`crate::state::store::Store::replace`].
pub fn replace(database: &Database, contents: &Contents, mut entry: Entry) -> Result<u64, Trouble> {
    let transaction = begin(database)?;
    {
        transaction.delete_table(ROWS)?;
        transaction.delete_table(VALUES)?;
        let mut rows = transaction.open_table(ROWS)?;
        for row in contents.model.rows() {
            set(&mut rows, &row.key(), Some(&row))?;
        }
        let mut values = transaction.open_table(VALUES)?;
        for (key, value) in &contents.values {
            values.insert(key.as_str(), value.as_str())?;
        }
        let mut meta = transaction.open_table(META)?;
        entry.revision = contents.model.revision.max(number(&meta, REVISION)? + 1);
        transaction.open_table(LOG)?.insert(entry.revision, written("log", &entry)?.as_str())?;
        let revision = entry.revision.to_string();
        meta.insert(REVISION, revision.as_str())?;
        meta.insert(FLOOR, revision.as_str())?;
        match contents.newest {
            Some(time) => drop(meta.insert(NEWEST, time.to_string().as_str())?),
            None => drop(meta.remove(NEWEST)?),
        }
    }
    transaction.commit()?;
    Ok(entry.revision)
}

/// Begins a change that must not be lost. With two phases a damaged slot is an error: with one, redb takes it
/// for a commit that was cut short and falls back to the one before, which would lose what was acknowledged.
/// It costs a second sync, some ten times an hour.
fn begin(database: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

fn raise(meta: &mut Table<&str, &str>, time: Time) -> Result<(), Trouble> {
    if newest(meta)?.is_none_or(|newest| newest < time) {
        meta.insert(NEWEST, time.to_string().as_str())?;
    }
    Ok(())
}

fn newest(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Option<Time>, Trouble> {
    let parse = |text: String| text.parse().map_err(|error: jiff::Error| unreadable("meta", NEWEST, &error));
    text(meta, NEWEST)?.map(parse).transpose()
}

fn number(meta: &impl ReadableTable<&'static str, &'static str>, key: &str) -> Result<u64, Trouble> {
    let text = text(meta, key)?.ok_or_else(|| unreadable("meta", key, &"missing"))?;
    text.parse().map_err(|_| unreadable("meta", key, &format!("`{text}` is no number")))
}

fn text(meta: &impl ReadableTable<&'static str, &'static str>, key: &str) -> Result<Option<String>, Trouble> {
    Ok(meta.get(key)?.map(|value| value.value().to_string()))
}

fn parse<T: DeserializeOwned>(table: &'static str, key: &str, json: &str) -> Result<T, Trouble> {
    serde_json::from_str(json).map_err(|error| unreadable(table, key, &error))
}

fn unreadable(table: &'static str, key: &str, why: &(impl ToString + ?Sized)) -> Trouble {
    Trouble::Unreadable { table, key: key.into(), why: why.to_string() }
}

/// As JSON that reads as the same: a weight that is no number would be written and never read again.
fn written<T: serde::Serialize + DeserializeOwned + PartialEq>(
    what: &str,
    value: &T,
) -> Result<String, Trouble> {
    let json = serde_json::to_string(value).map_err(|error| Trouble::Refused(format!("{what}: {error}")))?;
    match serde_json::from_str::<T>(&json) {
        Ok(read) if read == *value => Ok(json),
        Ok(_) => Err(Trouble::Refused(format!("{what}: it would not read as what it is"))),
        Err(error) => Err(Trouble::Refused(format!("{what}: {error}"))),
    }
}
