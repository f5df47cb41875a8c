//! What a change does to clients: what is said of it, case by case, and what must hold of any change.
//!
//! `tests/data/impact.txt` has the cases, over the example as it stands. A case begins with `== title`; then
//! what is supposed: `drain POP PERCENT`, `split POP HAPROXY ENVOY`, `down POP`,
//! `load POP CONNECTIONS` (with marks at 8000 and 10000), `capacity POP NUMBER`, and with `was` before it what was so
//! before; and under `-- words` what is said. `UPDATE=1 cargo test --test impact` writes what is said into the file.

mod support;

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use rhumb::engine::Snapshot;
use rhumb::state::Loaded;
use rhumb::state::impact::{
    Capacities, Client, Impact, RecordImpact, address_space, address_space_v6, compare, compare_space,
    compare_within,
};
use rhumb::state::model::{LiveValues, Scope};
use rhumb::state::whatif::{WhatIf, suppose};
use support::{Folder, project};

/// As many as the control plane looks at before it commits.
const CLIENTS: usize = 4096;

fn example() -> Loaded {
    Folder::example().load().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn at(pop: &str) -> Scope {
    Scope { pop: Some(pop.into()), ..Scope::default() }
}

fn drained(pop: &str, percent: u8) -> WhatIf {
    WhatIf { drains: vec![(at(pop), percent)], ..WhatIf::default() }
}

fn split(pop: &str, haproxy: f64, envoy: f64) -> (String, String, BTreeMap<String, f64>) {
    let weights = BTreeMap::from([("haproxy".into(), haproxy), ("envoy".into(), envoy)]);
    ("wss".into(), pop.into(), weights)
}

fn of<'i>(impact: &'i Impact, record: &str) -> &'i RecordImpact {
    let is_it = |told: &&RecordImpact| told.records.iter().any(|name| name.starts_with(record));
    impact.records.iter().find(is_it).unwrap()
}

/// What holds of every impact.
fn holds(impact: &Impact) {
    for record in &impact.records {
        let [before, after] = [|pop: &_| share(pop, 0), |pop: &_| share(pop, 1)]
            .map(|side| record.pops.iter().map(side).sum::<f64>());
        assert!((before - 1.0).abs() < 1e-6 && (after - 1.0).abs() < 1e-6, "{before} {after} {record:?}");
        let moves: f64 = record.moves.iter().map(|way| way.share).sum();
        assert!((moves - record.moved).abs() < 1e-6, "{moves} {record:?}");
        let by_country: f64 = record.countries.iter().map(|country| country.share * country.moved).sum();
        assert!((by_country - record.moved).abs() < 1e-6, "{by_country} {record:?}");
        let capacity: f64 = record.pops.iter().map(|pop| pop.capacity).sum();
        assert!((capacity - 1.0).abs() < 1e-6, "{capacity}");
        assert!(record.moves.iter().all(|way| way.from != way.to && way.share > 0.0));
    }
}

fn share(pop: &rhumb::state::impact::PopImpact, side: usize) -> f64 {
    [pop.before, pop.after][side]
}

#[test]
fn what_is_said() {
    let file = project().join("tests/data/impact.txt");
    let text = fs::read_to_string(&file).unwrap();
    let Loaded { snapshot, world, .. } = example();
    let clients = address_space(&world, CLIENTS);
    let mut cases = text.split("== ");
    let mut updated = cases.next().unwrap().to_string();
    let mut wrong = Vec::new();
    for case in cases {
        let (head, expected) = case.split_once("-- words\n").unwrap_or((case, ""));
        let (mut was, mut is) = (WhatIf::default(), WhatIf::default());
        let mut capacities = Capacities::new();
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (what_if, words) = match words[0] {
                "was" => (&mut was, &words[1..]),
                _ => (&mut is, &words[..]),
            };
            let number =
                |at: usize| words[at].parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"));
            match words[0] {
                "drain" => what_if.drains.push((at(words[1]), number(2) as u8)),
                "split" => what_if.splits.push(split(words[1], number(2), number(3))),
                "down" => {
                    let down = LiveValues { up: Some(false), ..LiveValues::default() };
                    what_if.values.push((at(words[1]), down));
                }
                "load" => what_if.values.push((
                    Scope { stack: Some("haproxy".into()), ..at(words[1]) },
                    LiveValues {
                        connections: Some(number(2)),
                        low_watermark: Some(8000.0),
                        high_watermark: Some(10_000.0),
                        ..LiveValues::default()
                    },
                )),
                "capacity" => drop(capacities.insert(("wss".into(), words[1].into()), number(2))),
                other => panic!("what is `{other}`?"),
            }
        }
        let impact = compare(&suppose(&snapshot, &was), &suppose(&snapshot, &is), &clients)
            .with_capacities(&capacities);
        holds(&impact);
        let said: String = impact.words().iter().map(|sentence| format!("{sentence}\n")).collect();
        updated += &format!("== {head}-- words\n{said}\n");
        if said.trim_end() != expected.trim_end() {
            wrong.push(format!("{head}--- expected\n{expected}--- said\n{said}"));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, format!("{}\n", updated.trim_end())).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Address by address and by a sample, it is the same.
#[test]
fn a_sample_is_like_the_whole() {
    let Loaded { snapshot, world, .. } = example();
    for pop in ["eu-west-1", "us-east-1", "ap-northeast-1"] {
        let after = suppose(&snapshot, &drained(pop, 100));
        let counted = compare_space(&snapshot, &after, &world, CLIENTS);
        let sampled = compare(&snapshot, &after, &address_space(&world, CLIENTS));
        let (counted, sampled) = (of(&counted, "wss-primary"), of(&sampled, "wss-primary"));
        assert_eq!((counted.estimated_from, sampled.estimated_from), (None, Some(CLIENTS)));
        assert!((counted.moved - sampled.moved).abs() < 0.004, "{} {}", counted.moved, sampled.moved);
        assert!(counted.moved > 0.01, "{pop} has clients");
        let gone = counted.pops.iter().find(|other| other.pop == pop).unwrap();
        assert!((gone.before - counted.moved).abs() < 1e-9 && gone.after == 0.0);
    }
}

/// A client that asked for one record counts for that alone.
#[test]
fn clients_of_one_record() {
    let Loaded { snapshot, world, .. } = example();
    let after = suppose(&snapshot, &drained("eu-west-1", 100));
    let irish = "134.226.0.0".parse().unwrap();
    let client = |name: &str| Client {
        weight: 3.0,
        ..Client::of_query(&world, irish, 24, place_of(&snapshot, name).expect("a record"))
    };
    let clients = [client("wss-primary.example.com"), client("wss.example.net")];
    let impact = compare(&snapshot, &after, &clients);
    assert_eq!(of(&impact, "wss-primary").moved, 1.0);
    assert_eq!(of(&impact, "wss-primary").estimated_from, Some(2), "two records of one chain");
    assert_eq!((of(&impact, "wss-backup").estimated_from, of(&impact, "wss-backup").moved), (Some(0), 0.0));
}

/// Every backup client that had Dublin among its three loses a third, and nothing else.
#[test]
fn of_three_by_chance_a_third_moves() {
    let Loaded { snapshot, world, .. } = example();
    let impact =
        compare(&snapshot, &suppose(&snapshot, &drained("eu-west-1", 100)), &address_space(&world, CLIENTS));
    let told = of(&impact, "wss-backup");
    holds(&impact);
    let dublin = told.pops.iter().find(|pop| pop.pop == "eu-west-1").unwrap();
    assert!((told.moved - dublin.before).abs() < 0.004, "{} {}", told.moved, dublin.before);
    let ireland = told.countries.iter().find(|country| country.country.as_deref() == Some("IE")).unwrap();
    assert!((ireland.moved - 1.0 / 3.0).abs() < 0.1, "{ireland:?}");
}

/// Where a sample is small, a coin counts with its chance, and the words say on how much it rests.
#[test]
fn one_network_alone() {
    let Loaded { snapshot, world, .. } = example();
    let irish = "134.226.0.0".parse().unwrap();
    let client = Client::of_query(&world, irish, 24, place_of(&snapshot, "wss-primary.example.com").unwrap());
    let impact = compare(&snapshot, &suppose(&snapshot, &drained("eu-west-1", 30)), &[client]);
    assert!((of(&impact, "wss-primary").moved - 0.3).abs() < 1e-9);
    let words = impact.words();
    assert!(words[0].starts_with("30 % of the clients (one network alone) of wss-primary"), "{words:?}");
    assert_eq!(words.last().unwrap(), "nobody has asked for 1 record that it concerns");
}

/// With less work there are fewer clients of each, spread over the world all the same; with none the records are
/// counted.
#[test]
fn work_is_bounded() {
    let Loaded { snapshot, world, .. } = example();
    let after = suppose(&snapshot, &drained("us-east-1", 100));
    let clients = address_space(&world, 20_000);
    let whole = compare(&snapshot, &after, &clients);
    let part = compare_within(&snapshot, &after, &clients, 20_000);
    let (one, other) = (of(&whole, "wss-primary"), of(&part, "wss-primary"));
    assert!(other.estimated_from < one.estimated_from, "{:?}", other.estimated_from);
    assert!((one.moved - other.moved).abs() < 0.02, "{} {}", one.moved, other.moved);
    let none = compare_within(&snapshot, &after, &clients, 0);
    assert_eq!((none.records.len(), none.unseen, none.is_nothing()), (0, 3, false));
    assert!(none.words()[0].starts_with("3 more records can move too, and were not looked at"));
}

/// Drains, splits, what is down, and load between the marks, anywhere.
fn what_if() -> impl Strategy<Value = WhatIf> {
    let pops = || prop::sample::select(vec!["eu-west-1", "eu-west-2", "us-east-1", "ap-northeast-1"]);
    let drains = prop::collection::vec((pops(), 0..=100u8), 0..3);
    let splits = prop::collection::vec((pops(), 0..=100u8), 0..3);
    let values = prop::collection::vec((pops(), prop::bool::ANY, 0..12_000u32), 0..3);
    (drains, splits, values).prop_map(|(drains, splits, values)| WhatIf {
        drains: drains.into_iter().map(|(pop, percent)| (at(pop), percent)).collect(),
        splits: splits
            .into_iter()
            .map(|(pop, envoy)| split(pop, f64::from(100 - envoy), f64::from(envoy)))
            .collect(),
        values: values
            .into_iter()
            .map(|(pop, up, connections)| {
                let values = LiveValues {
                    up: Some(up),
                    connections: Some(connections.into()),
                    low_watermark: Some(8000.0),
                    high_watermark: Some(10_000.0),
                    ..LiveValues::default()
                };
                (at(pop), values)
            })
            .collect(),
    })
}

/// The example for all cases of a property: compiled twice, so that nothing of one is of the other.
fn shared() -> &'static ([Snapshot; 2], Vec<Client>) {
    static SHARED: std::sync::OnceLock<([Snapshot; 2], Vec<Client>)> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let Loaded { snapshot, world, .. } = example();
        let mut clients = address_space(&world, 200);
        clients.extend(address_space_v6(&world, 100));
        ([snapshot, example().snapshot], clients)
    })
}

/// Where a record stands among all.
fn place_of(snapshot: &Snapshot, name: &str) -> Option<u32> {
    let name = name.parse().unwrap();
    snapshot.records.iter().position(|record| record.name == name).map(|at| at as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Also by chance, by coins and by load between its marks.
    #[test]
    fn nothing_moves_between_equals(what_if in what_if()) {
        let (snapshots, clients) = shared();
        let [one, other] = snapshots.each_ref().map(|snapshot| suppose(snapshot, &what_if));
        let impact = compare(&one, &other, clients);
        holds(&impact);
        prop_assert_eq!(impact.records.len(), 2);
        prop_assert_eq!(compare(&one, &one, clients).records, []);
        prop_assert!(impact.is_nothing() && impact.words().is_empty(), "{:?}", impact.words());
    }

    #[test]
    fn shares_are_whole(before in what_if(), after in what_if()) {
        let ([snapshot, _], clients) = shared();
        holds(&compare(&suppose(snapshot, &before), &suppose(snapshot, &after), clients));
    }

    /// A drain of so many percent moves so many of the PoP's clients, and nobody else, whoever is in the sample.
    #[test]
    fn a_drain_moves_its_share(percent in 1..=100u8, pop in prop::sample::select(vec!["us-east-1", "eu-central-1", "ap-northeast-1"])) {
        let Loaded { snapshot, world, .. } = &example();
        let mut clients = address_space(world, 300);
        clients.iter_mut().for_each(|client| client.record = place_of(snapshot, "wss-primary.example.com"));
        let impact = compare(snapshot, &suppose(snapshot, &drained(pop, percent)), &clients);
        let told = of(&impact, "wss-primary");
        prop_assert!(told.moves.iter().all(|way| way.from == pop), "{:?}", told.moves);
        let whole = told.pops.iter().find(|other| other.pop == pop).unwrap().before;
        let share = f64::from(percent) / 100.0;
        prop_assert!(whole > 0.0 && (told.moved / whole - share).abs() < 1e-9, "{} of {whole}", told.moved);
    }
}
