//! What health does about what the monitors say: which verdicts count, which PoPs are taken out, and how they
//! come back.
//!
//! ```text
//! verdicts -> within max_down_capacity? -> the state     (beyond it: an alarm, and the answer stays)
//! a PoP fails for long enough -> drain (owner health) -> well for long enough -> its return, step by step
//!                                   ^------- relapse: out at once, and the wait doubles -------'
//! ```
//!
//! What fails is a PoP in one pool; when enough pools of a PoP do, the whole PoP goes the same way, with the
//! pools that are well.
//!
//! Plain data into which time comes as a value. What it wants done are wishes like anybody's: the guards of
//! the control plane stand before them, and a person's drain is never lifted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

pub use super::seen::Seen;
use super::seen::{Mark, Out, Overload};
use crate::state::base::BaseAnswer;
use crate::state::change::{Change, DrainAsk, Refusal, Which, drain_id};
use crate::state::keeper::Wish;
use crate::state::live::{VerdictValue, weight};
use crate::state::model::{Scope, Time};
use crate::state::policy::FailoverSpec;

/// Who our drains belong to.
pub const OWNER: &str = "health";

/// After so many waits without a relapse, a relapse is forgotten.
const FORGOTTEN_AFTER_WAITS: u32 = 10;

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

impl Acts {
    /// What it takes out.
    fn asked(&self) -> Vec<Out> {
        let drain = |act: &Act| match &act.change {
            Change::Drain(ask) => Some((ask.scope.clone(), ask.percent)),
            _ => None,
        };
        self.wishes.iter().filter_map(drain).collect()
    }
}

/// A wish of health, and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// The site.
    pub site: Scope,
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
    /// PoPs, in a pool or whole.
    sites: BTreeMap<Scope, Site>,
}

/// What is taken out, and comes back, as one.
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

/// A site, and what is said of it now.
struct Case<'c> {
    scope: Scope,
    pop: &'c str,
    /// The pools it takes clients from.
    pools: Vec<&'c str>,
    spec: &'c FailoverSpec,
    is_failing: bool,
    evidence: String,
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
        let mut watched = BTreeSet::new();
        for name in seen.base.pools.keys() {
            self.take_verdicts(name, seen, &mut acts);
            let Some(spec) = &seen.policy(name).failover else { continue };
            if seen.model.suspensions.contains_key(name) {
                acts.alarms.insert(format!("automation of pool {name} is suspended"));
                continue;
            }
            for pop in seen.base.pops_of(name) {
                let (is_failing, evidence) = seen.failing(name, pop, spec);
                let scope = site_scope(name, pop);
                watched.insert(scope.clone());
                self.watch(
                    &Case { scope, pop, pools: vec![name], spec, is_failing, evidence },
                    seen,
                    &mut acts,
                );
            }
        }
        for pop in seen.base.pops.keys() {
            let pools = seen.pools_at(pop);
            // While a person has suspended one of its pools, nothing is done about the whole.
            let is_suspended = pools.iter().any(|pool| seen.model.suspensions.contains_key(*pool));
            if let Some(least) = seen.pools_of_a_pop
                && !is_suspended
                && self.watch_whole(pop, pools, least, seen, &mut acts)
            {
                watched.insert(pop_scope(pop));
            }
        }
        // What was seen before a suspension, or a reload, is old when it is over.
        self.sites.retain(|scope, _| watched.contains(scope));
        acts.alarms.extend(left_behind(&watched, seen));
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
        let most = seen.policy(pool).max_down_capacity;
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
                let (asked, applied) = (acts.asked(), &self.applied);
                let down = seen.down_capacity(pool, &would, &asked);
                if down > most && down > seen.down_capacity(pool, applied, &asked) {
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

    /// An answer that was down for long comes back in steps, as if it had been drained until now; one that
    /// fell while it did begins again.
    fn come_back(&self, pool: &str, answer: &BaseAnswer, old: &VerdictValue, seen: &Seen, acts: &mut Acts) {
        let Some(spec) = &seen.policy(pool).failover else { return };
        let Some(pop) = &answer.pop else { return };
        let scope = Scope { answer: Some(answer.id.clone()), ..Scope::default() };
        let id = drain_id(OWNER, &scope);
        let drains = &seen.model.drains;
        let was_down = seen.now.duration_since(old.since);
        let was_short = was_down < span(spec.return_after) && !drains.contains_key(&id);
        let sites = [site_scope(pool, pop), pop_scope(pop)];
        let site_returns = sites.iter().any(|site| drains.contains_key(&drain_id(OWNER, site)));
        let is_idle = weight(seen.model, answer) <= 0.0;
        if was_short || site_returns || is_idle || seen.model.suspensions.contains_key(pool) {
            return;
        }
        let site = site_scope(pool, pop);
        let reason = format!("{} is up again after {}", answer.id, words(was_down));
        acts.wishes.push(Act {
            site: site.clone(),
            change: Change::Drain(ask(scope, 100, spec)),
            reason: reason.clone(),
        });
        acts.wishes.push(Act { site, change: Change::Undrain { which: Which::Id(id), now: false }, reason });
    }

    /// Takes a whole PoP out when this many of its pools fail, each for as long as it may. False where none has
    /// a failover.
    fn watch_whole(
        &mut self,
        pop: &str,
        pools: Vec<&str>,
        least: usize,
        seen: &Seen,
        acts: &mut Acts,
    ) -> bool {
        let specs = pools.iter().filter_map(|pool| Some((*pool, seen.policy(pool).failover.as_ref()?)));
        let specs: Vec<(&str, &FailoverSpec)> = specs.collect();
        // It waits for the slowest of them.
        let Some((_, slowest)) = specs.iter().max_by_key(|(_, spec)| spec.return_after) else {
            return false;
        };
        let lasts = |pool: &str, spec: &FailoverSpec| {
            let site = self.sites.get(&site_scope(pool, pop));
            let since = site.and_then(|site| site.failing_since);
            since.is_some_and(|since| seen.now.duration_since(since) >= span(spec.detect_for))
        };
        let fail: Vec<&str> =
            specs.iter().filter(|(pool, spec)| lasts(pool, spec)).map(|(pool, _)| *pool).collect();
        let evidence = format!("{} of its pools fail: {}", fail.len(), fail.join(", "));
        let spec = FailoverSpec { detect_for: Duration::ZERO, percent: 100, out: None, ..(*slowest).clone() };
        let is_failing = fail.len() >= least;
        self.watch(
            &Case { scope: pop_scope(pop), pop, pools, spec: &spec, is_failing, evidence },
            seen,
            acts,
        );
        true
    }

    /// Takes a PoP out that fails, and brings it back when it is well.
    fn watch(&mut self, case: &Case, seen: &Seen, acts: &mut Acts) {
        let Case { scope, spec, is_failing, evidence, .. } = case;
        let id = drain_id(OWNER, scope);
        let drain = seen.model.drains.get(&id);
        let limit = self.limit(case, seen, acts);
        let site = self.sites.entry(scope.clone()).or_default();
        let begins = *is_failing && site.failing_since.is_none();
        match is_failing {
            true => (site.failing_since, site.well_since) = (site.failing_since.or(Some(seen.now)), None),
            false => (site.failing_since, site.well_since) = (None, site.well_since.or(Some(seen.now))),
        }
        let lasted =
            |since: Option<Time>| since.map_or(SignedDuration::ZERO, |since| seen.now.duration_since(since));
        let wait =
            (spec.return_after * 2u32.saturating_pow(site.relapses.min(16))).min(spec.return_after_max);
        if let Some((at, why)) = &site.refused {
            if *is_failing {
                acts.alarms.insert(format!(
                    "{scope} fails, and health may not take it out: {why}; a person must decide"
                ));
            }
            if seen.now.duration_since(*at) < REFUSED_RESTS {
                return;
            }
            site.refused = None;
        }
        let act = |change, reason| Act { site: scope.clone(), change, reason };
        let to = |percent| Change::Drain(ask(scope.clone(), percent, spec));
        match (*is_failing, drain) {
            (true, Some(drain)) if drain.ending_since(seen.now).is_none() => {
                let percent = percent_out(spec, seen.now.duration_since(drain.created_at));
                if percent > drain.percent {
                    acts.wishes.push(act(to(percent), evidence.clone()));
                }
            }
            (true, returning) => {
                if returning.is_none() && lasted(site.failing_since) < span(spec.detect_for) {
                    return;
                }
                if returning.is_some() && begins {
                    site.relapses += 1;
                }
                match (limit, returning) {
                    (Some(limit), _) => {
                        let alarm = format!("{scope} fails ({evidence}), and {limit}; a person must decide");
                        acts.alarms.insert(alarm);
                    }
                    (None, None) => {
                        let percent = percent_out(spec, SignedDuration::ZERO);
                        acts.wishes.push(act(to(percent), evidence.clone()));
                    }
                    (None, Some(_)) => {
                        acts.wishes.push(act(to(spec.percent), format!("it fails again: {evidence}")));
                    }
                }
            }
            (false, Some(drain)) if drain.ending_since(seen.now).is_none() => {
                if lasted(site.well_since) < span(wait) {
                    return;
                }
                match overloaded(case, Mark::Low, seen) {
                    // How much it has changes all the time; the alarm is the same until it is over.
                    Some(Overload { answer, metric, mark, .. }) => drop(acts.alarms.insert(format!(
                        "{scope} is well, and its return waits for load: {metric} of {answer} must fall below \
                         {mark}, its watermark; a person may lift the drain of health, or raise the mark"
                    ))),
                    None => {
                        let reason = format!("well for {}", words(lasted(site.well_since)));
                        acts.wishes.push(act(Change::Undrain { which: Which::Id(id), now: false }, reason));
                    }
                }
            }
            (false, Some(drain)) => {
                // It comes back: no further while it has more than it can hold.
                let percent = drain.percent_at(seen.now);
                if let Some(load) = overloaded(case, Mark::High, seen)
                    && percent > 0
                {
                    acts.wishes.push(act(to(percent), format!("its return waits: {load}")));
                }
            }
            (false, None) => {
                if site.relapses > 0 && lasted(site.well_since) >= span(wait * FORGOTTEN_AFTER_WAITS) {
                    site.relapses = 0;
                }
            }
        }
    }

    /// Why a site may not be taken out, of what only the files set bounds to; none when it may.
    fn limit(&self, case: &Case, seen: &Seen, acts: &Acts) -> Option<String> {
        if !case.is_failing {
            return None;
        }
        let asked = acts.asked();
        let with: Vec<Out> = asked.iter().cloned().chain([(case.scope.clone(), case.spec.percent)]).collect();
        case.pools.iter().find_map(|pool| {
            let policy = seen.policy(pool);
            let others = seen.others_out(pool, case.pop, &asked);
            if policy.failover.as_ref().is_some_and(|spec| others >= spec.max_concurrent_pops) {
                return Some(format!(
                    "as many PoPs of pool {pool} are taken out already as its max_concurrent_pops allows, {others}"
                ));
            }
            let (is, most) = (seen.down_capacity(pool, &self.applied, &with), policy.max_down_capacity);
            (is > most && is > seen.down_capacity(pool, &self.applied, &asked)).then(|| {
                format!(
                    "without it health would have taken out {:.0} % of the capacity of pool {pool}, more than its \
                     max_down_capacity of {:.0} %",
                    is * 100.0,
                    most * 100.0
                )
            })
        })
    }
}

/// Drains of ours that nobody looks after any more, since the files say nothing of them.
fn left_behind(watched: &BTreeSet<Scope>, seen: &Seen) -> Vec<String> {
    let is_suspended = |scope: &Scope| {
        let covered = seen.base.answers().filter(|answer| scope.covers(answer));
        covered
            .filter_map(|answer| answer.pool.as_ref())
            .any(|pool| seen.model.suspensions.contains_key(pool))
    };
    let ours = seen.ours().map(|drain| &drain.scope);
    let left = ours.filter(|scope| !watched.contains(*scope) && !is_suspended(scope));
    left.map(|scope| {
        format!("{scope} is drained by health, and has no failover any more; a person must lift it")
    })
    .collect()
}

fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// A span in whole seconds, as people say it.
fn words(span: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(span.as_secs()))
}

fn pop_scope(pop: &str) -> Scope {
    Scope { pop: Some(pop.into()), ..Scope::default() }
}

fn site_scope(pool: &str, pop: &str) -> Scope {
    Scope { pool: Some(pool.into()), ..pop_scope(pop) }
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

/// What says that a site has more than it can hold.
fn overloaded(case: &Case, mark: Mark, seen: &Seen) -> Option<Overload> {
    case.pools.iter().find_map(|pool| seen.overloaded(pool, case.pop, mark))
}
