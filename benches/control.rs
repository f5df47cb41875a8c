//! What a change costs from its decision to its being served: through the keeper and a store on this disk,
//! beside what one sync of the disk costs; and what feeds cost.
//!
//! With `--test` the numbers are small, to see that it runs.

use std::fmt::Write as _;
use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rhumb::config::Config;
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::state::change::{Change, DrainAsk, Which};
use rhumb::state::clock;
use rhumb::state::keeper::{self, Beginning, Fed, Kept, State, Wish};
use rhumb::state::live::FeedValue;
use rhumb::state::load;
use rhumb::state::model::{LiveValues, Scope, Time};
use rhumb::state::policy::Stale;
use rhumb::state::store::Store;
use rhumb::state::store::embedded::Embedded;

/// Steered records, each with answers of its own: nothing is shared, so each has its own live values.
const STEERED: usize = 10_000;
/// Answers a feed speaks of.
const FED: usize = 5_000;
/// PoPs of the pool that is drained.
const POPS: usize = 16;
/// Changes measured.
const CHANGES: usize = 500;

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let scale = if small { 100 } else { 1 };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-control");
    sync(&folder, CHANGES / scale);
    for records in [100, 100_000 / scale] {
        let node = Node::start(&folder.join("static"), &zone(records), &chains(1));
        changes(&format!("{records} static records"), &node, CHANGES / scale);
    }
    let node = Node::start(&folder.join("steered"), &zone(0), &chains(STEERED / scale));
    changes(&format!("{} steered records", STEERED / scale), &node, CHANGES / scale);
    for writers in [8, 64] {
        together(&node, writers, CHANGES * 8 / scale / writers + 1);
    }
    many_drains(&node, STEERED / scale, CHANGES / scale);
    feeds(&node, FED / scale, 20 / scale.min(10));
}

/// One sync of this disk: of a file that is written in place, as the store's is.
fn sync(folder: &Path, times: usize) {
    fs::create_dir_all(folder).expect("a folder");
    let mut file = fs::File::create(folder.join("sync")).expect("a file");
    file.write_all(&[0; 1 << 20]).and_then(|()| file.sync_all()).expect("a write");
    let took = (0..times).map(|time| {
        file.seek(SeekFrom::Start((time as u64 * 4096) % (1 << 20))).expect("a seek");
        file.write_all(&[time as u8; 4096]).expect("a write");
        let begun = Instant::now();
        file.sync_data().expect("a sync");
        begun.elapsed()
    });
    print("one sync of the disk", took.collect());
}

/// A change at a time: from its decision to the packet that sees it.
fn changes(label: &str, node: &Node, times: usize) {
    let before = node.publishing();
    let mut worker = Worker::new(node.current.clone(), Arc::new(Stats::default()), 0);
    let mut took = Vec::new();
    for time in 0..times.max(4) {
        let begun = Instant::now();
        node.wish(0, time.is_multiple_of(2));
        let served = address(&mut worker, "r0");
        took.push(begun.elapsed());
        let expected = if time.is_multiple_of(2) { 1 } else { 0 };
        assert_eq!(served.octets()[2], expected, "the next packet sees the change");
    }
    let all: Duration = took.iter().sum();
    print(&format!("{label}: a change, decided to served"), took.clone());
    let after = node.publishing();
    let published = (after.0 - before.0) / (after.1 - before.1).max(1) as f64;
    println!(
        "  {:.0} changes a second alone; publishing takes {:.0} us of it",
        took.len() as f64 / all.as_secs_f64(),
        published * 1e6
    );
}

/// Writers at once: the keeper commits what has come meanwhile together.
fn together(node: &Node, writers: usize, each: usize) {
    let begun = Instant::now();
    let took: Vec<Duration> = std::thread::scope(|scope| {
        let run = |writer: usize| {
            move || {
                let one = |time: usize| {
                    let begun = Instant::now();
                    node.wish(writer, time.is_multiple_of(2));
                    begun.elapsed()
                };
                (0..each).map(one).collect::<Vec<_>>()
            }
        };
        let runs: Vec<_> = (0..writers).map(|writer| scope.spawn(run(writer))).collect();
        runs.into_iter().flat_map(|run| run.join().expect("a writer")).collect()
    });
    let a_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    print(&format!("{writers} writers at once: a change"), took);
    println!("  {a_second:.0} changes a second");
}

/// A change beside many that are in force.
fn many_drains(node: &Node, records: usize, times: usize) {
    let drains = (records / 10).max(1);
    for record in 0..drains {
        let scope = Scope { answer: Some(format!("r{record}.bench.test/spare")), ..Scope::default() };
        node.ask(&format!("owner-{record}"), drain(scope, 50));
    }
    changes(&format!("beside {drains} drains"), node, times);
}

/// A batch of values: from its coming to its being served.
fn feeds(node: &Node, answers: usize, rounds: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut beside = Vec::new();
    let took = (0..rounds.max(2)).map(|round| {
        let values = (0..answers).map(|answer| {
            let values = LiveValues { up: Some(answer % 7 != round % 7), ..LiveValues::default() };
            let value =
                FeedValue { values, made_at: Time::now(), max_age_s: Some(60), stale: Stale::Neutral };
            (format!("r{}.bench.test/{}", answer % STEERED, ["first", "spare"][answer / STEERED]), value)
        });
        let values = values.collect();
        let begun = Instant::now();
        let fed = runtime.block_on(node.state.feed("balancers".into(), values)).expect("it is taken");
        let took = begun.elapsed();
        assert!(fed.iter().all(|fed| *fed == Fed::Taken));
        let begun = Instant::now();
        node.wish(0, round % 2 == 0);
        beside.push(begun.elapsed());
        took
    });
    print(&format!("a feed's {answers} values at once"), took.collect());
    print("  a change right behind them", beside);
    let one = (0..rounds.max(2)).map(|round| {
        let values = LiveValues { up: Some(round % 2 == 0), ..LiveValues::default() };
        let value = FeedValue { values, made_at: Time::now(), max_age_s: Some(60), stale: Stale::Neutral };
        let begun = Instant::now();
        let fed = vec![("r1.bench.test/first".to_string(), value)];
        runtime.block_on(node.state.feed("balancers".into(), fed)).expect("it is taken");
        begun.elapsed()
    });
    print("one value of a feed", one.collect());
}

/// A keeper with its store.
struct Node {
    state: State,
    current: Arc<ArcSwap<Snapshot>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(folder: &Path, zone: &str, chains: &str) -> Node {
        let loaded = load(&prepare(folder, zone, chains), 1, &|_, _| {});
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", problems[0]));
        let mut store = Embedded::open(&folder.join("state/rhumb.redb")).expect("a store");
        let contents = store.read().expect("an empty store");
        let store = Kept::Store(Box::new(store));
        let beginning = Beginning { store, contents, loaded, clocks: clock::machine(), not_ready: None };
        let (state, current, thread) = keeper::start(beginning).expect("a thread");
        Node { state, current, thread: Some(thread) }
    }

    /// Drains a PoP of the pool, or brings it back.
    fn wish(&self, pop: usize, out: bool) {
        let scope = Scope { pop: Some(format!("pop{}", pop % POPS)), ..Scope::default() };
        // Another owner for each writer: no two wish for the same drain.
        let change = match out {
            true => drain(scope, if pop == 0 { 100 } else { 1 }),
            false => Change::Undrain { which: Which::Scope { scope, all_owners: false }, now: true },
        };
        self.ask(&format!("writer-{pop}"), change);
    }

    fn ask(&self, owner: &str, change: Change) {
        self.state.change_blocking(Wish::of_ours(owner, change, "a bench")).expect("it is done");
    }

    /// Seconds of publishing so far, and how often.
    fn publishing(&self) -> (f64, u64) {
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

fn drain(scope: Scope, percent: u8) -> Change {
    Change::Drain(DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps: None })
}

/// The address that a name is answered with.
fn address(worker: &mut Worker, name: &str) -> Ipv4Addr {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [name, "bench", "test"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let peer = Peer { address: (Ipv4Addr::new(198, 51, 100, 1), 53).into(), transport: Transport::Udp };
    let mut out = [0; 1232];
    let Reply::Send(len) = worker.answer(&query, peer, &mut out) else { panic!("it is answered") };
    let last: [u8; 4] = out[len - 4..len].try_into().expect("four octets");
    last.into()
}

fn print(label: &str, mut took: Vec<Duration>) {
    took.sort();
    let at =
        |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!("{label}: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms", at(0.5), at(0.99), at(1.0));
}

/// A zone with this many hosts.
fn zone(records: usize) -> String {
    let mut text = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n".to_string();
    for host in 0..records {
        let [_, a, b, c] = (host as u32).to_be_bytes();
        let _ = writeln!(text, "host-{host} A 10.{a}.{b}.{c}");
    }
    text
}

/// Records whose first answer stands at a PoP, and whose second does not.
fn chains(records: usize) -> String {
    let mut text = "[feed.balancers]\n".to_string();
    for pop in 0..POPS {
        let _ = writeln!(text, "[pop.pop{pop}]\ncountry = \"IE\"");
    }
    for record in 0..records {
        let [_, _, high, low] = (record as u32).to_be_bytes();
        let _ = writeln!(
            text,
            "[[record]]\nname = \"r{record}.bench.test\"\nfilters = [\"up\", \"select_first_n\"]\n\
             meta = {{ up = {{ feed = \"balancers\" }} }}\n\
             [[record.answer]]\nname = \"first\"\npop = \"pop{}\"\na = \"10.{high}.0.{low}\"\n\
             [[record.answer]]\nname = \"spare\"\na = \"10.{high}.1.{low}\"",
            record % POPS
        );
    }
    text
}

fn prepare(folder: &Path, zone: &str, chains: &str) -> Config {
    // What an earlier run left would be drained already.
    let _ = fs::remove_dir_all(folder);
    for name in ["zones", "filter-chains"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    fs::write(folder.join("zones/bench.test.zone"), zone).expect("a zone");
    fs::write(folder.join("filter-chains/bench.toml"), chains).expect("chains");
    Config::parse(&folder.join("rhumb.toml"), "").expect("a configuration")
}
