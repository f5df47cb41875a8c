//! The room of monitors on a clock that the transcript turns, over PoPs that fail in many ways.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rhumb::health::hidden::{Hidden, hidden};
use rhumb::health::pilot;
use rhumb::health::probe::{Passed, ProbeError};
use rhumb::health::reference::Referred;
use rhumb::health::room::{Outcome, Room, Start};
use rhumb::health::stale::{self, Heard, Watch};
use rhumb::health::{Moment, Verdict};
use rhumb::state::live::VerdictValue;
use rhumb::state::model::Time;
use rhumb::state::monitors::{Check, Plan};

/// The monitor of the cases that have one.
pub const MONITOR: &str = r#"
[monitor.wss]
kind = "tcp"
port = 443
target = { pool = "wss" }
interval = "2s"
timeout = "1s"
rise = 2
fall = 3
flap = { changes = 4, within = "5m", hold = "1m" }
"#;

/// How long the room has been running when the transcript begins: the first round is over.
const BEFORE: Duration = Duration::from_secs(10);

/// How a PoP's probes end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Well,
    Dead,
    /// Later than the timeout.
    Slow,
    /// The second address of each answer refuses.
    Half,
    /// So many of a hundred connections are lost.
    Loses(u8),
    /// It is dead and well by turns, so many seconds each.
    Flaps(u64),
}

/// The room, and what it probes.
pub struct Probed {
    room: Room,
    /// By address: its PoP, and whether it is the second of its answer.
    addresses: BTreeMap<IpAddr, (String, bool)>,
    how: BTreeMap<String, How>,
    /// By host.
    references: BTreeMap<String, Referred>,
    told: BTreeMap<Watch, Heard>,
    plan: BTreeMap<Watch, Arc<Check>>,
    /// They have stopped: a mistake of ours.
    is_silent: bool,
    random: Rng,
    elapsed: Duration,
}

impl Probed {
    pub fn new(plan: Plan, wall: Time) -> Probed {
        let second = |place: usize| place % 2 == 1;
        let addresses = plan.monitored.iter().flat_map(|monitored| {
            let addresses = monitored.addresses.iter().enumerate();
            addresses.map(|(place, address)| (*address, (monitored.site.clone(), second(place))))
        });
        let addresses = addresses.collect();
        let planned = stale::planned(&plan);
        let references = plan.health.references.iter().map(|reference| reference.host.clone());
        let references = references.map(|host| (host, Referred::Asked([Some(true), None]))).collect();
        let begun = Moment { wall: wall - BEFORE, elapsed: Duration::ZERO };
        let mut probed = Probed {
            room: Room::new(7, plan, Vec::new(), begun),
            addresses,
            how: BTreeMap::new(),
            references,
            told: BTreeMap::new(),
            plan: planned,
            is_silent: false,
            random: Rng::with_seed(7),
            elapsed: Duration::ZERO,
        };
        probed.run(wall, Duration::ZERO);
        probed
    }

    /// `dublin dead`, `tokyo loses 30`, `sydney flaps 10`, `monitors silent`; `references dead`, `references unfound`,
    /// or one of them by its host.
    pub fn becomes(&mut self, who: &str, how: &[&str]) {
        if who == "monitors" {
            assert_eq!(how, ["silent"]);
            self.is_silent = true;
            return;
        }
        let is_meant = |host: &str| who == "references" || who == host;
        let mut references = self.references.iter_mut().filter(|(host, _)| is_meant(host)).peekable();
        if references.peek().is_some() {
            let referred = match how {
                ["well"] => Referred::Asked([Some(true), None]),
                ["dead"] => Referred::Asked([Some(false), None]),
                ["unfound"] => Referred::NotFound,
                _ => panic!("how are {how:?}?"),
            };
            references.for_each(|(_, becomes)| *becomes = referred);
            return;
        }
        let how = match how {
            ["well"] => How::Well,
            ["dead"] => How::Dead,
            ["slow"] => How::Slow,
            ["half"] => How::Half,
            ["loses", percent] => How::Loses(percent.parse().unwrap()),
            ["flaps", seconds] => How::Flaps(seconds.parse().unwrap()),
            _ => panic!("how is {how:?}?"),
        };
        let mut sites = self.addresses.values().map(|(site, _)| site.clone()).collect::<Vec<_>>();
        sites.retain(|site| who == "everything" || site == who);
        assert!(!sites.is_empty(), "there is no {who}");
        self.how.extend(sites.into_iter().map(|site| (site, how)));
    }

    /// Runs until so long after the transcript began, when the wall clock says this.
    pub fn run(&mut self, wall: Time, until: Duration) {
        let until = until + BEFORE;
        if self.is_silent {
            self.elapsed = until;
            return;
        }
        while let Some(next) = self.room.next().filter(|next| *next <= until) {
            self.elapsed = next.max(self.elapsed);
            let now = Moment { wall: wall - (until - self.elapsed), elapsed: self.elapsed };
            while let Some((key, start)) = self.room.start(now) {
                let outcome = match start {
                    Start::Address(_, target) => Outcome::Address(self.probe(target.ip())),
                    Start::Reference(_, reference) => Outcome::Reference(self.references[&reference.host]),
                };
                self.room.observe(key, outcome, now);
            }
            let news = self.room.news(now);
            let heard = |verdict: Verdict| {
                ((verdict.monitor.clone(), verdict.answer.clone()), Heard { verdict, at: self.elapsed })
            };
            self.told.extend(news.into_iter().map(heard));
        }
        self.elapsed = until;
    }

    fn probe(&mut self, address: IpAddr) -> Result<Passed, ProbeError> {
        let (site, is_second) = &self.addresses[&address];
        let refused = match self.how.get(site).copied().unwrap_or(How::Well) {
            How::Well => false,
            How::Dead => true,
            How::Slow => return Err(ProbeError::new("no connection within 1s")),
            How::Half => *is_second,
            How::Loses(percent) => self.random.u8(..100) < percent,
            How::Flaps(seconds) => (self.elapsed.as_secs() / seconds) % 2 == 1,
        };
        if refused { Err(ProbeError::new("connection refused")) } else { Ok(Passed::default()) }
    }

    /// What our own failure hides, by answer.
    pub fn hidden(&self) -> BTreeMap<String, Hidden> {
        hidden(self.told.values().map(|heard| &heard.verdict))
    }

    /// What all monitors say, by answer.
    pub fn said(&self) -> BTreeMap<String, VerdictValue> {
        let (verdicts, _) = stale::counted(&self.told, &self.plan, self.elapsed);
        pilot::said(verdicts.iter().map(Borrow::borrow))
    }

    /// Answers that changed too often.
    pub fn flapping(&self) -> impl Iterator<Item = String> {
        let flapping = self.told.values().map(|heard| &heard.verdict).filter(|verdict| verdict.flapping);
        flapping.map(|verdict| format!("{} is flapping, and held down", verdict.answer))
    }

    /// Failures of our own, and verdicts that are too old.
    pub fn alarms(&self) -> impl Iterator<Item = String> {
        let (_, old) = stale::counted(&self.told, &self.plan, self.elapsed);
        let frozen = self.room.alarms().into_iter();
        frozen.map(|alarm| format!("{} is frozen: {}", alarm.family, alarm.why)).chain(old)
    }
}
