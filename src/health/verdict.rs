//! Results of probes to verdicts: a state machine into which time comes as a value.
//!
//! ```text
//! result -> address: rise and fall -> rule of the answer: each, any, quorum -> damping -> Verdict
//!              | a frozen family: seen, and not counted
//! ```
//!
//! The first result of an address counts alone: at start nothing better is known, and what is down would
//! otherwise be served until it has failed three times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::Add;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::flap::{Damping, KeptDamping};
use super::hidden::Hidden;
use super::probe::{Passed, ProbeError};
use super::status::milliseconds;
use crate::state::load::{ByMetric, METRICS, MonitorLoad};
use crate::state::model::Time;
use crate::state::monitors::{Family, Monitored, Rule};

/// Changes of a verdict that are remembered.
pub const HISTORY_EVENTS_MAX: usize = 32;
/// A verdict is told again when a quarter of its `max_age` has gone by, so that a kept one is always young.
const TOLD_PER_AGE: u32 = 4;

/// A moment, as two clocks have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// The time of day, to be shown and kept.
    pub wall: Time,
    /// How long we have been running: what everything is counted by, since the other clock may be set.
    pub elapsed: Duration,
}

/// What one monitor says of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The monitor.
    pub monitor: String,
    /// The answer's identity.
    pub answer: String,
    /// Whether it is up.
    pub up: bool,
    /// Addresses that leave the answer's list; never all it has of a family.
    #[serde(default)]
    pub failing: Vec<IpAddr>,
    /// Since when it is up, or down.
    pub since: Time,
    /// When it was last probed.
    pub checked_at: Time,
    /// The last error, in words; empty when there was none.
    #[serde(default)]
    pub error: String,
    /// How long its slowest address took when it last answered, in milliseconds.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// It changed too often, and is held down.
    #[serde(default)]
    pub flapping: bool,
    /// Until when, while it is.
    #[serde(default)]
    pub held_until: Option<Time>,
    /// Why it is down, in words: the last error, or that it is held down; empty when it is up.
    #[serde(default)]
    pub why: String,
    /// Our own failure: it stays as it was.
    #[serde(default)]
    pub frozen: bool,
    /// What of it is, while it is.
    #[serde(skip)]
    pub hidden: Option<Hidden>,
    /// When it may be another at the earliest: an address has begun to fail or to recover, or a hold ends.
    #[serde(skip)]
    pub may_change_at: Option<Time>,
    /// What is kept beside it over a restart; empty in what is only shown.
    #[serde(default)]
    pub memory: Memory,
}

impl Verdict {
    /// Whether it says what another says, at whatever time.
    pub fn says_what(&self, other: &Verdict) -> bool {
        let says = |of: &Verdict| (of.up, of.hidden, of.held_until, of.may_change_at);
        says(self) == says(other) && self.failing == other.failing
    }
}

/// What a judge remembers over a restart, beside its verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Its last changes, oldest first.
    history: VecDeque<Event>,
    /// How often it changed lately, and its hold.
    damping: KeptDamping,
    /// What its addresses say, before damping.
    raw: Option<bool>,
}

/// What all monitors of an answer say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Together {
    /// Whether all say that it is up.
    pub up: bool,
    /// Addresses that one of them takes out. Together they may be all there are: then they stay.
    pub failing: BTreeSet<IpAddr>,
    /// The first that says it is down, and why.
    pub said_no: Option<(String, String)>,
    /// All that say it is down.
    pub down_by: BTreeSet<String>,
    /// Since when one of those that say so does; of several that are down the first, of those that are up the last.
    pub since: Option<Time>,
    /// Until when it is held down, because it flaps; none when none of them holds it.
    pub held_until: Option<Time>,
    /// When one of them may say something else, at the earliest.
    pub may_change_at: Option<Time>,
}

/// The conjunction of verdicts, by answer.
pub fn together<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> BTreeMap<String, Together> {
    let mut answers: BTreeMap<String, Together> = BTreeMap::new();
    for verdict in verdicts {
        let answer =
            answers.entry(verdict.answer.clone()).or_insert(Together { up: true, ..Together::default() });
        answer.failing.extend(&verdict.failing);
        answer.may_change_at = answer.may_change_at.into_iter().chain(verdict.may_change_at).min();
        answer.held_until = answer.held_until.max(verdict.held_until);
        answer.since = match (answer.up, verdict.up) {
            (true, true) => answer.since.max(Some(verdict.since)),
            (true, false) => Some(verdict.since),
            (false, false) => answer.since.min(Some(verdict.since)),
            (false, true) => answer.since,
        };
        if !verdict.up {
            answer.up = false;
            answer.down_by.insert(verdict.monitor.clone());
            answer.said_no.get_or_insert_with(|| (verdict.monitor.clone(), verdict.why.clone()));
        }
    }
    answers
}

/// A change of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Time,
    /// To what.
    pub up: bool,
    /// Why, in words; empty when it came up.
    pub why: String,
}

/// One address of a monitored answer, or its heartbeat.
#[derive(Clone, Debug)]
pub struct AddressState {
    /// None for a heartbeat.
    pub address: Option<IpAddr>,
    /// After rise and fall; none before the first result.
    pub up: Option<bool>,
    /// What `up` was before it changed.
    before: Option<bool>,
    /// When it changed.
    changed: Duration,
    /// Results in a row that say otherwise.
    streak: u32,
    /// The last result.
    pub ok: Option<bool>,
    /// When that was.
    pub checked_at: Option<Time>,
    /// The last error, in words.
    pub error: String,
    /// When that was.
    pub error_at: Option<Time>,
    /// What a good result had to say all the same, such as that a certificate ends soon.
    pub warning: String,
    /// When the certificate it showed ends.
    pub certificate_ends: Option<Time>,
    /// How long the last good probe took.
    pub latency: Option<Duration>,
    /// The newest that it said of each part of its load, and when.
    load: ByMetric<(f64, Duration)>,
}

impl AddressState {
    fn new(address: Option<IpAddr>, up: Option<bool>) -> AddressState {
        AddressState {
            address,
            up,
            before: up,
            changed: Duration::ZERO,
            streak: 0,
            ok: None,
            checked_at: None,
            error: String::new(),
            warning: String::new(),
            error_at: None,
            certificate_ends: None,
            latency: None,
            load: ByMetric::default(),
        }
    }

    fn family(&self) -> Option<Family> {
        self.address.map(Family::of)
    }

    fn set(&mut self, up: Option<bool>, now: Duration) {
        (self.before, self.up, self.changed, self.streak) = (self.up, up, now, 0);
    }
}

/// What is frozen, by family.
pub type FrozenFamilies = [bool; 2];

/// One monitor's judgement of one answer.
#[derive(Clone, Debug)]
pub struct Judge {
    /// What it judges.
    pub monitored: Monitored,
    /// Its addresses, in the order they are written.
    pub addresses: Vec<AddressState>,
    /// Its last changes, oldest first.
    pub history: VecDeque<Event>,
    /// What the addresses say, before damping.
    raw: Option<bool>,
    /// What is said.
    up: Option<bool>,
    damping: Damping,
    since: Time,
    checked_at: Time,
    error: String,
    /// When our last failure began, by family: what fell since then was taken back.
    taken_back: [Time; 2],
    /// What was told last, and when.
    told: Option<(Verdict, Duration)>,
}

impl Judge {
    /// A judge who knows nothing, or what was kept of the last run.
    pub fn new(monitored: Monitored, kept: Option<&Verdict>) -> Judge {
        let slots: Vec<Option<IpAddr>> = match monitored.addresses.is_empty() {
            true => vec![None],
            false => monitored.addresses.iter().copied().map(Some).collect(),
        };
        let up = |address: &Option<IpAddr>| {
            kept.map(|kept| address.is_none_or(|address| !kept.failing.contains(&address)))
        };
        let mut judge = Judge {
            addresses: slots.iter().map(|address| AddressState::new(*address, up(address))).collect(),
            monitored,
            history: VecDeque::new(),
            raw: None,
            up: None,
            damping: Damping::default(),
            since: kept.map_or(Time::UNIX_EPOCH, |kept| kept.since),
            checked_at: kept.map_or(Time::UNIX_EPOCH, |kept| kept.checked_at),
            error: kept.map_or(String::new(), |kept| kept.error.clone()),
            taken_back: [Time::MAX; 2],
            told: None,
        };
        if let Some(kept) = kept {
            // What is held down may be well.
            let raw = kept.memory.raw.unwrap_or(kept.up);
            if !raw && judge.verdict_of_addresses() == Some(true) {
                judge.addresses.iter_mut().for_each(|state| state.up = Some(false));
            }
            (judge.raw, judge.up) = (Some(raw), Some(kept.up));
        }
        judge
    }

    /// Remembers what was kept of the last run, however long ago that is: what flapped goes on doing so.
    pub fn remember(&mut self, memory: &Memory, now: Moment) {
        self.history.clone_from(&memory.history);
        self.damping = Damping::of_kept(&memory.damping, now);
    }

    fn memory(&self, now: Moment) -> Memory {
        Memory { history: self.history.clone(), damping: self.damping.kept(now), raw: self.raw }
    }

    /// Takes over what an earlier judge of the same check knows, after the answer's addresses have changed.
    pub fn take_over(&mut self, earlier: &Judge) {
        for state in &mut self.addresses {
            if let Some(known) = earlier.addresses.iter().find(|known| known.address == state.address) {
                *state = known.clone();
            }
        }
        self.history = earlier.history.clone();
        self.damping = earlier.damping.clone();
        self.error = earlier.error.clone();
        (self.raw, self.up) = (earlier.raw, earlier.up);
        (self.since, self.checked_at) = (earlier.since, earlier.checked_at);
    }

    /// Another result of one of its addresses.
    pub fn observe(
        &mut self,
        index: usize,
        result: &Result<Passed, ProbeError>,
        frozen: FrozenFamilies,
        now: Moment,
    ) {
        let check = &self.monitored.check;
        let Some(state) = self.addresses.get_mut(index) else { return };
        let ok = result.is_ok();
        state.ok = Some(ok);
        state.checked_at = Some(now.wall);
        self.checked_at = now.wall;
        match result {
            Ok(passed) => {
                state.latency = Some(passed.latency);
                state.warning.clone_from(&passed.warning);
                state.certificate_ends = passed.certificate_ends;
                for (held, said) in state.load.iter_mut().zip(passed.load) {
                    *held = said.map(|said| (said, now.elapsed)).or(*held);
                }
            }
            Err(error) => {
                state.error.clone_from(&error.words);
                state.error_at = Some(now.wall);
                self.error = match state.address {
                    Some(address) if self.monitored.addresses.len() > 1 => format!("{address}: {error}"),
                    _ => error.words.clone(),
                };
            }
        }
        let needed = if ok { check.rise } else { check.fall };
        match state.up {
            _ if state.family().is_some_and(|family| frozen[family as usize]) => state.streak = 0,
            None => state.set(Some(ok), now.elapsed),
            Some(up) if up == ok => state.streak = 0,
            Some(_) => {
                state.streak += 1;
                if state.streak >= needed {
                    state.set(Some(ok), now.elapsed);
                }
            }
        }
        self.settle(now);
    }

    /// A family is frozen: what fell in it since the failure began was our doing, and is taken back.
    pub fn freeze(&mut self, family: Family, began: Duration, now: Moment) {
        self.taken_back[family as usize] = now.wall - now.elapsed.saturating_sub(began);
        for state in self.addresses.iter_mut().filter(|state| state.family() == Some(family)) {
            state.streak = 0;
            if state.up == Some(false) && state.before != Some(false) && state.changed >= began {
                // What is not known counts as up, and somebody has been told that it is down.
                state.up = Some(true);
            }
        }
        self.damping.forget(began);
        // Taking back is no change of the answer's own.
        self.raw = self.verdict_of_addresses();
        self.settle(now);
    }

    /// Carries the addresses' states over to the answer.
    fn settle(&mut self, now: Moment) {
        let raw = self.verdict_of_addresses();
        if raw != self.raw {
            if self.raw.is_some() && raw.is_some() {
                self.damping.change(&self.monitored.check.flap, now);
            }
            self.raw = raw;
        }
        let up = raw.map(|raw| raw && !self.damping.holds(now.elapsed));
        if up == self.up {
            return;
        }
        self.up = up;
        self.since = now.wall;
        let Some(up) = up else { return };
        if self.history.len() == HISTORY_EVENTS_MAX {
            self.history.pop_front();
        }
        self.history.push_back(Event { at: now.wall, up, why: self.why(now.elapsed) });
    }

    /// Why it is down; empty when it is up.
    fn why(&self, now: Duration) -> String {
        match (self.up, self.damping.held_until(now)) {
            (None | Some(true), _) => String::new(),
            (_, None) => self.error.clone(),
            (_, Some(until)) if self.raw == Some(true) => format!("held down: flapping, until {until:.0}"),
            (_, Some(until)) => format!("{}; flapping, held down until {until:.0}", self.error),
        }
    }

    /// What the addresses say. Those that are not known yet are taken to be up; none when none is known.
    fn verdict_of_addresses(&self) -> Option<bool> {
        if self.addresses.iter().all(|state| state.up.is_none()) {
            return None;
        }
        let is_up = |state: &&AddressState| state.up != Some(false);
        let least = |all: usize| match self.monitored.check.rule {
            Rule::Quorum(quorum) => all.min(quorum as usize),
            Rule::Each(least) => least.of(all),
        };
        // By family, because a client gets the list of one: an answer whose IPv4 is dead would be given to IPv4
        // clients for its IPv6. Of one without addresses none is enough.
        Some([None, Some(Family::Ipv4), Some(Family::Ipv6)].into_iter().all(|family| {
            let of_family = || self.addresses.iter().filter(|state| state.family() == family);
            of_family().filter(is_up).count() >= least(of_family().count())
        }))
    }

    /// Addresses that leave the list. Where all of a family fail, those that failed together with the last
    /// stay: none is known to be better, while what failed long before is known to be worse.
    fn failing(&self) -> Vec<IpAddr> {
        let check = &self.monitored.check;
        if !matches!(check.rule, Rule::Each(_)) {
            return Vec::new();
        }
        let together = check.interval * (check.fall + 1);
        let mut failing = Vec::new();
        for family in Family::ALL {
            let of_family = || self.addresses.iter().filter(|state| state.family() == Some(family));
            let down = || of_family().filter(|state| state.up == Some(false));
            let last = down().map(|state| state.changed).max().unwrap_or_default();
            let is_all = down().count() == of_family().count();
            let leaves = |state: &&AddressState| !is_all || state.changed + together < last;
            failing.extend(down().filter(leaves).filter_map(|state| state.address));
        }
        failing
    }

    /// What it says now; none before the first result.
    pub fn verdict(&self, frozen: FrozenFamilies, now: Duration) -> Option<Verdict> {
        let slowest = self.addresses.iter().filter_map(|state| state.latency).max();
        let hidden = self.hidden(frozen);
        Some(Verdict {
            monitor: self.monitored.monitor.clone(),
            answer: self.monitored.answer.clone(),
            up: self.up?,
            failing: self.failing(),
            since: self.since,
            checked_at: self.checked_at,
            error: self.error.clone(),
            latency_ms: slowest.map(milliseconds),
            flapping: self.damping.holds(now),
            held_until: self.damping.held_until(now),
            why: self.why(now),
            frozen: hidden.is_some(),
            hidden,
            may_change_at: self.may_change_at(now),
            memory: Memory::default(),
        })
    }

    fn hidden(&self, frozen: FrozenFamilies) -> Option<Hidden> {
        let of_address = |state: &AddressState| {
            let family = state.family().filter(|family| frozen[*family as usize])?;
            let wholly =
                self.addresses.iter().all(|other| other.family() == Some(family)) || frozen == [true; 2];
            Some(Hidden { began: self.taken_back[family as usize], wholly })
        };
        Hidden::of_all(self.addresses.iter().filter_map(of_address))
    }

    /// When the verdict or its list of addresses may be another at the earliest, if results have begun to say
    /// otherwise: as many probes from the last one as there are missing. A hold that ends is foreseen, too.
    fn may_change_at(&self, now: Duration) -> Option<Time> {
        let check = &self.monitored.check;
        let in_doubt = self.addresses.iter().filter(|state| state.streak > 0).filter_map(|state| {
            let needed = if state.up == Some(true) { check.fall } else { check.rise };
            let missing = check.interval * needed.saturating_sub(state.streak);
            state.checked_at?.checked_add(missing).ok()
        });
        let held = self.damping.held_until(now).filter(|_| self.raw == Some(true));
        in_doubt.chain(held).min()
    }

    /// What its addresses say of its load together: the highest load average, and the sum of all else. Of two
    /// families the higher counts, since both mostly lead to the same machines. What an address has not said again
    /// for as long as would make it down is no longer known.
    pub fn load(&self, now: Duration) -> MonitorLoad {
        let counts = self.monitored.check.load_counts();
        let of_family = |family, at: usize| {
            let of_family = self.addresses.iter().filter(move |state| state.family() == family);
            let said = of_family.filter_map(|state| state.load[at]);
            let fresh = said.filter(|(_, said_at)| now <= *said_at + counts).map(|(said, _)| said);
            fresh.reduce(if METRICS[at] == "loadavg" { f64::max } else { f64::add })
        };
        let families = [None, Some(Family::Ipv4), Some(Family::Ipv6)];
        let together = |at| families.into_iter().filter_map(|family| of_family(family, at)).reduce(f64::max);
        MonitorLoad {
            monitor: self.monitored.monitor.clone(),
            answer: self.monitored.answer.clone(),
            load: std::array::from_fn(together),
            counts,
        }
    }

    /// The verdict, if it is another than was told last, or that is long ago.
    pub fn news(&mut self, frozen: FrozenFamilies, now: Moment) -> Option<Verdict> {
        let verdict = Verdict { memory: self.memory(now), ..self.verdict(frozen, now.elapsed)? };
        let now = now.elapsed;
        // A little later is only the next probe's jitter.
        let interval = SignedDuration::try_from(self.monitored.check.interval).unwrap_or(SignedDuration::MAX);
        let is_old = |told: &Verdict, at: Duration| {
            let holds = |verdict: &Verdict| verdict.memory.damping.holds;
            let says = |verdict: &Verdict| (verdict.up, verdict.flapping, verdict.hidden, holds(verdict));
            let again = now - at >= self.monitored.check.max_age / TOLD_PER_AGE;
            let doubts = match (told.may_change_at, verdict.may_change_at) {
                (Some(told), Some(may_change)) => {
                    may_change < told || may_change.duration_since(told) >= interval
                }
                (told, may_change) => told != may_change,
            };
            says(told) != says(&verdict) || told.failing != verdict.failing || doubts || again
        };
        if self.told.as_ref().is_some_and(|(told, at)| !is_old(told, *at)) {
            return None;
        }
        self.told = Some((verdict.clone(), now));
        Some(verdict)
    }
}
