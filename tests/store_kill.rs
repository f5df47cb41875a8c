//! `kill -9`, a hundred times: whatever a store acknowledged is in its file.
//!
//! The test runs itself once more as a child, which commits and says so until it is killed.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use fastrand::Rng;
use rhumb::state::model::{Entry, Model};
use rhumb::state::store::Store;
use rhumb::state::store::embedded::Embedded;

use support::Folder;
use support::entries::{drains, entries};

/// Names the file to the child.
const FILE: &str = "RHUMB_TEST_STORE";

const KILLS: usize = 100;

/// What the entry of a revision is: the parent knows it too.
fn expected(revision: u64) -> Entry {
    drains(&format!("pop{}", revision % 20), revision)
}

#[test]
fn whatever_was_acknowledged_survives_a_kill() {
    match std::env::var_os(FILE) {
        Some(file) => commit_until_killed(Path::new(&file)),
        None => kill_and_check(),
    }
}

fn commit_until_killed(file: &Path) {
    let mut store = Embedded::open(file).unwrap();
    let mut revision = store.read().unwrap().model.revision;
    eprintln!("opened {revision}");
    loop {
        let group: Vec<Entry> = (revision + 1..=revision + 1 + revision % 3).map(expected).collect();
        store.commit(revision, &group).unwrap();
        revision += group.len() as u64;
        eprintln!("acknowledged {revision}.");
        if revision.is_multiple_of(7) {
            store.put_values(&[("a".to_string(), Some(revision.to_string()))].into(), group[0].time).unwrap();
        }
    }
}

fn kill_and_check() {
    let folder = Folder::new();
    let file = folder.path().join("state.redb");
    let mut rng = Rng::with_seed(4);
    let mut acknowledged = 0;
    let mut unsaid = 0;
    for kill in 0..KILLS {
        let test = "whatever_was_acknowledged_survives_a_kill";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut take = |line: String| {
            // A line without its full stop is one that the kill cut short.
            if let Some(revision) = line.strip_prefix("acknowledged ") {
                acknowledged =
                    revision.strip_suffix('.').map_or(acknowledged, |number| number.parse().unwrap());
            } else {
                assert!("opened ".starts_with(&line) || line.starts_with("opened "), "the child: {line}");
            }
        };
        // None at all is a kill while it starts.
        let begun = Instant::now();
        let seen = lines.by_ref().take(rng.usize(..10)).map(&mut take).count();
        // Then some part of what a commit takes, so that no part of one is spared.
        let commit = begun.elapsed() / (seen as u32 + 1);
        std::thread::sleep(commit.mul_f64(rng.f64()));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        lines.for_each(&mut take);
        // The very first may have died before there was a file.
        let mut store = Embedded::open(&file).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        let contents = store.read().unwrap();
        let revision = contents.model.revision;
        assert!(revision >= acknowledged, "kill {kill}: {revision}, and {acknowledged} was acknowledged");
        let group = acknowledged + 1 + acknowledged % 3;
        assert!(revision == acknowledged || revision == group, "kill {kill}: {revision} is half a group");
        unsaid += usize::from(revision == group);
        let log = entries(store.watch(0).unwrap());
        assert_eq!(log, (1..=revision).map(expected).collect::<Vec<_>>(), "kill {kill}");
        let mut model = Model::default();
        log.iter().for_each(|entry| model.apply(entry));
        assert_eq!(contents.model, model, "kill {kill}");
        acknowledged = revision;
    }
    eprintln!(
        "{KILLS} kills; {acknowledged} revisions; {unsaid} times a commit was there that nobody had told of"
    );
    assert!(acknowledged > KILLS as u64 && unsaid > 0);
}
