//! Drains, splits, migrations: what is asked for, and what becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rhumb::api::Hooks;
use rhumb::engine::explain::Explanation;
use rhumb::state::change::{Change, DrainAsk};
use rhumb::state::keeper::Wish;
use rhumb::state::live::VerdictValue;
use rhumb::state::load::MonitorLoad;
use rhumb::state::model::Scope;
use serde_json::{Value, json};

use crate::support::Folder;
use crate::support::control::{Control, config};
use crate::support::disk::Health;

/// Clients, and the PoPs that serve them.
const OF_DUBLIN: &str = "86.40.1.0/24";
const OF_LONDON: &str = "81.2.69.0/24";

/// Asks as a client does; with what a body of `explain` may say beside that.
fn explain(control: &Control, client: &str, more: Value) -> Value {
    let mut question = json!({ "name": "wss-primary.example.com", "client": client });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    control.local("POST", "/api/v1/explain").json(&question).ok()
}

/// The answer a client gets.
fn pick(control: &Control, client: &str) -> String {
    explain(control, client, json!({}))["steered"]["picks"][0].as_str().unwrap().into()
}

fn drain(scope: Value) -> Value {
    json!({ "scope": scope, "reason": "envoy fails" })
}

/// The notes of a reply, one line each.
fn notes(reply: &Value) -> String {
    let notes: Vec<&str> = reply["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    notes.join("\n")
}

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
fn splits_are_set_and_cleared() {
    let control = Control::new();
    let path = "/api/v1/pools/wss/splits/eu-west-1";
    let shown = control.local("GET", path).ok();
    assert_eq!(
        (&shown["weights"], &shown["owner"]),
        (&json!({ "envoy": 0.0, "haproxy": 100.0 }), &Value::Null)
    );
    let set = control.local("PUT", path).json(&json!({ "weights": { "haproxy": 0, "envoy": 100 } })).ok();
    assert_eq!((&set["action"], &set["ttl_s"]), (&json!("split"), &json!(10)));
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/envoy");
    let shown = control.local("GET", path).ok();
    assert_eq!((&shown["owner"], &shown["file_weights"]["haproxy"]), (&json!("local"), &json!(100.0)));
    control
        .local("PUT", path)
        .json(&json!({ "weights": { "nginx": 1 } }))
        .refused(404, "there are envoy, haproxy");
    control.local("PUT", path).json(&json!({ "weights": {} })).refused(422, "name each stack's weight");
    control.local("PUT", path).json(&json!({ "weights": { "envoy": -1 } })).refused(422, "write a number");
    control
        .local("PUT", "/api/v1/pools/wss/splits/moon")
        .json(&json!({ "weights": { "envoy": 1 } }))
        .refused(404, "moon");
    control
        .local("GET", "/api/v1/pools/www/splits")
        .refused(404, "there is no pool called www; there is only wss");
    // Everything without weight is a guard's matter.
    let nothing = json!({ "weights": { "haproxy": 0, "envoy": 0 } });
    control.local("PUT", "/api/v1/pools/wss/splits/*").json(&nothing).refused(409, "see `guards`");
    control.local("PUT", "/api/v1/pools/wss/splits/*").json(&json!({ "weights": { "envoy": 50 } })).ok();
    let listed = control.local("GET", "/api/v1/pools/wss/splits?limit=5").ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 5);
    let rest = format!("/api/v1/pools/wss/splits?cursor={}", listed["next"].as_str().unwrap());
    let rest = control.local("GET", &rest).ok();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (8, &Value::Null));
    control.local("DELETE", "/api/v1/pools/wss/splits/*").ok();
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    let history = control.local("GET", "/api/v1/audit?key=split/wss/eu-west-1&limit=2").ok();
    assert_eq!(history["items"][0]["action"], "split cleared");
    assert!(history["next"].is_string());
}

#[test]
fn a_migration_and_its_way_back() {
    let control = Control::new();
    control
        .local("PUT", "/api/v1/pools/wss/splits/eu-west-2")
        .json(&json!({ "weights": { "haproxy": 60, "envoy": 40 } }))
        .ok();
    let plan = json!({
        "pool": "wss", "from": "haproxy", "to": "envoy", "waves": [["eu-west-1"], ["eu-west-2", "eu-central-1"]],
        "steps": [10, 100], "soak": "30m", "guard": "roll_back",
    });
    let post = |plan: &Value| {
        control.local("POST", "/api/v1/migrations").header("idempotency-key", "monday").json(plan)
    };
    let mut dry = plan.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(post(&dry).ok()["id"], "wss-1");
    let begun = post(&plan).send();
    assert_eq!(
        (begun.status.as_u16(), &begun.headers["location"]),
        (201, &"/api/v1/migrations/wss-1".parse().unwrap())
    );
    let again = post(&plan).send();
    assert_eq!((again.status.as_u16(), &again.json()["changed"]), (200, &json!(false)));
    let mut another = plan.clone();
    another["steps"] = json!([100]);
    post(&another).refused(409, "the key was used for another plan");
    let percents = || -> Vec<Value> {
        let shown = control.local("GET", "/api/v1/migrations/wss-1").ok();
        shown["pops"].as_array().unwrap().iter().map(|pop| json!([pop["state"], pop["percent"]])).collect()
    };
    assert_eq!(percents(), [json!(["moving", 10.0]), json!(["waiting", 40.0]), json!(["waiting", 0.0])]);
    for changed in [true, false] {
        let step = control.local("POST", "/api/v1/migrations/wss-1/advance").json(&json!({ "step": 2 })).ok();
        assert_eq!(step["changed"], changed, "a retry makes no second step");
    }
    let shown = control.local("GET", "/api/v1/migrations/wss-1").ok();
    assert_eq!((&shown["step"], &shown["steps_in_all"]), (&json!(2), &json!(4)));
    control.pass(1801);
    control.pass(1);
    assert_eq!(percents(), [json!(["moved", 100.0]), json!(["moving", 10.0]), json!(["moving", 10.0])]);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/envoy");
    control.local("POST", "/api/v1/migrations/wss-1/hold").json(&json!({ "reason": "lunch" })).ok();
    let shown = control.local("GET", "/api/v1/migrations/wss-1").ok();
    assert_eq!(
        (&shown["state"], &shown["why"], &shown["next_at"]),
        (&json!("held"), &json!("lunch"), &Value::Null)
    );
    control.local("POST", "/api/v1/migrations/wss-1/resume").ok();
    // A split by hand in the middle of it is refused.
    let split = json!({ "weights": { "envoy": 5 } });
    control
        .local("PUT", "/api/v1/pools/wss/splits/eu-west-1")
        .json(&split)
        .refused(409, "the migration wss-1 steers");
    control.local("POST", "/api/v1/migrations/wss-1/rollback").json(&json!({ "reason": "it leaks" })).ok();
    assert_eq!(percents(), [json!(["waiting", 0.0]), json!(["waiting", 40.0]), json!(["waiting", 0.0])]);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy");
    control.local("POST", "/api/v1/migrations/wss-1/advance").refused(409, "has ended");
    let listed = control.local("GET", "/api/v1/migrations?state=rolled_back&pool=wss").ok();
    assert_eq!(listed["items"][0]["why"], "it leaks");
    let both =
        json!({ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["*"], "waves": [["eu-west-1"]] });
    control.local("POST", "/api/v1/migrations").json(&both).refused(422, "either pops or waves");
    let mut hasty = plan.clone();
    hasty["soak"] = json!("0s");
    control.local("POST", "/api/v1/migrations").json(&hasty).refused(422, "write at least 1s");
    let every = json!({ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["*"] });
    control.local("POST", "/api/v1/migrations").json(&every).ok();
    assert_eq!(control.local("GET", "/api/v1/migrations/wss-2").ok()["pops"].as_array().unwrap().len(), 13);
}

#[test]
fn what_if() {
    let control = Control::new();
    let with = json!({ "drains": [{ "scope": { "pop": "eu-west-1" } }] });
    assert_eq!(explain(&control, OF_DUBLIN, with)["steered"]["picks"], json!(["wss/eu-west-2/haproxy"]));
    let with =
        json!({ "splits": [{ "pool": "wss", "pop": "eu-west-1", "weights": { "haproxy": 0, "envoy": 1 } }] });
    assert_eq!(explain(&control, OF_DUBLIN, with)["steered"]["picks"], json!(["wss/eu-west-1/envoy"]));
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-1/haproxy", "nothing was done");
    assert_eq!(pick(&control, OF_LONDON), "wss/eu-west-2/haproxy");
    let post = |body: Value| control.local("POST", "/api/v1/explain").json(&body);
    post(json!({ "name": "x..y" })).refused(422, "");
    post(json!({ "name": "wss.example.net", "type": "B" })).refused(422, "no record type");
    post(json!({ "name": "wss.example.net", "client": "here" })).refused(422, "no address");
    post(json!({ "name": "wss.example.net", "resolver": "there" })).refused(422, "write an address");
    post(json!({ "name": "wss.example.net", "drains": [{ "scope": { "pop": "moon" } }] }))
        .refused(404, "no PoP called moon");
}

#[test]
fn steering_goes_back_to_a_revision() {
    let control = Control::new();
    control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).ok();
    control
        .local("PUT", "/api/v1/pools/wss/splits/eu-west-2")
        .json(&json!({ "weights": { "envoy": 7 } }))
        .ok();
    let mut body = json!({ "to_revision": 1, "reason": "it was wrong", "dry_run": true });
    let dry = control.local("POST", "/api/v1/rollback").json(&body).ok();
    assert_eq!((&dry["changed"], &dry["revision"]), (&json!(true), &json!(2)));
    body["dry_run"] = json!(false);
    let back = control.local("POST", "/api/v1/rollback").json(&body).ok();
    assert!(notes(&back).contains("eu-west-1 stays out: drained by local, 100 %"), "{back}");
    assert!(notes(&back).contains("pool wss at eu-west-2: 100 % haproxy (it was"), "{back}");
    assert_eq!(control.local("GET", "/api/v1/pools/wss/splits/eu-west-2").ok()["owner"], Value::Null);
    assert_eq!(pick(&control, OF_DUBLIN), "wss/eu-west-2/haproxy");
    for dry_run in [true, false] {
        let body = json!({ "to_revision": 99, "reason": "it was wrong", "dry_run": dry_run });
        control.local("POST", "/api/v1/rollback").json(&body).refused(404, "there is no revision 99 yet");
    }
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

#[test]
fn what_is_down_names_the_monitor_that_says_so() {
    let control = Control::new();
    let verdict = VerdictValue {
        up: false,
        failing: Vec::new(),
        since: "2026-11-24T03:00:00Z".parse().unwrap(),
        why: "chat-wss: connection refused".into(),
        down_by: BTreeSet::from(["chat-wss".into()]),
        held_until: None,
        may_change_at: None,
    };
    let view = control.state.view();
    let say = |which: &dyn Fn(&str) -> bool, pop: &str| {
        let down = view.base.answers().filter(|answer| which(&answer.id));
        let said = down.map(|answer| (answer.id.clone(), Some(verdict.clone()))).collect();
        control.state.verdicts(said, Vec::new());
        // What is written after them is served after them.
        control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": pop }))).ok();
        explain(&control, OF_DUBLIN, json!({}))["steered"].clone()
    };
    let said = "monitor chat-wss: connection refused, since 2026-11-24T03:00:00Z";
    let walk = say(&|answer| answer == "wss/eu-west-1/haproxy", "us-east-1");
    let left_out = walk["left_out"].as_array().unwrap();
    let of_dublin = left_out.iter().find(|out| out["answer"] == "wss/eu-west-1/haproxy").unwrap();
    assert_eq!(of_dublin["why"], format!("down, says {said}"));
    // Where everything is down, it is answered all the same, and the filter says of each what is wrong.
    let walk = say(&|_| true, "us-west-2");
    assert_eq!(walk["steps"][0]["filter"], "up");
    assert_eq!(walk["steps"][0]["kept"][0]["why"], format!("down: said no by {said}, but health is ignored"));
}

/// Whether the coin takes this client or not, and in a drain that is not made yet as well.
#[test]
fn what_is_drained_names_whose_drains_it_is() {
    let control = Control::new();
    let why = |walk: &Value, list: &str, answer: &str| {
        let remarks = walk[list].as_array().into_iter().flatten();
        remarks.filter(|of| of["answer"] == answer).find_map(|of| of["why"].as_str().map(String::from))
    };
    control.local("POST", "/api/v1/drains").json(&drain(json!({ "pop": "eu-west-1" }))).ok();
    let secret = control.token("ops", "drain", None);
    let mut half = drain(json!({ "pop": "eu-west-2", "stack": "haproxy" }));
    half["percent"] = json!(50);
    control.remote("POST", "/api/v1/drains").bearer(&secret).json(&half).ok();

    let dublin = "drained: eu-west-1 by local, 100 % (envoy fails)";
    let half = "haproxy at eu-west-2 by ops, 50 % (envoy fails)";
    let [mut taken, mut spared] = [0, 0];
    for network in 0..16 {
        let explained = explain(&control, &format!("25.{network}.1.0/24"), json!({}));
        let walk = &explained["steered"];
        assert_eq!(why(walk, "left_out", "wss/eu-west-1/haproxy").as_deref(), Some(dublin));
        let of_london = |list| why(walk, list, "wss/eu-west-2/haproxy");
        let picked = walk["picks"][0] == "wss/eu-west-2/haproxy";
        let (list, whom, count) = match picked {
            true => ("drained", "not this one", &mut spared),
            false => ("left_out", "this one too", &mut taken),
        };
        *count += 1;
        let said = format!("drained for 50 % of the clients, {whom}: {half}");
        assert_eq!(of_london(list).as_ref(), Some(&said), "{walk}");
        let text = serde_json::from_value::<Explanation>(explained.clone()).unwrap().to_string();
        let mark = if picked { "    " } else { "  - " };
        assert!(text.contains(&format!("\n{mark}wss/eu-west-2/haproxy  {said}\n")), "{text}");
    }
    assert!(taken > 2 && spared > 2, "{taken} {spared}");

    let more = json!({ "drains": [{ "scope": { "pop": "us-east-1" } }] });
    let walk = explain(&control, OF_DUBLIN, more)["steered"].clone();
    let said = why(&walk, "left_out", "wss/us-east-1/haproxy");
    assert_eq!(said.as_deref(), Some("drained: us-east-1 by what if, 100 % (not made yet)"));

    // Where nothing else is left, it is in play, and drained by more than one.
    let mut all = drain(json!({ "pool": "wss" }));
    all["force"] = json!(true);
    control.local("POST", "/api/v1/drains").json(&all).ok();
    let walk = explain(&control, OF_DUBLIN, json!({}))["steered"].clone();
    let said = why(&walk, "drained", "wss/eu-west-1/haproxy").unwrap();
    let words: BTreeSet<&str> = said.strip_prefix("drained: ").unwrap().split("; ").collect();
    let pool = "pool wss by local, 100 % (envoy fails)";
    assert_eq!(words, BTreeSet::from([pool, dublin.strip_prefix("drained: ").unwrap()]), "{walk}");
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
