//! Whole rooms: what becomes of the verdicts of many answers, over plans, restarts and heartbeats.

use std::collections::HashSet;
use std::time::Duration;

use rhumb::health::probe::Passed;
use rhumb::health::room::{Outcome, Room};
use rhumb::health::{Moment, Verdict, together};
use rhumb::state::load::Load;
use rhumb::state::monitors::Plan;

use crate::turned::{POOL_0, Turned, pools};
use crate::{at, failed, plan, time};

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
