//! Splits, migrations, and the way back to a revision.

use serde_json::{Value, json};

use crate::asked::{OF_DUBLIN, drain, notes, pick};
use crate::support::control::Control;

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
    let held =
        control.local("POST", "/api/v1/migrations/wss-1/hold").json(&json!({ "reason": "lunch" })).ok();
    assert_eq!((&held["changed"], &held["ttl_s"]), (&json!(true), &json!(0)), "no answer is another one");
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
