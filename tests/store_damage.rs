//! The store in a file that has rotted, was cut off, or was written by something else.

mod support;

use std::panic::PanicHookInfo;

use fastrand::Rng;
use rhumb::state::model::Entry;
use rhumb::state::store::embedded::OpenError;
use rhumb::state::store::{Contents, Store, StoreError};

use support::disk::{Disk, Health};
use support::entries::{DISK, drains, entries, new_disk, open};

/// What of a file is redb's own header.
const HEADER_BYTES: usize = 320;

#[test]
fn the_words_say_what_to_do() {
    let disk = new_disk();
    let mut store = open(&disk).unwrap();
    disk.set_health(Health::Full);
    let error = store.commit(0, &[drains("dublin", 1)]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{DISK}: ")) && error.contains("make room"), "{error}");
    let check = |bytes: &[u8], words: &str| {
        let error = open(&Disk::new(bytes.to_vec())).err().expect(words);
        assert!(matches!(&error, OpenError::Corrupt(_)), "{error}");
        let error = error.to_string();
        assert!(error.starts_with(&format!("{DISK}: ")) && error.contains(words), "{error}");
        assert!(error.contains("rhumb state import"), "{error}");
    };
    check(b"", "it is empty");
    check(b"# rhumb.toml, by mistake\n", "Not a redb database");
    check(&[0; 100_000], "Not a redb database");
}

/// Another program's redb file is no store, and neither is a later version's; a row that cannot be read is
/// named.
#[test]
fn what_another_wrote_is_named() {
    use redb::{Database, TableDefinition};
    let text = |table: &'static str| TableDefinition::<&str, &str>::new(table);
    let check = |change: &dyn Fn(&Database), expect: &str| {
        let disk = new_disk();
        let database = Database::builder().create_with_backend(disk.clone()).unwrap();
        change(&database);
        drop(database);
        let got = match open(&disk) {
            Err(OpenError::Corrupt(words)) => format!("corrupt: {words}"),
            Err(OpenError::Format(words)) => format!("format: {words}"),
            Err(error) => format!("other: {error}"),
            Ok(mut store) => match (store.read(), store.log(u64::MAX, 9)) {
                (Err(StoreError::Corrupt(words)), _) | (_, Err(StoreError::Corrupt(words))) => words,
                other => format!("{other:?}"),
            },
        };
        assert!(got.contains(expect), "{got}\nhas not: {expect}");
    };
    let put = |table: &'static str, key: &'static str, value: &'static str| {
        move |database: &Database| {
            let transaction = database.begin_write().unwrap();
            transaction.open_table(text(table)).unwrap().insert(key, value).unwrap();
            transaction.commit().unwrap();
        }
    };
    check(
        &put("meta", "format", "2"),
        &format!("format: {DISK}: this file has format 2, and this rhumb knows format 1 alone"),
    );
    check(&put("meta", "revision", "many"), "table meta, key `revision`: `many` is no number");
    check(&put("meta", "newest", "now"), "table meta, key `newest`: ");
    check(&put("rows", "drain/x", "{"), "table rows, key `drain/x`: EOF");
    check(
        &put("rows", "drain/x", r#"{"kind": "feast"}"#),
        "table rows, key `drain/x`: unknown variant `feast`",
    );
    let token = r#"{"kind": "token", "name": "ci", "hash": "00", "role": "read", "created_at": "2026-01-01T00:00:00Z"}"#;
    check(&put("rows", "token/other", token), "table rows, key `token/other`: the row in it is token/ci");
    let drop_meta = |database: &Database| {
        let transaction = database.begin_write().unwrap();
        assert!(transaction.delete_table(text("meta")).unwrap());
        transaction.commit().unwrap();
    };
    check(&drop_meta, &format!("corrupt: {DISK}: Table 'meta' does not exist"));
    let bad_entry = |database: &Database| {
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, &str>::new("log")).unwrap().insert(7, "[]").unwrap();
        transaction.commit().unwrap();
    };
    check(&bad_entry, "table log, key `7`: ");
}

/// Reads everything there is, in every way.
fn read_all(disk: &Disk) -> Result<(Contents, Vec<Entry>), String> {
    let mut store = match open(disk) {
        Ok(store) => store,
        Err(error @ OpenError::Corrupt(_)) => return Err(error.to_string()),
        Err(error) => panic!("not called corrupt: {error}"),
    };
    let corrupt = |error: StoreError| match error {
        StoreError::Corrupt(words) => words,
        error => panic!("not called corrupt: {error}"),
    };
    let contents = store.read().map_err(corrupt)?;
    let log = store.log(u64::MAX, usize::MAX).map_err(corrupt)?;
    assert_eq!(entries(store.watch(0).map_err(corrupt)?).len(), log.len());
    Ok((contents, log))
}

/// A file of a store that was closed properly, or of one that was killed.
fn file(is_closed: bool) -> (Vec<u8>, (Contents, Vec<Entry>)) {
    let disk = new_disk();
    let mut store = open(&disk).unwrap();
    for revision in 1..=60 {
        store.commit(revision - 1, &[drains(&format!("pop{}", revision % 7), revision)]).unwrap();
    }
    let killed = disk.bytes();
    drop(store);
    let bytes = if is_closed { disk.bytes() } else { killed };
    let all = read_all(&Disk::new(bytes.clone())).unwrap();
    assert_eq!((all.0.model.revision, all.1.len()), (60, 60));
    (bytes, all)
}

/// The byte of redb's header that says which of its two commit slots is in force (redb, docs/design.md).
const GOD_BYTE: usize = 9;

/// The one bit that nothing covers: of the file of a store that was killed it is also what a cut between the
/// two phases of a commit leaves, and the commit before, which is whole, is taken. In a file that was closed
/// both slots hold the same.
const UNPROTECTED: (usize, u32) = (GOD_BYTE, 0);

#[test]
fn a_damaged_file_is_whole_or_called_corrupt() {
    // redb's debug checks panic over damage; we know, and thousands of backtraces tell nobody anything.
    let ours = std::thread::current().id();
    let usual = std::panic::take_hook();
    let others = move |info: &PanicHookInfo| {
        if std::thread::current().id() != ours {
            usual(info);
        }
    };
    std::panic::set_hook(Box::new(others));
    let mut rng = Rng::with_seed(3);
    let (mut whole, mut corrupt, mut wrong) = (0, 0, Vec::new());
    for is_closed in [true, false] {
        let (bytes, all) = file(is_closed);
        let mut check =
            |damaged: Vec<u8>, what: String| match std::panic::catch_unwind(|| read_all(&Disk::new(damaged)))
            {
                Ok(Ok(found)) if found == all => whole += 1,
                Ok(Err(_)) => corrupt += 1,
                Ok(Ok(found)) => {
                    wrong.push(format!("{what}, closed {is_closed}: revision {}", found.0.model.revision))
                }
                Err(panic) => {
                    let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    wrong.push(format!("{what}, closed {is_closed}: a panic: {words}"));
                }
            };
        let all_bits = (0..8).map(|bit| (GOD_BYTE, bit)).filter(|flip| is_closed || *flip != UNPROTECTED);
        let header: Vec<(usize, u32)> = (0..HEADER_BYTES).map(|at| (at, rng.u32(..8))).collect();
        for (at, bit) in all_bits.chain(header.into_iter().filter(|(at, _)| *at != GOD_BYTE)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            check(damaged, format!("byte {at}, bit {bit}"));
        }
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            let (at, flip) = (rng.usize(..bytes.len()), rng.u8(1..));
            damaged[at] ^= flip;
            check(damaged, format!("byte {at} ^ {flip}"));
        }
        for _ in 0..100 {
            let at = rng.usize(..bytes.len());
            check(bytes[..at].to_vec(), format!("cut to {at}"));
        }
        for _ in 0..100 {
            let mut damaged = bytes.clone();
            let from = rng.usize(..bytes.len());
            let to = damaged.len().min(from + rng.usize(1..20_000));
            damaged[from..to].fill(0);
            check(damaged, format!("{from} to {to} zeroed"));
        }
    }
    let _ = std::panic::take_hook();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{whole} whole, {corrupt} called corrupt");
    assert!(whole > 100 && corrupt > 500, "{whole} {corrupt}");
}
