//! What every write has, of every route that writes: an expected revision by header and by field, and a dry run.

use std::collections::BTreeSet;

use rhumb::api::Hooks;
use rhumb::api::routes::{document, rules};
use serde_json::{Value, json};

use crate::asked::{OF_DUBLIN, drain, notes, pick};
use crate::shown::fed;
use crate::support::control::{Call, Control, config};

/// What is sent and is no write: a question, and a sign of life.
const NO_WRITES: [&str; 2] = ["/api/v1/explain", "/api/v1/monitors/{monitor}/heartbeat"];

/// Every write, with a body that would change something. What is in braces is in [`Ground::path`].
const WRITES: [(&str, &str, &str); 26] = [
    ("POST", "/api/v1/drains", r#"{ "scope": { "pop": "us-east-1" }, "reason": "x" }"#),
    ("PATCH", "/api/v1/drains/{id}", r#"{ "percent": 40 }"#),
    ("DELETE", "/api/v1/drains/{id}", ""),
    ("POST", "/api/v1/drains/lift", r#"{ "scope": { "pop": "eu-west-1" } }"#),
    ("PUT", "/api/v1/pools/{pool}/splits/{pop}", r#"{ "weights": { "envoy": 25 } }"#),
    ("DELETE", "/api/v1/pools/{pool}/splits/{pop}", ""),
    (
        "POST",
        "/api/v1/migrations",
        r#"{ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["us-west-2"] }"#,
    ),
    ("POST", "/api/v1/migrations/{id}/advance", "{}"),
    ("POST", "/api/v1/migrations/{id}/hold", "{}"),
    ("POST", "/api/v1/migrations/{id}/resume", "{}"),
    ("POST", "/api/v1/migrations/{id}/rollback", "{}"),
    (
        "POST",
        "/api/v1/feeds/{feed}",
        r#"{ "values": [{ "scope": { "pop": "eu-west-1" }, "meta": { "connections": 99999 } }] }"#,
    ),
    (
        "PUT",
        "/api/v1/monitors/{monitor}",
        r#"{ "fields": { "kind": "tcp", "port": 80, "target": { "pool": "wss" } } }"#,
    ),
    ("DELETE", "/api/v1/monitors/{monitor}", ""),
    ("PUT", "/api/v1/pools/{pool}/suspension", r#"{ "reason": "x" }"#),
    ("DELETE", "/api/v1/pools/{pool}/suspension", ""),
    ("PUT", "/api/v1/pools/{pool}/policy", r#"{ "fields": { "max_drained_capacity": 0.3 } }"#),
    ("DELETE", "/api/v1/pools/{pool}/policy", ""),
    ("POST", "/api/v1/rollback", r#"{ "to_revision": 0, "reason": "all wrong" }"#),
    ("POST", "/api/v1/tokens", r#"{ "name": "new", "role": "read" }"#),
    ("DELETE", "/api/v1/tokens/{name}", ""),
    ("PUT", "/api/v1/state", ""),
    ("POST", "/api/v1/state/accept", ""),
    ("POST", "/api/v1/clock/accept", ""),
    ("POST", "/api/v1/reload", ""),
    ("PUT", "/api/v1/log-level", r#"{ "level": "debug" }"#),
];

/// A control plane with one of everything.
struct Ground {
    control: Control,
    drain: String,
    empty: Value,
}

impl Ground {
    fn new() -> Ground {
        let hooks = Hooks {
            reload: Box::new(|_| panic!("it was only asked what would happen")),
            check_files: Box::new(|| Ok(Vec::new())),
            set_log_level: Box::new(|_| panic!("it was only asked what would happen")),
            ..Hooks::default()
        };
        let control = Control::with(fed(), config(), hooks);
        let empty = control.local("GET", "/api/v1/state").ok();
        let ok = |method: &str, path: &str, body: Value| control.local(method, path).json(&body).ok();
        let made = ok("POST", "/api/v1/drains", drain(json!({ "pop": "eu-west-1" })));
        ok("PUT", "/api/v1/pools/wss/splits/eu-west-2", json!({ "weights": { "envoy": 40 } }));
        let plan = json!({ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["eu-central-1"] });
        ok("POST", "/api/v1/migrations", plan);
        let fields = json!({ "kind": "tcp", "port": 443, "target": { "pool": "wss" } });
        ok("PUT", "/api/v1/monitors/mine", json!({ "fields": fields }));
        ok("PUT", "/api/v1/pools/wss/suspension", json!({ "reason": "works" }));
        ok("PUT", "/api/v1/pools/wss/policy", json!({ "fields": { "max_drained_capacity": 0.4 } }));
        control.token("guest", "read", None);
        Ground { drain: made["id"].as_str().unwrap().into(), control, empty }
    }

    fn path(&self, path: &str) -> String {
        let id = if path.contains("/drains/") { self.drain.as_str() } else { "wss-1" };
        let names = [
            ("{id}", id),
            ("{pool}", "wss"),
            ("{pop}", "eu-west-2"),
            ("{feed}", "sockets"),
            ("{monitor}", "mine"),
            ("{name}", "guest"),
        ];
        names.iter().fold(path.to_string(), |path, (place, name)| path.replace(place, name))
    }

    /// A write with a field more, where the description of the route has that field.
    fn call(&self, (method, path, body): (&str, &str, &str), field: &str, value: Value) -> Call<'_> {
        let operation = &document_of(method, path);
        let mut body: Value = match (path, body) {
            ("/api/v1/state", _) => self.empty.clone(),
            (_, "") => Value::Null,
            (_, body) => serde_json::from_str(body).unwrap(),
        };
        let mut to = self.path(path);
        if parameters(operation).contains(&("query".into(), field.into())) {
            to += &format!("?{field}={value}");
        } else {
            assert!(fields(operation).contains(field), "{method} {path} has no {field}");
            body[field] = value;
        }
        let call = self.control.local(method, &to);
        if body.is_null() { call } else { call.json(&body) }
    }
}

fn document_of(method: &str, path: &str) -> Value {
    let document = serde_json::to_value(document()).unwrap();
    document["paths"][path][method.to_lowercase()].clone()
}

fn parameters(operation: &Value) -> BTreeSet<(String, String)> {
    let text = |parameter: &Value, field: &str| parameter[field].as_str().unwrap().to_string();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.map(|parameter| (text(parameter, "in"), text(parameter, "name"))).collect()
}

/// The fields of the body.
fn fields(operation: &Value) -> BTreeSet<String> {
    let document = serde_json::to_value(document()).unwrap();
    let body = operation["requestBody"].to_string();
    let name = body.split("#/components/schemas/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    document["components"]["schemas"][name]["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_write_is_here() {
    let writes = rules()
        .into_iter()
        .filter(|(method, path, _)| *method != "GET" && !NO_WRITES.contains(&path.as_str()));
    let known: BTreeSet<_> = WRITES.map(|(method, path, _)| (method, path.to_string())).into();
    assert_eq!(known, writes.map(|(method, path, _)| (method, path)).collect());
}

#[test]
fn another_revision_than_the_newest_is_refused() {
    let ground = Ground::new();
    let newest = ground.control.state.view().model.revision;
    for write in WRITES {
        let (method, path, _) = write;
        let stale = |call: Call| {
            let reply = call.send();
            assert_eq!(reply.status, 412, "{method} {path}: {}", reply.text());
            assert_eq!(reply.json()["revision"], newest, "{method} {path}");
        };
        for dry_run in [false, true] {
            stale(ground.call(write, "dry_run", json!(dry_run)).header("if-match", "\"99\""));
        }
        stale(ground.call(write, "expected_revision", json!(99)));
        let operation = document_of(method, path);
        assert!(parameters(&operation).contains(&("header".into(), "If-Match".into())), "{method} {path}");
        assert!(operation["responses"]["412"].is_object(), "{method} {path}");
    }
    assert_eq!(ground.control.state.view().model.revision, newest);
    for (method, path, _) in rules() {
        if method == "GET" || NO_WRITES.contains(&path.as_str()) {
            let operation = document_of(method, &path);
            assert!(operation["responses"]["412"].is_null(), "{method} {path} is no write");
        }
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let ground = Ground::new();
    let newest = ground.control.state.view().model.revision;
    for write in WRITES {
        let (method, path, _) = write;
        let call = ground.call(write, "dry_run", json!(true)).header("if-match", &format!("\"{newest}\""));
        if path == "/api/v1/state/accept" {
            call.refused(409, "the store is not damaged");
            continue;
        }
        let reply = call.send();
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        assert_eq!(reply.headers["etag"], format!("\"{newest}\""), "{method} {path}");
        if path != "/api/v1/log-level" {
            assert_eq!(reply.json()["dry_run"], true, "{method} {path}: {}", reply.text());
        }
        assert_eq!(ground.control.state.view().model.revision, newest, "{method} {path}");
    }
    // Nobody's load was told, and no secret.
    assert_eq!(pick(&ground.control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    assert_eq!(ground.control.local("GET", "/api/v1/feeds/sockets").ok()["values"], json!([]));
    let token = json!({ "name": "new", "role": "read", "dry_run": true });
    let dry = ground.control.local("POST", "/api/v1/tokens").json(&token).send().text();
    assert!(!dry.contains("rhumb_"), "{dry}");
    ground
        .control
        .local("PUT", "/api/v1/log-level?dry_run=true")
        .json(&json!({ "level": "loud" }))
        .refused(422, "loud");
}

/// What an import would do is told by the rows that would be otherwise.
#[test]
fn a_dry_run_of_an_import_says_what_is_otherwise() {
    let ground = Ground::new();
    let path = "/api/v1/state?dry_run=true";
    let dry = ground.control.local("PUT", path).json(&ground.empty).ok();
    let wanted = [
        "drains: 1 gone",
        "migrations: 1 gone",
        "monitors: 1 gone",
        "policies: 1 gone",
        "splits: 2 gone",
        "suspensions: 1 gone",
        "tokens: 1 gone",
    ];
    assert_eq!(notes(&dry), wanted.join("\n"));
    let now = ground.control.local("GET", "/api/v1/state").ok();
    let dry = ground.control.local("PUT", path).json(&now).ok();
    assert_eq!(notes(&dry), "every row is as it is now");
}

/// The values of a feed are held against those that are held, as they would be in earnest.
#[test]
fn a_dry_run_of_a_feed_says_what_would_be_refused() {
    let ground = Ground::new();
    let give = |made: i64, dry_run: bool| {
        let made = ground.control.hands.now() + jiff::SignedDuration::from_secs(made);
        let value = json!({
            "scope": { "pop": "eu-west-2" }, "meta": { "connections": 7 }, "made_at": made.to_string(),
        });
        let body = json!({ "values": [value], "dry_run": dry_run });
        ground.control.local("POST", "/api/v1/feeds/sockets").json(&body)
    };
    assert_eq!(give(0, true).ok(), json!({ "taken": 2, "refused": [], "dry_run": true }));
    assert_eq!(give(0, false).ok(), json!({ "taken": 2, "refused": [], "dry_run": false }));
    give(-1, true).refused(409, "older than the value that is held");
    give(60, true).refused(409, "made in the future");
}

/// Every reply that shows something says of which revision.
#[test]
fn replies_have_the_revision_as_their_etag() {
    let ground = Ground::new();
    for (method, path, _) in rules() {
        let operation = document_of(method, &path);
        let is_json =
            |status: &str| operation["responses"][status]["content"]["application/json"].is_object();
        if method != "GET" || !path.starts_with("/api/") || !is_json("200") {
            continue;
        }
        let described = operation["responses"]["200"]["headers"]["ETag"].is_object();
        let to = ground.path(&path).replace("records/guest", "records/wss-primary.example.com");
        let reply = ground.control.local(method, &to).send();
        assert_eq!(reply.status, 200, "{to}: {}", reply.text());
        assert!(described && reply.headers.contains_key("etag"), "{to}");
    }
    for (status, header) in [("401", "WWW-Authenticate"), ("429", "Retry-After"), ("201", "Location")] {
        let operation = document_of("POST", "/api/v1/drains");
        assert!(operation["responses"][status]["headers"][header].is_object(), "{status} {header}");
    }
}
