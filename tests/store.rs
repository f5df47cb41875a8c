//! What every store does, run over each backend; and what the one in a file does with its file.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rhumb::state::model::{Entry, Model, Split, Time};
use rhumb::state::store::embedded::{Embedded, OpenError};
use rhumb::state::store::{CommitError, Contents, Store, StoreError, Watched, backup};

use support::Folder;
use support::entries::{drain, drains, entries, entry, new_disk, open, time};

/// A fresh store: what makes handles to it, each as good as a server of its own.
type Handles<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// What a store does, in words and in a function that holds it to them.
type Behaviour = (&'static str, fn(Handles));

/// Each gets a store where nothing was ever written.
const SUITE: [Behaviour; 11] = [
    ("a new store is empty", is_empty),
    ("what is committed is read by everybody", commits),
    ("a stale commit conflicts and changes nothing", conflicts),
    ("several entries are committed together or not at all", all_or_none),
    ("writers race, and none overwrites another", race),
    ("a watch has everybody's entries in order", watches),
    ("values come, change and go without a revision", values),
    ("the newest time rises and never falls", newest),
    ("the log is read in pages, the newest first", pages),
    ("compaction drops entries and keeps rows", compacts),
    ("everything is replaced at once", replaces),
];

/// Several hands on one store in a file: in a server, one thread has it.
struct Shared(Arc<Mutex<Embedded>>);

impl Store for Shared {
    fn read(&mut self) -> Result<Contents, StoreError> {
        self.0.lock().unwrap().read()
    }
    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError> {
        self.0.lock().unwrap().commit(after, entries)
    }
    fn watch(&mut self, after: u64) -> Result<Watched, StoreError> {
        self.0.lock().unwrap().watch(after)
    }
    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.lock().unwrap().log(before, limit)
    }
    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError> {
        self.0.lock().unwrap().put_values(values, now)
    }
    fn compact(&mut self, before: Time, keep: usize) -> Result<(), StoreError> {
        self.0.lock().unwrap().compact(before, keep)
    }
    fn back_up(&mut self, now: Time) -> Result<(), StoreError> {
        self.0.lock().unwrap().back_up(now)
    }
    fn replace(&mut self, contents: &Contents, entry: Entry) -> Result<u64, StoreError> {
        self.0.lock().unwrap().replace(contents, entry)
    }
}

fn run_suite(fresh: impl Fn() -> Embedded) {
    for (name, behaves) in SUITE {
        eprintln!("{name}");
        let store = Arc::new(Mutex::new(fresh()));
        behaves(&|| Box::new(Shared(store.clone())));
    }
}

#[test]
fn the_store_in_a_file_behaves() {
    let folder = Folder::new();
    let count = std::cell::Cell::new(0);
    run_suite(|| {
        count.set(count.get() + 1);
        Embedded::open(&folder.path().join(format!("{}.redb", count.get()))).unwrap()
    });
}

#[test]
fn the_store_on_a_disk_in_memory_behaves() {
    run_suite(|| open(&new_disk()).unwrap());
}

fn is_empty(handles: Handles) {
    let mut store = handles();
    assert_eq!(store.read().unwrap(), Contents::default());
    assert_eq!(entries(store.watch(0).unwrap()), []);
    assert_eq!(store.log(u64::MAX, 10).unwrap(), []);
    store.commit(0, &[]).unwrap();
    assert_eq!(store.commit(3, &[]), Err(CommitError::Conflict(0)));
}

fn commits(handles: Handles) {
    let mut store = handles();
    let split = Split {
        pool: "wss".into(),
        pop: "tokyo".into(),
        weights: [("haproxy".to_string(), 0.1), ("envoy".to_string(), 72.297_345_817_209_87)].into(),
        owner: "ops".into(),
        since: time(2),
        revision: 2,
    };
    let list = [
        drains("dublin", 1),
        entry(2, &[rhumb::state::model::Row::Split(split)], &[]),
        entry(3, &[drain("tokyo", 3)], &["drain/ops:dublin", "drain/never:was"]),
    ];
    let mut model = Model::default();
    for entry in &list {
        store.commit(entry.revision - 1, std::slice::from_ref(entry)).unwrap();
        model.apply(entry);
        let expect = Contents { model: model.clone(), values: [].into(), newest: Some(entry.time) };
        assert_eq!(handles().read().unwrap(), expect);
    }
    assert_eq!(model.drains.size(), 1);
}

fn conflicts(handles: Handles) {
    let (mut one, mut other) = (handles(), handles());
    one.commit(0, &[drains("dublin", 1)]).unwrap();
    let before = one.read().unwrap();
    assert_eq!(other.commit(0, &[drains("tokyo", 1)]), Err(CommitError::Conflict(1)));
    assert_eq!(other.commit(7, &[drains("tokyo", 8)]), Err(CommitError::Conflict(1)));
    assert_eq!(one.read().unwrap(), before);
    other.commit(1, &[drains("tokyo", 2)]).unwrap();
    assert_eq!(one.commit(1, &[drains("paris", 2)]), Err(CommitError::Conflict(2)));
}

fn all_or_none(handles: Handles) {
    let mut store = handles();
    store.commit(0, &[drains("dublin", 1), drains("tokyo", 2), drains("paris", 3)]).unwrap();
    let before = store.read().unwrap();
    assert_eq!(before.model.drains.size(), 3);
    let mut misplaced = drains("oslo", 5);
    misplaced.rows[0].key = "drain/elsewhere".into();
    let rome = rhumb::state::model::Row::Split(Split {
        pool: "wss".into(),
        pop: "rome".into(),
        weights: [("envoy".to_string(), f64::NAN)].into(),
        owner: "ops".into(),
        since: time(5),
        revision: 5,
    });
    let wrong = [drains("oslo", 6), misplaced, entry(5, &[rome], &[])];
    for wrong in wrong {
        let got = store.commit(3, &[drains("oslo", 4), wrong.clone()]);
        assert!(matches!(got, Err(CommitError::Store(StoreError::Corrupt(_)))), "{wrong:?}: {got:?}");
        assert_eq!(store.read().unwrap(), before);
        assert_eq!(entries(store.watch(3).unwrap()), []);
    }
    store.commit(3, &[drains("oslo", 4)]).unwrap();
}

fn race(handles: Handles) {
    const EACH: usize = 15;
    let work = |mut store: Box<dyn Store>, pop: &'static str| {
        let mut revision = 0;
        for _ in 0..EACH {
            loop {
                match store.commit(revision, &[drains(pop, revision + 1)]) {
                    Ok(()) => break,
                    Err(CommitError::Conflict(newest)) => revision = newest,
                    Err(error) => panic!("{error}"),
                }
            }
            revision += 1;
        }
    };
    std::thread::scope(|scope| {
        for pop in ["dublin", "tokyo", "paris"] {
            let store = handles();
            scope.spawn(move || work(store, pop));
        }
    });
    let all = entries(handles().watch(0).unwrap());
    assert_eq!(all.iter().map(|entry| entry.revision).collect::<Vec<_>>(), (1..=45).collect::<Vec<_>>());
    for pop in ["dublin", "tokyo", "paris"] {
        let is_his = |entry: &&Entry| entry.rows[0].key == format!("drain/ops:{pop}");
        assert_eq!(all.iter().filter(is_his).count(), EACH);
    }
    let mut model = Model::default();
    all.iter().for_each(|entry| model.apply(entry));
    assert_eq!(handles().read().unwrap().model, model);
}

fn watches(handles: Handles) {
    let (mut one, mut other) = (handles(), handles());
    let list = [drains("dublin", 1), drains("tokyo", 2), entry(3, &[], &["drain/ops:dublin"])];
    one.commit(0, &list[..1]).unwrap();
    other.commit(1, &list[1..]).unwrap();
    for after in 0..=3 {
        assert_eq!(entries(one.watch(after).unwrap()), list[after as usize..]);
        assert_eq!(entries(other.watch(after).unwrap()), list[after as usize..]);
    }
    assert_eq!(one.watch(4).unwrap(), Watched::TooOld, "a revision that never was");
}

fn values(handles: Handles) {
    let (mut one, mut other) = (handles(), handles());
    let put = |list: &[(&str, Option<&str>)]| -> BTreeMap<String, Option<String>> {
        list.iter().map(|(key, value)| (key.to_string(), value.map(String::from))).collect()
    };
    let got = |store: &mut Box<dyn Store>| -> Vec<(String, String)> {
        store.read().unwrap().values.into_iter().collect()
    };
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    one.put_values(&put(&[("a", Some("1")), ("b", Some("2"))]), time(1)).unwrap();
    assert_eq!(got(&mut other), [pair("a", "1"), pair("b", "2")]);
    other.put_values(&put(&[("a", Some("3")), ("b", None), ("never", None)]), time(2)).unwrap();
    assert_eq!(got(&mut one), [pair("a", "3")]);
    assert_eq!(one.read().unwrap().model, Model::default());
    assert_eq!(entries(one.watch(0).unwrap()), []);
    one.commit(0, &[drains("dublin", 1)]).unwrap();
    assert_eq!(got(&mut other), [pair("a", "3")]);
}

fn newest(handles: Handles) {
    let mut store = handles();
    let none = BTreeMap::new();
    let newest = || handles().read().unwrap().newest;
    assert_eq!(newest(), None);
    store.put_values(&none, time(5)).unwrap();
    assert_eq!(newest(), Some(time(5)));
    store.commit(0, &[drains("dublin", 1)]).unwrap();
    assert_eq!(newest(), Some(time(5)));
    store.put_values(&none, time(4)).unwrap();
    assert_eq!(newest(), Some(time(5)));
    let late = Entry { time: time(9), ..drains("tokyo", 2) };
    store.commit(1, &[late, drains("paris", 3)]).unwrap();
    assert_eq!(newest(), Some(time(9)));
}

fn pages(handles: Handles) {
    let mut store = handles();
    let list: Vec<Entry> = (1..=10).map(|revision| drains("dublin", revision)).collect();
    store.commit(0, &list).unwrap();
    let mut check = |before: u64, limit: usize, expect: &[u64]| {
        let page = store.log(before, limit).unwrap();
        let expect: Vec<Entry> = expect.iter().map(|at| list[*at as usize - 1].clone()).collect();
        assert_eq!(page, expect, "before {before}, at most {limit}");
    };
    check(u64::MAX, 3, &[10, 9, 8]);
    check(8, 3, &[7, 6, 5]);
    check(3, 3, &[2, 1]);
    check(1, 3, &[]);
    check(0, 3, &[]);
    check(11, 0, &[]);
}

fn compacts(handles: Handles) {
    let mut store = handles();
    let list: Vec<Entry> = (1..=10).map(|revision| drains(&format!("pop{revision}"), revision)).collect();
    store.commit(0, &list).unwrap();
    let contents = store.read().unwrap();
    let mut check = |before: Time, keep: usize, left: std::ops::RangeInclusive<u64>| {
        store.compact(before, keep).unwrap();
        let revisions = |entries: Vec<Entry>| entries.iter().map(|entry| entry.revision).collect::<Vec<_>>();
        let mut log = revisions(store.log(u64::MAX, 100).unwrap());
        log.reverse();
        assert_eq!(log, left.clone().collect::<Vec<_>>());
        assert_eq!(store.read().unwrap(), contents);
        assert_eq!(revisions(entries(store.watch(left.start() - 1).unwrap())), log);
        if *left.start() > 1 {
            assert_eq!(store.watch(left.start() - 2).unwrap(), Watched::TooOld);
        }
        assert_eq!(entries(store.watch(10).unwrap()), []);
    };
    check(time(0), 100, 1..=10);
    check(time(4), 100, 4..=10);
    check(time(4), 3, 8..=10);
    check(time(0), 100, 8..=10);
    #[expect(clippy::reversed_empty_ranges, reason = "no entry is left")]
    check(time(100), 100, 11..=10);
    store.commit(10, &[drains("oslo", 11)]).unwrap();
    assert_eq!(entries(store.watch(10).unwrap()).len(), 1);
}

fn replaces(handles: Handles) {
    let (mut store, mut other) = (handles(), handles());
    let one = |key: &str| [(key.to_string(), Some("1".to_string()))].into();
    store.commit(0, &[drains("dublin", 1), drains("tokyo", 2)]).unwrap();
    store.put_values(&one("old"), time(50)).unwrap();
    let mut model = Model { revision: 1, ..Model::default() };
    model.set("drain/ops:paris", Some(drain("paris", 1)));
    let values: BTreeMap<String, String> = [("new".to_string(), "2".to_string())].into();
    let mut contents = Contents { model, values, newest: Some(time(3)) };

    // Older than what is there: it becomes the next revision.
    let import = Entry { action: "imported".into(), ..entry(0, &[], &[]) };
    assert_eq!(store.replace(&contents, import.clone()), Ok(3));
    contents.model.revision = 3;
    assert_eq!(other.read().unwrap(), contents);
    assert_eq!(other.watch(2).unwrap(), Watched::TooOld);
    assert_eq!(entries(other.watch(3).unwrap()), []);
    let log = other.log(u64::MAX, 10).unwrap();
    assert_eq!(log.len(), 3, "who did what is still known");
    assert_eq!(log[0], Entry { revision: 3, ..import.clone() });
    assert_eq!(other.commit(2, &[drains("oslo", 3)]), Err(CommitError::Conflict(3)));

    // Ahead of it: the revision is taken over.
    contents.model.revision = 90;
    contents.newest = None;
    assert_eq!(store.replace(&contents, import), Ok(90));
    assert_eq!(other.read().unwrap(), contents);
    other.commit(90, &[drains("oslo", 91)]).unwrap();
    assert_eq!(entries(store.watch(90).unwrap()).len(), 1);
    assert_eq!(store.watch(89).unwrap(), Watched::TooOld);
}

#[test]
fn a_restart_keeps_everything() {
    let folder = Folder::new();
    let path = folder.path().join("a/new/folder/state.redb");
    let mut store = Embedded::open(&path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    store.commit(0, &[drains("dublin", 1), drains("tokyo", 2)]).unwrap();
    store.put_values(&[("a".to_string(), Some("1".to_string()))].into(), time(7)).unwrap();
    store.compact(time(2), 10).unwrap();
    let all = |store: &mut Embedded| {
        (store.read().unwrap(), store.watch(1).unwrap(), store.watch(0).unwrap(), store.log(9, 9).unwrap())
    };
    let before = all(&mut store);
    drop(store);
    assert_eq!(all(&mut Embedded::open(&path).unwrap()), before);
}

/// What cannot be a store's place is said in words that help.
#[test]
fn places_where_no_store_can_be() {
    let folder = Folder::new();
    folder.write("file", "");
    let check = |place: &str, expect: &str| {
        let error = Embedded::open(&folder.path().join(place)).err().expect(place).to_string();
        assert!(error.contains(place) && error.contains(expect), "{place}: {error}");
    };
    check("", "is a folder");
    check("file", "it is empty");
    check("file/state.redb", "is a file, not a folder");
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    check("link", "there is something already");
    // A first start that was cut short is begun again.
    folder.write("new.redb.new", "half of it");
    Embedded::open(&folder.path().join("new.redb")).unwrap().commit(0, &[drains("dublin", 1)]).unwrap();
    assert!(!folder.path().join("new.redb.new").exists());
}

#[test]
fn a_second_process_is_told() {
    let folder = Folder::new();
    let path = folder.path().join("state.redb");
    let _first = Embedded::open(&path).unwrap();
    let second = Embedded::open(&path).err().unwrap();
    assert!(
        matches!(&second, OpenError::Unavailable(words) if words.contains("another process")),
        "{second}"
    );
}

/// Twenty thousand entries, as a server writes and compacts them for years: the file stays small.
#[test]
fn the_file_does_not_grow() {
    let disk = new_disk();
    let mut store = open(&disk).unwrap();
    let mut largest = 0;
    for from in (0..20_000).step_by(500) {
        let list: Vec<Entry> = (from + 1..=from + 500).map(|at| drains("dublin", at)).collect();
        store.commit(from, &list).unwrap();
        store.compact(time(0), 1_000).unwrap();
        largest = largest.max(disk.bytes().len());
    }
    let last = disk.bytes().len();
    eprintln!("at most {largest} bytes, {last} at the end");
    assert!(largest < 4 << 20 && last < 2 << 20, "{largest} {last}");
    assert_eq!(store.log(u64::MAX, 20_000).unwrap().len(), 1_000);
}

#[test]
fn a_backup_has_everything_but_the_log() {
    let folder = Folder::new();
    let path = folder.path().join("state.redb");
    let mut store = Embedded::open(&path).unwrap();
    assert!(matches!(backup::read_backup(&path), Err(StoreError::Unavailable(_))));
    store.commit(0, &[drains("dublin", 1)]).unwrap();
    store.back_up(time(70)).unwrap();
    let first = store.read().unwrap();
    assert_eq!(backup::read_backup(&path).unwrap(), (first.clone(), time(70)));
    store.put_values(&[("a".to_string(), Some("1".to_string()))].into(), time(7)).unwrap();
    store.commit(1, &[drains("tokyo", 2)]).unwrap();
    store.back_up(time(80)).unwrap();
    let second = store.read().unwrap();
    assert_eq!(backup::read_backup(&path).unwrap().0, second);
    let [newer, older] = backup::copies(&path);
    assert_eq!(fs::metadata(&newer).unwrap().permissions().mode() & 0o777, 0o600);

    // A crash between the two renames; then a newer copy that was damaged; then both.
    let saved = fs::read(&newer).unwrap();
    fs::remove_file(&newer).unwrap();
    assert_eq!(backup::read_backup(&path).unwrap().0, first);
    fs::write(&newer, &saved[..saved.len() / 2]).unwrap();
    assert_eq!(backup::read_backup(&path).unwrap().0, first);
    fs::write(&older, "{\"format\": 2}").unwrap();
    let error = backup::read_backup(&path).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(words) if words.contains("format 2")), "{error}");
    // A crash while the copy was written; the next one works all the same.
    fs::write(folder.path().join("state.redb.backup.new"), "{\"form").unwrap();
    store.back_up(time(90)).unwrap();
    assert_eq!(backup::read_backup(&path).unwrap().0, second);

    // The file is gone: that is no first start, whichever copy is left.
    drop(store);
    fs::remove_file(&path).unwrap();
    assert!(matches!(Embedded::open(&path), Err(OpenError::Missing { backup, .. }) if backup == newer));
    fs::remove_file(&newer).unwrap();
    assert!(matches!(Embedded::open(&path), Err(OpenError::Missing { backup, .. }) if backup == older));
    assert!(!path.exists());
    let mut restored = Embedded::create(&path).unwrap();
    let revision = restored.replace(&second, entry(0, &[], &[])).unwrap();
    assert_eq!((revision, restored.read().unwrap()), (second.model.revision, second.clone()));
    drop(restored);
    assert!(matches!(Embedded::create(&path), Err(OpenError::Unavailable(_))), "it is there already");
    assert_eq!(Embedded::open(&path).unwrap().read().unwrap(), second);
}
