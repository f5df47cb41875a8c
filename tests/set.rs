//! A monitor and a policy that are set over the API of a serving rhumb: what is answered over UDP by them, killed
//! and started again in between, and when they are taken back.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Folder;
use support::http::Node;
use support::process::PATIENCE;

/// Of the one that is dead, and of the one that takes connections.
const DEAD: &str = "127.0.71.1";
const ALIVE: &str = "127.0.71.2";
const MONITOR: &str = "/api/v1/monitors/app";
const POLICY: &str = "/api/v1/pools/app/policy";

/// Two PoPs of which one is dead, and nothing that would notice; a service of its own is watched.
fn folder(port: u16) -> Folder {
    let folder = Folder::new();
    folder.write("rhumb.toml", "[listen]\n");
    folder.write("zones/example.com.zone", "$TTL 1h\n@ SOA ns a 1 1 1 1 1\n@ NS ns\nns A 192.0.2.9\n");
    let chains = format!(
        "[pop]\ndublin = {{ country = 'IE' }}\ntokyo = {{ country = 'JP' }}\n\
         [pool.app]\nanswer = [{{ pop = 'dublin', a = '{DEAD}' }}, {{ pop = 'tokyo', a = '{ALIVE}' }}]\n\
         [[record]]\nname = 'app.example.com'\npool = 'app'\nfilters = ['up', 'select_first_n']\n\
         [pool.other]\nanswer = [{{ pop = 'tokyo', a = '{ALIVE}' }}]\n\
         [monitor.other]\nkind = 'tcp'\nport = {port}\ninterval = '1s'\ntarget = {{ pool = 'other' }}\n"
    );
    folder.write("filter-chains/app.toml", chains);
    folder
}

fn answer(node: &Node) -> String {
    let reply = node.server.ask("app.example.com A");
    reply.rsplit(' ').next().unwrap().trim().into()
}

/// Asks until this is answered.
#[track_caller]
fn answer_comes_to(node: &Node, expect: &str) {
    let deadline = Instant::now() + PATIENCE;
    while answer(node) != expect {
        assert!(Instant::now() < deadline, "the answer stays {}", answer(node));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn drains(node: &Node) -> Vec<Value> {
    node.api.get("/api/v1/drains")["items"].as_array().unwrap().clone()
}

#[test]
fn a_monitor_and_a_policy_are_set_survive_a_kill_and_are_taken_back() {
    let alive = TcpListener::bind((ALIVE, 0)).unwrap();
    let port = alive.local_addr().unwrap().port();
    let folder = folder(port);
    let node = Node::start(&folder);
    assert_eq!(answer(&node), DEAD, "nothing watches it");
    let other = node.api.get("/api/v1/monitors?monitor=other")["items"][0]["since"].clone();
    assert!(other.is_string(), "{other}");

    // What is dead leaves the answers, and nothing else is begun anew.
    let fields = json!({
        "kind": "tcp", "port": port, "interval": "1s", "timeout": "500ms", "rise": 1, "fall": 2,
        "target": { "pool": "app" },
    });
    let set = node.api.ok("PUT", MONITOR, json!({ "fields": fields, "reason": "nobody watches it" }));
    assert_eq!(set["notes"], json!(["it watches 2 answers"]));
    let shown = node.api.get(MONITOR);
    assert_eq!(shown["answers"].as_array().unwrap().len(), 2, "it is watched when the reply comes: {shown}");
    answer_comes_to(&node, ALIVE);
    assert_eq!(node.api.get("/api/v1/monitors?monitor=other")["items"][0]["since"], other);
    assert_eq!(drains(&node), [] as [Value; 0], "no policy says that a PoP is to be drained");

    // Killed, it knows from its first answer on.
    node.server.kill();
    let node = Node::start(&folder);
    assert_eq!(answer(&node), ALIVE);
    assert_eq!(node.api.get(MONITOR)["from"]["reason"], "nobody watches it");

    // By a policy that is set, health drains the PoP.
    let failover = json!({ "for": "1s", "return_after": "1h" });
    node.api.ok("PUT", POLICY, json!({ "fields": { "failover": failover }, "reason": "at night" }));
    let drained = |drains: &Value| drains["items"][0]["owner"] == "health";
    let drain = node.api.comes_to("/api/v1/drains", drained)["items"][0].clone();
    assert_eq!(drain["scope"], json!({ "pop": "dublin", "pool": "app" }));
    node.server.kill();
    let node = Node::start(&folder);
    assert_eq!(node.api.get(POLICY)["fields"]["failover"]["return_after"], "1h");
    assert_eq!(drains(&node)[0]["id"], drain["id"]);

    // Without it, nobody looks after the drain, and who lifts it is not contradicted.
    node.api.ok("DELETE", POLICY, Value::Null);
    let is_told = |status: &Value| status["alarms"].to_string().contains("has no failover any more");
    node.api.comes_to("/api/v1/status", is_told);
    let path = format!("/api/v1/drains/{}?now=true", drain["id"].as_str().unwrap());
    node.api.ok("DELETE", &path, Value::Null);
    assert_eq!(answer(&node), ALIVE, "it is down all the same");

    // A monitor whose pool is gone from the files rests, and is told; with the pool it is back.
    let whole = folder.read("filter-chains/app.toml");
    let without: Vec<&str> =
        whole.lines().filter(|line| !line.starts_with("answer = [{ pop = 'dublin'")).collect();
    let without = without.join("\n").replace("[pool.app]\n", "").replace("pool = 'app'", "pool = 'other'");
    folder.write("filter-chains/app.toml", without);
    node.api.ok("POST", "/api/v1/reload", Value::Null);
    let is_dormant = |status: &Value| {
        status["alarms"]
            .to_string()
            .contains("the monitor app that local set is not in force: target: no answer")
    };
    node.api.comes_to("/api/v1/status", is_dormant);
    assert!(node.api.get(MONITOR)["dormant"].as_str().unwrap().contains("known are other"));
    folder.write("filter-chains/app.toml", whole);
    node.api.ok("POST", "/api/v1/reload", Value::Null);
    node.api.comes_to("/api/v1/status", |status| !is_dormant(status));
    answer_comes_to(&node, ALIVE);

    // Taken back, it no longer counts.
    node.api.ok("DELETE", MONITOR, Value::Null);
    answer_comes_to(&node, DEAD);
    node.api.refused("GET", MONITOR, Value::Null, 404, "there is only other");
    node.server.kill();
    let node = Node::start(&folder);
    assert_eq!(answer(&node), DEAD);
}

/// Lifting one's own drain brings nobody back to a PoP that health has drained, and says so.
#[test]
fn a_drain_of_health_under_one_of_a_person() {
    let alive = TcpListener::bind((ALIVE, 0)).unwrap();
    let port = alive.local_addr().unwrap().port();
    let folder = folder(port);
    let node = Node::start(&folder);
    let fields = json!({
        "kind": "tcp", "port": port, "interval": "1s", "timeout": "500ms", "rise": 1, "fall": 2,
        "target": { "pool": "app" },
    });
    node.api.ok("PUT", MONITOR, json!({ "fields": fields }));
    let failover = json!({ "for": "1s", "return_after": "1h" });
    node.api.ok("PUT", POLICY, json!({ "fields": { "failover": failover }, "reason": "at night" }));
    node.api.comes_to("/api/v1/drains", |drains| drains["items"][0]["owner"] == "health");
    // It is well again, and health waits for an hour.
    let _revived = TcpListener::bind((DEAD, port)).unwrap();
    node.api.comes_to("/api/v1/pools/app", |pool| pool["answers"][0]["up"] == true);
    assert_eq!(answer(&node), ALIVE, "drained by health");

    let scope = json!({ "pop": "dublin", "pool": "app" });
    let anna = node.token("anna", "operate");
    anna.ok("POST", "/api/v1/drains", json!({ "scope": scope, "reason": "new line cards" }));
    assert_eq!((drains(&node).len(), answer(&node).as_str()), (2, ALIVE));
    let lifted = anna.ok("POST", "/api/v1/drains/lift", json!({ "scope": scope, "now": true }));
    assert!(lifted["notes"].to_string().contains("stays out: drained by health, 100 %"), "{lifted}");
    assert_eq!((drains(&node).len(), answer(&node).as_str()), (1, ALIVE));
    let all = json!({ "scope": scope, "now": true, "all_owners": true });
    anna.ok("POST", "/api/v1/drains/lift", all);
    assert_eq!((drains(&node).len(), answer(&node).as_str()), (0, DEAD));
}

/// A failover of the files may name a monitor that is set over the API: it is missed until then, and cannot be taken
/// away after. What an import brings is watched when its reply comes.
#[test]
fn a_failover_of_the_files_names_a_monitor_that_is_set() {
    let folder = folder(9);
    let chains = folder.read("filter-chains/app.toml");
    folder.write(
        "filter-chains/app.toml",
        chains.replace("[pool.app]\n", "[pool.app]\nfailover = { monitor = 'app' }\n"),
    );
    let node = Node::start(&folder);
    let bare = node.api.get("/api/v1/state");
    let blind = "no monitor probes this pool, so `app` cannot say that it fails";
    let is_missed = |status: &Value| {
        let alarm = format!("the policy of pool app is not wholly in force: failover: monitor: {blind}");
        status["alarms"].to_string().contains(&alarm)
    };
    node.api.comes_to("/api/v1/status", is_missed);
    assert_eq!(node.api.get(POLICY)["dormant"], format!("failover: monitor: {blind}"));
    let heart = json!({ "kind": "push", "interval": "1h", "target": { "pool": "app" } });
    node.api.ok("PUT", MONITOR, json!({ "fields": heart }));
    node.api.comes_to("/api/v1/status", |status| !is_missed(status));
    assert_eq!(node.api.get(POLICY)["dormant"], Value::Null);
    let why = "the failover of pool app names the monitor app, in the policy at filter-chains/app.toml:";
    let problem = node.api.refused("DELETE", MONITOR, Value::Null, 409, why);
    assert!(problem["detail"].as_str().unwrap().ends_with("take it out there first"), "{problem}");

    let whole = node.api.get("/api/v1/state");
    let watched = || node.api.get("/api/v1/monitors?monitor=app")["items"].as_array().unwrap().len();
    node.api.ok("PUT", "/api/v1/state", bare);
    assert_eq!(watched(), 0);
    node.api.ok("PUT", "/api/v1/state", whole);
    assert_eq!(watched(), 2);
}
