//! What holds of every write: files, bodies, tokens of a pool, guards, writers at once, the whole state, heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rhumb::api::Hooks;
use rhumb::state::change::{Change, DrainAsk};
use rhumb::state::keeper::Wish;
use rhumb::state::load::MonitorLoad;
use rhumb::state::model::Scope;
use serde_json::{Value, json};

use crate::asked::{OF_DUBLIN, drain, notes, pick};
use crate::support::Folder;
use crate::support::control::{Control, config};

#[test]
fn what_files_own_is_written_in_files() {
    let control = Control::new();
    let owned = [
        ("PUT", "/api/v1/pools/wss", "the pool wss belongs to "),
        ("PATCH", "/api/v1/pops/eu-west-1", "the PoP eu-west-1 belongs to "),
        (
            "DELETE",
            "/api/v1/records/wss-primary.example.com.",
            "the record wss-primary.example.com. belongs to ",
        ),
    ];
    for (method, path, words) in owned {
        let problem = control.local(method, path).refused(409, words);
        assert!(problem["detail"].as_str().unwrap().contains("filter-chains/wss.toml:"), "{problem}");
        control.remote(method, path).refused(401, "token");
    }
    control.local("POST", "/api/v1/pops").refused(409, "PoPs belong to the files in filter-chains/");
    control.local("PUT", "/api/v1/records/new.example.com").refused(409, "records belong to the files");
}

#[test]
fn requests_that_cannot_be_read() {
    let control = Control::new();
    let post = || control.local("POST", "/api/v1/drains");
    post().bytes(b"{".to_vec()).header("content-type", "application/json").refused(400, "no JSON");
    post().bytes(b"{}".to_vec()).refused(415, "Content-Type: application/json");
    post()
        .bytes(b"{}".to_vec())
        .header("content-type", "application/merge-patch+json")
        .refused(415, "as JSON");
    post().refused(400, "the body is empty");
    post().json(&json!({})).refused(422, "missing field `scope`");
    post().json(&json!([{ "pop": "eu-west-1" }, 100, "x"])).refused(422, "write an object here, not a list");
    let twice = br#"{"scope": {"pop": "eu-west-1"}, "reason": "a", "reason": "b"}"#;
    post()
        .bytes(twice.to_vec())
        .header("content-type", "application/json")
        .refused(400, "`reason` is there twice");
    control.local("GET", "/api/v1/drains?limit=0").refused(400, "out of range");
    let problem = control.local("GET", "/api/v1/drains?limit=many").refused(400, "not the text `many`");
    assert_eq!(problem["field"], "limit");
    let lift = control.local("DELETE", "/api/v1/drains/none?reason=a%0Ab");
    assert_eq!(lift.refused(400, "the control character \\n")["field"], "reason");
    control.local("GET", "/api/v1/drains?cursor=zzz").refused(400, "the `next` of the part before");
    control.local("GET", "/api/v1/drains?limt=1").refused(400, "unknown field");
    // Also where there are none: a question must not become a write.
    for path in ["pools/wss", "status", "pops/eu-west-1", "records/wss-primary.example.com"] {
        let path = format!("/api/v1/{path}?limt=1");
        assert_eq!(control.local("GET", &path).refused(400, "there is none here")["field"], "limt", "{path}");
    }
    let body = drain(json!({ "pop": "eu-west-1" }));
    let asked = control.local("POST", "/api/v1/drains?dry_run=true").json(&body);
    asked.refused(400, "unknown field `dry_run`; there is none here");
    control.remote("GET", "/api/v1/status?limt=1").refused(401, "token");
    assert_eq!(control.local("GET", "/healthz?from=balancer").send().status, 200);
    control.local("GET", "/api/v1/nothing").refused(404, "openapi.json");
    control.local("GET", "/").refused(404, "openapi.json");
    let reply = control.local("DELETE", "/api/v1/drains").send();
    assert_eq!(reply.headers["allow"], "HEAD, GET, POST", "{}", reply.text());
    control.local("DELETE", "/api/v1/drains").refused(405, "does not take DELETE; it takes HEAD, GET, POST");
    let long = vec![b' '; (1 << 20) + 1];
    post().bytes(long).header("content-type", "application/json").refused(413, "body_bytes_max");
    control
        .local("PATCH", "/api/v1/drains/x")
        .header("if-match", "new")
        .json(&json!({}))
        .refused(400, "ETag");
}

#[test]
fn a_token_of_a_pool_stays_in_it() {
    let control = Control::new();
    let token = control.token("edge", "operate", Some("wss"));
    let post = |scope: Value| control.remote("POST", "/api/v1/drains").bearer(&token).json(&drain(scope));
    post(json!({ "pop": "eu-west-1" })).refused(403, "confined to pool wss");
    post(json!({ "pop": "eu-west-1", "pool": "wss" })).ok();
    let back = json!({ "to_revision": 0, "reason": "all wrong" });
    control.remote("POST", "/api/v1/rollback").bearer(&token).json(&back).refused(403, "concerns every pool");
}

#[test]
fn guards_stand_before_what_would_be_too_much() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let hooks = Hooks {
        impact: Box::new(move |view, after| {
            count.fetch_add(1, Ordering::SeqCst);
            Some(json!({ "drains": [view.model.drains.size(), after.drains.size()] }))
        }),
        ..Hooks::default()
    };
    let control = Control::with(Folder::example(), config(), hooks);
    let mut body = drain(json!({ "pool": "wss" }));
    body["dry_run"] = json!(true);
    let dry = control.local("POST", "/api/v1/drains").json(&body).send();
    assert_eq!(dry.status, 200);
    let dry = dry.json();
    assert_eq!((&dry["dry_run"], &dry["changed"], &dry["revision"]), (&json!(true), &json!(true), &json!(0)));
    assert_eq!(dry["impact"], json!({ "drains": [0, 1] }));
    let guards = dry["guards"].as_array().unwrap().clone();
    assert!(guards[0].as_str().unwrap().contains("left undrained"), "{guards:?}");
    assert!(
        notes(&dry).contains("undrained of wss-primary.example.com and 2 more records: they fail open"),
        "{dry}"
    );
    assert_eq!(control.state.view().model.revision, 0, "nothing was written");
    // The same for real is refused with the same report, and passes by force.
    body["dry_run"] = json!(false);
    let problem = control
        .local("POST", "/api/v1/drains")
        .json(&body)
        .refused(409, "guards stand before it, see `guards`");
    assert_eq!((&problem["guards"], &problem["impact"]), (&json!(guards), &dry["impact"]));
    assert_eq!(problem["type"], "urn:rhumb:problem:guarded");
    body["force"] = json!(true);
    let forced = control.local("POST", "/api/v1/drains").json(&body).ok();
    assert_eq!(forced["impact"], Value::Null, "a write does not wait for that");
    assert!(notes(&forced).contains("passed by force: nothing of"), "{forced}");
    assert!(notes(&forced).contains("they fail open"), "{forced}");
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    assert_eq!(control.local("GET", "/api/v1/audit").ok()["items"][0]["forced"], true);
    let alarms = control.local("GET", "/api/v1/status").ok()["alarms"].to_string();
    assert!(alarms.contains("everything is drained"), "{alarms}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn of_two_writers_one_wins() {
    let control = Control::new();
    let (one, other) = (control.token("one", "drain", None), control.token("other", "drain", None));
    let revision = control.state.view().model.revision;
    let call = |token: &str, pop: &str| {
        let mut body = drain(json!({ "pop": pop }));
        body["expected_revision"] = json!(revision);
        control.remote("POST", "/api/v1/drains").bearer(token).json(&body)
    };
    call(&one, "eu-west-1").ok();
    let problem = call(&other, "us-east-1").refused(412, "the newest is 3");
    assert_eq!(problem["revision"], 3);
    // By header, in a dry run too.
    let mut body = drain(json!({ "pop": "us-east-1" }));
    body["dry_run"] = json!(true);
    let stale = control.local("POST", "/api/v1/drains").header("if-match", "\"2\"").json(&body);
    stale.refused(412, "expected revision 2");
    control.local("POST", "/api/v1/drains").header("if-match", "W/\"3\"").json(&body).ok();
    control.local("POST", "/api/v1/drains").header("if-match", "*").json(&body).ok();
    body["expected_revision"] = json!(2);
    control
        .local("POST", "/api/v1/drains")
        .header("if-match", "\"3\"")
        .json(&body)
        .refused(422, "If-Match says 3");
    // Racing for real: many at once with the same revision, and one is first.
    let revision = control.state.view().model.revision;
    let state = control.state.clone();
    let race = |percent: u8| {
        let scope = Scope { pop: Some("us-west-2".into()), ..Scope::default() };
        let ask = DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps: None };
        let wish = Wish::of_ours("racer", Change::Drain(ask), "a race");
        state.change_blocking(Wish { expected: Some(revision), ..wish })
    };
    let won = std::thread::scope(|scope| {
        let racers: Vec<_> = (1..=8)
            .map(|percent| {
                scope.spawn({
                    let race = &race;
                    move || race(percent).is_ok()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn everything_is_exported_and_imported() {
    let control = Control::new();
    control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).ok();
    let export = control.local("GET", "/api/v1/state").ok();
    control
        .local("POST", "/api/v1/drains/lift")
        .json(&json!({ "scope": { "pop": "eu-west-1" }, "now": true }))
        .ok();
    let stale = control.local("PUT", "/api/v1/state").header("if-match", "\"1\"").json(&export);
    stale.refused(412, "the newest is 2");
    let imported = control.local("PUT", "/api/v1/state?reason=a%20copy").json(&export).ok();
    assert_eq!(imported["revision"], 3);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    for dry_run in [true, false] {
        let back = json!({ "to_revision": 1, "reason": "back", "dry_run": dry_run });
        control
            .local("POST", "/api/v1/rollback")
            .json(&back)
            .refused(404, "an import has replaced everything");
    }
    control.local("PUT", "/api/v1/state").json(&json!({ "format": 99 })).refused(422, "format 99");
    control.local("PUT", "/api/v1/state").json(&json!({})).refused(422, "no export");
    control.local("POST", "/api/v1/state/accept").refused(409, "there is nothing to accept");
    control.local("POST", "/api/v1/clock/accept").ok();
    let wrong = format!("/api/v1/clock/accept?reason={}", "x".repeat(501));
    control.local("POST", &wrong).refused(422, "at most 500 characters");
    // The lines of both stand in the audit log, and make a revision each.
    let lines = control.local("GET", "/api/v1/audit?limit=2").ok()["items"].clone();
    let told = |line: &Value| {
        let text = |field: &str| line[field].as_str().unwrap().to_string();
        format!(
            "{} {} {} {} ({})",
            line["revision"],
            text("who"),
            text("action"),
            text("object"),
            text("reason")
        )
    };
    let told: Vec<String> = lines.as_array().unwrap().iter().map(told).collect();
    let wanted =
        ["4 local accepted the clock of test ()", "3 local imported everything that is wanted (a copy)"];
    assert_eq!(told, wanted);
    assert_eq!((&lines[1]["from"], &lines[1]["keys"]), (&json!("unix socket"), &json!([])));
}

/// A heartbeat may carry load: it is shed by, shown with its source, and forgotten when heartbeats stay away.
#[test]
fn a_heartbeat_carries_load() {
    let folder = Folder::example();
    let chains = folder.read("filter-chains/wss.toml");
    let marks = "[pool.wss]\nmeta = { low_watermark = 80, high_watermark = 100 }\n";
    folder.write("filter-chains/wss.toml", chains.replace("[pool.wss]\n", marks));
    let hooks = Hooks {
        heartbeat: Box::new(|monitor, answer, load| {
            let counts = Duration::from_secs(30);
            let said = MonitorLoad { monitor: monitor.into(), answer: answer.into(), load, counts };
            (monitor == "heart").then_some(said)
        }),
        ..Hooks::default()
    };
    let control = Control::with(folder, config(), hooks);
    let beat = |more: Value| {
        let mut body = json!({ "answer": "wss/eu-west-1/haproxy" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        control.local("POST", "/api/v1/monitors/heart/heartbeat").json(&body).send()
    };
    let load = || {
        let pool = control.local("GET", "/api/v1/pools/wss").ok();
        let answers = pool["answers"].as_array().unwrap();
        let answer = answers.iter().find(|answer| answer["answer"] == "wss/eu-west-1/haproxy").unwrap();
        let values = answer["values"].as_array().unwrap();
        values
            .iter()
            .find(|value| value["key"] == "connections")
            .map(|value| format!("{} by {}", value["value"], value["source"].as_str().unwrap()))
    };
    assert_eq!(beat(json!({})).status, 204);
    assert_eq!((load(), pick(&control, OF_DUBLIN).as_str()), (None, "wss/eu-west-1/haproxy"));
    assert_eq!(beat(json!({ "connections": 120 })).status, 204);
    assert_eq!(load().as_deref(), Some("120.0 by monitor heart"));
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    // One that says nothing of it leaves it as it is.
    assert_eq!(beat(json!({})).status, 204);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    control.pass(31);
    assert_eq!((load(), pick(&control, OF_DUBLIN).as_str()), (None, "wss/eu-west-1/haproxy"));
    let wrong = beat(json!({ "connections": -1 }));
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    assert!(wrong.text().contains("write 0 or more"), "{}", wrong.text());
}
