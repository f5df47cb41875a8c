//! One monitor of one answer: results over time, and the verdict after each.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rhumb::health::probe::Passed;
use rhumb::health::verdict::Judge;
use rhumb::state::load::{Load, METRICS};
use rhumb::state::monitors::{Check, Family, Monitored};

use crate::support::project;
use crate::{at, failed, plan, time, words};

fn check(fields: &str) -> Arc<Check> {
    let text = format!(
        "[[record]]\nname = 'x'\nfilters = []\nanswer = {{ a = '192.0.2.1' }}\n\
         [monitor.m]\nkind = 'tcp'\nport = 80\ntarget = {{ answer = 'x/answer 1' }}\n{fields}"
    );
    plan(&text).monitored.remove(0).check
}

/// A judge who knows nothing.
fn judge(addresses: Vec<IpAddr>, fields: &str) -> Judge {
    let [monitor, answer, pool, site] = ["m", "a", "p", "s"].map(String::from);
    Judge::new(Monitored { monitor, answer, pool, site, addresses, check: check(fields) }, None)
}

/// A load as the file has it: load average, connections and requests, `-` for what is not said.
fn load(text: &str) -> Load {
    let mut parts = text.split('/').map(|part| part.parse().ok());
    std::array::from_fn(|_| parts.next().unwrap())
}

fn load_words(load: Load) -> String {
    let said = METRICS.into_iter().zip(load).filter_map(|(metric, said)| Some((metric, said?)));
    said.map(|(metric, said)| format!(", {metric} {said}")).collect()
}

/// `UPDATE=1 cargo test --test health` writes the verdicts into the file.
#[test]
fn verdicts_over_time() {
    let file = project().join("tests/data/health/verdicts.txt");
    let text = fs::read_to_string(&file).unwrap();
    let mut cases = text.split("== ");
    let mut updated = cases.next().unwrap().to_string();
    for case in cases {
        let (head, lines) = case.split_once("\n-- ").unwrap();
        let (addresses, lines) = lines.split_once('\n').unwrap();
        let (_, fields) = head.split_once('\n').unwrap_or((head, ""));
        let of_case = addresses.split(' ').map(|address| address.parse().unwrap()).collect();
        let mut judge = judge(of_case, fields);
        updated += &format!("== {head}\n-- {addresses}\n");
        let mut frozen = [false; 2];
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let now = at(time(parts[0]));
            let family = |name: &str| *Family::ALL.iter().find(|family| family.name() == name).unwrap();
            let taken = match parts[1] {
                "freeze" => {
                    judge.freeze(family(parts[2]), time(parts[4]), now);
                    frozen[family(parts[2]) as usize] = true;
                    5
                }
                "free" => {
                    frozen[family(parts[2]) as usize] = false;
                    3
                }
                "load" => {
                    let said = &parts[2..2 + judge.addresses.len()];
                    for (index, said) in said.iter().enumerate().filter(|(_, said)| **said != ".") {
                        let passed = Passed { load: load(said), ..Passed::default() };
                        judge.observe(index, &Ok(passed), frozen, now);
                    }
                    2 + said.len()
                }
                results => {
                    for (index, result) in results.chars().enumerate().filter(|(_, result)| *result != '.') {
                        let result = if result == '+' { Ok(Passed::default()) } else { failed() };
                        judge.observe(index, &result, frozen, now);
                    }
                    2
                }
            };
            let said = words(judge.verdict(frozen, now.elapsed)) + &load_words(judge.load(now.elapsed).load);
            let head = format!("{:5} {}", parts[0], parts[1..taken].join(" "));
            updated += &format!("{head:<12} {said}\n");
        }
        updated += "\n";
    }
    let updated = format!("{}\n", updated.trim_end());
    match std::env::var_os("UPDATE") {
        Some(_) => fs::write(&file, updated).unwrap(),
        None => assert_eq!(updated, text, "UPDATE=1 cargo test --test health writes the file anew"),
    }
}

/// Of two addresses in doubt the sooner says when, also when it began later.
#[test]
fn two_doubts() {
    let addresses = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
    let mut judge = judge(addresses.to_vec(), "fall = 4\nrise = 2\ninterval = '10s'");
    let mut check = |seconds: u64, results: [Option<bool>; 2], expect: Option<i64>, is_told: bool| {
        let now = at(Duration::from_secs(seconds));
        for (index, ok) in results.into_iter().enumerate().filter_map(|(index, ok)| Some((index, ok?))) {
            judge.observe(index, &if ok { Ok(Passed::default()) } else { failed() }, [false; 2], now);
        }
        let told = judge.news([false; 2], now);
        let verdict = judge.verdict([false; 2], now.elapsed).unwrap();
        let may_change = verdict.may_change_at.map(|time| (time - at(Duration::ZERO).wall).as_secs());
        assert_eq!((may_change, told.is_some()), (expect, is_told), "{seconds}s");
    };
    let (yes, no) = (Some(true), Some(false));
    check(0, [no, yes], None, true);
    // The second begins to fail, and the first to recover, which takes less.
    check(10, [no, no], Some(40), true);
    check(15, [yes, None], Some(25), true);
    check(20, [None, no], Some(25), false);
    // The first fails again: what is left is what the second has to say, later.
    check(25, [no, None], Some(40), true);
    check(30, [None, no], Some(40), false);
    check(40, [no, no], None, true);
}

/// From the first result that says otherwise on, a verdict says when it may be another; and it is told when that
/// begins and ends, not with each result between.
#[test]
fn a_verdict_in_doubt() {
    let mut judge = judge(
        vec!["192.0.2.1".parse().unwrap()],
        "fall = 3\nrise = 2\ninterval = '10s'\nflap = { changes = 3, hold = '30s' }",
    );
    let mut check = |seconds: u64, ok: bool, expect: Option<i64>, is_told: bool| {
        let now = at(Duration::from_secs(seconds));
        let result = if ok { Ok(Passed::default()) } else { failed() };
        judge.observe(0, &result, [false; 2], now);
        let verdict = judge.verdict([false; 2], now.elapsed).unwrap();
        let may_change = verdict.may_change_at.map(|time| (time - at(Duration::ZERO).wall).as_secs());
        assert_eq!(may_change, expect, "{seconds}s");
        assert_eq!(judge.news([false; 2], now).is_some(), is_told, "{seconds}s");
    };
    check(0, true, None, true);
    check(10, false, Some(30), true);
    check(20, false, Some(30), false);
    check(30, false, None, true);
    check(40, true, Some(50), true);
    check(50, true, None, true);
    check(60, false, Some(80), true);
    check(70, true, None, true);
    // It changes once more, and then once too often: held down, until the hold ends.
    (8..11).for_each(|tens| check(tens * 10, false, (tens < 10).then_some(100), tens != 9));
    check(110, true, Some(120), true);
    check(120, true, Some(150), true);
    check(130, true, Some(150), false);
    check(150, true, None, true);
}

proptest! {
    /// Whatever comes: a family's list never becomes empty, what flaps is down, an answer that is up has the
    /// addresses it must have, and a frozen verdict is not drained.
    #[test]
    fn what_always_holds(
        results in proptest::collection::vec((0usize..5, any::<bool>(), 0u64..30, 0u8..20), 1..200),
        fall in 1u32..4, rise in 1u32..4, least in 1usize..4,
    ) {
        let fields = format!(
            "fall = {fall}\nrise = {rise}\nmin_addresses = {least}\n\
             flap = {{ changes = 3, within = '2m', hold = '20s', hold_max = '2m' }}"
        );
        let addresses: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"].map(|a| a.parse().unwrap()).to_vec();
        let mut judge = judge(addresses.clone(), &fields);
        let (mut now, mut frozen) = (Duration::ZERO, [false; 2]);
        for (index, ok, seconds, what) in results {
            now += Duration::from_secs(seconds);
            let was_up = judge.verdict(frozen, now).is_none_or(|verdict| verdict.up);
            match what {
                0 => {
                    frozen = [true; 2];
                    Family::ALL.iter().for_each(|family| judge.freeze(*family, now.saturating_sub(time("10s")), at(now)));
                }
                1 => frozen = [false; 2],
                _ => judge.observe(index, &if ok { Ok(Passed::default()) } else { failed() }, frozen, at(now)),
            }
            let Some(verdict) = judge.verdict(frozen, now) else { continue };
            prop_assert!(!(verdict.flapping && verdict.up));
            prop_assert!(frozen != [true; 2] || verdict.up || !was_up, "drained while frozen");
            for family in Family::ALL {
                let all = addresses.iter().filter(|address| Family::of(**address) == family).count();
                let out = verdict.failing.iter().filter(|address| Family::of(**address) == family).count();
                prop_assert!(out < all, "{verdict:?}");
                prop_assert!(!verdict.up || all - out >= least.min(all), "{verdict:?}");
            }
        }
    }
}
