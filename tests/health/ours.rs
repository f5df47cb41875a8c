//! Our own failure: what fails when everything does, or the reference targets do.

use std::time::Duration;

use rhumb::health::probe::Passed;
use rhumb::health::reference::Referred;
use rhumb::health::room::{Outcome, Room, Start};

use crate::turned::{POOL_0, POOL_1, Turned, pools};
use crate::{at, plan, time};

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
