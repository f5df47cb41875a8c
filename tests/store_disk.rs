//! The store in a file, on disks that lose power, fill up or break.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use rhumb::state::model::{Entry, Model};
use rhumb::state::store::embedded::{Embedded, OpenError};
use rhumb::state::store::{CommitError, Contents, Store, StoreError};

use support::disk::{Disk, Health};
use support::entries::{DISK, drain, drains, entry, new_disk, open, time};

/// What a caller knows: what was acknowledged, and what may have happened too because nobody said that it did
/// not.
#[derive(Clone, Default)]
struct Known {
    acknowledged: Contents,
    attempted: Option<Contents>,
}

impl Known {
    /// Does one of the things that servers do. Says whether it worked.
    fn act(&mut self, store: &mut Embedded, rng: &mut Rng) -> bool {
        let mut next = self.acknowledged.clone();
        let revision = next.model.revision;
        let pop = |rng: &mut Rng| format!("pop{}", rng.u8(..20));
        let done = match rng.u8(..10) {
            0..6 => {
                let group: Vec<Entry> = (revision + 1..=revision + rng.u64(1..=4))
                    .map(|at| entry(at, &[drain(&pop(rng), at)], &[&format!("drain/ops:{}", pop(rng))]))
                    .collect();
                group.iter().for_each(|entry| next.model.apply(entry));
                next.newest = next.newest.max(group.last().map(|entry| entry.time));
                self.attempted = Some(next);
                store.commit(revision, &group).is_ok()
            }
            6..8 => {
                let values = (0..rng.u8(1..30)).map(|_| {
                    let value = rng.bool().then(|| rng.u64(..).to_string());
                    (pop(rng), value)
                });
                let values: BTreeMap<String, Option<String>> = values.collect();
                for (key, value) in values.clone() {
                    match value {
                        Some(value) => drop(next.values.insert(key, value)),
                        None => drop(next.values.remove(&key)),
                    }
                }
                next.newest = next.newest.max(Some(time(revision)));
                self.attempted = Some(next);
                store.put_values(&values, time(revision)).is_ok()
            }
            _ => {
                self.attempted = Some(next);
                store.compact(time(0), rng.usize(..350)).is_ok()
            }
        };
        if done {
            self.acknowledged = self.attempted.take().expect("it was attempted");
        }
        done
    }

    /// What is there is what was acknowledged, or that and the whole of what was attempted. The log leads there.
    #[track_caller]
    fn check(&mut self, store: &mut Embedded, what: &str) {
        let found = store.read().unwrap();
        let is_known = found == self.acknowledged || self.attempted.as_ref() == Some(&found);
        assert!(is_known, "{what}: acknowledged {:?}, found {found:?}", self.acknowledged);
        for (entry, expect) in
            store.log(u64::MAX, 1_000).unwrap().iter().zip((1..=found.model.revision).rev())
        {
            assert_eq!(entry.revision, expect, "{what}");
        }
        *self = Known { acknowledged: found, attempted: None };
    }
}

/// A store that has lived a little.
fn lived(rng: &mut Rng) -> (Disk, Known) {
    let disk = new_disk();
    let mut known = Known::default();
    let mut store = open(&disk).unwrap();
    let list: Vec<Entry> =
        (1..=300).map(|revision| drains(&format!("pop{}", revision % 20), revision)).collect();
    store.commit(0, &list).unwrap();
    known.acknowledged = store.read().unwrap();
    for _ in 0..5 {
        assert!(known.act(&mut store, rng));
    }
    drop(store);
    (disk, known)
}

/// Each loses power up to three times.
const CUT_DISKS: u64 = 200;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let (template, known) = lived(&mut Rng::with_seed(1));
    let (mut cuts, mut attempted) = (0, 0);
    for seed in 0..CUT_DISKS {
        let mut rng = Rng::with_seed(seed);
        let mut known = known.clone();
        let disk = Disk::new(template.bytes());
        // Several in a row: repairing may be cut short too.
        for round in 0..3 {
            disk.cut_after(rng.u64(1..120), rng.fork());
            if let Ok(mut store) = open(&disk) {
                for _ in 0..12 {
                    if disk.is_off() || !known.act(&mut store, &mut rng) {
                        break;
                    }
                }
            } else {
                assert!(disk.is_off(), "seed {seed}, round {round}: only the cut may stop it");
            }
            cuts += usize::from(disk.is_off());
            disk.power_on();
            let before = known.acknowledged.clone();
            let mut store = open(&disk).unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
            known.check(&mut store, &format!("seed {seed}, round {round}"));
            attempted += usize::from(known.acknowledged != before);
        }
        let mut store = open(&disk).unwrap();
        assert!(known.act(&mut store, &mut rng), "seed {seed}: life goes on");
    }
    eprintln!("{cuts} cuts; {attempted} times what nobody had acknowledged was there");
    assert!(cuts > 400 && attempted > 20, "{cuts} {attempted}");
}

/// What a server asks of a store, each from the same state to another one.
type Call = (&'static str, fn(&mut Embedded, &Contents) -> Result<(), StoreError>);

const CALLS: [Call; 4] = [
    ("commit", |store, known| {
        let revision = known.model.revision;
        let group = [drains("rome", revision + 1), drains("oslo", revision + 2)];
        store.commit(revision, &group).map_err(|error| match error {
            CommitError::Store(error) => error,
            CommitError::Conflict(newest) => panic!("{revision} conflicts with {newest}"),
        })
    }),
    ("put_values", |store, known| {
        store.put_values(&[("rome".to_string(), Some("1".to_string()))].into(), time(known.model.revision))
    }),
    ("compact", |store, _| store.compact(time(0), 2)),
    ("replace", |store, known| {
        let mut model = Model { revision: known.model.revision + 1, ..Model::default() };
        model.set("drain/ops:rome", Some(drain("rome", 1)));
        store.replace(&Contents { model, ..Contents::default() }, entry(0, &[], &[])).map(drop)
    }),
];

/// Runs each call on a disk of its own, with something happening to it at each of the call's operations, and
/// holds what is there afterwards against before and after.
fn at_every_moment(happens: impl Fn(&Disk, u64), is_over: impl Fn(&Disk, Embedded) -> Embedded) {
    let (template, known) = lived(&mut Rng::with_seed(5));
    let before = known.acknowledged;
    for (name, call) in CALLS {
        let disk = Disk::new(template.bytes());
        let mut store = open(&disk).unwrap();
        let from = disk.operations();
        call(&mut store, &before).unwrap();
        let operations = disk.operations() - from;
        let after = store.read().unwrap();
        let (mut earlier, mut later) = (0, 0);
        for at in 1..=operations {
            let disk = Disk::new(template.bytes());
            let mut store = open(&disk).unwrap();
            happens(&disk, at);
            let result = call(&mut store, &before);
            let mut store = is_over(&disk, store);
            let found = store.read().unwrap();
            let what = format!("{name}, {at} of {operations}");
            match result {
                Ok(()) => assert!(found == after, "{what}: acknowledged, and not there"),
                Err(StoreError::Unavailable(_)) => {
                    assert!(found == before || found == after, "{what}: a part")
                }
                Err(error) => panic!("{what}: {error}"),
            }
            earlier += usize::from(found == before);
            later += usize::from(found == after);
            let revision = found.model.revision;
            store.commit(revision, &[drains("paris", revision + 1)]).unwrap();
        }
        eprintln!("{name}: {operations} moments, {earlier} times as before, {later} times done");
    }
}

#[test]
fn the_power_goes_at_every_moment() {
    for seed in 0..2 {
        at_every_moment(
            |disk, at| disk.cut_after(at, Rng::with_seed(seed * 1_000 + at)),
            |disk, store| {
                drop(store);
                disk.power_on();
                open(disk).unwrap()
            },
        );
    }
}

/// Nothing is opened again here: the store does it by itself.
#[test]
fn the_disk_fails_at_every_moment() {
    for health in [Health::Full, Health::Broken] {
        at_every_moment(
            |disk, at| disk.fall_ill_after(at, health),
            |disk, store| {
                disk.set_health(Health::Well);
                store
            },
        );
    }
}

/// A disk that does not work for a while: what is known stays readable as long as the disk reads, and nobody
/// has to restart anything.
#[test]
fn a_full_disk_is_no_end() {
    for (health, reads) in [(Health::Full, true), (Health::Broken, false)] {
        let (disk, mut known) = lived(&mut Rng::with_seed(2));
        let mut store = open(&disk).unwrap();
        for round in 0..3 {
            let what = format!("{health:?} {round}");
            let revision = known.acknowledged.model.revision;
            let next = drains("full", revision + 1);
            disk.set_health(health);
            for _ in 0..2 {
                let error = store.commit(revision, std::slice::from_ref(&next)).unwrap_err();
                assert!(matches!(error, CommitError::Store(StoreError::Unavailable(_))), "{what}: {error}");
                let error = store.put_values(&BTreeMap::new(), time(1)).unwrap_err();
                assert!(matches!(error, StoreError::Unavailable(_)), "{what}: {error}");
                match store.read() {
                    Ok(found) => assert!(reads && found == known.acknowledged, "{what}"),
                    Err(error) => {
                        assert!(!reads && matches!(error, StoreError::Unavailable(_)), "{what}: {error}");
                    }
                }
                assert_eq!(store.log(u64::MAX, 1).is_ok(), reads, "{what}");
                assert_eq!(store.watch(revision).is_ok(), reads, "{what}");
            }
            // A server that starts now comes up with what it can read.
            match open(&disk) {
                Ok(mut other) => assert!(reads && other.read().unwrap() == known.acknowledged, "{what}"),
                Err(error) => {
                    assert!(!reads && matches!(error, OpenError::Unavailable(_)), "{what}: {error}")
                }
            }
            disk.set_health(Health::Well);
            store.commit(revision, std::slice::from_ref(&next)).unwrap();
            known.acknowledged.model.apply(&next);
            known.acknowledged.newest = known.acknowledged.newest.max(Some(next.time));
            assert_eq!(store.read().unwrap(), known.acknowledged, "{what}");
        }
        drop(store);
        assert_eq!(open(&disk).unwrap().read().unwrap(), known.acknowledged);
    }
}

#[test]
fn a_store_is_not_made_over_another() {
    let disk = new_disk();
    assert!(matches!(Embedded::create_with(Path::new(DISK), disk), Err(OpenError::Unavailable(_))));
    assert_eq!(open(&new_disk()).unwrap().read().unwrap().model, Model::default());
}
