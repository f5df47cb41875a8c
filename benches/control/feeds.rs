//! A feed's values, and the DNS path beside them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rhumb::engine::{Stats, Worker};
use rhumb::listeners::{self, Listen, ListenerConfig, Running, UdpConfig};

use crate::caller::Caller;
use crate::ground::query;
use crate::node::{Node, Threads};
use crate::requests::ask_for_changes;
use crate::{CHANGES, STEERED, print};

/// Seconds with the feed, and as many without, one after the other.
const SLICE_S: u64 = 3;
/// How often: the machine is another from one minute to the next, and the same for both of a round.
const ROUNDS: u64 = 8;
/// Queries of the client that are on their way.
const WINDOW: usize = 16;

/// Values for many answers in each second. What DNS does beside them, and without them; then what a drain does;
/// then one value at a time. Seconds are shorter by `scale`.
pub fn run(node: &Node, answers: usize, scale: u32) {
    let second = Duration::from_secs(1) / scale;
    let mut feeder = Feeder { caller: Caller::new(node), answers, second, round: 0, took: Vec::new() };
    let (dns, server) = serve(node);
    let client = Client::start(server);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..(ROUNDS / u64::from(scale)).max(2) {
        without.push(Slice::of(&client, || sleep(second * SLICE_S as u32)));
        with.push(Slice::of(&client, || (0..SLICE_S).for_each(|_| feeder.feed())));
        // What came last is written within a second.
        sleep(second + second / 2);
    }
    drop(client);
    dns.stop();
    print(&format!("{answers} values of a feed every {second:?}, last byte to reply"), feeder.took);
    let median = |of: fn(&Slice) -> f64, slices: &[Slice]| median(slices.iter().map(of).collect());
    let line = |label: &str, of: fn(&Slice) -> f64| {
        let ratios = without.iter().zip(&with).map(|(without, with)| of(with) / of(without));
        let (without, with, ratio) =
            (median(of, &without), median(of, &with), self::median(ratios.collect()));
        println!("  {label}: {without:.0} without the feed, {with:.0} with it; in a round {ratio:.3} times");
    };
    line("answers a second over UDP", |slice| slice.answered / slice.seconds);
    line("processor time of an answer, in ns", |slice| slice.udp.ran.as_secs_f64() * 1e9 / slice.answered);
    let share = |of: fn(&Slice) -> f64| (median(of, &without) * 100.0, median(of, &with) * 100.0);
    let keeper = share(|slice| slice.keeper.ran.as_secs_f64() / slice.seconds);
    let api = share(|slice| slice.api.ran.as_secs_f64() / slice.seconds);
    println!("  of one core: {:.1} % in the keeper ({:.1} % without the feed)", keeper.1, keeper.0);
    println!("  of one core: {:.1} % in the API ({:.1} % without the feed)", api.1, api.0);

    let changes = (CHANGES / scale as usize).max(4);
    // A record of which the feed says nothing.
    let name = format!("r{}", STEERED / scale as usize - 1);
    let scope = format!(r#"{{ "answer": "{name}.bench.test/first" }}"#);
    let drained = (name.as_str(), scope.as_str());
    ask_for_changes("a drain beside no feed", node, drained, changes);
    let is_over = AtomicBool::new(false);
    let mut feeder = Feeder { caller: Caller::new(node), answers, second, round: 0, took: Vec::new() };
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                feeder.feed();
            }
        });
        ask_for_changes("a drain beside the feed (its syncs are taken off too)", node, drained, changes);
        is_over.store(true, Ordering::Relaxed);
    });

    let mut caller = Caller::new(node);
    let one = (0..changes).map(|round| {
        caller.begin("/api/v1/feeds/balancers", &values(1, round));
        let sent = Instant::now();
        caller.end();
        caller.reply();
        sent.elapsed()
    });
    print("one value of a feed, last byte to reply", one.collect());
}

/// Somebody who gives values once in each second.
struct Feeder {
    caller: Caller,
    answers: usize,
    second: Duration,
    round: usize,
    took: Vec<Duration>,
}

impl Feeder {
    fn feed(&mut self) {
        let begun = Instant::now();
        self.caller.begin("/api/v1/feeds/balancers", &values(self.answers, self.round));
        let sent = Instant::now();
        self.caller.end();
        self.caller.reply();
        self.took.push(sent.elapsed());
        self.round += 1;
        sleep(self.second.saturating_sub(begun.elapsed()));
    }
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

/// What happened in a part of the time.
struct Slice {
    seconds: f64,
    answered: f64,
    udp: Threads,
    keeper: Threads,
    api: Threads,
}

impl Slice {
    fn of(client: &Client, work: impl FnOnce()) -> Slice {
        let look = || ["udp-0", "keeper", "api"].map(Threads::named);
        let (begun, answered, before) = (Instant::now(), client.answered.load(Ordering::Relaxed), look());
        work();
        let (seconds, after) = (begun.elapsed().as_secs_f64(), look());
        let [udp, keeper, api] = std::array::from_fn(|of| after[of].since(before[of]));
        let answered = (client.answered.load(Ordering::Relaxed) - answered) as f64;
        Slice { seconds, answered, udp, keeper, api }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Serves the node's snapshots over UDP, with one thread.
fn serve(node: &Node) -> (Running, SocketAddr) {
    let listen = vec![Listen { address: (Ipv4Addr::LOCALHOST, 0).into(), written: true }];
    let udp = UdpConfig { threads: 1, ..UdpConfig::default() };
    let bound = listeners::bind(&ListenerConfig { listen, udp, ..ListenerConfig::default() });
    let bound = bound.unwrap_or_else(|errors| panic!("{}", errors[0]));
    let server = bound.local_addresses().next().expect("an address");
    let current = node.current.clone();
    let worker = move |_, _| Worker::new(current.clone(), Arc::new(Stats::default()), 0);
    (bound.start(worker).expect("threads"), server)
}

/// A client that asks without a pause, as long as it is there.
struct Client {
    answered: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Client {
    fn start(server: SocketAddr) -> Client {
        let (answered, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ends) = (answered.clone(), is_over.clone());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(server).expect("a server");
        // What is lost is not waited for: the window is sent again.
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let queries: Vec<Vec<u8>> = (0..WINDOW).map(|name| query(&format!("r{name}"))).collect();
        let ask = move || {
            let mut out = [0; 1232];
            while !ends.load(Ordering::Relaxed) {
                for query in &queries {
                    socket.send(query).expect("it is sent");
                }
                let came = queries.iter().take_while(|_| socket.recv(&mut out).is_ok()).count();
                counted.fetch_add(came as u64, Ordering::Relaxed);
            }
        };
        Client { answered, is_over, thread: Some(std::thread::spawn(ask)) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a client");
        }
    }
}
