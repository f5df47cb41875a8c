//! What a change costs: from its decision to its being served, through the keeper and a store on this disk; from
//! the last byte of a request to a changed answer, beside the syncs of the disk in between; and what feeds cost,
//! the DNS path beside them.
//!
//! `cargo bench --bench control -- requests feeds` measures some of it; with `--test` the numbers are small, to see
//! that it runs.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redb::StorageBackend;
use redb::backends::FileBackend;
use rhumb::api::{self, Api, Hooks};
use rhumb::config::{Config, Socket};
use rhumb::engine::{Peer, Reply, Snapshot, Stats, Transport, Worker};
use rhumb::state::change::{Change, DrainAsk, Which};
use rhumb::state::clock;
use rhumb::state::keeper::{self, Beginning, Kept, State, Wish};
use rhumb::state::load;
use rhumb::state::model::Scope;
use rhumb::state::store::Store;
use rhumb::state::store::embedded::{Access, Embedded};

/// Steered records.
const STEERED: usize = 10_000;
/// Pools that they share, where they share any.
const POOLS: usize = 50;
/// Answers a feed speaks of.
const FED: usize = 5_000;
/// Seconds for which it speaks of them, once in each.
const FED_FOR: u64 = 20;
/// PoPs of the pool that is drained.
const POPS: usize = 16;
/// Changes measured.
const CHANGES: usize = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |run: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == run);
    let scale = if arguments.iter().any(|argument| argument == "--test") { 100 } else { 1 };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-control");
    sync(&folder, CHANGES / scale);
    if is_wanted("changes") {
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
    }
    if is_wanted("requests") {
        requests(&folder.join("requests"), STEERED / scale, CHANGES / scale);
    }
    if is_wanted("feeds") {
        let node = Node::start(&folder.join("fed"), &zone(0), &chains(STEERED / scale));
        feeds(&node, FED / scale, Duration::from_secs(FED_FOR) / scale as u32);
    }
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

/// Requests over the socket: from the last byte of one to an answer that is another, and what of that is neither
/// a sync of the disk.
fn requests(folder: &Path, records: usize, times: usize) {
    let pop = r#"{ "pop": "pop0" }"#;
    let node = Node::start(folder, &zone(0), &pooled(records, POOLS.min(records)));
    let touched = node.touched_by_a_drain();
    ask_for_changes(
        &format!("{records} records of {POOLS} pools, {touched} pools touched"),
        &node,
        pop,
        times,
    );
    drop(node);
    let node = Node::start(folder, &zone(0), &chains(records));
    let touched = node.touched_by_a_drain();
    let one = r#"{ "answer": "r0.bench.test/first" }"#;
    ask_for_changes(&format!("{records} records that share nothing, 1 touched"), &node, one, times);
    ask_for_changes(&format!("{records} records that share nothing, {touched} touched"), &node, pop, times);
}

fn ask_for_changes(label: &str, node: &Node, scope: &str, times: usize) {
    let mut worker = Worker::new(node.current.clone(), Arc::new(Stats::default()), 0);
    let mut caller = Caller::new(node);
    let (mut all, mut without) = (Vec::new(), Vec::new());
    let before = Node::cpu();
    // What is drained is brought back at the end.
    let times = times.max(4).next_multiple_of(2);
    for time in 0..times {
        let (path, expected) = match time % 2 {
            0 => ("/api/v1/drains", 1),
            _ => ("/api/v1/drains/lift", 0),
        };
        caller.begin(path, &format!(r#"{{ "scope": {scope}, "reason": "a bench", "force": true }}"#));
        let synced = node.synced.load(Ordering::Relaxed);
        let begun = Instant::now();
        caller.end();
        while address(&mut worker, "r0").octets()[2] != expected {
            assert!(begun.elapsed() < Duration::from_secs(10), "the change is served");
        }
        let took = begun.elapsed();
        let synced = Duration::from_nanos(node.synced.load(Ordering::Relaxed) - synced);
        all.push(took);
        without.push(took.saturating_sub(synced));
        caller.reply();
    }
    print(&format!("{label}: last byte to changed answer"), all);
    print("  beside the syncs of the disk", without);
    let after = Node::cpu();
    let each = |of: usize| (after[of] - before[of]).as_secs_f64() * 1e3 / times as f64;
    println!("  processor time of a change: {:.3} ms in the keeper, {:.3} ms in the API", each(0), each(1));
}

/// A feed's values for many answers in each second, and the DNS path beside it; then one value at a time.
fn feeds(node: &Node, answers: usize, time: Duration) {
    let mut caller = Caller::new(node);
    let quiet = beside_dns(node, || std::thread::sleep(time));
    quiet.print("a worker beside nothing", time);
    let every = time / FED_FOR as u32;
    let (mut batches, mut synced) = (Vec::new(), Duration::ZERO);
    let before = Node::cpu();
    let fed = beside_dns(node, || {
        synced = Duration::from_nanos(node.synced.load(Ordering::Relaxed));
        let begun = Instant::now();
        for round in 0..FED_FOR as usize {
            caller.begin("/api/v1/feeds/balancers", &values(answers, round));
            let sent = Instant::now();
            caller.end();
            caller.reply();
            batches.push(sent.elapsed());
            std::thread::sleep((every * (round as u32 + 1)).saturating_sub(begun.elapsed()));
        }
    });
    let after = Node::cpu();
    fed.print(&format!("a worker beside {answers} values every {every:?}"), time);
    print(&format!("a feed's {answers} values, last byte to reply"), batches);
    let share = |of: usize| (after[of] - before[of]).as_secs_f64() / time.as_secs_f64() * 100.0;
    println!("  of one core: {:.1} % in the keeper, {:.1} % in the API", share(0), share(1));
    let one = (0..(CHANGES as u64 * every.as_millis() as u64 / 1000).max(2) as usize).map(|round| {
        caller.begin("/api/v1/feeds/balancers", &values(1, round));
        let sent = Instant::now();
        caller.end();
        caller.reply();
        sent.elapsed()
    });
    print("one value of a feed, last byte to reply", one.collect());
}

/// The body of a feed's values.
fn values(answers: usize, round: usize) -> String {
    let one = |answer: usize| {
        let (record, name) = (answer % STEERED, ["first", "spare"][answer / STEERED]);
        let up = answer % 7 != round % 7;
        format!(
            r#"{{"scope":{{"answer":"r{record}.bench.test/{name}"}},"meta":{{"up":{up}}},"max_age":"60s","stale":"neutral"}}"#
        )
    };
    format!(r#"{{"values":[{}]}}"#, (0..answers).map(one).collect::<Vec<_>>().join(","))
}

/// How long answers took, in nanoseconds.
struct Answered {
    by_ns: Vec<u32>,
}

impl Answered {
    fn print(&self, label: &str, time: Duration) {
        let all: u64 = self.by_ns.iter().map(|count| u64::from(*count)).sum();
        let at = |share: f64| {
            let mut left = (all as f64 * share) as u64;
            let is_there = |(_, count): &(usize, &u32)| {
                let is_there = left < u64::from(**count);
                left = left.saturating_sub(u64::from(**count));
                is_there
            };
            self.by_ns.iter().enumerate().find(is_there).map_or(self.by_ns.len(), |(ns, _)| ns)
        };
        println!(
            "{label}: {:.2} million answers a second, p50 {} ns, p99 {} ns, p99.9 {} ns",
            all as f64 / time.as_secs_f64() / 1e6,
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
}

/// What a worker that answers without a pause achieves while something is done.
fn beside_dns(node: &Node, work: impl FnOnce()) -> Answered {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let mut worker = Worker::new(node.current.clone(), Arc::new(Stats::default()), 0);
            let mut by_ns = vec![0; 1 << 16];
            let queries: Vec<Vec<u8>> = (0..16).map(|name| query(&format!("r{name}"))).collect();
            let mut out = [0; 1232];
            while !is_over.load(Ordering::Relaxed) {
                for query in &queries {
                    let begun = Instant::now();
                    let reply = worker.answer(query, PEER, &mut out);
                    let took = begun.elapsed().as_nanos() as usize;
                    assert!(matches!(reply, Reply::Send(_)));
                    by_ns[took.min((1 << 16) - 1)] += 1;
                }
            }
            Answered { by_ns }
        });
        work();
        is_over.store(true, Ordering::Relaxed);
        answering.join().expect("a worker")
    })
}

/// A caller of the API on its socket: a request is sent all but its last byte, then that.
struct Caller {
    stream: BufReader<UnixStream>,
    last: u8,
}

impl Caller {
    fn new(node: &Node) -> Caller {
        let stream = UnixStream::connect(node.api.socket().expect("a socket")).expect("a connection");
        Caller { stream: BufReader::new(stream), last: 0 }
    }

    fn begin(&mut self, path: &str, body: &str) {
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        self.last = bytes.pop().expect("a body");
        self.stream.get_mut().write_all(&bytes).expect("it is sent");
        // It has been read by then: what is measured begins with the last byte.
        std::thread::sleep(Duration::from_millis(1));
    }

    fn end(&mut self) {
        self.stream.get_mut().write_all(&[self.last]).expect("it is sent");
    }

    /// Reads a reply, which must be one of success.
    fn reply(&mut self) {
        let (mut length, mut status) = (0, String::new());
        self.stream.read_line(&mut status).expect("a reply");
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a header");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        assert!(status.starts_with("HTTP/1.1 2"), "{status} {}", String::from_utf8_lossy(&body));
    }
}

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

/// A keeper with its store, and its API on a socket.
struct Node {
    state: State,
    current: Arc<ArcSwap<Snapshot>>,
    api: api::Running,
    /// Nanoseconds of syncs so far.
    synced: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    fn start(folder: &Path, zone: &str, chains: &str) -> Node {
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

    /// Processor time of the keeper's thread, and of the API's threads.
    fn cpu() -> [Duration; 2] {
        let threads = fs::read_dir("/proc/self/task").expect("Linux");
        let threads: Vec<_> = threads.map(|entry| entry.expect("a thread").path()).collect();
        ["keeper", "api"].map(|name| {
            let is_ours = |path: &&std::path::PathBuf| {
                fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
            };
            let of = |path: &std::path::PathBuf| {
                let statistics = fs::read_to_string(path.join("schedstat")).expect("schedstat");
                let ns = statistics.split(' ').next().and_then(|ns| ns.parse().ok());
                Duration::from_nanos(ns.expect("a number"))
            };
            threads.iter().filter(is_ours).map(of).sum()
        })
    }

    /// How many steerings draining the first PoP touches.
    fn touched_by_a_drain(&self) -> usize {
        let scope = Scope { pop: Some("pop0".into()), ..Scope::default() };
        self.state.view().base.steerings_of(&scope).len()
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

const PEER: Peer = Peer {
    address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 53),
    transport: Transport::Udp,
};

/// The address that a name is answered with.
fn address(worker: &mut Worker, name: &str) -> Ipv4Addr {
    let mut out = [0; 1232];
    let Reply::Send(len) = worker.answer(&query(name), PEER, &mut out) else { panic!("it is answered") };
    let last: [u8; 4] = out[len - 4..len].try_into().expect("four octets");
    last.into()
}

fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [name, "bench", "test"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
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

/// Records of pools that have an answer at each PoP: draining one touches every pool, and no record apart.
fn pooled(records: usize, pools: usize) -> String {
    let mut text = String::new();
    for pop in 0..POPS {
        let _ = writeln!(text, "[pop.pop{pop}]\ncountry = \"IE\"");
    }
    for pool in 0..pools {
        let _ = writeln!(text, "[pool.p{pool}]");
        for pop in 0..POPS {
            let _ = writeln!(
                text,
                "[[pool.p{pool}.answer]]\npop = \"pop{pop}\"\na = \"10.{pool}.{}.{pop}\"",
                pop.min(1)
            );
        }
    }
    for record in 0..records {
        let _ = writeln!(
            text,
            "[[record]]\nname = \"r{record}.bench.test\"\npool = \"p{}\"\nfilters = [\"up\", \"select_first_n\"]",
            record % pools
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
