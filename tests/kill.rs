//! `kill -9` on the real server in the middle of writes, again and again: what it said was done is there when
//! it is back, and served; nothing is there by half.
//!
//! `RHUMB_TEST_KILLS` says how often, where a hundred times are not enough.

mod support;

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use support::Folder;
use support::http::{Api, Node};
use support::process::first_addresses;

/// How often it is killed.
const KILLS: usize = 100;
/// On a machine that is too busy for that many, it is enough when this has passed.
const LONG_ENOUGH: Duration = Duration::from_secs(30);
/// The longest time until it is killed: some ten writes.
const LIFE_MS_MAX: u64 = 60;

/// Two PoPs with two stacks each: little to load, so that it starts at once.
const CHAINS: &str = "
[pop.near]
country = \"IE\"
[pop.far]
country = \"GB\"
[pool.two]
[[pool.two.answer]]
pop = \"near\"
stack = \"haproxy\"
weight = 100000
a = [\"192.0.2.1\"]
[[pool.two.answer]]
pop = \"near\"
stack = \"envoy\"
weight = 0
a = [\"192.0.2.1\"]
[[pool.two.answer]]
pop = \"far\"
stack = \"haproxy\"
weight = 100000
a = [\"192.0.2.2\"]
[[pool.two.answer]]
pop = \"far\"
stack = \"envoy\"
weight = 0
a = [\"192.0.2.2\"]
[[record]]
name = \"two.example.com\"
pool = \"two\"
filters = [\"up\", \"select_first_n\"]
";

/// What a writer knows: what was acknowledged last, and what was asked for after that, if anything.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known<T> {
    acknowledged: T,
    asked: Option<T>,
}

impl<T: Copy + PartialEq + std::fmt::Debug> Known<T> {
    fn of(value: T) -> Known<T> {
        Known { acknowledged: value, asked: None }
    }

    /// Holds what is there after the restart against it.
    fn check(&mut self, is: T, kill: usize) {
        assert!(is == self.acknowledged || Some(is) == self.asked, "kill {kill}: it is {is:?}, and {self:?}");
        *self = Known::of(is);
    }
}

#[test]
fn what_was_acknowledged_is_served_after_a_kill() {
    let kills = std::env::var("RHUMB_TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    let folder = Folder::new();
    folder.write("rhumb.toml", "[listen]\n");
    folder.write("zones/example.com.zone", "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.9\n");
    folder.write("filter-chains/two.toml", CHAINS);
    let mut rng = Rng::with_seed(11);
    let (mut drained, mut weight) = (Known::of(false), Known::of(0_u64));
    let mut revision = 0;
    let (mut done, mut unsaid) = (0, 0);
    let begun = Instant::now();
    while done < kills.unwrap_or(KILLS) && (kills.is_some() || begun.elapsed() < LONG_ENOUGH) {
        let node = Node::start(&folder);
        let status = node.api.get("/api/v1/status");
        assert_eq!((&status["ready"], &status["store"]["state"]), (&json!(true), &json!("ok")), "{status}");
        let is = status["revision"].as_u64().unwrap();
        assert!(is >= revision, "kill {done}: revision {is}, and {revision} was acknowledged");
        unsaid += usize::from(is > revision);
        drained.check(is_drained(&node, done), done);
        weight.check(weight_of_all(&node.api, done), done);

        let acknowledged = Mutex::new(is);
        let life = Duration::from_millis(rng.u64(0..LIFE_MS_MAX));
        std::thread::scope(|scope| {
            scope.spawn(|| drain_and_lift(&node.api, &mut drained, &acknowledged));
            scope.spawn(|| move_weight(&node.api, &mut weight, &acknowledged));
            std::thread::sleep(life);
            node.server.kill_now();
        });
        revision = acknowledged.into_inner().unwrap();
        done += 1;
    }
    eprintln!(
        "{done} kills in {:?}; {revision} revisions; {unsaid} times a change was there that nobody had told of",
        begun.elapsed()
    );
    assert!(revision > done as u64, "{revision} revisions in {done} kills");
}

/// Whether the near PoP is drained: as it is shown, and as it is served.
fn is_drained(node: &Node, kill: usize) -> bool {
    let drains = node.api.get("/api/v1/drains");
    let is_drained = !drains["items"].as_array().unwrap().is_empty();
    let network = "198.51.100.0/24".parse().unwrap();
    let served = first_addresses(node.server.addresses[0], "two.example.com", &[network])[0];
    let expected = Ipv4Addr::new(192, 0, 2, if is_drained { 2 } else { 1 });
    assert_eq!(served, expected, "kill {kill}: {drains}");
    is_drained
}

/// The weight of envoy: one change sets it at both PoPs, so that they never differ.
fn weight_of_all(api: &Api, kill: usize) -> u64 {
    let splits = api.get("/api/v1/pools/two/splits");
    let weights: Vec<u64> = splits["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|split| {
            let of = |stack: &str| split["weights"][stack].as_f64().unwrap() as u64;
            assert_eq!(of("envoy") + of("haproxy"), 100_000, "kill {kill}: {split}");
            of("envoy")
        })
        .collect();
    assert!(weights.len() == 2 && weights[0] == weights[1], "kill {kill}: {splits}");
    weights[0]
}

/// Writes until the server is gone.
fn drain_and_lift(api: &Api, drained: &mut Known<bool>, revision: &Mutex<u64>) {
    loop {
        let next = !drained.acknowledged;
        let (path, more) = match next {
            true => ("/api/v1/drains", "reason"),
            false => ("/api/v1/drains/lift", "now"),
        };
        let mut body = json!({ "scope": { "pop": "near" } });
        body[more] = if next { json!("a drill") } else { json!(true) };
        drained.asked = Some(next);
        if !write(api, "POST", path, &body, revision) {
            return;
        }
        *drained = Known::of(next);
    }
}

fn move_weight(api: &Api, weight: &mut Known<u64>, revision: &Mutex<u64>) {
    loop {
        let next = (weight.acknowledged + 1) % 100_000;
        let body = json!({ "weights": { "haproxy": 100_000 - next, "envoy": next } });
        weight.asked = Some(next);
        if !write(api, "PUT", "/api/v1/pools/two/splits/*", &body, revision) {
            return;
        }
        *weight = Known::of(next);
    }
}

/// Sends a write, and notes the revision when it is acknowledged; false when the server is gone.
fn write(api: &Api, method: &str, path: &str, body: &Value, revision: &Mutex<u64>) -> bool {
    let Ok(reply) = api.send(method, path, body) else { return false };
    assert!((200..300).contains(&reply.status), "{method} {path} {body}: {reply:?}");
    let mut newest = revision.lock().unwrap();
    *newest = (*newest).max(reply.body["revision"].as_u64().unwrap());
    true
}
