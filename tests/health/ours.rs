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

/// IPv6 is lost alone: over IPv4 everything is judged as always.
#[test]
fn one_family_freezes_and_the_other_goes_on() {
    let text = pools(3) + "[health]\nreferences = ['https://www.example.net']\n";
    let mut turned = Turned::new(plan(&text), vec![]);
    turned.references = Referred::Asked([Some(true), Some(true)]);
    turned.run("100s");
    turned.references = Referred::Asked([Some(true), Some(false)]);
    let all_of_ipv6 = "2001:db8:0::1 2001:db8:0::2 2001:db8:1::1 2001:db8:1::2 2001:db8:2::1 2001:db8:2::2";
    turned.kill(&format!("{all_of_ipv6} 192.0.0.1 192.0.0.11 192.0.1.1"));
    turned.run("200s");
    let alarms = turned.room.alarms();
    assert_eq!((alarms.len(), alarms[0].family), (1, "IPv6"));
    assert_eq!(turned.room.frozen(), [false, true]);
    // Of each answer IPv4 is seen, so none is hidden from us as a whole.
    assert!(turned.told.values().all(|told| told.frozen && told.hidden.is_some_and(|hidden| !hidden.wholly)));
    let is_well = |said: &String| said.contains(" up ") && !said.contains("without");
    let said: Vec<String> = turned.said().into_iter().filter(|said| !is_well(said)).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("p0/x down") && said[1].contains("p1/x up"), "{said:?}");
    assert!(said[1].contains("without 192.0.1.1"), "{said:?}");
    // It is mended, and what is dead over IPv6 as well is theirs.
    turned.references = Referred::Asked([Some(true), Some(true)]);
    turned.kill("2001:db8:2::2");
    turned.run("300s");
    assert_eq!((turned.room.frozen(), turned.downs()), ([false; 2], 1));
    assert!(turned.said().iter().any(|said| said.starts_with("p2/y down")));
}

/// A monitor of one family does not see the other, and is hidden as a whole when its own is lost.
#[test]
fn a_monitor_of_ipv4_alone() {
    let text = pools(2).replace("port = 80\n", "port = 80\nfamily = 'ipv4'\n");
    let text = text + "[health]\nreferences = ['https://www.example.net']\n";
    let mut turned = Turned::new(plan(&text), vec![]);
    turned.references = Referred::Asked([Some(true), Some(false)]);
    turned.kill("2001:db8:0::1 2001:db8:0::2");
    turned.run("100s");
    assert!(turned.probed.iter().all(|(_, target)| target.is_ipv4()));
    assert_eq!((turned.downs(), turned.room.alarms()), (0, vec![]), "nobody asks over IPv6");
    turned.kill("192.0.0.1 192.0.0.11");
    turned.run("200s");
    assert_eq!(turned.downs(), 1);
    turned.references = Referred::Asked([Some(false), Some(false)]);
    turned.run("300s");
    assert!(turned.told.values().all(|told| told.hidden.is_some_and(|hidden| hidden.wholly)));
    assert_eq!(turned.downs(), 1, "it was down before");
}
