//! Drains: what is asked for, and what becomes of it.

use serde_json::{Value, json};

use crate::asked::{OF_DUBLIN, drain, notes, pick};
use crate::support::control::Control;
use crate::support::disk::Health;

#[test]
fn a_drain_is_served_at_once_and_a_retry_changes_nothing() {
    let control = Control::new();
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    let made = control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).send();
    assert_eq!(made.status, 201, "{}", made.text());
    let changed = made.json();
    assert_eq!(
        (&changed["revision"], &changed["changed"], &changed["ttl_s"]),
        (&json!(1), &json!(true), &json!(10))
    );
    assert_eq!(made.headers["etag"], "\"1\"");
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    // Where it says it is, it is.
    let location = made.headers["location"].to_str().unwrap();
    let shown = control.local("GET", location).ok();
    assert_eq!(
        (&shown["owner"], &shown["percent_now"], &shown["state"]),
        (&json!("local"), &json!(100), &json!("active"))
    );
    let again = control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).send();
    assert_eq!((again.status.as_u16(), &again.json()["changed"]), (200, &json!(false)));
    assert_eq!(again.json()["revision"], 1);
    // Another's drain of the same PoP: lifting the first says what still stands.
    let health = control.token("probe", "drain", None);
    control.remote("POST", "/api/v1/drains").bearer(&health).json(&drain(json!({ "pop": "eu-west-1" }))).ok();
    let lifted = control.local("DELETE", &format!("{location}?now=true")).ok();
    assert!(notes(&lifted).contains("eu-west-1 stays out: drained by probe, 100 %"), "{lifted}");
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    let lift = json!({ "scope": { "pop": "eu-west-1" }, "now": true });
    control.remote("POST", "/api/v1/drains/lift").bearer(&health).json(&lift).ok();
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    control.local("GET", location).refused(404, "it may have ended");
    // What was done is told, the newest first.
    let history = control.local("GET", "/api/v1/drains/history").ok();
    let told =
        |line: &Value| format!("{} {}", line["who"].as_str().unwrap(), line["action"].as_str().unwrap());
    let told: Vec<String> = history["items"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(told, ["probe undrain", "local undrain", "probe drain", "local drain"]);
}

#[test]
fn what_is_wrong_with_a_drain_is_named() {
    let control = Control::new();
    let post = |body: Value| control.local("POST", "/api/v1/drains").json(&body);
    let problem = post(drain(json!({ "pop": "eu-west-9" })))
        .refused(404, "there is no PoP called eu-west-9; there are af-south-1");
    assert_eq!(problem["type"], "urn:rhumb:problem:not-found");
    let problem = post(drain(json!({}))).refused(422, "name a pop, a pool or a stack");
    assert_eq!(problem["field"], "scope");
    post(json!({ "scope": { "pop": "eu-west-1" }, "reason": " " })).refused(422, "say why");
    let mut body = drain(json!({ "pop": "eu-west-1" }));
    let wrong: [(&str, Value, u16, &str); 11] = [
        ("percent", json!(0), 422, "write 1 to 100"),
        ("percent", json!("all"), 422, "write a whole number from 0 to 255 here, not the text `all`"),
        ("expires_in", json!("soon"), 422, "no span of time"),
        ("expires_in", json!("0s"), 422, "write a span of time"),
        ("return", json!({ "steps": [50, 10], "pause": "1m" }), 422, "ascend"),
        ("return", json!({ "steps": [100], "pause": "x" }), 422, "no span of time"),
        ("until", json!("tomorrow"), 422, "unknown field"),
        ("percent", json!(1.5), 422, "write a whole number from 0 to 255 here, not 1.5"),
        ("scope", json!(["eu-west-1"]), 422, "write an object here, not a list"),
        (
            "starts_at",
            json!("9999-12-31T23:59:59Z"),
            422,
            "is no moment; write one such as 2026-03-01T02:00:00Z",
        ),
        (
            "reason",
            json!("a\u{1b}[31mred\nb"),
            422,
            "the control character \\u{1b}; write one line of plain text",
        ),
    ];
    for (field, value, status, words) in wrong {
        let mut body = body.clone();
        body[field] = value;
        let problem = post(body).refused(status, words);
        assert_eq!(problem["field"].as_str().map(|at| at.split('.').next()), Some(Some(field)), "{problem}");
    }
    let nested =
        |scope: Value| post(json!({ "scope": scope, "reason": "x" })).refused(422, "")["field"].clone();
    assert_eq!(nested(json!({ "pop": 7 })), "scope.pop");
    assert_eq!(nested(json!({ "popp": "eu-west-1" })), "scope.popp");
    body["until"] = json!(1);
    assert_eq!(post(body).refused(422, "unknown field")["field"], "until");
    control.local("PATCH", "/api/v1/drains/none").json(&json!({})).refused(404, "there is no drain none");
    assert_eq!(control.state.view().model.revision, 0);
}

#[test]
fn drains_start_end_and_come_back_in_steps() {
    let control = Control::new();
    let mut body = drain(json!({ "pop": "eu-west-1", "pool": "wss" }));
    let start = (control.hands.now() + jiff::SignedDuration::from_secs(60)).to_string();
    body["starts_at"] = json!(start);
    body["expires_in"] = json!("10m");
    body["return"] = json!({ "steps": [50, 100], "pause": "2m" });
    let id = control.local("POST", "/api/v1/drains").json(&body).ok()["id"].as_str().unwrap().to_string();
    let path = format!("/api/v1/drains/{id}");
    let check = |state: &str, percent: u64| {
        let shown = control.local("GET", &path).ok();
        assert_eq!((&shown["state"], &shown["percent_now"]), (&json!(state), &json!(percent)), "{shown}");
        assert_eq!(shown["return"], json!({ "steps": [50, 100], "pause": "2m" }));
    };
    check("scheduled", 0);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    control.pass(61);
    check("active", 100);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    control.pass(601);
    check("returning", 50);
    assert!(control.local("GET", &path).ok()["returning_since"].is_string(), "it has expired");
    let listed = control.local("GET", "/api/v1/drains?state=returning").ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(control.local("GET", "/api/v1/drains?state=active").ok()["items"], json!([]));
    control.pass(130);
    control.pass(1);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    control.local("GET", &path).refused(404, "it may have ended");
}

#[test]
fn an_edit_changes_what_it_names() {
    let control = Control::new();
    let id = control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).ok()["id"]
        .clone();
    let path = format!("/api/v1/drains/{}", id.as_str().unwrap());
    let patch = json!({ "percent": 30, "expires_in": "2h" });
    control.local("PATCH", &path).json(&patch).ok();
    let shown = control.local("GET", &path).ok();
    assert_eq!((&shown["percent"], &shown["reason"]), (&json!(30), &json!("envoy fails")));
    assert!(shown["expires_at"].is_string());
    control.local("PATCH", &path).json(&json!({ "expires_in": null })).ok();
    assert_eq!(control.local("GET", &path).ok()["expires_at"], Value::Null);
    control.local("PATCH", &path).json(&json!({ "percent": null })).refused(422, "null");
    let later = (control.hands.now() + jiff::SignedDuration::from_secs(60)).to_string();
    control.local("PATCH", &path).json(&json!({ "starts_at": later })).refused(409, "began at");
    // One that begins later moves, and what is drained now is not lifted by one.
    let mut body = drain(json!({ "pop": "eu-west-1" }));
    body["starts_at"] = json!(later);
    control.local("POST", "/api/v1/drains").json(&body).refused(409, "eu-west-1 is drained now by local");
    let mut body = drain(json!({ "pop": "us-east-1" }));
    body["starts_at"] = json!(later);
    let made = control.local("POST", "/api/v1/drains").json(&body).ok();
    assert!(notes(&made).contains("until then nothing moves"), "{made}");
    let path = format!("/api/v1/drains/{}", made["id"].as_str().unwrap());
    control.local("PATCH", &path).json(&json!({ "starts_at": null })).ok();
    assert_eq!(control.local("GET", &path).ok()["state"], "active");
}

#[test]
fn only_the_owner_or_an_operator_lifts_a_drain() {
    let control = Control::new();
    let (mine, other) = (control.token("mine", "drain", None), control.token("other", "drain", None));
    let operator = control.token("operator", "operate", None);
    let made = control
        .remote("POST", "/api/v1/drains")
        .bearer(&mine)
        .json(&drain(json!({ "pop": "eu-west-1" })))
        .ok();
    let path = format!("/api/v1/drains/{}", made["id"].as_str().unwrap());
    control.remote("DELETE", &path).bearer(&other).refused(403, "the drain is mine's");
    control
        .remote("PATCH", &path)
        .bearer(&other)
        .json(&json!({ "percent": 1 }))
        .refused(403, "needs the role operate");
    let lift = json!({ "scope": { "pop": "eu-west-1" }, "all_owners": true });
    control
        .remote("POST", "/api/v1/drains/lift")
        .bearer(&other)
        .json(&lift)
        .refused(403, "needs the role operate");
    let own = json!({ "scope": { "pop": "eu-west-1" } });
    control.remote("POST", "/api/v1/drains/lift").bearer(&other).json(&own).refused(404, "drained by mine");
    control.remote("POST", "/api/v1/drains/lift").bearer(&operator).json(&lift).ok();
}

#[test]
fn a_full_disk_refuses_writes_and_takes_volatile_drains() {
    let control = Control::new();
    control.disk.set_health(Health::Full);
    let mut body = drain(json!({ "pop": "eu-west-1" }));
    control.local("POST", "/api/v1/drains").json(&body).refused(503, "with `volatile` it would be served");
    body["volatile"] = json!(true);
    let made = control.local("POST", "/api/v1/drains").json(&body).ok();
    assert_eq!(made["durable"], false);
    assert!(notes(&made).contains("NOT DURABLE"), "{made}");
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    let path = format!("/api/v1/drains/{}", made["id"].as_str().unwrap());
    assert_eq!(control.local("GET", &path).ok()["durable"], false);
    let status = control.local("GET", "/api/v1/status").ok();
    assert_eq!(status["store"]["state"], "failing");
    assert!(status["alarms"].to_string().contains("NOT DURABLE"), "{status}");
    assert_eq!(status["not_durable"], json!(["drain of eu-west-1 by local, 100 %"]));
    assert_eq!(status["ready"], true, "DNS goes on");
    // It counts as a revision, which events do not have yet: they come once it is written.
    assert_eq!((&made["revision"], &status["revision"]), (&json!(1), &json!(1)));
    assert_eq!(control.local("GET", "/api/v1/events?after=1").open().status(), 200);
    body["expected_revision"] = json!(0);
    control.local("POST", "/api/v1/drains").json(&body).refused(412, "the newest is 1");
    control.disk.set_health(Health::Well);
    control
        .local("PUT", "/api/v1/pools/wss/splits/eu-west-2")
        .json(&json!({ "weights": { "envoy": 7 } }))
        .ok();
    assert_eq!(control.local("GET", &path).ok()["durable"], true);
    // Lifted in memory alone it is in no list, and a restart would bring it back.
    control.disk.set_health(Health::Full);
    let lift = json!({ "scope": { "pop": "eu-west-1" }, "now": true, "volatile": true });
    control.local("POST", "/api/v1/drains/lift").json(&lift).ok();
    let status = control.local("GET", "/api/v1/status").ok();
    assert_eq!(status["not_durable"], json!(["undrain of eu-west-1, drained by local"]));
}
