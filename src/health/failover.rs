//! What health does about what the monitors say: which verdicts count, which PoPs are taken out, and how they
//! come back.
//!
//! ```text
//! verdicts -> within max_down_capacity? -> the state     (beyond it: an alarm, and the answer stays)
//! a PoP fails for long enough -> drain (owner health) -> well for long enough -> its return, step by step
//!                                   ^------- relapse: out at once, and the wait doubles -------'
//! ```
//!
//! Plain data into which time comes as a value. What it wants done are wishes like anybody's: the guards of
//! the control plane stand before them, and a person's drain is never lifted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::state::base::{Base, BaseAnswer};
use crate::state::change::{Change, DrainAsk, Refusal, Which, drain_id};
use crate::state::keeper::Wish;
use crate::state::live::{Values, VerdictValue, weight};
use crate::state::model::{Drain, Model, Scope, Time};
use crate::state::policy::FailoverSpec;

/// Who our drains belong to.
pub const OWNER: &str = "health";

/// After so many waits without a relapse, a relapse is forgotten.
const FORGOTTEN_AFTER_WAITS: u32 = 10;

/// What is known when something is to be decided.
#[derive(Clone, Copy)]
pub struct Seen<'s> {
    /// What the files say.
    pub base: &'s Base,
    /// What is wanted.
    pub model: &'s Model,
    /// What feeds say, for the load of a PoP that comes back.
    pub values: &'s Values,
    /// What the monitors say, by answer.
    pub said: &'s BTreeMap<String, VerdictValue>,
    /// When.
    pub now: Time,
}

/// What is to be done, in this order: wishes, then verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acts {
    /// Drains and undrains.
    pub wishes: Vec<Act>,
    /// Verdicts that count from now on; none forgets one.
    pub verdicts: Vec<(String, Option<VerdictValue>)>,
    /// What a person must know or decide. The list is whole each time.
    pub alarms: BTreeSet<String>,
}

/// A wish of health, and the PoP it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// The pool and the PoP.
    pub site: (String, String),
    /// What is to be done.
    pub change: Change,
    /// The evidence, in words.
    pub reason: String,
}

impl Act {
    /// As it is asked for.
    pub fn wish(&self) -> Wish {
        Wish::of_ours(OWNER, self.change.clone(), self.reason.clone())
    }
}

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub struct Failover {
    /// Verdicts that count, by answer.
    applied: BTreeMap<String, VerdictValue>,
    sites: BTreeMap<(String, String), Site>,
}

/// A pool's PoP, as failover sees it.
#[derive(Debug, Default)]
struct Site {
    /// Since when enough of it is down.
    failing_since: Option<Time>,
    /// Since when not enough is.
    well_since: Option<Time>,
    relapses: u32,
    /// Why the last wish was refused, and when.
    refused: Option<(Time, String)>,
}

/// How long a refused wish rests before it is asked again: guards change when people do.
const REFUSED_RESTS: SignedDuration = SignedDuration::from_secs(30);

impl Failover {
    /// Begins with the verdicts that counted when the process ended.
    pub fn new(applied: BTreeMap<String, VerdictValue>) -> Failover {
        Failover { applied, sites: BTreeMap::new() }
    }

    /// Why a wish was not done.
    pub fn refused(&mut self, act: &Act, why: &Refusal, now: Time) {
        let site = self.sites.entry(act.site.clone()).or_default();
        site.refused = Some((now, why.to_string()));
    }

    /// Looks at everything, and says what is to be done.
    pub fn look(&mut self, seen: &Seen) -> Acts {
        let mut acts = Acts::default();
        self.sites.retain(|(pool, pop), _| seen.base.pops_of(pool).contains(pop.as_str()));
        for (name, pool) in &seen.base.pools {
            let pops = seen.base.pops_of(name);
            let is_monitored = |answer: &BaseAnswer| {
                seen.said.contains_key(&answer.id) || self.applied.contains_key(&answer.id)
            };
            if !pool.answers.iter().any(is_monitored) {
                continue;
            }
            self.take_verdicts(name, seen, &mut acts);
            let Some(spec) = &pool.policy.failover else { continue };
            if seen.model.suspensions.contains_key(name) {
                acts.alarms.insert(format!("automation of pool {name} is suspended"));
                continue;
            }
            for pop in &pops {
                self.watch(name, pop, spec, seen, &mut acts);
            }
        }
        // Records' own answers have no pool whose capacity could bound them.
        let own = seen.base.answers().filter(|answer| answer.pool.is_none());
        for answer in own {
            let said = seen.said.get(&answer.id);
            if self.applied.get(&answer.id) != said {
                self.apply(&answer.id, said.cloned(), &mut acts);
            }
        }
        let gone: Vec<String> =
            self.applied.keys().filter(|id| !seen.said.contains_key(*id)).cloned().collect();
        for id in gone {
            self.apply(&id, None, &mut acts);
        }
        acts
    }

    fn apply(&mut self, answer: &str, verdict: Option<VerdictValue>, acts: &mut Acts) {
        match &verdict {
            Some(verdict) => drop(self.applied.insert(answer.into(), verdict.clone())),
            None => drop(self.applied.remove(answer)),
        }
        acts.verdicts.push((answer.into(), verdict));
    }

    /// Takes the verdicts of a pool as far as its capacity allows.
    fn take_verdicts(&mut self, pool: &str, seen: &Seen, acts: &mut Acts) {
        let base = seen.base;
        let most = base.pools[pool].policy.max_down_capacity;
        let mut news: Vec<(&BaseAnswer, &VerdictValue)> = base.pools[pool]
            .answers
            .iter()
            .filter_map(|answer| Some((answer, seen.said.get(&answer.id)?)))
            .filter(|(answer, said)| self.applied.get(&answer.id) != Some(*said))
            .collect();
        // What came up makes room for what went down; of those, the earlier verdicts hold.
        news.sort_by_key(|(_, said)| (!said.up, said.since));
        for (answer, said) in news {
            let was_down = self.applied.get(&answer.id).filter(|old| !old.up);
            if said.up {
                if let Some(old) = was_down.cloned() {
                    self.come_back(pool, answer, &old, seen, acts);
                }
                self.apply(&answer.id, Some(said.clone()), acts);
                continue;
            }
            if was_down.is_none() {
                let mut would = self.applied.clone();
                would.insert(answer.id.clone(), said.clone());
                let down = down_capacity(pool, &would, seen);
                if down > most && down > down_capacity(pool, &self.applied, seen) {
                    acts.alarms.insert(format!(
                        "pool {pool}: {} is down ({}) and goes on being answered: health would take out {:.0} % \
                         of the pool's capacity, more than its max_down_capacity of {:.0} %; drain by hand what \
                         is really down",
                        answer.id,
                        said.why,
                        down * 100.0,
                        most * 100.0
                    ));
                    continue;
                }
            }
            self.apply(&answer.id, Some(said.clone()), acts);
        }
    }

    /// An answer that was down for long comes back in steps, as if it had been drained until now.
    fn come_back(&self, pool: &str, answer: &BaseAnswer, old: &VerdictValue, seen: &Seen, acts: &mut Acts) {
        let Some(spec) = &seen.base.pools[pool].policy.failover else { return };
        let Some(pop) = &answer.pop else { return };
        let was_short = seen.now.duration_since(old.since) < span(spec.return_after);
        let site_returns = seen.model.drains.contains_key(&drain_id(OWNER, &site_scope(pool, pop)));
        let is_idle = weight(seen.model, answer) <= 0.0;
        if was_short || site_returns || is_idle || seen.model.suspensions.contains_key(pool) {
            return;
        }
        let scope = Scope { answer: Some(answer.id.clone()), ..Scope::default() };
        let site = (pool.to_string(), pop.clone());
        let reason = format!("{} is up again after {:.0}", answer.id, seen.now.duration_since(old.since));
        let id = drain_id(OWNER, &scope);
        acts.wishes.push(Act {
            site: site.clone(),
            change: Change::Drain(ask(scope, 100, spec)),
            reason: reason.clone(),
        });
        acts.wishes.push(Act { site, change: Change::Undrain { which: Which::Id(id), now: false }, reason });
    }

    /// Takes a PoP out that fails, and brings it back when it is well.
    fn watch(&mut self, pool: &str, pop: &str, spec: &FailoverSpec, seen: &Seen, acts: &mut Acts) {
        let scope = site_scope(pool, pop);
        let id = drain_id(OWNER, &scope);
        let drain = seen.model.drains.get(&id);
        let (failing, evidence) = failing(pool, pop, spec, seen);
        let key = (pool.to_string(), pop.to_string());
        let others = out_now(pool, seen).into_iter().filter(|other| *other != pop).count();
        let site = self.sites.entry(key.clone()).or_default();
        match failing {
            true => (site.failing_since, site.well_since) = (site.failing_since.or(Some(seen.now)), None),
            false => (site.failing_since, site.well_since) = (None, site.well_since.or(Some(seen.now))),
        }
        let lasted =
            |since: Option<Time>| since.map_or(SignedDuration::ZERO, |since| seen.now.duration_since(since));
        let wait =
            (spec.return_after * 2u32.saturating_pow(site.relapses.min(16))).min(spec.return_after_max);
        if let Some((at, why)) = &site.refused {
            if failing {
                acts.alarms
                    .insert(format!("{pop} of pool {pool} fails, and health may not take it out: {why}"));
            }
            if seen.now.duration_since(*at) < REFUSED_RESTS {
                return;
            }
            site.refused = None;
        }
        let act = |change, reason| Act { site: key.clone(), change, reason };
        match (failing, drain) {
            (true, Some(drain)) if drain.ending_since(seen.now).is_some() => {
                site.relapses += 1;
                let reason = format!("it fails again: {evidence}");
                acts.wishes.push(act(Change::Drain(ask(scope, spec.percent, spec)), reason));
            }
            (true, Some(drain)) => {
                let percent = percent_out(spec, seen.now.duration_since(drain.created_at));
                if percent > drain.percent {
                    acts.wishes.push(act(Change::Drain(ask(scope, percent, spec)), drain.reason.clone()));
                }
            }
            (true, None) if lasted(site.failing_since) >= span(spec.detect_for) => {
                if others >= spec.max_concurrent_pops {
                    acts.alarms.insert(format!(
                        "{pop} of pool {pool} fails ({evidence}), and {others} of its PoPs are taken out already, \
                         which is max_concurrent_pops; a person must decide"
                    ));
                    return;
                }
                let percent = percent_out(spec, SignedDuration::ZERO);
                acts.wishes.push(act(Change::Drain(ask(scope, percent, spec)), evidence));
            }
            (true, None) => {}
            (false, Some(drain)) if drain.ending_since(seen.now).is_none() => {
                if lasted(site.well_since) >= span(wait) && overloaded(pool, pop, false, seen).is_none() {
                    let reason = format!("well for {:.0}", lasted(site.well_since));
                    acts.wishes.push(act(Change::Undrain { which: Which::Id(id), now: false }, reason));
                }
            }
            (false, Some(drain)) => {
                // It comes back: no further while it has more than it can hold.
                let percent = drain.percent_at(seen.now);
                if let Some(load) = overloaded(pool, pop, true, seen)
                    && percent > 0
                {
                    let reason = format!("its return waits: {load}");
                    acts.wishes.push(act(Change::Drain(ask(scope, percent, spec)), reason));
                }
            }
            (false, None) => {
                if site.relapses > 0 && lasted(site.well_since) >= span(wait * FORGOTTEN_AFTER_WAITS) {
                    site.relapses = 0;
                }
            }
        }
    }
}

fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn site_scope(pool: &str, pop: &str) -> Scope {
    Scope { pool: Some(pool.into()), pop: Some(pop.into()), ..Scope::default() }
}

fn ask(scope: Scope, percent: u8, spec: &FailoverSpec) -> DrainAsk {
    let return_steps = Some(spec.return_steps.clone());
    DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps }
}

/// For how many of a hundred clients a PoP is out, so long after its drain began.
fn percent_out(spec: &FailoverSpec, since: SignedDuration) -> u8 {
    let Some(out) = &spec.out else { return spec.percent };
    let step =
        (since.as_secs().max(0) as u64).checked_div(out.pause_s).map_or(usize::MAX, |step| step as usize);
    let share = out.steps.get(step).copied().unwrap_or(100);
    (u16::from(spec.percent) * u16::from(share)).div_ceil(100) as u8
}

/// Whether enough of a PoP's answers are down, and which.
fn failing(pool: &str, pop: &str, spec: &FailoverSpec, seen: &Seen) -> (bool, String) {
    let weighted: Vec<&BaseAnswer> =
        seen.base.stacks(pool, pop).filter(|answer| weight(seen.model, answer) > 0.0).collect();
    let down = weighted.iter().filter_map(|answer| {
        let said = seen.said.get(&answer.id).filter(|said| !said.up)?;
        Some(format!("{}: {}", answer.id, said.why))
    });
    let down: Vec<String> = down.collect();
    let share = down.len() as f64 / weighted.len().max(1) as f64;
    (!down.is_empty() && share >= spec.detect, down.join("; "))
}

/// PoPs of a pool that health has taken out and not begun to bring back.
fn out_now<'s>(pool: &str, seen: &Seen<'s>) -> BTreeSet<&'s str> {
    let ours = seen.model.drains.values().filter(|drain: &&Drain| {
        drain.owner == OWNER
            && drain.scope.pool.as_deref() == Some(pool)
            && drain.ending_since(seen.now).is_none()
    });
    ours.filter_map(|drain| drain.scope.pop.as_deref()).collect()
}

/// Share of a pool's capacity that verdicts and health's own drains take out, 0 to 1.
fn down_capacity(pool: &str, applied: &BTreeMap<String, VerdictValue>, seen: &Seen) -> f64 {
    let pops = seen.base.pops_of(pool);
    let capacities = seen.base.pools[pool].policy.capacities(pops.iter().copied());
    let all: f64 = capacities.values().sum();
    let out = pops.iter().map(|pop| {
        let stacks = seen.base.stacks(pool, pop).filter(|answer| weight(seen.model, answer) > 0.0);
        let out = stacks.map(|answer| {
            let is_down = applied.get(&answer.id).is_some_and(|said| !said.up);
            let ours = seen.model.drains.values().filter(|drain| drain.owner == OWNER);
            let drained =
                ours.filter(|drain| drain.scope.covers(answer)).map(|drain| drain.percent_at(seen.now));
            if is_down { 100 } else { drained.max().unwrap_or(0) }
        });
        capacities[*pop] * f64::from(out.min().unwrap_or(0)) / 100.0
    });
    if all > 0.0 { out.sum::<f64>() / all } else { 0.0 }
}

/// What says that a PoP has more than it can hold: at its high watermark, or (to begin at all) at its low one.
fn overloaded(pool: &str, pop: &str, at_high: bool, seen: &Seen) -> Option<String> {
    seen.base.stacks(pool, pop).filter(|answer| weight(seen.model, answer) > 0.0).find_map(|answer| {
        let meta = seen.values.live_meta(answer, seen.now);
        let mark = if at_high { meta.high_watermark? } else { meta.high_watermark.or(meta.low_watermark)? };
        let loads =
            [("loadavg", meta.loadavg), ("connections", meta.connections), ("requests", meta.requests)];
        let (name, load) =
            loads.into_iter().find_map(|(name, load)| Some((name, load.filter(|l| *l >= mark)?)))?;
        Some(format!("{} has {name} {load}, and its mark is {mark}", answer.id))
    })
}
