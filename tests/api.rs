//! The control plane, asked over its router: drains, splits, migrations, feeds, and what it says of them.

mod support;

use serde_json::{Value, json};
use support::control::Control;

/// The PoP that a client of Dublin is sent to.
fn dublin(control: &Control) -> String {
    pop_of(control, "81.2.69.0/24", json!({}))
}

fn pop_of(_: &Control, _: &str, _: Value) -> String {
    String::new()
}

#[test]
fn a_drain_is_served_at_once() {
    let control = Control::new();
    let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "envoy fails" });
    let reply = control.local("POST", "/api/v1/drains").json(&body).send();
    assert_eq!(reply.status, 201, "{}", reply.text());
    println!("{:#} {:?}", reply.json(), reply.headers);
    println!("{:#}", control.local("GET", "/api/v1/status").ok());
    println!("{:#}", control.local("GET", "/api/v1/drains").ok());
    let q = json!({ "name": "wss-primary.example.com", "client": "81.2.69.0/24" });
    println!("{:#}", control.local("POST", "/api/v1/explain").json(&q).ok());
    dublin(&control);
}
