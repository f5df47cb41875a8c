//! A keeper with its store on this disk, and its API.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redb::StorageBackend;
use redb::backends::FileBackend;
use rhumb::api::{self, Api, Hooks};
use rhumb::config::Socket;
use rhumb::engine::Snapshot;
use rhumb::state::change::{Change, DrainAsk, Which};
use rhumb::state::clock;
use rhumb::state::keeper::{self, Beginning, Kept, State, Wish};
use rhumb::state::load;
use rhumb::state::model::Scope;
use rhumb::state::store::Store;
use rhumb::state::store::embedded::{Access, Embedded};

use crate::ground::{POPS, prepare};

/// A file that counts the time of its syncs.
#[derive(Debug)]
struct Synced {
    file: FileBackend,
    /// In nanoseconds.
    took: Arc<AtomicU64>,
}

impl StorageBackend for Synced {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let begun = Instant::now();
        let done = self.file.sync_data();
        self.took.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// What the scheduler says of some threads.
#[derive(Clone, Copy, Default)]
pub struct Threads {
    /// How long they ran.
    pub ran: Duration,
    /// How long they could have run, and others did.
    pub waited: Duration,
}

impl Threads {
    /// The threads of a name.
    pub fn named(name: &str) -> Threads {
        let threads = fs::read_dir("/proc/self/task").expect("Linux");
        let threads = threads.map(|entry| entry.expect("a thread").path());
        let is_ours =
            |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let mut sum = Threads::default();
        for path in threads.filter(is_ours) {
            let statistics = fs::read_to_string(path.join("schedstat")).expect("schedstat");
            let mut ns = statistics.split(' ').map(|ns| ns.trim().parse().expect("a number"));
            let mut next = || Duration::from_nanos(ns.next().expect("a number"));
            (sum.ran, sum.waited) = (sum.ran + next(), sum.waited + next());
        }
        sum
    }

    /// What came since then.
    pub fn since(self, before: Threads) -> Threads {
        Threads { ran: self.ran - before.ran, waited: self.waited - before.waited }
    }
}

/// A keeper with its store, and its API on a socket.
pub struct Node {
    pub state: State,
    pub current: Arc<ArcSwap<Snapshot>>,
    pub api: api::Running,
    /// Nanoseconds of syncs so far.
    pub synced: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn start(folder: &Path, zone: &str, chains: &str) -> Node {
        let mut config = prepare(folder, zone, chains);
        let loaded = load(&config, 1, &|_, _| {});
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", problems[0]));
        let path = folder.join("state/rhumb.redb");
        drop(Embedded::create(&path).expect("a store"));
        let synced = Arc::new(AtomicU64::new(0));
        let (file, took) = (path.clone(), synced.clone());
        let medium = move |access| {
            let file = OpenOptions::new().read(true).write(access == Access::Write).open(&file)?;
            let file = FileBackend::new(file).map_err(io::Error::other)?;
            Ok(Synced { file, took: took.clone() })
        };
        let mut store = Embedded::open_with(&path, medium).expect("a store");
        let contents = store.read().expect("an empty store");
        let store = Kept::Store(Box::new(store));
        let beginning = Beginning { store, contents, loaded, clocks: clock::machine(), not_ready: None };
        let (state, current, thread) = keeper::start(beginning).expect("a thread");
        config.api.listen.clear();
        config.api.socket = Some(Socket { path: folder.join("api.sock"), written: true });
        config.api.max_changes_per_minute = 1_000_000;
        let hooks = Hooks::default();
        let api = Api { config: config.api, node: "bench".into(), state: state.clone(), hooks };
        let api = api::start(api).unwrap_or_else(|error| panic!("{error}"));
        Node { state, current, api, synced, thread: Some(thread) }
    }

    /// How many steerings draining the first PoP touches.
    pub fn touched_by_a_drain(&self) -> usize {
        let scope = Scope { pop: Some("pop0".into()), ..Scope::default() };
        self.state.view().base.steerings_of(&scope).count()
    }

    /// Drains a PoP of the pool, or brings it back.
    pub fn wish(&self, pop: usize, out: bool) {
        let scope = Scope { pop: Some(format!("pop{}", pop % POPS)), ..Scope::default() };
        // Another owner for each writer: no two wish for the same drain.
        let change = match out {
            true => drain(scope, if pop == 0 { 100 } else { 1 }),
            false => Change::Undrain { which: Which::Scope { scope, all_owners: false }, now: true },
        };
        self.ask(&format!("writer-{pop}"), change);
    }

    pub fn ask(&self, owner: &str, change: Change) {
        self.state.change_blocking(Wish::of_ours(owner, change, "a bench")).expect("it is done");
    }

    /// Seconds of publishing so far, and how often.
    pub fn publishing(&self) -> (f64, u64) {
        let mut text = String::new();
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("publish", "", self.state.view().timings.publish.histogram.clone());
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        let of =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        (of("publish_sum ").unwrap_or(0.0), of("publish_count ").unwrap_or(0.0) as u64)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.state.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn drain(scope: Scope, percent: u8) -> Change {
    Change::Drain(DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps: None })
}
