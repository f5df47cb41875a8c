//! What explain says on the serving node, with its live values and with what is not made yet.

use std::collections::BTreeSet;

use rhumb::engine::explain::Explanation;
use rhumb::state::live::VerdictValue;
use serde_json::{Value, json};

use crate::asked::{OF_DUBLIN, OF_LONDON, drain, explain, pick};
use crate::support::control::Control;

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
