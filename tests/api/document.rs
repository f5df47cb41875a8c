//! The OpenAPI document is a snapshot in git: a change of the API is seen in review.
//! `UPDATE=1 cargo test --test api document` writes it anew.

use std::collections::BTreeSet;
use std::fs;

use rhumb::api::routes::{document, rules};
use serde_json::Value;

use crate::support::project;

#[test]
fn the_document_is_the_one_in_git() {
    let file = project().join("tests/data/openapi.json");
    let text = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    let first = kept.lines().zip(text.lines()).position(|(kept, now)| kept != now);
    assert!(
        kept == text,
        "line {:?} differs: UPDATE=1 cargo test --test api document",
        first.map(|line| line + 1)
    );
}

#[test]
fn the_document_is_whole() {
    let document: Value = serde_json::to_value(document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut identities = BTreeSet::new();
    for (method, path, _) in rules() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let identity = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
        assert!(identities.insert(identity.to_string()), "{identity} stands twice");
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with('.'), "{method} {path} says what it does: {summary}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|it| it["name"] == name && it["in"] == "path"), "{method} {path}");
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
