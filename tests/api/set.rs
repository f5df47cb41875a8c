//! Monitors and policies that are set over the API, beside and instead of the files'.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb::api::Hooks;
use rhumb::health::MonitorStatus;
use serde_json::{Value, json};

use crate::support::Folder;
use crate::support::control::{Control, config};

const MONITOR: &str = "/api/v1/monitors/wss-tcp";
const POLICY: &str = "/api/v1/pools/wss/policy";

/// A control plane over the example with a monitor of its own, and how often health was told to look.
fn control() -> (Control, Arc<AtomicUsize>) {
    let folder = Folder::example();
    let own = "[monitor.upgrade]\nkind = 'websocket'\ntarget = { pool = 'wss' }\nmin_addresses = 1.0\n\
               headers = { Authorization = 'Bearer secret' }\n";
    folder.write("filter-chains/own.toml", own);
    let looks = Arc::new(AtomicUsize::new(0));
    let told = looks.clone();
    let status = |monitor: &str| MonitorStatus {
        monitor: monitor.into(),
        answer: "wss/eu-west-1/envoy".into(),
        pool: "wss".into(),
        kind: "tcp",
        verdict: None,
        addresses: Vec::new(),
        history: Vec::new(),
    };
    let hooks = Hooks {
        monitors: Box::new(move || vec![status("wss-tcp"), status("upgrade")]),
        settle: Box::new(move || {
            told.fetch_add(1, Ordering::SeqCst);
        }),
        ..Hooks::default()
    };
    (Control::with(folder, config(), hooks), looks)
}

fn tcp(port: u16) -> Value {
    json!({ "kind": "tcp", "port": port, "target": { "pool": "wss" } })
}

#[test]
fn a_monitor_is_set_shown_and_taken_away() {
    let (control, looks) = control();
    let put = |body: Value| control.local("PUT", MONITOR).json(&body);
    control.local("GET", MONITOR).refused(404, "there is only upgrade");
    let dry = put(json!({ "fields": tcp(443), "dry_run": true })).ok();
    assert_eq!((&dry["changed"], &dry["notes"]), (&json!(true), &json!(["it watches 26 answers"])));
    control.local("GET", MONITOR).refused(404, "there is no monitor called wss-tcp");
    let set = put(json!({ "fields": tcp(443), "reason": "beside the upgrade" })).send();
    assert_eq!(
        (set.status.as_u16(), &set.headers["etag"]),
        (200, &"\"1\"".parse().unwrap()),
        "{}",
        set.text()
    );
    let shown = control.local("GET", MONITOR).ok();
    assert_eq!((&shown["fields"], &shown["dormant"]), (&tcp(443), &Value::Null));
    let from = json!({
        "source": "api", "by": "local", "since": "2027-01-15T08:00:00Z", "reason": "beside the upgrade", "revision": 1,
    });
    assert_eq!(shown["from"], from);
    assert_eq!(shown["answers"].as_array().unwrap().len(), 1);
    let listed = control.local("GET", "/api/v1/monitors?monitor=wss-tcp").ok();
    assert_eq!((&listed["items"][0]["from"], listed["items"].as_array().unwrap().len()), (&from, 1));
    // A retry changes nothing; what was made for another revision is refused.
    assert_eq!(put(json!({ "fields": tcp(443) })).ok()["changed"], false);
    put(json!({ "fields": tcp(444) })).header("if-match", "\"0\"").refused(412, "the newest is 1");
    put(json!({ "fields": tcp(444), "expected_revision": 0 })).refused(412, "the newest is 1");
    put(json!({ "fields": tcp(444), "expected_revision": 1 })).ok();
    assert_eq!(looks.load(Ordering::SeqCst), 2, "health looks when something has changed");
    let deleted = control.local("DELETE", &format!("{MONITOR}?reason=done")).ok();
    assert_eq!((&deleted["action"], &deleted["revision"]), (&json!("monitor deleted"), &json!(3)));
    control.local("DELETE", MONITOR).refused(404, "there is only upgrade");
    assert_eq!(looks.load(Ordering::SeqCst), 3);
    let audit = control.local("GET", "/api/v1/audit").ok();
    let told = |line: &Value| format!("{} {} {}", line["action"], line["object"], line["reason"]);
    let told: Vec<String> = audit["items"].as_array().unwrap().iter().map(told).collect();
    let expect = [
        "\"monitor deleted\" \"wss-tcp\" \"done\"",
        "\"monitor set\" \"wss-tcp\" \"\"",
        "\"monitor set\" \"wss-tcp\" \"beside the upgrade\"",
    ];
    assert_eq!(told, expect);
}

#[test]
fn a_monitor_of_the_files_is_shown_replaced_and_never_deleted() {
    let (control, _) = control();
    let path = "/api/v1/monitors/upgrade";
    let written = control.local("GET", path).ok();
    let place = written["from"]["file"].as_str().unwrap();
    assert!(place.ends_with("filter-chains/own.toml:1"), "{written}");
    let fields = json!({
        "kind": "websocket", "target": { "pool": "wss" }, "min_addresses": 1.0,
        "headers": { "Authorization": "Bearer secret" },
    });
    assert_eq!(written["fields"], fields);
    // What opens doors elsewhere is not for everybody's eyes.
    let reader = control.token("reader", "drain", None);
    let seen = control.remote("GET", path).bearer(&reader).ok();
    assert_eq!(seen["fields"]["headers"], json!({ "Authorization": "(hidden)" }));
    control.local("DELETE", path).refused(409, "own.toml:1; take it out there, or set another in its place");
    let set = control.local("PUT", path).json(&json!({ "fields": tcp(80) })).ok();
    assert!(set["notes"][1].as_str().unwrap().contains("until it is taken back, the monitor at"), "{set}");
    let shown = control.local("GET", path).ok();
    assert_eq!((&shown["from"]["source"], &shown["from"]["instead_of"]), (&json!("api"), &json!(place)));
    let deleted = control.local("DELETE", path).ok();
    assert!(deleted["notes"][0].as_str().unwrap().contains("own.toml:1 is in force again"), "{deleted}");
    assert_eq!(control.local("GET", path).ok()["from"], written["from"]);
}

#[test]
fn what_is_wrong_names_object_and_field() {
    let (control, _) = control();
    let put = |path: &str, fields: Value| control.local("PUT", path).json(&json!({ "fields": fields }));
    let wrong = json!({ "kind": "tcp", "port": 0, "target": { "pool": "wss" }, "intervall": "5s" });
    let problem = put(MONITOR, wrong).refused(422, "monitor wss-tcp: intervall: unknown field");
    assert_eq!((&problem["object"], &problem["field"]), (&json!("monitor wss-tcp"), &json!("intervall")));
    let lines = problem["detail"].as_str().unwrap().lines();
    assert!(lines.last().unwrap().contains("monitor wss-tcp: port: 0 is out of range; write 1 to 65535"));
    let wrong = json!({ "failover": { "detect": 2 } });
    let problem = put(POLICY, wrong).refused(422, "detect: 2 is out of range; write 0.01 to 1");
    assert_eq!((&problem["object"], &problem["field"]), (&json!("pool wss failover"), &json!("detect")));
    let mut nowhere = tcp(443);
    nowhere["target"] = json!({ "pop": "eu-west-9" });
    put(MONITOR, nowhere).refused(404, "known are af-south-1");
    let of_tls = |ca: &str| json!({ "kind": "tls", "target": { "pool": "wss" }, "tls": { "ca": ca } });
    let pem = rcgen::generate_simple_self_signed(["wss.example.com".into()]).unwrap().cert.pem();
    put(MONITOR, of_tls(&pem)).ok();
    let problem = put(MONITOR, of_tls(&pem[..80])).refused(422, "cannot be read as PEM");
    assert_eq!((&problem["object"], &problem["field"]), (&json!("monitor wss-tcp tls"), &json!("ca")));
    put(MONITOR, of_tls("rhumb.toml")).refused(422, "write the certificates themselves, as PEM");
    put("/api/v1/pools/www/policy", json!({})).refused(404, "there is only wss");
    put(POLICY, json!({ "capacity": { "eu-west-9": 1 } })).refused(404, "there are af-south-1");
    let missing = control.local("PUT", POLICY).json(&json!({})).refused(422, "missing field `fields`");
    assert_eq!(missing["field"], "fields");
    let unknown = json!({ "fields": {}, "force": true });
    control.local("PUT", POLICY).json(&unknown).refused(422, "unknown field `force`");
}

#[test]
fn a_policy_is_set_shown_and_reset() {
    let (control, looks) = control();
    let pool = || control.local("GET", "/api/v1/pools/wss").ok();
    let written = control.local("GET", POLICY).ok();
    assert_eq!(written["fields"], json!({ "max_down_capacity": 0.5, "max_drained_capacity": 0.5 }));
    assert!(written["from"]["file"].as_str().unwrap().contains("wss.toml:"), "{written}");
    assert_eq!(pool()["policy_from"], written["from"]);
    let fields = json!({ "max_drained_capacity": 0.05, "failover": { "for": "20s" } });
    control.local("PUT", POLICY).json(&json!({ "fields": fields, "reason": "sale" })).ok();
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    assert_eq!(
        (&pool()["max_drained_percent"], &pool()["policy_from"]["by"]),
        (&json!(5.0), &json!("local"))
    );
    let shown = control.local("GET", POLICY).ok();
    let failover = json!({
        "detect": 1.0, "for": "20s", "percent": 100, "max_concurrent_pops": 1, "return_after": "1m",
        "return_after_max": "30m", "return": { "steps": [10, 25, 50, 100], "pause": "2m" },
    });
    assert_eq!(shown["fields"]["failover"], failover);
    // A drain is held against it at once.
    let drain = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x" });
    let refused = control.local("POST", "/api/v1/drains").json(&drain).refused(409, "guard");
    assert!(refused["guards"][0].as_str().unwrap().contains("max_drained_capacity of 5 %"), "{refused}");
    // What is shown can be sent back, and means the same.
    control.local("PUT", POLICY).json(&json!({ "fields": shown["fields"] })).ok();
    assert_eq!(control.local("GET", POLICY).ok()["fields"], shown["fields"]);
    let reset = control.local("DELETE", POLICY).ok();
    assert_eq!((&reset["action"], &reset["changed"]), (&json!("policy reset"), &json!(true)));
    assert_eq!(control.local("DELETE", POLICY).ok()["changed"], false);
    assert_eq!(control.local("GET", POLICY).ok()["fields"], written["fields"]);
    control.local("POST", "/api/v1/drains").json(&drain).ok();
}
