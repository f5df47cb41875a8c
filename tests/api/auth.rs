//! Who may do what: every route with every role, made of the table of routes; tokens, and how often.

use rhumb::api::Hooks;
use rhumb::api::auth::Rule;
use rhumb::api::routes::rules;
use rhumb::config::ApiConfig;
use rhumb::state::model::Role;
use serde_json::json;

use crate::support::control::{Call, Control, config};
use crate::support::{Folder, project};

const ROLES: [(&str, Role); 5] = [
    ("read", Role::Read),
    ("feed", Role::Feed),
    ("drain", Role::Drain),
    ("operate", Role::Operate),
    ("admin", Role::Admin),
];

/// A path with something in its places that is nowhere to be found; but the pool is the confined tokens' own.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{pool}" => "wss",
        other if other.starts_with('{') => "nothing",
        other => other,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The status of a call. What it does is not asked: it names what is not there, or says too little.
fn status(call: Call) -> u16 {
    call.open().status().as_u16()
}

#[test]
fn every_route_with_every_role() {
    let control = Control::new();
    let tokens: Vec<_> = ROLES.map(|(name, role)| (role, control.token(name, name, None))).into();
    let confined: Vec<_> =
        ROLES.map(|(name, role)| (role, control.token(&format!("{name}-wss"), name, Some("wss")))).into();
    let rules = rules();
    assert!(rules.len() > 40, "the routes are found");
    for (method, path, rule) in rules {
        let call = || control.remote(method, &filled(&path));
        let (needed, all_pools) = match rule {
            Rule::Open => {
                assert_ne!(status(call()), 401, "{method} {path}");
                continue;
            }
            Rule::Needs(role) => (role, false),
            Rule::NeedsAll(role) => (role, true),
        };
        let nobody = status(call());
        assert!(nobody == 401 || nobody == 429, "{method} {path} without a token: {nobody}");
        for (tokens, is_confined) in [(&tokens, false), (&confined, true)] {
            for (role, token) in tokens {
                let status = status(call().bearer(token));
                let may = role.includes(needed) && !(is_confined && all_pools);
                let words = format!("{method} {path} as {role:?}, confined: {is_confined}: {status}");
                assert_eq!(status == 403, !may, "{words}");
                assert!(![401, 429, 500].contains(&status), "{words}");
            }
        }
        assert_ne!(status(control.local(method, &filled(&path))), 403, "{method} {path} over the socket");
    }
}

/// The manual says the same: a change of a rule is a change of the manual.
#[test]
fn the_manual_has_every_route_with_its_role() {
    let manual = std::fs::read_to_string(project().join("docs/api.md")).unwrap();
    let rows = manual
        .lines()
        .filter(|line| line.starts_with("| `GET") || line.starts_with("| `P") || line.starts_with("| `D"));
    let mut written: Vec<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            format!("{} {}", cells[1], cells[2])
        })
        .collect();
    let mut table: Vec<String> = rules()
        .into_iter()
        .map(|(method, path, rule)| {
            let rule = match rule {
                Rule::Open => "anybody".to_string(),
                Rule::Needs(role) => format!("{role:?}").to_lowercase(),
                Rule::NeedsAll(role) => format!("{role:?}, all pools").to_lowercase(),
            };
            format!("{method} {path} {rule}")
        })
        .collect();
    written.sort();
    table.sort();
    assert_eq!(written, table);
}

#[test]
fn tokens_are_made_shown_once_and_revoked() {
    let control = Control::new();
    let problem = control.remote("GET", "/api/v1/status").send();
    assert_eq!(problem.headers["www-authenticate"], "Bearer realm=\"rhumb\"");
    assert!(problem.text().contains("rhumb token create NAME --role admin"), "{}", problem.text());
    let body = json!({ "name": "edge", "role": "drain", "pool": "wss", "expires_in": "90d" });
    let made = control.local("POST", "/api/v1/tokens").json(&body).send();
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.headers["cache-control"], "no-store");
    let secret = made.json()["token"].as_str().unwrap().to_string();
    assert_eq!((secret.len(), &secret[..6]), (49, "rhumb_"));
    let listed = control.local("GET", "/api/v1/tokens").send();
    assert!(!listed.text().contains(&secret) && !listed.text().contains("hash"), "{}", listed.text());
    let shown = &listed.json()["items"][0];
    assert_eq!((&shown["role"], &shown["pool"]), (&json!("drain"), &json!("wss")));
    let get = || control.remote("GET", "/api/v1/status");
    get().bearer(&secret).ok();
    get().header("authorization", &format!("bearer {secret}")).ok();
    get().bearer(&format!("{secret}x")).refused(401, "not known");
    get().header("authorization", &format!("Basic {secret}")).refused(401, "Authorization: Bearer");
    control.local("POST", "/api/v1/tokens").json(&body).refused(409, "revoke it first");
    let post = |name: &str, role: &str| {
        control.local("POST", "/api/v1/tokens").json(&json!({ "name": name, "role": role }))
    };
    post("local", "read").refused(422, "kept for rhumb itself");
    post("a b", "read").refused(422, "letters, digits");
    post("x", "root").refused(422, "write read, feed, drain, operate or admin");
    control.local("DELETE", "/api/v1/tokens/edge").ok();
    get().bearer(&secret).refused(401, "not known");
    control.local("DELETE", "/api/v1/tokens/edge").refused(404, "no token");
    // The log has who and what, and no secret.
    let audit = control.local("GET", "/api/v1/audit").send().text();
    assert!(audit.contains("token revoked") && !audit.contains(&secret), "{audit}");
}

#[test]
fn a_token_expires() {
    let control = Control::new();
    let body = json!({ "name": "guest", "role": "read", "expires_in": "1h" });
    let secret =
        control.local("POST", "/api/v1/tokens").json(&body).ok()["token"].as_str().unwrap().to_string();
    control.hands.pass(3599);
    control.remote("GET", "/api/v1/status").bearer(&secret).ok();
    control.hands.pass(1);
    control.remote("GET", "/api/v1/status").bearer(&secret).refused(401, "the token guest has expired");
}

#[test]
fn wrong_tokens_are_limited_and_good_ones_are_not() {
    let control = Control::new();
    let secret = control.token("good", "read", None);
    let statuses: Vec<u16> =
        (0..12).map(|_| status(control.remote("GET", "/api/v1/status").bearer("rhumb_wrong"))).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    let limited = control.remote("GET", "/api/v1/status").send();
    assert_eq!(limited.status, 429);
    assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    control.remote("GET", "/api/v1/status").bearer(&secret).ok();
}

#[test]
fn a_token_that_changes_too_often_waits() {
    let config = ApiConfig { max_changes_per_minute: 3, ..config() };
    let control = Control::with(Folder::example(), config, Hooks::default());
    let secret = control.token("runaway", "drain", None);
    let post = |percent: u8, dry_run: bool| {
        let body =
            json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "percent": percent, "dry_run": dry_run });
        control.remote("POST", "/api/v1/drains").bearer(&secret).json(&body)
    };
    for percent in 1..=3 {
        post(percent, true).ok();
        post(percent, false).ok();
    }
    let limited = post(4, false).send();
    assert_eq!(limited.status, 429, "{}", limited.text());
    assert!(limited.headers.contains_key("retry-after"));
    assert!(limited.text().contains("max_changes_per_minute"), "{}", limited.text());
    post(4, true).refused(429, "runaway makes dry runs more often than max_changes_per_minute allows");
    // Others go on, and so does a person at the machine.
    let other = control.token("other", "drain", None);
    let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "percent": 4 });
    control.remote("POST", "/api/v1/drains").bearer(&other).json(&body).ok();
    (5..10).for_each(|percent| {
        let body = json!({ "scope": { "pop": "eu-west-1" }, "reason": "x", "percent": percent });
        control.local("POST", "/api/v1/drains").json(&body).ok();
    });
}

#[test]
fn metrics_may_be_public() {
    let hooks = || Hooks { metrics: Box::new(|| "# EOF\n".into()), ..Hooks::default() };
    let control = Control::with(Folder::example(), config(), hooks());
    assert_eq!(status(control.remote("GET", "/metrics")), 401);
    let public = ApiConfig { metrics_public: true, ..config() };
    let control = Control::with(Folder::example(), public, hooks());
    let reply = control.remote("GET", "/metrics").send();
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "# EOF\n"));
}
