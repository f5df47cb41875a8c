//! Walk two on the real binary: a wish over HTTP, and the next packet sees it.

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Barrier;

use ipnet::Ipv4Net;
use libc::SIGTERM;
use serde_json::{Value, json};
use support::Folder;
use support::http::{Api, Node};
use support::process::first_addresses;

const PRIMARY: &str = "wss-primary.example.com";
/// A network of Ireland, and one whose clients are served elsewhere.
const DUBLIN: &str = "52.16.1.0/24";
const TOKYO: &str = "153.128.0.0/24";

/// Which PoP and stack an address of the example stands for.
fn stands_for(address: Ipv4Addr) -> &'static str {
    match address.octets() {
        [203, 0, 113, 74] => "eu-west-1/haproxy",
        [203, 0, 113, 82] => "eu-west-1/envoy",
        [203, 0, 113, 90] => "eu-west-2/haproxy",
        [203, 0, 113, 98] => "eu-west-2/envoy",
        [203, 0, 113, 106] => "eu-central-1/haproxy",
        [203, 0, 113, 186] => "ap-northeast-1/haproxy",
        _ => "elsewhere",
    }
}

impl Walk {
    fn start() -> Walk {
        let folder = Folder::example();
        let node = Node::start(&folder);
        Walk { folder, node }
    }

    fn api(&self) -> &Api {
        &self.node.api
    }

    /// Where a network's clients go.
    fn goes(&self, network: &str) -> &'static str {
        let network: Ipv4Net = network.parse().unwrap();
        stands_for(first_addresses(self.node.server.addresses[0], PRIMARY, &[network])[0])
    }

    /// Where each of some networks of Ireland goes.
    fn ireland(&self) -> Vec<&'static str> {
        first_addresses(self.node.server.addresses[0], PRIMARY, &networks_of_ireland())
            .into_iter()
            .map(stands_for)
            .collect()
    }

    /// Ends, as a service manager ends it, and starts again.
    fn restart(self) -> Walk {
        let Walk { folder, node } = self;
        node.server.signal(SIGTERM);
        assert!(node.server.wait().success());
        let node = Node::start(&folder);
        Walk { folder, node }
    }

    /// Ends at once, and starts again.
    fn crash(self) -> Walk {
        let Walk { folder, node } = self;
        node.server.kill();
        let node = Node::start(&folder);
        Walk { folder, node }
    }
}

/// The example, served.
struct Walk {
    folder: Folder,
    node: Node,
}

fn networks_of_ireland() -> Vec<Ipv4Net> {
    "34.240.0.0/13".parse::<Ipv4Net>().unwrap().subnets(24).unwrap().take(NETWORKS).collect()
}

/// Networks that the shares are counted over: a share of 30 % is within 6 % of it once in ten thousand runs
/// of other seeds, and the seed is the configuration's.
const NETWORKS: usize = 1000;

fn share(of: &[&str], where_to: &str) -> f64 {
    of.iter().filter(|goes| **goes == where_to).count() as f64 / of.len() as f64
}

fn drain(pop: &str) -> Value {
    json!({ "scope": { "pop": pop }, "reason": "envoy-wss failing" })
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn lift(pop: &str) -> Value {
    json!({ "scope": { "pop": pop }, "now": true })
}

#[test]
fn a_drain_takes_dublins_clients_to_london_and_undrain_brings_them_back() {
    let walk = Walk::start();
    let automation = walk.node.token("edge-pop-drain", "drain");
    assert_eq!((walk.goes(DUBLIN), walk.goes(TOKYO)), ("eu-west-1/haproxy", "ap-northeast-1/haproxy"));
    let made = automation.ok("POST", "/api/v1/drains", drain("eu-west-1"));
    assert_eq!(made["revision"], walk.api().get("/api/v1/status")["revision"], "{made}");
    assert_eq!((walk.goes(DUBLIN), walk.goes(TOKYO)), ("eu-west-2/haproxy", "ap-northeast-1/haproxy"));
    // A retry is safe: the same owner and scope is the same drain.
    let again = automation.ok("POST", "/api/v1/drains", drain("eu-west-1"));
    assert_eq!(
        (&again["id"], &again["revision"], &again["changed"]),
        (&made["id"], &made["revision"], &json!(false))
    );
    // It is there after a crash.
    let walk = walk.crash();
    assert_eq!(walk.goes(DUBLIN), "eu-west-2/haproxy");
    let automation = walk.api().of(walk.node.address, "second", "drain");
    automation.refused(
        "POST",
        "/api/v1/drains/lift",
        lift("eu-west-1"),
        404,
        "second has no drain on eu-west-1",
    );
    let everybodys = with(lift("eu-west-1"), json!({ "all_owners": true }));
    let lifted = walk.api().ok("POST", "/api/v1/drains/lift", everybodys.clone());
    assert_eq!(walk.goes(DUBLIN), "eu-west-1/haproxy");
    // A retry of that is safe too, whoever makes it.
    for (api, body) in [(walk.api(), everybodys), (&automation, lift("eu-west-1"))] {
        let again = api.ok("POST", "/api/v1/drains/lift", body);
        assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &lifted["revision"]), "{again}");
    }
}

#[test]
fn done_means_served() {
    let walk = Walk::start();
    for round in 0..20 {
        walk.api().ok("POST", "/api/v1/drains", drain("eu-west-1"));
        assert_eq!(walk.goes(DUBLIN), "eu-west-2/haproxy", "round {round}");
        walk.api().ok("POST", "/api/v1/drains/lift", lift("eu-west-1"));
        assert_eq!(walk.goes(DUBLIN), "eu-west-1/haproxy", "round {round}");
    }
    // The reply to a drain counts whom it moves, and so comes a while after it is served; this one does not.
    for round in 0..200 {
        let (haproxy, envoy) = if round % 2 == 0 { (0, 100) } else { (100, 0) };
        let weights = json!({ "weights": { "haproxy": haproxy, "envoy": envoy } });
        walk.api().ok("PUT", "/api/v1/pools/wss/splits/eu-west-1", weights);
        let expected = if envoy > 0 { "eu-west-1/envoy" } else { "eu-west-1/haproxy" };
        assert_eq!(walk.goes(DUBLIN), expected, "round {round}");
    }
}

#[test]
fn a_drain_of_thirty_percent_takes_the_same_clients_each_time() {
    let walk = Walk::start();
    let by = |percent: u8| with(drain("eu-west-1"), json!({ "percent": percent }));
    walk.api().ok("POST", "/api/v1/drains", by(30));
    let thirty = walk.ireland();
    let moved = share(&thirty, "eu-west-2/haproxy");
    assert!((0.24..=0.36).contains(&moved), "{moved}");
    assert!((share(&thirty, "eu-west-1/haproxy") + moved - 1.0).abs() < 1e-9);
    // A larger one takes those and more, and brings nobody back.
    walk.api().ok("POST", "/api/v1/drains", by(60));
    let sixty = walk.ireland();
    assert!(
        thirty.iter().zip(&sixty).all(|(thirty, sixty)| *sixty != "eu-west-1/haproxy" || thirty == sixty)
    );
    walk.api().ok("POST", "/api/v1/drains/lift", lift("eu-west-1"));
    assert_eq!(share(&walk.ireland(), "eu-west-1/haproxy"), 1.0);
    walk.api().ok("POST", "/api/v1/drains", by(30));
    assert_eq!(walk.ireland(), thirty);
    let walk = walk.restart();
    assert_eq!(walk.ireland(), thirty);
}

/// Two owners, one scope: the largest counts, and each lifts its own.
#[test]
fn drains_of_two_owners() {
    let walk = Walk::start();
    let (automation, operator) = (walk.node.token("watchdog", "drain"), walk.node.token("anna", "operate"));
    operator.ok("POST", "/api/v1/drains", with(drain("eu-west-1"), json!({ "percent": 30 })));
    let made = automation.ok("POST", "/api/v1/drains", drain("eu-west-1"));
    assert!(made["notes"].to_string().contains("eu-west-1 stays out: drained by anna, 30 %"), "{made}");
    assert_eq!(share(&walk.ireland(), "eu-west-2/haproxy"), 1.0);
    let theirs = json!({ "scope": { "pop": "eu-west-1" }, "all_owners": true });
    automation.refused("POST", "/api/v1/drains/lift", theirs, 403, "needs the role operate");
    let lifted = automation.ok("POST", "/api/v1/drains/lift", lift("eu-west-1"));
    assert!(lifted["notes"].to_string().contains("eu-west-1 stays out: drained by anna, 30 %"), "{lifted}");
    let moved = share(&walk.ireland(), "eu-west-2/haproxy");
    assert!((0.24..=0.36).contains(&moved), "{moved}");
    let lifted = operator.ok("POST", "/api/v1/drains/lift", lift("eu-west-1"));
    assert!(lifted["notes"].to_string().contains("nothing drains eu-west-1 any more"), "{lifted}");
    assert_eq!(share(&walk.ireland(), "eu-west-1/haproxy"), 1.0);
}

/// From haproxy to envoy in steps, with a crash and a rollback in the middle.
#[test]
fn a_migration() {
    let walk = Walk::start();
    let plan = json!({
        "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["eu-west-1", "eu-west-2"],
        "steps": [10, 25, 50, 75, 100],
    });
    let id = walk.api().ok("POST", "/api/v1/migrations", plan.clone())["id"].as_str().unwrap().to_string();
    let on_envoy = |walk: &Walk| share(&walk.ireland(), "eu-west-1/envoy");
    let step = |walk: &Walk, how: &str| {
        walk.api().ok("POST", &format!("/api/v1/migrations/{id}/{how}"), json!({}));
    };
    let near = |share: f64, percent: f64| (share - percent / 100.0).abs() < 0.06;
    assert!(near(on_envoy(&walk), 10.0), "{}", on_envoy(&walk));
    let ten = walk.ireland();
    step(&walk, "advance");
    let quarter = walk.ireland();
    assert!(near(share(&quarter, "eu-west-1/envoy"), 25.0));
    // A step brings nobody back.
    assert!(ten.iter().zip(&quarter).all(|(ten, quarter)| *ten != "eu-west-1/envoy" || ten == quarter));
    step(&walk, "advance");
    let half = walk.ireland();
    let walk = walk.crash();
    assert_eq!(walk.ireland(), half);
    step(&walk, "rollback");
    assert_eq!(on_envoy(&walk), 0.0);
    walk.api().refused("POST", &format!("/api/v1/migrations/{id}/advance"), json!({}), 409, "has ended");

    let again = walk.api().ok("POST", "/api/v1/migrations", plan)["id"].as_str().unwrap().to_string();
    assert_ne!(again, id);
    assert_eq!(walk.ireland(), ten);
    let step = |walk: &Walk| {
        walk.api().ok("POST", &format!("/api/v1/migrations/{again}/advance"), json!({}));
    };
    step(&walk);
    step(&walk);
    let walk = walk.restart();
    assert_eq!(walk.ireland(), half);
    step(&walk);
    assert!(near(on_envoy(&walk), 75.0));
    step(&walk);
    assert_eq!(on_envoy(&walk), 1.0);
    // London, in one go after Dublin.
    let london = "81.2.69.0/24";
    assert_eq!(walk.goes(london), "eu-west-2/haproxy");
    (0..5).for_each(|_| step(&walk));
    assert_eq!(walk.goes(london), "eu-west-2/envoy");
    let shown = walk.api().get(&format!("/api/v1/migrations/{again}"));
    assert_eq!(shown["state"], "done", "{shown}");
}

/// What a step should bring is counted over who asked in the last hour: a network that asks most weighs most.
#[test]
fn the_wanted_share_is_of_those_who_ask() {
    let walk = Walk::start();
    let plan = json!({
        "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["eu-west-1"], "steps": [25, 100],
    });
    let id = walk.api().ok("POST", "/api/v1/migrations", plan)["id"].as_str().unwrap().to_string();
    let path = format!("/api/v1/migrations/{id}");
    assert_eq!(walk.api().get(&path)["pops"][0]["wanted"], Value::Null, "nobody has asked");
    let networks = networks_of_ireland();
    let moved = walk.ireland().iter().position(|goes| *goes == "eu-west-1/envoy").unwrap();
    // Most of what is asked is asked by one network of the quarter that moves. One query in 64 is looked at, so the
    // share is 86 to 88 of a hundred, give or take 4.
    for _ in 0..5 {
        first_addresses(walk.node.server.addresses[0], PRIMARY, &vec![networks[moved]; NETWORKS]);
    }
    let told = walk.api().comes_to(&path, |told| {
        let of = |name: &str| told["pops"][0][name].as_f64().unwrap_or_default();
        (65.0..=100.0).contains(&of("wanted")) && (80.0..=95.0).contains(&of("observed"))
    });
    assert_eq!(told["pops"][0]["percent"], 25.0, "{told}");
}

#[test]
fn guards_say_what_would_happen() {
    let walk = Walk::start();
    let everything = json!({ "scope": { "pool": "wss" }, "reason": "a drill" });
    let told = walk.api().refused("POST", "/api/v1/drains", everything.clone(), 409, "see `guards`");
    assert!(told["guards"].to_string().contains("max_drained_capacity"), "{told}");
    assert!(told["impact"].is_object(), "{told}");
    assert_eq!(walk.goes(DUBLIN), "eu-west-1/haproxy");
    let unsaid = with(everything.clone(), json!({ "force": true, "reason": "" }));
    walk.api().refused("POST", "/api/v1/drains", unsaid, 422, "say why");
    let forced = walk.api().ok("POST", "/api/v1/drains", with(everything, json!({ "force": true })));
    assert!(forced["notes"].to_string().contains("fail open"), "{forced}");
    // Everything is drained, so everything is answered as if nothing were.
    assert_eq!(walk.goes(DUBLIN), "eu-west-1/haproxy");
    let log = walk.api().get("/api/v1/audit");
    let line = &log["items"][0];
    assert_eq!(
        (&line["forced"], &line["reason"], &line["who"]),
        (&json!(true), &json!("a drill"), &json!("local"))
    );
}

#[test]
fn what_begins_later_is_told_for_then() {
    let walk = Walk::start();
    let body = json!({
        "scope": { "pop": "eu-west-1" }, "percent": 30, "reason": "works", "starts_at": "2100-01-01T02:00:00Z",
    });
    let told = walk.api().ok("POST", "/api/v1/drains", with(body.clone(), json!({ "dry_run": true })));
    assert_eq!(told["impact"]["at"], "2100-01-01T02:00:00Z");
    let words = told["impact"]["words"][0].as_str().unwrap();
    assert!(words.starts_with("from 2100-01-01T02:00:00Z on: ") && words.contains(" move: "), "{told}");
    assert!(told["notes"].to_string().contains("until then nothing moves"), "{told}");
    let primary = |told: &Value| {
        let is_it = |record: &&Value| record["records"].to_string().contains("wss-primary");
        told["impact"]["records"].as_array().unwrap().iter().find(is_it).unwrap().clone()
    };
    let dublin =
        primary(&told)["pops"].as_array().unwrap().iter().find(|pop| pop["pop"] == "eu-west-1").cloned();
    let share = |side: &str| dublin.as_ref().unwrap()[side].as_f64().unwrap();
    assert!((share("after") - 0.7 * share("before")).abs() < 1e-9, "30 % are 30 %: {dublin:?}");
    // The write itself does not wait for any of it.
    assert_eq!(walk.api().ok("POST", "/api/v1/drains", body)["impact"], Value::Null);
}

/// Sends two requests at once, from two callers; how often each status came.
fn race(walk: &Walk, requests: [(&Api, Value); 2]) -> BTreeMap<u16, usize> {
    let barrier = Barrier::new(2);
    let mut statuses = BTreeMap::new();
    std::thread::scope(|scope| {
        let sent = requests.map(|(api, body)| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                api.send("POST", "/api/v1/drains", &body).unwrap().status
            })
        });
        for status in sent {
            *statuses.entry(status.join().unwrap()).or_default() += 1;
        }
    });
    for drain in walk.api().get("/api/v1/drains")["items"].as_array().unwrap() {
        let id = drain["id"].as_str().unwrap();
        walk.api().ok("DELETE", &format!("/api/v1/drains/{id}?now=true"), Value::Null);
    }
    statuses
}

#[test]
fn of_two_writers_with_the_same_revision_one_wins() {
    let walk = Walk::start();
    let (one, other) = (walk.node.token("one", "operate"), walk.node.token("other", "operate"));
    for _ in 0..20 {
        let revision = walk.api().get("/api/v1/status")["revision"].clone();
        let body = |pop: &str| with(drain(pop), json!({ "expected_revision": revision }));
        let statuses = race(&walk, [(&one, body("eu-west-1")), (&other, body("eu-west-2"))]);
        assert_eq!(statuses, BTreeMap::from([(201, 1), (412, 1)]));
    }
}

/// Guards look at what is committed, not at what was there when a request came.
#[test]
fn of_two_drains_past_the_guard_one_is_refused() {
    let folder = Folder::example();
    let mut pool = String::new();
    for (pop, host) in [("eu-west-1", 1), ("eu-west-2", 2), ("eu-central-1", 3)] {
        pool += &format!("[[pool.three.answer]]\npop = \"{pop}\"\na = [\"192.0.2.{host}\"]\n");
    }
    folder.write(
        "filter-chains/three.toml",
        format!(
            "[pool.three]\n{pool}[[record]]\nname = \"three.example.com\"\npool = \"three\"\n\
             filters = [\"up\", \"geotarget_country\", \"select_first_n\"]\n"
        ),
    );
    let node = Node::start(&folder);
    let walk = Walk { folder, node };
    let (one, other) = (walk.node.token("one", "operate"), walk.node.token("other", "operate"));
    // A third of the pool each: both are more than half.
    let body = |pop: &str| json!({ "scope": { "pop": pop, "pool": "three" }, "reason": "a race" });
    for _ in 0..20 {
        let statuses = race(&walk, [(&one, body("eu-west-1")), (&other, body("eu-west-2"))]);
        assert_eq!(statuses, BTreeMap::from([(201, 1), (409, 1)]));
    }
}
