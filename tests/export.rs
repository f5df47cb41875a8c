//! Exports: what a store holds, as text and back; and what is wrong with one.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use rhumb::state::model::{
    Drain, Migration, MigrationEvent, MigrationGuard, MigrationState, Model, Monitor, Plan, Policy, Return,
    Role, Row, Scope, Split, Suspension, Time, Token,
};
use rhumb::state::store::Contents;
use rhumb::state::store::export::{Export, check};
use serde_json::json;

fn time() -> impl Strategy<Value = Time> {
    (0i64..4_000_000_000, 0i32..1_000_000_000).prop_map(|(second, nano)| Time::new(second, nano).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9.-]{0,12}", "[^/]{1,8}"]
}

prop_compose! {
    fn scope()(
        at in 0..3usize,
        names in (name(), of(name()), of(name())),
    ) -> Scope {
        let mut parts = [Some(names.0), names.1, names.2];
        parts.rotate_right(at);
        let [pop, pool, stack] = parts;
        Scope { pop, pool, stack, answer: None }
    }
}

prop_compose! {
    fn drain()(
        names in (name(), name(), ".*"),
        scope in scope(),
        percent in 1..=100u8,
        times in (time(), time(), of(time()), of(time())),
        back in of((vec(1..=100u8, 0..4), any::<u64>())),
    ) -> Row {
        Row::Drain(Drain {
            id: names.0, scope, owner: names.1, percent, reason: names.2, created_at: times.0,
            starts_at: times.1, expires_at: times.2, returning_since: times.3,
            return_steps: back.map(|(steps, pause_s)| Return { steps, pause_s }), revision: 0,
        })
    }
}

prop_compose! {
    fn a_split()(
        names in (name(), name(), name()),
        weights in btree_map(name(), 0.0..1e9f64, 0..4),
        since in time(),
    ) -> Split {
        Split { pool: names.0, pop: names.1, weights, owner: names.2, since, revision: 0 }
    }
}

prop_compose! {
    fn migration()(
        names in (name(), name(), name(), name(), name()),
        plan in (vec(vec(name(), 0..3), 0..3), vec(0..=100u8, 0..4), of(any::<u64>())),
        at in (any::<usize>(), of(any::<usize>()), time(), time()),
        before in btree_map(name(), of(a_split()), 0..3),
        rest in (".*", of(name()), vec((time(), ".*"), 0..3)),
    ) -> Row {
        Row::Migration(Migration {
            id: names.0,
            plan: Plan {
                pool: names.1, from: names.2, to: names.3, waves: plan.0, steps: plan.1, soak_s: plan.2,
                guard: MigrationGuard::RollBack,
            },
            state: MigrationState::Held, wave: at.0, step: at.1, step_since: at.2, started_at: at.3,
            why: rest.0, before, owner: names.4, idempotency_key: rest.1,
            history: rest.2.into_iter().map(|(time, what)| MigrationEvent { time, what }).collect(),
        })
    }
}

prop_compose! {
    fn monitor()(
        names in (name(), name(), ".*", name()),
        port in 1..=65535u16,
        jitter in of(0.0..=0.5f64),
        since in time(),
        revision in 0..1u64,
    ) -> Row {
        let [name, owner, reason, pool] = names.into();
        let mut fields = json!({ "kind": "tcp", "port": port, "target": { "pool": pool } });
        if let Some(jitter) = jitter {
            fields["jitter"] = json!(jitter);
        }
        let fields = fields.as_object().unwrap().clone();
        Row::Monitor(Monitor { name, fields, owner, reason, since, revision })
    }
}

prop_compose! {
    fn policy()(
        names in (name(), name(), ".*"),
        capacity in btree_map(name(), 0.0..1e9f64, 0..4),
        share in 0.0..=1.0f64,
        since in time(),
        revision in 0..1u64,
    ) -> Row {
        let [pool, owner, reason] = names.into();
        let fields = json!({ "capacity": capacity, "max_down_capacity": share, "failover": { "for": "20s" } });
        let fields = fields.as_object().unwrap().clone();
        Row::Policy(Policy { pool, fields, owner, reason, since, revision })
    }
}

fn row() -> impl Strategy<Value = Row> {
    let token = (name(), name(), of(name()), time(), of(time())).prop_map(
        |(name, hash, pool, created_at, expires_at)| {
            Row::Token(Token { name, hash, role: Role::Operate, pool, created_at, expires_at })
        },
    );
    let suspension =
        (name(), name(), ".*", time(), of(time())).prop_map(|(pool, owner, reason, since, until)| {
            Row::Suspension(Suspension { pool, owner, reason, since, until })
        });
    prop_oneof![drain(), a_split().prop_map(Row::Split), migration(), token, suspension, monitor(), policy()]
}

prop_compose! {
    fn contents()(
        rows in vec(row(), 0..12),
        revision in any::<u64>(),
        values in btree_map(".+", ".*", 0..6),
        newest in of(time()),
    ) -> Contents {
        let mut model = Model { revision, ..Model::default() };
        for row in rows {
            model.set(&row.key(), Some(row));
        }
        Contents { model, values, newest }
    }
}

proptest! {
    #[test]
    fn what_is_exported_is_imported(contents in contents(), made_at in time()) {
        let export = Export::new(&contents, made_at);
        prop_assert_eq!(check(&export), Vec::<String>::new());
        let read = Export::parse(&export.write()).unwrap();
        prop_assert_eq!(&read, &export);
        prop_assert_eq!(read.contents(), contents);
    }

    /// Whatever the text, an answer.
    #[test]
    fn nothing_panics(contents in contents(), at in any::<prop::sample::Index>(), put in any::<u8>()) {
        let mut text = Export::new(&contents, Time::UNIX_EPOCH).write().into_bytes();
        let at = at.index(text.len());
        text[at] = put;
        if let Ok(export) = Export::parse(&String::from_utf8_lossy(&text)) {
            let _ = (check(&export), export.contents());
        }
    }
}

const EXAMPLE: &str = r#"{
  "format": 1,
  "revision": 7,
  "made_at": "2026-11-24T12:00:00Z",
  "newest": null,
  "rows": [
    {
      "key": "drain/ops:dublin", "kind": "drain", "id": "ops:dublin", "scope": {"pop": "dublin"}, "owner": "ops",
      "percent": 30, "reason": "", "created_at": "2026-11-24T12:00:00Z", "starts_at": "2026-11-24T12:00:00Z",
      "expires_at": null, "revision": 7
    },
    {
      "key": "split/wss/tokyo", "kind": "split", "pool": "wss", "pop": "tokyo", "weights": {"envoy": 10.5},
      "owner": "ops", "since": "2026-11-24T12:00:00Z", "revision": 5
    },
    {
      "key": "monitor/probe", "kind": "monitor", "name": "probe", "owner": "ops", "since": "2026-11-24T12:00:00Z",
      "fields": {"kind": "tcp", "port": 443, "target": {"pool": "wss"}}, "revision": 4
    },
    {
      "key": "policy/wss", "kind": "policy", "pool": "wss", "owner": "ops", "since": "2026-11-24T12:00:00Z",
      "fields": {"failover": {"detect": 0.5}}
    }
  ],
  "values": {"a": "1"}
}"#;

/// One slip in the example, and what is said about it.
#[test]
fn slips_are_named() {
    let said = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        match Export::parse(&EXAMPLE.replacen(from, to, 1)) {
            Ok(export) => check(&export).join("; "),
            Err(why) => why,
        }
    };
    assert_eq!(said("1", "1"), "");
    for (from, to, expect) in [
        ("\"percent\": 30", "\"percent\": 0", "drain/ops:dublin: percent: 0 is not in 1 to 100"),
        ("\"percent\": 30", "\"percent\": 101", "drain/ops:dublin: percent: 101 is not in 1 to 100"),
        ("\"id\": \"ops:dublin\"", "\"id\": \"x\"", "drain/ops:dublin: the key of this row is drain/x"),
        ("\"owner\": \"ops\"", "\"owner\": \"\"", "drain/ops:dublin: owner: empty"),
        ("\"pop\": \"dublin\"", "\"pop\": \"\"", "drain/ops:dublin: scope: a name in it is empty"),
        ("\"pop\": \"dublin\"", "", "drain/ops:dublin: scope: empty, and would take out everything"),
        (
            "\"revision\": 7",
            "\"revision\": 6",
            "drain/ops:dublin: revision: 7 is above the export's, which is 6",
        ),
        ("10.5", "-1", "split/wss/tokyo: weights.envoy: -1 is no weight"),
        (
            "\"port\": 443",
            "\"prot\": 443",
            "monitor/probe: fields: monitor probe: prot: unknown field; did you mean `port`?",
        ),
        ("\"name\": \"probe\"", "\"name\": \"\"", "monitor/probe: the key of this row is monitor/; "),
        (
            "\"detect\": 0.5",
            "\"detect\": 5",
            "policy/wss: fields: pool wss failover: detect: 5 is out of range; write 0.01 to 1",
        ),
        ("\"a\"", "\"\"", "values: a key is empty, with `1`"),
        ("\"format\": 1", "\"format\": 2", "an export of format 2, and this rhumb reads format 1"),
        ("\"format\": 1,", "", "no export: missing field `format`"),
        ("\"values\"", "\"valeus\"", "unknown field `valeus`"),
        ("\"kind\": \"drain\"", "\"kind\": \"rain\"", "unknown variant `rain`"),
        ("{", "", "no export: "),
    ] {
        let got = said(from, to);
        assert!(got.contains(expect), "{from} -> {to}: {got}");
    }
    let twice = Export::parse(EXAMPLE).map(|mut export| {
        export.rows.push(export.rows[0].clone());
        check(&export)
    });
    assert_eq!(twice.unwrap(), ["drain/ops:dublin: it is there twice"]);
}
