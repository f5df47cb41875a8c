//! Monitors: results over time to verdicts, whole rooms on a clock that the test turns, and the real thing on
//! loopback. What each kind of probe makes of good and bad servers is in `tests/probes.rs`.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rhumb::files::parse_duration;
use rhumb::health::notify::Notices;
use rhumb::health::pilot::Pilot;
use rhumb::health::probe::{Passed, ProbeError};
use rhumb::health::reference::Referred;
use rhumb::health::room::{Outcome, Room, Start};
use rhumb::health::verdict::Judge;
use rhumb::health::{Health, Moment, News, Verdict, together};
use rhumb::state::chains::Chains;
use rhumb::state::live::VerdictValue;
use rhumb::state::load::{Load, METRICS};
use rhumb::state::model::Time;
use rhumb::state::monitors::{Check, Family, Monitored, Plan};
use support::control::{Hands, keep};
use support::entries::new_disk;
use support::{Folder, project};

/// Longer than any machine is busy: reached only when the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn at(elapsed: Duration) -> Moment {
    Moment { wall: "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap() + elapsed, elapsed }
}

fn time(text: &str) -> Duration {
    parse_duration(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What the files say.
fn plan(text: &str) -> Plan {
    let (mut chains, mut problems) = (Chains::default(), Vec::new());
    chains.read_file(Path::new("test.toml"), text, &mut problems);
    chains.check_monitors(&mut problems);
    assert_eq!(problems, [], "{text}");
    chains.monitors().plan(&Default::default())
}

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

fn failed() -> Result<Passed, ProbeError> {
    Err(ProbeError::new("refused"))
}

/// A verdict in words; times since the start.
fn words(verdict: Option<Verdict>) -> String {
    let Some(verdict) = verdict else { return "unknown".into() };
    let since = (verdict.since - at(Duration::ZERO).wall).as_secs();
    let mut words = format!("{} since {since}s", if verdict.up { "up" } else { "down" });
    for address in &verdict.failing {
        words += &format!(" without {address}");
    }
    words += if verdict.flapping { " flapping" } else { "" };
    words += if verdict.frozen { " frozen" } else { "" };
    words
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

/// A room whose probes take no time, on a clock that only the test turns.
struct Turned {
    room: Room,
    now: Duration,
    /// Addresses that do not answer.
    dead: HashSet<IpAddr>,
    /// Reference targets that do not answer.
    references: Referred,
    /// Every probe of an address, with its time.
    probed: Vec<(Duration, SocketAddr)>,
    /// The last that was told of each answer, and how often anything was.
    told: BTreeMap<(String, String), Verdict>,
    tellings: usize,
}

impl Turned {
    fn new(plan: Plan, kept: Vec<Verdict>) -> Turned {
        let room = Room::new(7, plan, kept, at(Duration::ZERO));
        Turned {
            room,
            now: Duration::ZERO,
            dead: HashSet::new(),
            references: Referred::Asked([Some(true), None]),
            probed: Vec::new(),
            told: BTreeMap::new(),
            tellings: 0,
        }
    }

    /// Runs until then.
    fn run(&mut self, until: &str) {
        let until = time(until);
        self.hear();
        while let Some(next) = self.room.next().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            while let Some((key, start)) = self.room.start(at(self.now)) {
                let outcome = match start {
                    Start::Address(_, target) => {
                        self.probed.push((self.now, target));
                        let is_dead = self.dead.contains(&target.ip());
                        Outcome::Address(if is_dead { failed() } else { Ok(Passed::default()) })
                    }
                    Start::Reference(..) => Outcome::Reference(self.references),
                };
                self.room.observe(key, outcome, at(self.now));
            }
            self.hear();
        }
        self.now = until;
    }

    fn hear(&mut self) {
        let news = self.room.news(at(self.now));
        self.tellings += news.len();
        self.told.extend(news.into_iter().map(|told| ((told.monitor.clone(), told.answer.clone()), told)));
    }

    fn kill(&mut self, addresses: &str) {
        self.dead = addresses.split_whitespace().map(|address| address.parse().unwrap()).collect();
    }

    /// What was told last, of all answers.
    fn said(&self) -> Vec<String> {
        let said = self.told.values().map(|verdict| (verdict.answer.as_str(), words(Some(verdict.clone()))));
        said.map(|(answer, words)| format!("{answer} {words}")).collect()
    }

    fn downs(&self) -> usize {
        self.told.values().filter(|verdict| !verdict.up).count()
    }
}

/// Pools of two PoPs each, of two IPv4 addresses and an IPv6 address each, and a monitor of all.
fn pools(count: usize) -> String {
    let mut text = "[pop.x]\ncountry = 'IE'\n[pop.y]\ncountry = 'JP'\n".to_string();
    for pool in 0..count {
        for (number, pop) in [(1, "x"), (2, "y")] {
            text += &format!(
                "[[pool.p{pool}.answer]]\npop = '{pop}'\na = ['192.0.{pool}.{number}', '192.0.{pool}.1{number}']\n\
                 aaaa = ['2001:db8:{pool}::{number}']\n"
            );
        }
        text += &format!("[monitor.m{pool}]\nkind = 'tcp'\nport = 80\ntarget = {{ pool = 'p{pool}' }}\n");
    }
    text
}

const POOL_0: &str = "192.0.0.1 192.0.0.2 192.0.0.11 192.0.0.12";
const POOL_1: &str = "192.0.1.1 192.0.1.2 192.0.1.11 192.0.1.12";

#[test]
fn a_pool_that_fails_goes_down_and_comes_back() {
    let mut turned = Turned::new(plan(&pools(3)), vec![]);
    assert!(!turned.room.has_reported());
    turned.run("3s");
    assert!(turned.room.has_reported(), "the first round takes three seconds");
    turned.run("100s");
    assert_eq!(turned.downs(), 0);
    assert_eq!(turned.told.len(), 6);
    turned.kill(POOL_0);
    turned.run("150s");
    assert_eq!((turned.downs(), turned.room.alarms()), (2, vec![]));
    turned.kill("");
    turned.run("200s");
    assert_eq!(turned.downs(), 0);
    let status = turned.room.status(at(turned.now));
    let history: Vec<bool> = status[0].history.iter().map(|event| event.up).collect();
    assert_eq!(history, [true, false, true]);
    assert!(status[0].history[1].why.ends_with(": refused"), "{:?}", status[0].history);
    assert_eq!((status[0].kind, status[0].addresses.len()), ("tcp", 3));
}

#[test]
fn everything_at_once_is_our_own_failure() {
    // Even where a single bad result is a fall.
    for fall in ["fall = 1\n", ""] {
        let mut text = pools(3);
        text = text.replace("port = 80\n", &format!("port = 80\n{fall}"));
        let mut turned = Turned::new(plan(&text), vec![]);
        turned.run("100s");
        turned.kill(&format!("{POOL_0} {POOL_1}"));
        turned.run("115s");
        let alarms = turned.room.alarms();
        assert_eq!((alarms.len(), alarms[0].family), (1, "IPv4"));
        assert_eq!(alarms[0].why, "2 of 3 pools fail at once");
        turned.run("1000s");
        assert_eq!(turned.downs(), 0, "nothing is drained");
        assert!(turned.told.values().all(|verdict| verdict.frozen && verdict.failing.is_empty()));
        // One is back, so what is left is theirs.
        turned.kill(POOL_0);
        turned.run("1100s");
        assert_eq!((turned.downs(), turned.room.alarms()), (2, vec![]));
    }
}

#[test]
fn references_are_asked_where_there_are_any() {
    let text = pools(3) + "[health]\nreferences = ['tcp://192.0.2.1:443', 'https://www.example.net']\n";
    let mut turned = Turned::new(plan(&text), vec![]);
    turned.run("100s");
    // Every pool is gone and the references are there: it is theirs.
    turned.kill(&format!("{POOL_0} {POOL_1} 192.0.2.1 192.0.2.2 192.0.2.11 192.0.2.12"));
    turned.run("150s");
    assert_eq!((turned.downs(), turned.room.alarms()), (6, vec![]));
    turned.kill("");
    turned.run("200s");
    turned.references = Referred::Asked([Some(false), None]);
    turned.kill(POOL_0);
    turned.run("300s");
    assert_eq!(turned.downs(), 0);
    assert_eq!(turned.room.alarms()[0].why, "2 of 2 reference targets fail");
    turned.references = Referred::Asked([Some(true), None]);
    turned.run("400s");
    assert_eq!((turned.downs(), turned.room.alarms()), (2, vec![]));
}

#[test]
fn a_reference_that_cannot_be_looked_up_fails() {
    let text = pools(3) + "[health]\nreferences = ['https://www.example.net']\n";
    let mut turned = Turned::new(plan(&text), vec![]);
    turned.run("100s");
    // The network is gone, and with it whom we ask for names.
    turned.references = Referred::NotFound;
    turned.kill(&format!("{POOL_0} {POOL_1} 192.0.2.1 192.0.2.2 192.0.2.11 192.0.2.12"));
    turned.run("300s");
    let alarms = turned.room.alarms();
    assert_eq!((turned.downs(), alarms.len()), (0, 1), "it never had an IPv6 address");
    assert_eq!((alarms[0].family, alarms[0].why.as_str()), ("IPv4", "1 of 1 reference targets fail"));
    turned.references = Referred::Asked([Some(true), None]);
    turned.kill(POOL_0);
    turned.run("400s");
    assert_eq!((turned.downs(), turned.room.alarms()), (2, vec![]));
}

#[test]
fn a_reference_that_was_never_found_leaves_it_to_the_pools() {
    let text = pools(3) + "[health]\nreferences = ['https://www.example.net']\n";
    let mut turned = Turned::new(plan(&text), vec![]);
    turned.references = Referred::NotFound;
    turned.run("100s");
    assert_eq!((turned.downs(), turned.room.alarms()), (0, vec![]), "nothing fails");
    turned.kill(&format!("{POOL_0} {POOL_1}"));
    turned.run("200s");
    assert_eq!((turned.downs(), turned.room.alarms()[0].why.as_str()), (0, "2 of 3 pools fail at once"));
}

#[test]
fn a_name_that_is_not_found_and_a_target_that_fails_are_two() {
    let text = pools(1) + "[health]\nreferences = ['https://www.example.net', 'tcp://192.0.2.53:53']\n";
    let mut room = Room::new(7, plan(&text), vec![], at(Duration::ZERO));
    // The name answers, then cannot be looked up; the address answers, then does not.
    let (mut found, mut now) = (Referred::Asked([Some(true), Some(true)]), Duration::ZERO);
    let mut address = Referred::Asked([Some(true), None]);
    let mut turn = |until: &str, found: Referred, address: Referred| {
        while let Some(next) = room.next().filter(|next| *next <= time(until)) {
            now = next.max(now);
            while let Some((key, start)) = room.start(at(now)) {
                let outcome = match start {
                    Start::Reference(_, reference) if reference.host == "www.example.net" => {
                        Outcome::Reference(found)
                    }
                    Start::Reference(..) => Outcome::Reference(address),
                    Start::Address(..) => Outcome::Address(Ok(Passed::default())),
                };
                room.observe(key, outcome, at(now));
            }
        }
        let alarms = room.alarms().into_iter().map(|alarm| format!("{}: {}", alarm.family, alarm.why));
        alarms.collect::<Vec<_>>()
    };
    assert!(turn("60s", found, address).is_empty());
    // One of two over IPv4 is no majority; it is the only one over IPv6.
    found = Referred::NotFound;
    assert_eq!(turn("120s", found, address), ["IPv6: 1 of 1 reference targets fail"]);
    address = Referred::Asked([Some(false), None]);
    let both = ["IPv4: 2 of 2 reference targets fail", "IPv6: 1 of 1 reference targets fail"];
    assert_eq!(turn("180s", found, address), both);
}

#[test]
fn updates_keep_what_did_not_change() {
    let mut turned = Turned::new(plan(&pools(3)), vec![]);
    turned.kill("192.0.0.1 192.0.0.11");
    turned.run("60s");
    let down = "p0/x down since 2s".to_string();
    assert!(turned.said()[0].starts_with("p0/x down"), "{:?}", turned.said());
    let before = turned.room.status(at(turned.now));
    // An address more, a pool less, another port: the rest stays as it is.
    let text = pools(2).replace("'192.0.0.11'", "'192.0.0.11', '192.0.0.21'");
    let text = text.replacen("['192.0.1.1', '192.0.1.11']", "['192.0.1.11']", 1);
    turned.room.update(plan(&text), at(turned.now));
    let after = turned.room.status(at(turned.now));
    assert_eq!(after.len(), 4);
    assert_eq!(after[1], before[1]);
    assert_eq!(after[0].verdict.as_ref().unwrap().since, before[0].verdict.as_ref().unwrap().since, "{down}");
    assert_eq!(
        after[0].addresses.iter().map(|address| address.up).collect::<Vec<_>>(),
        [Some(false), Some(false), None, Some(true)]
    );
    assert!(turned.room.has_reported(), "it stays ready");
    // The new address is heard, and the answer is up by it.
    turned.run("80s");
    assert!(turned.said()[0].starts_with("p0/x up"), "{:?}", turned.said());
    assert!(turned.said()[0].ends_with("without 192.0.0.1 without 192.0.0.11"), "{:?}", turned.said());
    // Another check is another monitor: it knows nothing yet.
    turned.room.update(plan(&text.replace("port = 80", "port = 81")), at(turned.now));
    assert!(turned.room.status(at(turned.now)).iter().all(|status| status.verdict.is_none()));
    // And what was written last is what is probed, each address once in its interval.
    turned.probed.clear();
    turned.run("100s");
    turned.probed.clear();
    turned.run("160s");
    assert!(turned.probed.iter().all(|(_, target)| target.port() == 81));
    let addresses: HashSet<_> = turned.probed.iter().map(|(_, target)| target.ip()).collect();
    assert_eq!(addresses.len(), 12);
    for address in addresses {
        let count = turned.probed.iter().filter(|(_, target)| target.ip() == address).count();
        assert!((5..=7).contains(&count), "{address}: {count}");
    }
}

#[test]
fn what_ran_while_it_was_taken_out_says_nothing() {
    let mut room = Room::new(7, plan(&pools(1)), vec![], at(Duration::ZERO));
    let now = at(time("3s"));
    let running: Vec<_> = std::iter::from_fn(|| room.start(now)).collect();
    assert_eq!(running.len(), 6);
    room.update(Plan::default(), now);
    for (key, _) in running {
        room.observe(key, Outcome::Address(failed()), now);
    }
    assert!(room.has_reported());
    assert_eq!(
        (room.status(now), room.news(now), room.start(at(time("1h"))).is_none()),
        (vec![], vec![], true)
    );
}

#[test]
fn kept_verdicts_are_used_while_they_are_young() {
    let mut turned = Turned::new(plan(&pools(1)), vec![]);
    turned.kill("192.0.0.1 192.0.0.2 192.0.0.12");
    turned.run("60s");
    let kept: Vec<Verdict> = turned.told.values().cloned().collect();
    let said = turned.said();
    assert_eq!(turned.downs(), 1, "{said:?}");
    // As the store has it.
    let json = serde_json::to_string(&kept).unwrap();
    let mut kept: Vec<Verdict> = serde_json::from_str(&json).unwrap();
    let start = at(Duration::ZERO).wall;
    for verdict in &mut kept {
        verdict.checked_at = start - Duration::from_secs(299);
    }
    let mut again = Turned::new(plan(&pools(1)), kept.clone());
    assert!(again.room.has_reported(), "no first round is needed");
    again.hear();
    assert_eq!(again.said(), said);
    again.kill("192.0.0.1 192.0.0.2 192.0.0.12");
    again.run("60s");
    assert_eq!(again.said(), said, "nothing has changed");
    // Too old, or from a clock that is wrong.
    for age in [301, -11] {
        kept.iter_mut().for_each(|verdict| verdict.checked_at = start - jiff::SignedDuration::from_secs(age));
        let old = Room::new(7, plan(&pools(1)), kept.clone(), at(Duration::ZERO));
        assert!(!old.has_reported() && old.status(at(Duration::ZERO)).iter().all(|s| s.verdict.is_none()));
    }
}

/// A restart while an answer is held down: it stays so, as long as it had to, and the next hold is longer.
#[test]
fn what_flaps_goes_on_after_a_restart() {
    let text = "[[pool.p.answer]]\na = '192.0.2.1'\n[monitor.m]\nkind = 'tcp'\nport = 80\ntarget = { pool = 'p' }\n\
                interval = '10s'\nrise = 1\nfall = 1\nflap = { changes = 3, hold = '2m' }\n";
    let mut turned = Turned::new(plan(text), vec![]);
    turned.run("10s");
    for (number, until) in ["20s", "30s", "40s", "50s"].into_iter().enumerate() {
        turned.kill(if number % 2 == 0 { "192.0.2.1" } else { "" });
        turned.run(until);
    }
    let kept = turned.told.values().next().unwrap().clone();
    assert!(kept.flapping && kept.why.starts_with("held down: flapping, until"), "{kept:?}");
    let history = turned.room.status(at(turned.now))[0].history.clone();
    assert_eq!(history.len(), 4);
    // As the store has it. The clock of the next run begins at zero, twenty seconds later.
    let json = serde_json::to_string(&kept).unwrap();
    let kept: Verdict = serde_json::from_str(&json).unwrap();
    let later = |elapsed: &str| {
        let elapsed = time(elapsed);
        Moment { wall: at(time("70s") + elapsed).wall, elapsed }
    };
    let mut room = Room::new(7, plan(text), vec![kept.clone()], later("0s"));
    let mut run = |until: &str, ok: bool| {
        let mut told = None;
        while let Some(next) = room.next().filter(|next| *next <= time(until)) {
            let now = Moment { wall: at(time("70s") + next).wall, elapsed: next };
            while let Some((key, _)) = room.start(now) {
                room.observe(key, Outcome::Address(if ok { Ok(Passed::default()) } else { failed() }), now);
            }
            told = room.news(now).pop().or(told);
        }
        (told, room.status(later(until)).remove(0))
    };
    let (told, status) = run("90s", true);
    let said = status.verdict.unwrap();
    assert_eq!((said.up, said.flapping, said.held_until), (false, true, kept.held_until));
    assert_eq!((status.history, told.map(|told| told.why)), (history, Some(kept.why)));
    // The hold ends when it would have.
    assert!(run("110s", true).1.verdict.unwrap().up);
    // It changes too often again: twice the time.
    let mut held = None;
    for (number, until) in ["120s", "130s", "140s", "150s", "160s"].into_iter().enumerate() {
        held = run(until, number % 2 == 1).1.verdict.unwrap().held_until.or(held);
    }
    let hold = held.unwrap() - kept.held_until.unwrap();
    assert!((240..330).contains(&hold.as_secs()), "it is held for four minutes: {hold:#}");
}

#[test]
fn a_verdict_is_told_again_before_it_is_old() {
    let mut turned = Turned::new(plan(&pools(1)), vec![]);
    turned.run("3s");
    let first = turned.tellings;
    turned.run("70s");
    assert_eq!(turned.tellings, first, "nothing new");
    turned.run("303s");
    assert!((first + 6..=first + 8).contains(&turned.tellings), "{} after {first}", turned.tellings);
    assert!(turned.told.values().all(|verdict| (at(turned.now).wall - verdict.checked_at).as_secs() < 95));
}

#[test]
fn a_heartbeat_must_arrive() {
    let text = "[[pool.p.answer]]\na = '192.0.2.1'\n[monitor.h]\nkind = 'push'\ntarget = { pool = 'p' }\n\
                interval = '1m'\nfall = 2\nrise = 1\n";
    let mut turned = Turned::new(plan(text), vec![]);
    assert!(turned.room.has_reported(), "nothing we do brings a heartbeat");
    turned.run("30s");
    assert!(turned.room.push("h", "p/answer 1", Load::default(), at(turned.now)).is_some());
    assert!(
        turned.room.push("h", "p/q", Load::default(), at(turned.now)).is_none()
            && turned.room.push("i", "p/answer 1", Load::default(), at(turned.now)).is_none()
    );
    turned.run("89s");
    assert_eq!(turned.said(), ["p/answer 1 up since 30s"]);
    // A second late is one interval missed, and no more.
    turned.run("91s");
    assert!(turned.room.push("h", "p/answer 1", Load::default(), at(turned.now)).is_some());
    turned.run("150s");
    assert_eq!(turned.said(), ["p/answer 1 up since 30s"]);
    turned.run("212s");
    assert_eq!(turned.said(), ["p/answer 1 down since 211s"]);
    assert_eq!(turned.told.values().next().unwrap().error, "no heartbeat within 1m");
    assert!(turned.room.push("h", "p/answer 1", Load::default(), at(turned.now)).is_some());
    turned.run("213s");
    assert_eq!(turned.said(), ["p/answer 1 up since 212s"]);
}

#[test]
fn all_must_say_up() {
    let mut turned =
        Turned::new(plan(&(pools(1) + "[monitor.z]\nkind = 'tls'\ntarget = { pop = 'x' }\n")), vec![]);
    turned.run("3s");
    let mut verdicts: Vec<Verdict> = turned.told.into_values().collect();
    assert_eq!(verdicts.len(), 3);
    let up = |verdicts: &[Verdict]| -> Vec<bool> { together(verdicts).values().map(|all| all.up).collect() };
    assert_eq!(up(&verdicts), [true, true]);
    verdicts[2].up = false;
    verdicts[2].why = "refused".into();
    verdicts[0].failing = vec!["192.0.0.1".parse().unwrap()];
    assert_eq!(up(&verdicts), [false, true]);
    let x = &together(&verdicts)["p0/x"];
    assert_eq!(x.said_no, Some(("z".into(), "refused".into())));
    assert_eq!(x.failing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.0.1"]);
}

/// Who is told of verdicts trips: the room has ended, does not hide it, and can be started again with what it said.
#[test]
fn a_room_that_has_ended_is_started_again() {
    let text =
        "[[pool.p.answer]]\na = '127.0.0.1'\n[monitor.m]\nkind = 'tcp'\nport = 9\ntarget = { pool = 'p' }\n";
    let (told, news) = mpsc::channel();
    let trips = AtomicBool::new(true);
    let tell = move |news: News| {
        news.verdicts.into_iter().for_each(|verdict| told.send(verdict).unwrap());
        assert!(!trips.swap(false, SeqCst), "a mistake that is meant");
    };
    let health = Health::start(plan(text), tell, vec![], Time::now).unwrap();
    let first = news.recv_timeout(PATIENCE).unwrap();
    comes_to(|| !health.is_running());
    // Whoever still asks is answered.
    assert_eq!((health.status().len(), health.first_round()), (1, true));
    let probes = health.totals().probes;
    health.start_anew(plan(text), vec![first.clone()]).unwrap();
    assert!(health.is_running() && health.first_round(), "no first round is needed");
    let again = news.recv_timeout(PATIENCE).unwrap();
    assert_eq!((again.up, again.since), (first.up, first.since));
    comes_to(|| health.totals().probes > probes);
    health.stop();
}

/// The same through the pilot, by itself: the verdict stays, the next is seen, and an alarm tells of it.
#[test]
fn monitors_that_trip_are_started_again() {
    let folder = Folder::example();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chains = "[[record]]\nname = 'app.example.com'\nfilters = ['up']\nanswer = { name = 'one', a = '127.0.0.1' }\n\
                  [monitor.m]\nkind = 'tcp'\ntarget = { answer = 'app.example.com/one' }\ninterval = '1s'\n";
    folder.write("filter-chains/app.toml", format!("{chains}port = {port}\n"));
    let state = keep(&folder, &new_disk(), &Hands::default());
    let notices = Notices::start("test".into(), vec![], state.entries()).unwrap();
    let trips = Arc::new(AtomicBool::new(false));
    let theirs = trips.clone();
    let wall = move || {
        let is_theirs = std::thread::current().name() == Some("health");
        assert!(!(is_theirs && theirs.swap(false, SeqCst)), "a mistake that is meant");
        Time::now()
    };
    let pilot = Pilot::start(state.clone(), &BTreeMap::new(), notices, wall).unwrap();
    assert!(pilot.health().wait_first_round(PATIENCE));
    pilot.begin();
    let is_up =
        || state.view().values.verdicts().get("app.example.com/one").map(|verdict: &VerdictValue| verdict.up);
    let since = || pilot.health().status()[0].verdict.as_ref().map(|verdict| verdict.since);
    let is_told = || pilot.alarms().lock().unwrap().iter().any(|alarm| alarm.contains("are started again"));
    comes_to(|| is_up() == Some(true));
    let before = since();
    trips.store(true, SeqCst);
    comes_to(|| is_told() && pilot.health().is_running());
    assert_eq!((is_up(), since()), (Some(true), before));
    drop(listener);
    comes_to(|| is_up() == Some(false));
    assert!(is_told(), "it has not run well for long");
    pilot.stop();
}

/// Waits until it is so.
fn comes_to(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// The real thing: a server that answers, a port that refuses, and the thread that probes them.
#[test]
fn on_loopback() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "[pop.x]\ncountry = 'IE'\n[[pool.p.answer]]\na = ['127.0.0.1', '127.0.0.2']\n\
         [[pool.q.answer]]\na = '127.0.0.1'\n\
         [monitor.tcp]\nkind = 'tcp'\nport = {port}\ntarget = {{ pool = 'p' }}\ninterval = '1s'\n\
         [monitor.heart]\nkind = 'push'\ntarget = {{ pool = 'q' }}\n"
    );
    let (told, news) = mpsc::channel();
    let health =
        Health::start(plan(&text), move |news: News| told.send(news.verdicts).unwrap(), vec![], Time::now)
            .unwrap();
    assert!(health.wait_first_round(PATIENCE) && health.first_round());
    let next = || news.recv_timeout(PATIENCE).unwrap().remove(0);
    let mut verdict = next();
    while verdict.failing.is_empty() {
        verdict = next();
    }
    assert!(verdict.up);
    assert_eq!(verdict.error, "127.0.0.2: connection refused");
    assert!(
        health.push("heart", "q/answer 1", Load::default()).is_some()
            && health.push("tcp", "p/answer 1", Load::default()).is_none()
    );
    while verdict.answer != "q/answer 1" {
        verdict = next();
    }
    assert!(verdict.up);
    let status = health.status();
    assert_eq!(status.iter().map(|status| status.kind).collect::<Vec<_>>(), ["push", "tcp"]);
    assert!(status[1].verdict.as_ref().unwrap().latency_ms.is_some());
    assert_eq!(health.alarms(), []);
    assert!(health.totals().probes >= 2 && health.totals().failures >= 1);
    health.update(Plan::default());
    assert_eq!(health.status(), []);
    health.stop();
    assert!(news.iter().flatten().all(|verdict| verdict.up), "and then no more");
}

/// Probes that are answered by nobody end one after the other when only one may run: that takes longer than
/// the second over which the first round is spread.
#[test]
fn no_more_at_once_than_may_be() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (count, timeout) = (30, Duration::from_millis(50));
    // Connections wait in the listener's queue, where nothing answers them.
    let monitors: String = (0..count)
        .map(|number| {
            format!(
                "[monitor.m{number}]\nkind = 'http'\nport = {port}\ntimeout = '50ms'\ninterval = '1s'\n\
                 target = {{ pool = 'p' }}\n"
            )
        })
        .collect();
    let text = format!("[[pool.p.answer]]\na = '127.0.0.1'\n{monitors}[health]\nprobes_at_once = 1\n");
    let begun = Instant::now();
    let health = Health::start(plan(&text), |_| {}, vec![], Time::now).unwrap();
    assert!(health.wait_first_round(PATIENCE));
    assert!(begun.elapsed() >= timeout * count, "{:?}", begun.elapsed());
    let status = health.status();
    assert_eq!(status[0].verdict.as_ref().unwrap().error, "no response within 50ms");
    drop(health);
}
