//! What several themes ask: the clients, and the bodies.

use serde_json::{Value, json};

use crate::support::control::Control;

/// Clients, and the PoPs that serve them.
pub const OF_DUBLIN: &str = "86.40.1.0/24";
pub const OF_LONDON: &str = "81.2.69.0/24";

/// Asks as a client does; with what a body of `explain` may say beside that.
pub fn explain(control: &Control, client: &str, more: Value) -> Value {
    let mut question = json!({ "name": "wss-primary.example.com", "client": client });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    control.local("POST", "/api/v1/explain").json(&question).ok()
}

/// The answer a client gets.
pub fn pick(control: &Control, client: &str) -> String {
    explain(control, client, json!({}))["steered"]["picks"][0].as_str().unwrap().into()
}

/// The body of a drain.
pub fn drain(scope: Value) -> Value {
    json!({ "scope": scope, "reason": "envoy fails" })
}

/// The notes of a reply, one line each.
pub fn notes(reply: &Value) -> String {
    let notes: Vec<&str> = reply["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    notes.join("\n")
}
