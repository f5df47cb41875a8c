//! What the keeper does by itself because time has passed: it copies the store, drops what is old, and accepts a
//! copy of a store that was lost. Time is a value, and nothing waits.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use rhumb::state::change::{Change, DrainAsk, MigrationStep, Refusal};
use rhumb::state::keeper::{self, BeginAnew, Beginning, Done, Kept, Note, State, Wish};
use rhumb::state::model::{Actor, MigrationGuard, Plan, Role, Scope, Time, Token};
use rhumb::state::store::backup::{copies, read_backup};
use rhumb::state::store::embedded::Embedded;
use rhumb::state::store::{Contents, Store, Watched};
use rhumb::state::view::StoreState;
use support::Folder;
use support::breakable::{Breakable, Trouble};
use support::control::Hands;
use tokio::runtime::Runtime;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// `accept_backup_after`.
const ACCEPT_AFTER: u64 = 10 * MINUTE;

/// A keeper and its store in a file.
struct Node {
    folder: Folder,
    hands: Hands,
    trouble: Arc<Mutex<Trouble>>,
    commits: Arc<AtomicUsize>,
    running: Option<(State, JoinHandle<()>)>,
    runtime: Runtime,
}

impl Node {
    fn new() -> Node {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (folder, hands) = (Folder::example(), Hands::default());
        let (trouble, commits) = (Arc::default(), Arc::default());
        let mut node = Node { folder, hands, trouble, commits, running: None, runtime };
        node.start();
        node
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("state/rhumb.redb")
    }

    /// Starts with the store, or with what is left of it.
    fn start(&mut self) {
        let (store, contents) = match Embedded::open(&self.file()) {
            Ok(mut store) => {
                let contents = store.read().unwrap();
                let (trouble, commits) = (self.trouble.clone(), self.commits.clone());
                (Kept::Store(Box::new(Breakable { store, trouble, commits })), contents)
            }
            Err(error) => {
                let (contents, copy_made_at) = match read_backup(&self.file()) {
                    Ok((contents, made_at)) => (contents, Some(made_at)),
                    Err(_) => (Contents::default(), None),
                };
                let file = self.file();
                let begin_anew: BeginAnew = Box::new(move |contents, entry| {
                    let (store, revision) = Embedded::begin_anew(&file, contents, entry)?;
                    Ok((Box::new(store), revision))
                });
                let accept_after = Some(Duration::from_secs(ACCEPT_AFTER));
                (Kept::Damaged { why: error.to_string(), copy_made_at, begin_anew, accept_after }, contents)
            }
        };
        let loaded = self.folder.load().unwrap();
        let clocks = self.hands.clocks();
        let beginning = Beginning { store, contents, loaded, clocks, not_ready: None };
        let (state, _, thread) = keeper::start(beginning).unwrap();
        self.running = Some((state, thread));
    }

    fn stop(&mut self) {
        if let Some((state, thread)) = self.running.take() {
            state.stop();
            thread.join().unwrap();
        }
    }

    /// Stops, loses the file, and starts again with this copy alone.
    fn lose_the_store(&mut self, copy: Option<&[u8]>) {
        self.stop();
        fs::write(self.file(), "no store at all").unwrap();
        let [newer, older] = copies(&self.file());
        let _ = fs::remove_file(older);
        match copy {
            Some(copy) => fs::write(newer, copy).unwrap(),
            None => fs::remove_file(newer).unwrap(),
        }
        self.start();
    }

    fn copy(&self) -> Vec<u8> {
        fs::read(&copies(&self.file())[0]).unwrap()
    }

    fn state(&self) -> &State {
        &self.running.as_ref().unwrap().0
    }

    /// Lets time pass, and the keeper do what is due.
    fn pass(&self, seconds: u64) {
        self.hands.pass(seconds);
        self.settle();
    }

    /// A message through the keeper, and another: everything that the first brought about is done.
    fn settle(&self) {
        for _ in 0..2 {
            self.runtime.block_on(self.state().export()).unwrap();
        }
    }

    fn change(&self, change: Change, volatile: bool) -> Result<Done, Refusal> {
        let actor = Actor { name: "anna".into(), from: "192.0.2.7".into() };
        let wish = Wish { actor, volatile, ..Wish::of_ours("", change, "a drill") };
        let done = self.state().change_blocking(wish);
        self.settle();
        done
    }

    /// Drains a site; the revision.
    fn drain(&self, pop: &str) -> u64 {
        self.change(drain(pop), false).unwrap().revision
    }

    fn accept(&self) {
        self.try_to_accept().unwrap();
    }

    fn try_to_accept(&self) -> Result<(), Refusal> {
        let note = Note {
            actor: Actor { name: "anna".into(), from: "192.0.2.7".into() },
            action: "accepted".into(),
            object: "what is served".into(),
            reason: String::new(),
        };
        self.runtime.block_on(self.state().accept(note))
    }

    fn store_is(&self) -> StoreState {
        self.state().view().store.state
    }

    /// The sites that are drained.
    fn drained(&self) -> Vec<String> {
        let view = self.state().view();
        view.model.drains.values().filter_map(|drain| drain.scope.pop.clone()).collect()
    }

    /// Who did what, by the log, the newest first.
    fn log(&self) -> Vec<String> {
        let log = self.runtime.block_on(self.state().log(u64::MAX, usize::MAX)).unwrap();
        log.iter().map(|entry| format!("{} {} ({})", entry.actor.name, entry.action, entry.reason)).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ask(pop: &str) -> DrainAsk {
    let scope = Scope { pop: Some(pop.into()), ..Scope::default() };
    DrainAsk { scope, percent: 100, starts_at: None, expires_in_s: None, return_steps: None }
}

fn drain(pop: &str) -> Change {
    Change::Drain(ask(pop))
}

/// The revision of the newest copy beside a store.
fn copied(file: &Path) -> Option<u64> {
    read_backup(file).ok().map(|(contents, _)| contents.model.revision)
}

/// The first change is copied at once, later ones every five minutes, and a copy that failed is tried again.
#[test]
fn copies_are_made_and_rotate() {
    let mut node = Node::new();
    let file = node.file();
    let [newer, older] = copies(&file);
    node.pass(HOUR);
    assert!(!newer.exists(), "nothing was ever written");
    node.drain("eu-west-1");
    assert_eq!((copied(&file), older.exists()), (Some(1), false));
    node.drain("eu-west-2");
    node.pass(4 * MINUTE);
    assert_eq!(copied(&file), Some(1));
    node.pass(MINUTE);
    assert_eq!((copied(&file), older.exists()), (Some(2), true));
    // Nothing has changed: the older copy stays what it is.
    node.pass(HOUR);
    fs::remove_file(&newer).unwrap();
    assert_eq!(copied(&file), Some(1));
    node.pass(HOUR);
    assert!(!newer.exists());

    // A folder is where the copy should be written.
    let aside = file.with_file_name("rhumb.redb.backup.new");
    fs::create_dir(&aside).unwrap();
    node.drain("us-east-1");
    node.pass(5 * MINUTE);
    fs::remove_dir(&aside).unwrap();
    node.pass(4 * MINUTE);
    assert_eq!(copied(&file), Some(1));
    node.pass(MINUTE);
    assert_eq!(copied(&file), Some(3));

    // A store that has no copy, from whatever it was, gets one when a process begins.
    node.stop();
    fs::remove_file(&newer).unwrap();
    fs::remove_file(&older).unwrap();
    node.start();
    node.settle();
    assert_eq!(copied(&file), Some(3));
}

/// `accept_backup_after` accepts a copy, and nothing else.
#[test]
fn a_copy_is_accepted_when_its_time_has_come() {
    let mut node = Node::new();
    node.drain("eu-west-1");
    let copy = node.copy();
    node.lose_the_store(Some(&copy));
    node.pass(ACCEPT_AFTER - 1);
    assert_eq!((node.store_is(), node.drained()), (StoreState::Damaged, vec!["eu-west-1".into()]));
    assert!(node.state().view().not_ready().is_some());
    assert!(matches!(node.change(drain("eu-west-2"), false), Err(Refusal::Unavailable(_))));
    node.pass(1);
    assert_eq!((node.store_is(), node.drained()), (StoreState::Ok, vec!["eu-west-1".into()]));
    assert_eq!(node.state().view().not_ready(), None);
    assert_eq!(node.log(), ["rhumb accepted (accept_backup_after is over)"]);
    // The new store has a copy of its own at once.
    assert_eq!(copied(&node.file()), Some(node.state().view().model.revision));
    node.drain("eu-west-2");
    node.stop();
    node.start();
    assert_eq!((node.store_is(), node.drained().len()), (StoreState::Ok, 2));

    // Without one it would begin empty: that takes a person, however long it takes.
    node.lose_the_store(None);
    node.pass(30 * DAY);
    assert_eq!((node.store_is(), node.drained()), (StoreState::Damaged, vec![]));
    assert!(node.state().view().not_ready().is_some());
    node.accept();
    assert_eq!((node.store_is(), node.drained()), (StoreState::Ok, vec![]));
    node.drain("eu-west-1");
}

/// A new store takes the place of one that was lost as a whole or not at all: a start in between, or after a new one
/// could not be written, finds what was there.
#[test]
fn an_acceptance_that_fails_changes_nothing() {
    let mut node = Node::new();
    node.drain("eu-west-1");
    node.lose_the_store(None);
    // A folder is where the new one should be written.
    let aside = node.file().with_file_name("rhumb.redb.new");
    fs::create_dir(&aside).unwrap();
    assert!(matches!(node.try_to_accept(), Err(Refusal::Unavailable(_))));
    node.stop();
    copies(&node.file()).iter().for_each(|copy| drop(fs::remove_file(copy)));
    node.start();
    assert_eq!(node.store_is(), StoreState::Damaged);
    assert_eq!(fs::read(node.file()).unwrap(), b"no store at all");
    fs::remove_dir(&aside).unwrap();
    node.accept();
    node.drain("eu-west-2");
    node.stop();
    node.start();
    assert_eq!((node.store_is(), node.drained()), (StoreState::Ok, vec!["eu-west-2".into()]));
    let kept = fs::read_dir(node.file().parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    let kept: Vec<_> = kept.filter(|file| file.to_string_lossy().contains("damaged")).collect();
    assert_eq!((kept.len(), fs::read(&kept[0]).unwrap().as_slice()), (1, b"no store at all".as_slice()));
}

/// A copy is older than what was lost, and clients hold revisions of that: none is given to anything else.
#[test]
fn no_revision_is_given_twice() {
    let mut node = Node::new();
    let served = |node: &Node| node.state().view().model.revision;
    let mut given = vec![node.drain("eu-west-1")];
    let copy = node.copy();
    given.extend(["eu-west-2", "us-east-1"].map(|pop| node.drain(pop)));

    node.lose_the_store(Some(&copy));
    assert_eq!(node.drained(), ["eu-west-1"]);
    given.push(served(&node));
    given.push(node.change(drain("us-west-2"), true).unwrap().revision);
    node.accept();
    given.push(served(&node));
    assert_eq!(node.log(), ["anna accepted ()"]);
    // The log does not lead here from before: whoever follows it begins anew.
    for before in [1, given[2], given[4]] {
        let since = node.runtime.block_on(node.state().since(before)).unwrap();
        assert_eq!(since, Watched::TooOld, "{before}");
    }
    let stale = Wish { expected: Some(given[2]), ..Wish::of_ours("rhumb", drain("eu-west-2"), "a drill") };
    assert!(matches!(node.state().change_blocking(stale), Err(Refusal::Stale { .. })));
    given.push(node.drain("eu-west-2"));

    // Once more, with nothing left that knows of the first time.
    node.hands.pass(HOUR);
    node.lose_the_store(None);
    given.push(served(&node));
    node.accept();
    given.push(served(&node));
    given.push(node.drain("eu-west-2"));
    assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
}

/// All who write while a commit is on its way to the disk are committed together.
#[test]
fn writers_at_once_share_a_commit() {
    const WRITERS: usize = 100;
    let node = Node::new();
    let write = |writer: usize| {
        let change = Change::Drain(DrainAsk { percent: 1, ..ask("eu-west-1") });
        node.state().change(Wish::of_ours(&format!("writer-{writer}"), change, "a drill"))
    };
    let disk = node.trouble.lock().unwrap();
    let mut all = join_all((0..WRITERS).map(write));
    assert!((&mut all).now_or_never().is_none(), "they are asked for, and the disk takes its time");
    drop(disk);
    let done = node.runtime.block_on(all);
    let mut revisions: Vec<u64> = done.into_iter().map(|done| done.unwrap().revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=WRITERS as u64).collect::<Vec<_>>());
    let commits = node.commits.load(Ordering::SeqCst);
    assert!(commits <= 2, "those of the first batch, and all others; and not {commits}");
}

/// What feeds say is written within a second, and a store that failed is tried as often.
#[test]
fn a_store_that_failed_is_tried_each_second() {
    let node = Node::new();
    *node.trouble.lock().unwrap() = Trouble::Full;
    node.change(drain("eu-west-1"), true).unwrap();
    node.pass(HOUR);
    assert_eq!(node.store_is(), StoreState::Failing);
    *node.trouble.lock().unwrap() = Trouble::None;
    node.settle();
    assert_eq!(node.store_is(), StoreState::Failing);
    node.pass(1);
    assert_eq!((node.store_is(), node.state().view().volatile.len()), (StoreState::Ok, 0));
}

/// Lines of the log go after half a year; a migration and a token that have ended after a month.
#[test]
fn what_is_old_is_dropped() {
    let node = Node::new();
    let change = |change| node.change(change, false).unwrap();
    let in_days = |days: u64| node.hands.now() + jiff::SignedDuration::from_secs((days * DAY) as i64);
    let token = |name: &str, expires_at: Option<Time>| {
        Change::CreateToken(Token {
            name: name.into(),
            hash: format!("{:064}", 0),
            role: Role::Read,
            pool: None,
            created_at: node.hands.now(),
            expires_at,
        })
    };
    change(token("short", Some(in_days(10))));
    change(token("long", Some(in_days(400))));
    change(token("endless", None));
    let plan = |pop: &str| Plan {
        pool: "wss".into(),
        from: "haproxy".into(),
        to: "envoy".into(),
        waves: vec![vec![pop.into()]],
        steps: vec![50, 100],
        soak_s: None,
        guard: MigrationGuard::Hold,
    };
    let start = |pop: &str| change(Change::StartMigration { plan: plan(pop), idempotency_key: None }).id;
    let (ended, open) = (start("eu-west-1"), start("eu-west-2"));
    change(Change::Migrate { id: ended.clone(), step: MigrationStep::RollBack });
    let kept = || {
        let model = node.state().view().model.clone();
        let migrations: Vec<String> = model.migrations.keys().cloned().collect();
        let tokens: Vec<String> = model.tokens.keys().cloned().collect();
        (migrations, tokens)
    };
    let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let written = node.log().len();

    node.pass(30 * DAY);
    assert_eq!(kept(), (strings(&[&ended, &open]), strings(&["endless", "long", "short"])));
    node.pass(DAY);
    assert_eq!(kept(), (strings(&[&open]), strings(&["endless", "long", "short"])));
    node.pass(9 * DAY + HOUR);
    assert_eq!(kept(), (strings(&[&open]), strings(&["endless", "long"])));
    assert_eq!(node.log()[..2], strings(&["rhumb compacted ()", "rhumb compacted ()"]));
    node.pass(139 * DAY);
    assert_eq!(node.log().len(), written + 2);
    node.pass(2 * DAY);
    assert_eq!(node.log(), strings(&["rhumb compacted ()", "rhumb compacted ()"]));
    assert_eq!(kept(), (strings(&[&open]), strings(&["endless", "long"])));
}
