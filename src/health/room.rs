//! What the room knows: judges, what is due, and what is frozen. Plain data, into which time and results
//! come as values.
//!
//! ```text
//! update(plan) -> judges, schedule      start(now) -> Start      observe(key, outcome, now) -> judges
//!                                                                news(now) -> verdicts to be told
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Totals;
use super::families::Families;
use super::probe::{Ask, Passed, ProbeError};
use super::reference::Referred;
use super::schedule::{Beat, Key, Schedule};
use super::status::{self, Alarm, MonitorStatus};
use super::verdict::{FrozenFamilies, Judge, Moment, Verdict};
use crate::state::load::{Load, MonitorLoad};
use crate::state::model::Time;
use crate::state::monitors::{Check, HealthSpec, Kind, Plan, Reference};

/// What a probe brought.
pub enum Outcome {
    /// Of an address.
    Address(Result<Passed, ProbeError>),
    /// Of a reference target.
    Reference(Referred),
}

/// A probe to be started.
pub enum Start {
    /// Of an address.
    Address(Arc<Ask>, SocketAddr),
    /// Of a reference target.
    Reference(Arc<Ask>, Reference),
}

/// What a key of the schedule stands for.
#[derive(Clone)]
enum Job {
    /// The address of a judge, by its place.
    Address(JudgeId, usize),
    /// The deadline of a heartbeat.
    Heartbeat(JudgeId),
    /// A reference target, by its place.
    Reference(usize),
}

type JudgeId = u64;

/// A judge, and what probes for it.
struct Watched {
    judge: Judge,
    ask: Arc<Ask>,
    keys: Vec<Key>,
    /// When its heartbeat came last, or was last missed.
    beat_at: Duration,
    /// It has something to tell, perhaps.
    touched: bool,
}

/// Everything the room knows.
pub struct Room {
    seed: u64,
    health: HealthSpec,
    schedule: Schedule,
    jobs: HashMap<Key, Job>,
    watched: HashMap<JudgeId, Watched>,
    ids: HashMap<(String, String), JudgeId>,
    references: Vec<(Arc<Ask>, Key)>,
    families: Families,
    /// Judges to be asked for news.
    touched: Vec<JudgeId>,
    /// Addresses of the first plan that have not been heard of.
    unreported: HashSet<Key>,
    /// Load that has not been told.
    loads: Vec<MonitorLoad>,
    next_number: u64,
    totals: Totals,
}

impl Room {
    /// A room with its first plan, and what was kept of the last run.
    pub fn new(seed: u64, plan: Plan, kept: Vec<Verdict>, now: Moment) -> Room {
        let mut room = Room {
            seed,
            health: HealthSpec::default(),
            schedule: Schedule::default(),
            jobs: HashMap::new(),
            watched: HashMap::new(),
            ids: HashMap::new(),
            references: Vec::new(),
            families: Families::default(),
            touched: Vec::new(),
            unreported: HashSet::new(),
            loads: Vec::new(),
            next_number: 0,
            totals: Totals::default(),
        };
        let kept =
            kept.into_iter().map(|verdict| ((verdict.monitor.clone(), verdict.answer.clone()), verdict));
        room.take(plan, &kept.collect(), now);
        let is_unreported = |job: &Job| match job {
            Job::Address(id, _) => room.watched[id].judge.verdict([false; 2], now.elapsed).is_none(),
            // Nothing we do brings a heartbeat.
            Job::Heartbeat(_) | Job::Reference(_) => false,
        };
        room.unreported =
            room.jobs.iter().filter(|(_, job)| is_unreported(job)).map(|(key, _)| *key).collect();
        room
    }

    /// Another room in the place of this one; totals go on.
    pub fn begin_anew(&mut self, room: Room) {
        *self = Room { totals: self.totals, ..room };
    }

    /// Another plan: what did not change stays as it is, verdict, phase and history.
    pub fn update(&mut self, plan: Plan, now: Moment) {
        self.take(plan, &HashMap::new(), now);
        let Room { unreported, jobs, .. } = self;
        unreported.retain(|key| jobs.contains_key(key));
    }

    fn take(&mut self, plan: Plan, kept: &HashMap<(String, String), Verdict>, now: Moment) {
        let mut asks: HashMap<*const Check, Arc<Ask>> = HashMap::new();
        let mut earlier = std::mem::take(&mut self.ids);
        for monitored in plan.monitored {
            let name = (monitored.monitor.clone(), monitored.answer.clone());
            let old = earlier.remove(&name);
            if let Some(id) = old.filter(|id| self.watched[id].judge.monitored == monitored) {
                self.ids.insert(name, id);
                continue;
            }
            let young = kept.get(&name).filter(|verdict| is_young(verdict, &monitored.check, now.wall));
            let ask = asks.entry(Arc::as_ptr(&monitored.check));
            let ask = ask.or_insert_with(|| Arc::new(Ask::new(monitored.check.clone()))).clone();
            let mut judge = Judge::new(monitored, young);
            kept.get(&name).inspect(|verdict| judge.remember(&verdict.memory, now));
            let old = old.and_then(|id| self.remove(id)).map(|watched| watched.judge);
            if let Some(old) = old.filter(|old| old.monitored.check == judge.monitored.check) {
                judge.take_over(&old);
            }
            let id = self.add(judge, ask, now);
            self.ids.insert(name, id);
        }
        for id in earlier.into_values() {
            self.remove(id);
        }
        if self.health.references != plan.health.references {
            self.take_references(&plan.health.references, now);
        }
        self.health = plan.health;
        self.families.count(self.watched.values().map(|watched| &watched.judge), now.elapsed);
        self.judge_families(now);
    }

    fn add(&mut self, judge: Judge, ask: Arc<Ask>, now: Moment) -> JudgeId {
        let id = self.number();
        let mut keys = Vec::new();
        for (index, state) in judge.addresses.iter().enumerate() {
            let key = self.number();
            let job = match state.address {
                Some(_) => Job::Address(id, index),
                None => Job::Heartbeat(id),
            };
            let check = &judge.monitored.check;
            let words = (&judge.monitored.monitor, &judge.monitored.answer, state.address);
            let beat = Beat::new(check.interval, check.jitter, self.seed, words);
            match state.address {
                Some(_) => self.schedule.set(key, beat, now.elapsed),
                // A heartbeat has a whole interval's time from now.
                None => self.schedule.wait(key, beat, now.elapsed + check.interval),
            }
            self.jobs.insert(key, job);
            keys.push(key);
        }
        self.watched.insert(id, Watched { judge, ask, keys, beat_at: now.elapsed, touched: false });
        self.touch(id);
        id
    }

    fn remove(&mut self, id: JudgeId) -> Option<Watched> {
        let watched = self.watched.remove(&id)?;
        for key in &watched.keys {
            self.schedule.remove(*key);
            self.jobs.remove(key);
        }
        Some(watched)
    }

    fn take_references(&mut self, references: &[Reference], now: Moment) {
        for (_, key) in std::mem::take(&mut self.references) {
            self.schedule.remove(key);
            self.jobs.remove(&key);
        }
        for (index, reference) in references.iter().enumerate() {
            let key = self.number();
            let check = reference.check.clone();
            let beat = Beat::new(check.interval, check.jitter, self.seed, ("reference", &reference.text));
            self.schedule.set(key, beat, now.elapsed);
            self.jobs.insert(key, Job::Reference(index));
            self.references.push((Arc::new(Ask::new(check)), key));
        }
        let known = &self.health.references;
        let before = |reference: &Reference| known.iter().position(|known| known.text == reference.text);
        let before: Vec<Option<usize>> = references.iter().map(before).collect();
        self.families.take_references(&before);
    }

    /// The next probe that is due.
    pub fn start(&mut self, now: Moment) -> Option<(Key, Start)> {
        while let Some((key, due)) = self.schedule.due(now.elapsed) {
            let start = match self.jobs.get(&key) {
                Some(Job::Address(id, index)) => {
                    let Watched { judge, ask, .. } = &self.watched[id];
                    let address = judge.addresses[*index].address;
                    let Some(address) = address else { continue };
                    Start::Address(ask.clone(), SocketAddr::new(address, ask.check.port))
                }
                Some(Job::Heartbeat(id)) => {
                    let id = *id;
                    self.heartbeat_deadline(key, id, now);
                    continue;
                }
                Some(Job::Reference(index)) => {
                    let ask = self.references[*index].0.clone();
                    Start::Reference(ask, self.health.references[*index].clone())
                }
                None => continue,
            };
            self.totals.probes += 1;
            self.totals.late += u64::from(now.elapsed - due > super::LATE);
            return Some((key, start));
        }
        None
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Duration> {
        self.schedule.next()
    }

    /// How many probes may run at once.
    pub fn probes_at_once(&self) -> usize {
        self.health.probes_at_once
    }

    /// A probe has ended.
    pub fn observe(&mut self, key: Key, outcome: Outcome, now: Moment) {
        self.schedule.done(key, now.elapsed);
        self.unreported.remove(&key);
        // What was taken out while it ran has no job.
        match (self.jobs.get(&key).cloned(), outcome) {
            (Some(Job::Address(id, index)), Outcome::Address(result)) => {
                self.totals.failures += u64::from(result.is_err());
                self.observe_address(id, index, &result, now);
            }
            (Some(Job::Reference(index)), Outcome::Reference(referred)) => {
                let name = &self.health.references[index].text;
                self.families.observe_reference(index, name, referred, now.elapsed);
                self.judge_families(now);
            }
            _ => {}
        }
    }

    fn observe_address(
        &mut self,
        id: JudgeId,
        index: usize,
        result: &Result<Passed, ProbeError>,
        now: Moment,
    ) {
        let frozen = self.families.frozen();
        let Some(Watched { judge, .. }) = self.watched.get_mut(&id) else { return };
        let (address, before) = (judge.addresses[index].address, judge.addresses[index].ok);
        if let Some(address) = address {
            self.families.observe(&judge.monitored, address, before, result.is_ok(), now.elapsed);
        }
        judge.observe(index, result, frozen, now);
        if result.as_ref().is_ok_and(|passed| passed.load != Load::default()) {
            self.loads.push(judge.load(now.elapsed));
        }
        self.touch(id);
        if self.families.is_due(now.elapsed) {
            self.judge_families(now);
        }
    }

    /// A heartbeat has come. What is to be said of load; none when no such monitor watches such an answer.
    pub fn push(&mut self, monitor: &str, answer: &str, load: Load, now: Moment) -> Option<MonitorLoad> {
        let id = self.ids.get(&(monitor.to_string(), answer.to_string())).copied()?;
        let frozen = self.families.frozen();
        let watched = self.watched.get_mut(&id).filter(|watched| watched.ask.check.kind == Kind::Push)?;
        watched.beat_at = now.elapsed;
        watched.judge.observe(0, &Ok(Passed { load, ..Passed::default() }), frozen, now);
        let said = watched.judge.load(now.elapsed);
        self.touch(id);
        Some(said)
    }

    /// Sees whether a heartbeat was missed. Its interval begins anew with each that comes, so that one a
    /// little late is one a little late, and not two in one interval and none in the next.
    fn heartbeat_deadline(&mut self, key: Key, id: JudgeId, now: Moment) {
        let frozen = self.families.frozen();
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let interval = watched.ask.check.interval;
        if now.elapsed >= watched.beat_at + interval {
            watched.beat_at = now.elapsed;
            let interval = jiff::SignedDuration::try_from(interval).unwrap_or_default();
            let error = ProbeError::new(format!("no heartbeat within {interval:#}"));
            watched.judge.observe(0, &Err(error), frozen, now);
        }
        self.schedule.again(key, watched.beat_at + interval);
        self.touch(id);
    }

    /// Sees whether what fails is ours, and freezes or frees a family.
    fn judge_families(&mut self, now: Moment) {
        for (family, frozen) in self.families.judge(self.health.majority, now) {
            for Watched { judge, .. } in self.watched.values_mut() {
                if let Some(frozen) = &frozen {
                    judge.freeze(family, frozen.began, now);
                }
            }
            let ids: Vec<JudgeId> = self.watched.keys().copied().collect();
            ids.into_iter().for_each(|id| self.touch(id));
        }
    }

    fn touch(&mut self, id: JudgeId) {
        if let Some(watched) = self.watched.get_mut(&id)
            && !std::mem::replace(&mut watched.touched, true)
        {
            self.touched.push(id);
        }
    }

    /// Verdicts that are to be told.
    pub fn news(&mut self, now: Moment) -> Vec<Verdict> {
        let frozen = self.families.frozen();
        let mut news = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let Some(watched) = self.watched.get_mut(&id) else { continue };
            watched.touched = false;
            news.extend(watched.judge.news(frozen, now));
        }
        news
    }

    /// Load that probes have brought since the last time; what heartbeats bring, [`Room::push`] returns.
    pub fn loads(&mut self) -> Vec<MonitorLoad> {
        std::mem::take(&mut self.loads)
    }

    /// Whether each address of the first plan has been heard of.
    pub fn has_reported(&self) -> bool {
        self.unreported.is_empty()
    }

    /// What every monitor says of every answer, by monitor and answer.
    pub fn status(&self, now: Moment) -> Vec<MonitorStatus> {
        let ordered: BTreeMap<&(String, String), JudgeId> =
            self.ids.iter().map(|(name, id)| (name, *id)).collect();
        let frozen = self.families.frozen();
        ordered.values().map(|id| status::of(&self.watched[id].judge, frozen, now.elapsed)).collect()
    }

    /// Failures of our own that last.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.families.alarms()
    }

    /// Which families are frozen: IPv4, IPv6.
    pub fn frozen(&self) -> FrozenFamilies {
        self.families.frozen()
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// Whether a kept verdict may be used. A little ahead of us is now: clocks differ.
fn is_young(verdict: &Verdict, check: &Check, now: Time) -> bool {
    let age = now.duration_since(verdict.checked_at);
    Duration::try_from(age).map_or(-age <= CLOCK_SKEW, |age| age <= check.max_age)
}

/// How far ahead another clock may be and still be taken as now (DESIGN, decision 14).
const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
