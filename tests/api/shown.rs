//! What the control plane shows: status, PoPs, pools, records, feeds, the audit log and its stream.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use axum::response::Response;
use http_body_util::BodyExt;
use rhumb::api::Hooks;
use rhumb::api::bodies::ShareBody;
use rhumb::files::Problem;
use serde_json::{Value, json};

use crate::support::Folder;
use crate::support::control::{Control, config, keep};

/// The example, where the load of every answer comes from a feed.
pub fn fed() -> Folder {
    let folder = Folder::example();
    let chains = folder.read("filter-chains/wss.toml");
    let meta = "[pool.wss]\nmeta = { connections = { feed = \"sockets\" }, high_watermark = 10000, low_watermark = 8000 }";
    let chains = chains.replace("[pool.wss]\n", &format!("{meta}\n"));
    folder.write(
        "filter-chains/wss.toml",
        chains + "\n[feed.sockets]\nmax_age = \"30s\"\nstale = \"neutral\"\n",
    );
    folder
}

fn drain(control: &Control, pop: &str) -> Value {
    let body = json!({ "scope": { "pop": pop }, "reason": "envoy fails" });
    control.local("POST", "/api/v1/drains").json(&body).ok()
}

#[test]
fn the_node_says_how_it_is() {
    let control = Control::new();
    let status = control.local("GET", "/api/v1/status").ok();
    assert_eq!(
        (&status["node"], &status["ready"], &status["revision"]),
        (&json!("test"), &json!(true), &json!(0))
    );
    assert_eq!((&status["alarms"], &status["store"]["state"]), (&json!([]), &json!("ok")));
    assert_eq!((&status["counts"]["pops"], &status["counts"]["steered_records"]), (&json!(13), &json!(3)));
    assert!(status["geo"].to_string().contains("sample.mmdb"), "{status}");
    assert_eq!(control.remote("GET", "/healthz").send().text(), "ok\n");
    assert_eq!(control.remote("GET", "/readyz").send().text(), "ready\n");
    control.state.not_ready(Some("geo data is being read".into()));
    control.pass(0);
    control.remote("GET", "/readyz").refused(503, "geo data is being read");
    let message = "`filters` is missing";
    control.state.rejected(vec![Problem::error("filter-chains/wss.toml".as_ref(), 7, message)]);
    control.pass(0);
    let status = control.local("GET", "/api/v1/status").ok();
    assert_eq!(status["files"]["errors"], json!(["filter-chains/wss.toml:7: error: `filters` is missing"]));
    assert!(status["alarms"].to_string().contains("a change of the files was refused"), "{status}");
}

#[test]
fn a_jump_of_the_clock_is_an_alarm() {
    let control = Control::new();
    let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "expires_in": "1m" });
    control.local("POST", "/api/v1/drains").json(&body).ok();
    control.hands.jump(7200);
    control.pass(0);
    let status = control.local("GET", "/api/v1/status").ok();
    assert!(status["alarms"].to_string().contains("the clock jumped"), "{status}");
    assert_eq!(control.local("GET", "/api/v1/drains").ok()["items"][0]["state"], "active", "nothing expires");
    control.local("POST", "/api/v1/clock/accept").ok();
    control.pass(1);
    assert_eq!(control.local("GET", "/api/v1/drains").ok()["items"], json!([]));
}

#[test]
fn pops_pools_and_records_as_they_are_now() {
    let share = |pop: &str, count| ShareBody {
        answer: format!("wss/{pop}/haproxy"),
        pool: Some("wss".into()),
        pop: Some(pop.into()),
        stack: Some("haproxy".into()),
        with_ecs_1m: 0,
        without_ecs_1m: 0,
        with_ecs_10m: count,
        without_ecs_10m: count,
        percent_10m: None,
    };
    let hooks = Hooks {
        shares: Box::new(move || vec![share("eu-west-1", 30), share("eu-west-2", 10)]),
        wanted: Box::new(|_, _, _, stack| (stack == "envoy").then_some(12.5)),
        ..Hooks::default()
    };
    let control = Control::with(Folder::example(), config(), hooks);
    let pop = || control.local("GET", "/api/v1/pops/eu-west-1").ok()["pools"][0].clone();
    assert_eq!(
        (&pop()["state"], &pop()["share_10m"], &pop()["share_1m"]),
        (&json!("serving"), &json!(75.0), &Value::Null)
    );
    assert_eq!(pop()["weights"], json!({ "envoy": 0.0, "haproxy": 100.0 }));
    let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "percent": 30 });
    control.local("POST", "/api/v1/drains").json(&body).ok();
    assert_eq!((&pop()["state"], &pop()["drained_percent"]), (&json!("draining"), &json!(30.0)));
    drain(&control, "eu-west-1");
    assert_eq!(pop()["state"], "drained");
    let none = json!({ "weights": { "haproxy": 0 } });
    control.local("PUT", "/api/v1/pools/wss/splits/us-west-2").json(&none).ok();
    let weightless = control.local("GET", "/api/v1/pops/us-west-2").ok();
    assert_eq!(weightless["pools"][0]["state"], "weightless");
    let pool = control.local("GET", "/api/v1/pools/wss").ok();
    assert_eq!((&pool["max_drained_percent"], pool["answers"].as_array().unwrap().len()), (&json!(50.0), 26));
    assert!(
        (pool["drained_percent"].as_f64().unwrap() - 200.0 / 13.0).abs() < 1e-9,
        "{}",
        pool["drained_percent"]
    );
    let record = control.local("GET", "/api/v1/records/WSS-Primary.example.com.").ok();
    assert_eq!((&record["pool"], &record["rung"], &record["ttl"]), (&json!("wss"), &json!("up"), &json!(10)));
    assert_eq!(record["filters"][3]["config"], json!({ "N": 1 }));
    let answers = record["answers"].as_array().unwrap();
    let of = |id: &str| answers.iter().find(|answer| answer["answer"] == id).unwrap();
    let drained = of("wss/eu-west-1/haproxy");
    assert_eq!((&drained["answering"], &drained["drained_percent"]), (&json!(false), &json!(100)));
    assert!(drained["why"].as_str().unwrap().contains("drained by local, 100 % (envoy fails)"), "{drained}");
    let key = |value: &&Value| value["key"] == "drained";
    let drained = drained["values"].as_array().unwrap().iter().find(key).unwrap();
    assert_eq!(drained["source"], "drain by local");
    assert_eq!(of("wss/eu-west-2/envoy")["why"], "it has no weight in its split");
    control.local("GET", "/api/v1/records/x.example").refused(404, "wss-backup.example.com");
    let listed = control.local("GET", "/api/v1/records?limit=2").ok();
    assert_eq!(
        (&listed["items"][0]["record"], &listed["next"]),
        (&json!("wss-backup.example.com"), &json!("wss-primary.example.com"))
    );
    let plan = json!({ "pool": "wss", "from": "haproxy", "to": "envoy", "pops": ["eu-west-2"] });
    control.local("POST", "/api/v1/migrations").json(&plan).ok();
    let moved = control.local("GET", "/api/v1/migrations/wss-1").ok()["pops"][0].clone();
    assert_eq!((&moved["wanted"], &moved["observed"]), (&json!(12.5), &json!(0.0)));
    // The parts of a list that is longer than one of them.
    let first = control.local("GET", "/api/v1/share?limit=1").ok();
    let next = first["next"].as_str().unwrap();
    assert_eq!(
        (&first["items"][0]["answer"], next),
        (&json!("wss/eu-west-1/haproxy"), "wss/eu-west-1/haproxy")
    );
    let rest = control.local("GET", &format!("/api/v1/share?limit=1&cursor={next}")).ok();
    assert_eq!((&rest["items"][0]["answer"], &rest["next"]), (&json!("wss/eu-west-2/haproxy"), &Value::Null));
}

/// More values than are taken or written at once.
#[test]
fn thousands_of_values_are_taken_and_kept() {
    const ANSWERS: usize = 200;
    const RECORDS: usize = 6;
    let folder = Folder::example();
    let mut text = "[feed.sockets]\n".to_string();
    for record in 0..RECORDS {
        text += &format!(
            "[[record]]\nname = \"fed-{record}.example.com\"\nfilters = [\"shed_load\"]\nmeta = {{ connections = {{ feed = \"sockets\" }} }}\n"
        );
        for answer in 0..ANSWERS {
            text += &format!("[[record.answer]]\nname = \"a{answer}\"\na = \"10.7.{record}.{answer}\"\n");
        }
    }
    folder.write("filter-chains/fed.toml", text);
    let control = Control::with(folder, config(), Hooks::default());
    let one = |number: usize| {
        let (record, answer) = (number / ANSWERS, number % ANSWERS);
        let scope = json!({ "answer": format!("fed-{record}.example.com/a{answer}") });
        json!({ "scope": scope, "meta": { "connections": number } })
    };
    // The first answer twice: the later value counts.
    let mut values: Vec<Value> = (0..RECORDS * ANSWERS).map(one).collect();
    values.push(json!({ "scope": values[0]["scope"], "meta": { "connections": 7 } }));
    let count = values.len();
    let given = control.local("POST", "/api/v1/feeds/sockets").json(&json!({ "values": values })).ok();
    assert_eq!(given, json!({ "taken": count, "refused": [], "dry_run": false }));
    control.state.stop();
    // What it is asked before it has ended is answered.
    while control.runtime.block_on(control.state.export()).is_ok() {}
    let again = keep(&control.folder, &control.disk, &control.hands);
    let view = again.view();
    let kept: BTreeMap<&str, Option<f64>> =
        view.values.fed().map(|(_, answer, said)| (answer, said.values.connections)).collect();
    assert_eq!(kept.len(), RECORDS * ANSWERS);
    assert_eq!(kept["fed-0.example.com/a0"], Some(7.0));
    assert_eq!(kept["fed-5.example.com/a199"], Some(1199.0));
    again.stop();
}

#[test]
fn feeds_give_values_to_the_answers_that_name_them() {
    let control = Control::with(fed(), config(), Hooks::default());
    let token = control.token("collector", "feed", None);
    let give = |feed: &str, values: Value| {
        let path = format!("/api/v1/feeds/{feed}");
        control.remote("POST", &path).bearer(&token).json(&json!({ "values": values }))
    };
    let made = |seconds: i64| (control.hands.now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let dublin = json!({ "pop": "eu-west-1", "stack": "haproxy" });
    // One call for many, at its own time.
    let fed = give(
        "sockets",
        json!([
            { "scope": { "pool": "wss" }, "meta": { "connections": 10 } },
            { "scope": dublin, "meta": { "connections": 12000 }, "made_at": made(0) },
        ]),
    );
    assert_eq!(fed.ok(), json!({ "taken": 27, "refused": [], "dry_run": false }));
    let values = || {
        let record = control.local("GET", "/api/v1/records/wss-primary.example.com").ok();
        let answers = record["answers"].as_array().unwrap().clone();
        let dublin = answers.into_iter().find(|answer| answer["answer"] == "wss/eu-west-1/haproxy").unwrap();
        dublin["values"]
            .as_array()
            .unwrap()
            .iter()
            .find(|value| value["key"] == "connections")
            .unwrap()
            .clone()
    };
    assert_eq!((&values()["value"], &values()["source"]), (&json!(12000.0), &json!("feed sockets")));
    // It is served: Dublin is full.
    let question = json!({ "name": "wss-primary.example.com", "client": "86.40.1.0/24" });
    let explained = control.local("POST", "/api/v1/explain").json(&question).ok();
    assert_eq!(explained["steered"]["picks"], json!(["wss/eu-west-2/haproxy"]));
    // Older ones, and those of tomorrow.
    give("sockets", json!([{ "scope": dublin, "meta": { "connections": 1 }, "made_at": made(-5) }]))
        .refused(409, "older than the value that is held");
    give("sockets", json!([{ "scope": dublin, "meta": { "connections": 1 }, "made_at": made(60) }]))
        .refused(409, "made in the future");
    let some = give(
        "sockets",
        json!([
            { "scope": dublin, "meta": { "connections": 1 }, "made_at": made(-5) },
            { "scope": dublin, "meta": { "connections": 2 } },
        ]),
    );
    assert_eq!(
        some.ok(),
        json!({
            "taken": 1, "refused": ["wss/eu-west-1/haproxy: older than the value that is held"], "dry_run": false,
        })
    );
    // What names nothing.
    give("socket", json!([{ "scope": dublin, "meta": { "connections": 1 } }]))
        .refused(404, "{ feed = \"socket\" }");
    give("sockets", json!([{ "scope": { "pop": "moon" }, "meta": { "connections": 1 } }]))
        .refused(404, "no answer is in");
    let wrong = give("sockets", json!([{ "scope": dublin, "meta": { "up": true } }]));
    assert_eq!(wrong.refused(422, "does not take up from the feed sockets")["field"], "values[0]");
    give("sockets", json!([{ "scope": dublin, "meta": {} }])).refused(422, "at least one value");
    give("sockets", json!([{ "scope": dublin, "meta": { "connections": -1 } }])).refused(422, "at least 0");
    give("sockets", json!([{ "scope": dublin, "meta": { "connections": 1 }, "stale": "old" }]))
        .refused(422, "neutral");
    give("sockets", json!([{ "scope": dublin, "meta": { "connections": 1 }, "max_age": "0s" }]))
        .refused(422, "write at least 1s");
    give("sockets", json!([])).refused(422, "send 1 to");
    // What is wrong with some of them leaves the others alone.
    let some = give(
        "sockets",
        json!([
            { "scope": { "pop": "moon" }, "meta": { "connections": 1 } },
            { "scope": dublin, "meta": { "up": true } },
            { "scope": dublin, "meta": { "connections": 3 } },
        ]),
    );
    let some = some.ok();
    let refused = some["refused"].as_array().unwrap();
    assert_eq!((&some["taken"], refused.len()), (&json!(1), 2), "{some}");
    assert!(refused[0].as_str().unwrap().starts_with("values[0]: no answer is in the scope moon"), "{some}");
    assert!(refused[1].as_str().unwrap().starts_with("values[1]: wss/eu-west-1/haproxy does not take up"));
    // Silence.
    control.pass(40);
    let feed = control.local("GET", "/api/v1/feeds/sockets").ok();
    assert_eq!((&feed["max_age"], &feed["stale"]), (&json!("30s"), &json!("neutral")));
    assert_eq!((&feed["values"][0]["stale"], &values()["stale"]), (&json!(true), &json!(true)));
    let alarms = control.local("GET", "/api/v1/status").ok()["alarms"].to_string();
    assert!(alarms.contains("values of the feed sockets are older"), "{alarms}");
    control.local("GET", "/api/v1/feeds/x").refused(404, "there is only sockets");
    assert_eq!(control.local("GET", "/api/v1/feeds").ok()["items"].as_array().unwrap().len(), 1);
    assert_eq!(control.state.view().model.revision, 1, "values make no revision");
}

#[test]
fn the_audit_log_is_filtered_and_paged() {
    let control = Control::new();
    let token = control.token("edge", "drain", None);
    for pop in ["eu-west-1", "eu-west-2", "us-east-1"] {
        let body = json!({ "scope": { "pop": pop }, "reason": format!("{pop} fails") });
        control.remote("POST", "/api/v1/drains").bearer(&token).json(&body).ok();
    }
    let get = |query: &str| control.local("GET", &format!("/api/v1/audit{query}")).ok();
    let page = get("?who=edge&limit=2");
    let line = &page["items"][0];
    assert_eq!(
        (&line["revision"], &line["from"], &line["reason"]),
        (&json!(4), &json!("127.0.0.1"), &json!("us-east-1 fails"))
    );
    let rest = get(&format!("?who=edge&limit=2&cursor={}", page["next"].as_str().unwrap()));
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["items"][0]["revision"]), (1, &json!(2)));
    assert_eq!(get("?action=token%20created")["items"][0]["who"], "local");
    assert_eq!(get("?key=token/")["items"].as_array().unwrap().len(), 1);
    control.local("GET", "/api/v1/audit?cursor=x").refused(400, "the part before");
}

/// The identities of the next events of a stream.
fn events(control: &Control, response: &mut Response, count: usize) -> Vec<u64> {
    let mut text = String::new();
    let mut read = async || {
        while text.matches("id: ").count() < count {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
    };
    let limit = Duration::from_secs(10);
    control.runtime.block_on(async { tokio::time::timeout(limit, read()).await }).unwrap();
    assert!(text.contains("event: change\n"), "{text}");
    text.split("id: ").skip(1).map(|rest| rest.lines().next().unwrap().parse().unwrap()).collect()
}

#[test]
fn events_go_on_from_where_they_were() {
    let control = Control::new();
    for pop in ["eu-west-1", "eu-west-2"] {
        drain(&control, pop);
    }
    let mut stream = control.local("GET", "/api/v1/events?after=0").open();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(events(&control, &mut stream, 2), [1, 2]);
    drain(&control, "us-east-1");
    assert_eq!(events(&control, &mut stream, 1), [3]);
    // What was committed between two connections, and while the second one is opened, comes once.
    drop(stream);
    drain(&control, "us-west-2");
    let mut stream = control.local("GET", "/api/v1/events").header("last-event-id", "3").open();
    drain(&control, "sa-east-1");
    assert_eq!(events(&control, &mut stream, 2), [4, 5]);
    // From now on, and it says from where.
    let mut stream = control.local("GET", "/api/v1/events").open();
    drain(&control, "ca-central-1");
    assert_eq!(events(&control, &mut stream, 2), [5, 6]);
    // More than the channel holds, to one who does not read.
    for percent in 0..1200 {
        let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "percent": percent % 99 + 1 });
        control.local("POST", "/api/v1/drains").json(&body).ok();
    }
    assert_eq!(events(&control, &mut stream, 1200), (7..=1206).collect::<Vec<_>>());
    let export = control.local("GET", "/api/v1/state").ok();
    control.local("PUT", "/api/v1/state").json(&export).ok();
    control.local("GET", "/api/v1/events?after=3").refused(410, "read the state anew");
    control.local("GET", "/api/v1/events?after=9999").refused(410, "read the state anew");
    control.local("GET", "/api/v1/events").header("last-event-id", "x").refused(400, "write a revision");
}

#[test]
fn the_process_is_told() {
    let hooks = Hooks {
        reload: Box::new(|_| Err(vec![Problem::error("zones/x.zone".as_ref(), 3, "no SOA")])),
        set_log_level: Box::new(
            |level| if level == "loud" { Err("write error or warn".into()) } else { Ok(()) },
        ),
        ..Hooks::default()
    };
    let control = Control::with(Folder::example(), config(), hooks);
    control.local("POST", "/api/v1/reload").refused(422, "zones/x.zone:3: error: no SOA");
    control
        .local("PUT", "/api/v1/log-level")
        .json(&json!({ "level": "loud" }))
        .refused(422, "write error or warn");
    assert_eq!(
        control.local("PUT", "/api/v1/log-level").json(&json!({ "level": "debug" })).ok()["level"],
        "debug"
    );
    let lines = control.local("GET", "/api/v1/audit").ok()["items"].clone();
    assert_eq!(lines.as_array().unwrap().len(), 1, "{lines}");
    assert_eq!((&lines[0]["action"], &lines[0]["object"]), (&json!("log level"), &json!("debug at test")));
    assert_eq!(Control::new().local("POST", "/api/v1/reload").ok()["load"], 1);
}

#[test]
fn a_bug_is_a_problem_and_not_the_end() {
    let hooks = Hooks { shares: Box::new(|| panic!("a bug")), ..Hooks::default() };
    let control = Control::with(Folder::example(), config(), hooks);
    let problem = control.local("GET", "/api/v1/share").refused(500, "ran into a bug of rhumb");
    assert!(!problem.to_string().contains("panic"), "{problem}");
    control.local("GET", "/api/v1/status").ok();
    assert!(fs::exists(control.folder.path()).unwrap());
}
