//! A room whose probes take no time, on a clock that only the test turns, and what it probes.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rhumb::health::Verdict;
use rhumb::health::probe::Passed;
use rhumb::health::reference::Referred;
use rhumb::health::room::{Outcome, Room, Start};
use rhumb::state::monitors::Plan;

use crate::{at, failed, time, words};

/// A room whose probes take no time, on a clock that only the test turns.
pub struct Turned {
    pub room: Room,
    pub now: Duration,
    /// Addresses that do not answer.
    pub dead: HashSet<IpAddr>,
    /// Reference targets that do not answer.
    pub references: Referred,
    /// Every probe of an address, with its time.
    pub probed: Vec<(Duration, SocketAddr)>,
    /// The last that was told of each answer, and how often anything was.
    pub told: BTreeMap<(String, String), Verdict>,
    pub tellings: usize,
}

impl Turned {
    pub fn new(plan: Plan, kept: Vec<Verdict>) -> Turned {
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
    pub fn run(&mut self, until: &str) {
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

    pub fn hear(&mut self) {
        let news = self.room.news(at(self.now));
        self.tellings += news.len();
        self.told.extend(news.into_iter().map(|told| ((told.monitor.clone(), told.answer.clone()), told)));
    }

    pub fn kill(&mut self, addresses: &str) {
        self.dead = addresses.split_whitespace().map(|address| address.parse().unwrap()).collect();
    }

    /// What was told last, of all answers.
    pub fn said(&self) -> Vec<String> {
        let said = self.told.values().map(|verdict| (verdict.answer.as_str(), words(Some(verdict.clone()))));
        said.map(|(answer, words)| format!("{answer} {words}")).collect()
    }

    pub fn downs(&self) -> usize {
        self.told.values().filter(|verdict| !verdict.up).count()
    }
}

/// Pools of two PoPs each, of two IPv4 addresses and an IPv6 address each, and a monitor of all.
pub fn pools(count: usize) -> String {
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

pub const POOL_0: &str = "192.0.0.1 192.0.0.2 192.0.0.11 192.0.0.12";
pub const POOL_1: &str = "192.0.1.1 192.0.1.2 192.0.1.11 192.0.1.12";
