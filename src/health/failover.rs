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

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::bounds::Bounds;
use super::hidden::{Hidden, Known};
pub use super::seen::Seen;
use super::sites::{Case, Site, ask, signed, words};
use crate::state::base::BaseAnswer;
use crate::state::change::{Change, DrainAsk, Refusal, Which, drain_id};
use crate::state::keeper::Wish;
use crate::state::live::{VerdictValue, weight};
use crate::state::model::{Scope, Time};
use crate::state::policy::FailoverSpec;

/// Who our drains belong to.
pub const OWNER: &str = "health";

/// What is to be done, in this order: wishes, then verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acts {
    /// Drains and undrains.
    pub wishes: Vec<Act>,
    /// Verdicts that count from now on; none forgets one.
    pub verdicts: Vec<(String, Option<VerdictValue>)>,
    /// What a person must know or decide. The list is whole each time.
    pub alarms: BTreeSet<String>,
    /// When something will be done to a site by itself, as far as that is known. The list is whole each time.
    pub upcoming: BTreeMap<Scope, Time>,
}

impl Acts {
    /// What it takes out.
    fn asked(&self) -> impl Iterator<Item = &Scope> {
        self.wishes.iter().filter_map(|act| match &act.change {
            Change::Drain(ask) => Some(&ask.scope),
            _ => None,
        })
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
    /// PoPs, in a pool or whole, and answers that come back alone.
    sites: BTreeMap<Scope, Site>,
    /// Since when we know what our own failure hides, by answer.
    hidden: BTreeMap<String, Time>,
    /// The sites as they are kept, by key.
    kept: BTreeMap<String, String>,
}

/// What keys of kept sites begin with.
pub const KEPT: &str = "site/";

impl Failover {
    /// Begins with the verdicts that counted when the process ended, and with what was kept of the sites.
    pub fn new(applied: BTreeMap<String, VerdictValue>, kept: BTreeMap<String, String>) -> Failover {
        // What cannot be read is seen anew.
        let sites = kept.values().filter_map(|json| serde_json::from_str::<(Scope, Site)>(json).ok());
        Failover { applied, sites: sites.collect(), hidden: BTreeMap::new(), kept }
    }

    /// What has changed of what is to be kept over a restart, by key; none forgets one.
    pub fn kept(&mut self) -> Vec<(String, Option<String>)> {
        let loud = self.sites.iter().filter(|(_, site)| !site.is_quiet());
        let now: BTreeMap<String, String> = loud
            .map(|site| {
                let json = serde_json::to_string(&site).expect("sites are JSON");
                (format!("{KEPT}{}", drain_id(OWNER, site.0)), json)
            })
            .collect();
        let gone = self.kept.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
        let news = now.iter().filter(|(key, json)| self.kept.get(*key) != Some(*json));
        let news = news.map(|(key, json)| (key.clone(), Some(json.clone())));
        let changes = gone.chain(news).collect();
        self.kept = now;
        changes
    }

    /// Why a wish was not done.
    pub fn refused(&mut self, act: &Act, why: &Refusal, now: Time) {
        self.sites.entry(act.site.clone()).or_default().refused(why.to_string(), now);
    }

    /// Looks at everything, and says what is to be done.
    pub fn look(&mut self, seen: &Seen) -> Acts {
        let (mut acts, mut bounds) = (Acts::default(), Bounds::default());
        self.hidden.retain(|id, _| seen.hidden.contains_key(id));
        seen.hidden.keys().for_each(|id| _ = self.hidden.entry(id.clone()).or_insert(seen.now));
        let (news, gone) = self.news(seen);
        let (loud, down, fed) = (self.loud(seen), seen.down(), self.fed());
        let suspensions = seen.model.suspensions.values();
        acts.alarms.extend(suspensions.map(|suspension| {
            format!("the automation of pool {} is suspended: {}", suspension.pool, suspension.reason)
        }));
        hold_returns(seen, &mut acts);
        let mut watched = BTreeSet::new();
        for (name, pool) in &seen.base.pools {
            let of_pool = pool.answers.iter().filter(|answer| news.contains(answer.id.as_str()));
            self.take_verdicts(name, of_pool.collect(), seen, &mut bounds, &mut acts);
            self.take_fed(name, &fed, seen, &mut acts);
            let Some(spec) = &seen.policy(name).failover else { continue };
            let is_down = |at: &usize| down.contains(pool.answers[*at].id.as_str());
            let loud = loud.get(name);
            for (pop, here) in &pool.by_pop {
                // Most are well, and there is nothing to remember of them.
                if !loud.is_some_and(|pops| pops.contains(pop)) && !here.iter().any(is_down) {
                    continue;
                }
                let scope = site_scope(name, pop);
                watched.insert(scope.clone());
                let (is_failing, evidence) = seen.failing(name, pop, spec);
                let (pools, answers) = (vec![name.as_str()], seen.weighted(name, pop).collect());
                let pop = Some(pop.as_str());
                let (limit, hidden) = (None, None);
                let case = Case { scope, pop, pools, answers, spec, is_failing, evidence, limit, hidden };
                self.watch(case, seen, &mut bounds, &mut acts);
            }
        }
        for pop in seen.base.pops.keys() {
            if let Some(least) = seen.pools_of_a_pop
                && self.watch_whole(pop, least, seen, &mut bounds, &mut acts)
            {
                watched.insert(pop_scope(pop));
            }
        }
        watched.extend(self.watch_answers(seen, &mut bounds, &mut acts));
        self.sites.retain(|scope, site| watched.contains(scope) && !site.is_quiet());
        acts.alarms.extend(left_behind(&watched, seen));
        // Records' own answers have no pool whose capacity could bound them.
        let own = seen.base.answers().filter(|answer| answer.pool.is_none());
        for answer in own.filter(|answer| news.contains(answer.id.as_str())) {
            self.apply(&answer.id, seen.said.get(&answer.id).cloned(), &mut acts);
        }
        for id in gone {
            self.come_back_unwatched(&id, seen, &mut acts);
            self.apply(&id, None, &mut acts);
        }
        acts
    }

    /// Answers of which something else is said than counts, and those of which nothing is said any more. Both lists are
    /// in order, so each is walked once.
    fn news<'s>(&self, seen: &Seen<'s>) -> (HashSet<&'s str>, Vec<String>) {
        let (mut news, mut gone) = (HashSet::new(), Vec::new());
        let mut applied = self.applied.iter().peekable();
        for (id, said) in seen.said {
            while let Some((old, _)) = applied.next_if(|(old, _)| *old < id) {
                gone.push(old.clone());
            }
            if applied.next_if(|(old, _)| *old == id).map(|(_, old)| old) != Some(said) {
                news.insert(id.as_str());
            }
        }
        gone.extend(applied.map(|(old, _)| old.clone()));
        (news, gone)
    }

    /// PoPs in a pool of which something is remembered, or that a drain of ours takes out, by pool.
    fn loud(&self, seen: &Seen) -> BTreeMap<String, BTreeSet<String>> {
        let mut loud: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let drains = seen.model.drains.values().filter(|drain| drain.owner == OWNER);
        for scope in drains.map(|drain| &drain.scope).chain(self.sites.keys()) {
            if let (Some(pool), Some(pop)) = (&scope.pool, &scope.pop) {
                loud.entry(pool.clone()).or_default().insert(pop.clone());
            }
        }
        loud
    }

    /// An answer that no monitor watches any more counts as up: what was down for long comes back in steps.
    fn come_back_unwatched(&mut self, id: &str, seen: &Seen, acts: &mut Acts) {
        let Some(old) = self.applied.get(id).filter(|old| !old.up).cloned() else { return };
        let answer = seen.base.answers().find(|answer| answer.id == id);
        if let Some((answer, pool)) = answer.and_then(|answer| Some((answer, answer.pool.as_ref()?))) {
            self.come_back(pool, answer, old.since, seen, acts);
        }
    }

    /// Answers that a feed said were down, as far as that is remembered.
    fn fed(&self) -> HashSet<String> {
        let fed = self.sites.iter().filter(|(_, site)| site.fed_since.is_some());
        fed.filter_map(|(scope, _)| scope.answer.clone()).collect()
    }

    /// Remembers since when feeds say of a pool's answers that they are down. One that they said so of for long comes
    /// back as one that a verdict took out.
    fn take_fed(&mut self, pool: &str, fed: &HashSet<String>, seen: &Seen, acts: &mut Acts) {
        if seen.policy(pool).steps().is_none() {
            return;
        }
        for answer in &seen.base.pools[pool].answers {
            let is_down = seen.values.is_fed_down(answer, seen.now);
            if !is_down && !fed.contains(&answer.id) {
                continue;
            }
            let site = self.sites.entry(answer_scope(answer)).or_default();
            if is_down {
                site.fed_since.get_or_insert(seen.now);
            } else if let Some(since) = site.fed_since.take()
                && self.applied.get(&answer.id).is_none_or(|said| said.up)
            {
                self.come_back(pool, answer, since, seen, acts);
            }
        }
    }

    fn apply(&mut self, answer: &str, verdict: Option<VerdictValue>, acts: &mut Acts) {
        match &verdict {
            Some(verdict) => drop(self.applied.insert(answer.into(), verdict.clone())),
            None => drop(self.applied.remove(answer)),
        }
        acts.verdicts.push((answer.into(), verdict));
    }

    /// Takes the news of a pool's answers as far as its capacity allows.
    fn take_verdicts<'s>(
        &mut self,
        pool: &str,
        answers: Vec<&'s BaseAnswer>,
        seen: &Seen<'s>,
        bounds: &mut Bounds<'s>,
        acts: &mut Acts,
    ) {
        let most = seen.policy(pool).max_down_capacity;
        let said = |answer: &'s BaseAnswer| Some((answer, seen.said.get(&answer.id)?));
        let mut news: Vec<(&BaseAnswer, &VerdictValue)> = answers.into_iter().filter_map(said).collect();
        // What came up makes room for what went down; of those, the earlier verdicts hold.
        news.sort_by_key(|(_, said)| (!said.up, said.since));
        for (answer, said) in news {
            let was_down = self.applied.get(&answer.id).filter(|old| !old.up);
            if said.up {
                if let Some(old) = was_down.cloned() {
                    self.come_back(pool, answer, old.since, seen, acts);
                }
                self.apply(&answer.id, Some(said.clone()), acts);
                continue;
            }
            if was_down.is_none() {
                let gone = bounds.of(pool, seen, &self.applied, acts);
                let scope = answer_scope(answer);
                let down = gone.share_with(&scope, 100);
                if down > most && down > gone.share() {
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
                gone.take(&scope, 100);
            }
            self.apply(&answer.id, Some(said.clone()), acts);
        }
    }

    /// An answer that was down for long, or that fell on trial, comes back in steps, as if it had been drained
    /// until now; after a relapse it waits before.
    fn come_back(&mut self, pool: &str, answer: &BaseAnswer, since: Time, seen: &Seen, acts: &mut Acts) {
        let Some(spec) = seen.policy(pool).returning() else { return };
        let site = answer_scope(answer);
        let id = drain_id(OWNER, &site);
        let drains = &seen.model.drains;
        let (relapses, on_trial) =
            self.sites.get(&site).map_or((0, false), |site| (site.relapses, site.on_trial));
        // What was taken back was never down.
        if seen.hidden.get(&answer.id).is_some_and(|hidden| since >= hidden.began) {
            return;
        }
        let was_down = seen.now.duration_since(since);
        let was_short = was_down < signed(spec.return_after) && !on_trial && !drains.contains_key(&id);
        let site_returns = answer.pop.as_ref().is_some_and(|pop| {
            let sites = [site_scope(pool, pop), pop_scope(pop)];
            sites.iter().any(|site| drains.contains_key(&drain_id(OWNER, site)))
        });
        // One that is out already is brought back by whoever watches it.
        let is_suspended = seen.model.suspensions.contains_key(pool);
        let is_out = drains.get(&id).is_some_and(|drain| drain.ending_since(seen.now).is_none());
        if was_short || site_returns || is_out && !is_suspended || weight(seen.model, answer) <= 0.0 {
            return;
        }
        self.sites.entry(site.clone()).or_default().on_trial = true;
        let reason = format!("{} is up again after {}", answer.id, words(was_down));
        let act = |change| Act { site: site.clone(), change, reason: reason.clone() };
        acts.wishes.push(act(Change::Drain(ask(site.clone(), 100, &spec))));
        // While automation is suspended nobody would end the wait.
        if relapses == 0 || is_suspended {
            acts.wishes.push(act(Change::Undrain { which: Which::Id(id), now: false }));
        }
    }

    /// Answers that come back alone, or have lately. Their sites come back.
    fn watch_answers<'s>(&mut self, seen: &Seen<'s>, bounds: &mut Bounds<'s>, acts: &mut Acts) -> Vec<Scope> {
        let ours = seen.model.drains.values().filter(|drain| drain.owner == OWNER);
        let scopes = ours.map(|drain| &drain.scope).chain(self.sites.keys());
        let ids: HashSet<String> = scopes.filter_map(|scope| scope.answer.clone()).collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let mut watched = Vec::new();
        for answer in seen.base.answers().filter(|answer| ids.contains(&answer.id)) {
            let Some(pool) = &answer.pool else { continue };
            let Some(spec) = seen.policy(pool).returning() else { continue };
            let spec = FailoverSpec { detect_for: Duration::ZERO, percent: 100, out: None, ..spec };
            let down = self.applied.get(&answer.id).filter(|said| !said.up);
            let scope = answer_scope(answer);
            let is_fed_down = self.sites.get(&scope).is_some_and(|site| site.fed_since.is_some());
            let by_feed = || if is_fed_down { "a feed says that it is down".into() } else { String::new() };
            let case = Case {
                scope: scope.clone(),
                pop: None,
                pools: vec![pool],
                answers: vec![answer],
                spec: &spec,
                is_failing: down.is_some() || is_fed_down,
                evidence: down.map_or_else(by_feed, |said| said.why.clone()),
                limit: None,
                hidden: None,
            };
            self.watch(case, seen, bounds, acts);
            if !self.sites[&scope].is_quiet() {
                watched.push(scope);
            }
        }
        watched
    }

    /// Takes a whole PoP out when this many of its pools fail, each for as long as it may. False where none has
    /// a failover.
    fn watch_whole<'s>(
        &mut self,
        pop: &'s str,
        least: usize,
        seen: &Seen<'s>,
        bounds: &mut Bounds<'s>,
        acts: &mut Acts,
    ) -> bool {
        let pools = seen.pools_at(pop);
        let specs = pools.iter().filter_map(|pool| Some((*pool, seen.policy(pool).failover.as_ref()?)));
        let specs: Vec<(&str, &FailoverSpec)> = specs.collect();
        // It waits for the slowest of them.
        let Some((_, slowest)) = specs.iter().max_by_key(|(_, spec)| spec.return_after) else {
            return false;
        };
        let failing = |(pool, spec): &(&str, &FailoverSpec)| {
            let site = self.sites.get(&site_scope(pool, pop))?;
            Some((site.will_have_failed_at(spec.detect_for)?, site.has_failed_for(spec.detect_for, seen.now)))
        };
        let fail = specs.iter().filter(|spec| failing(spec).is_some_and(|(_, lasts)| lasts));
        let fail: Vec<&str> = fail.map(|(pool, _)| *pool).collect();
        let mut at: Vec<Time> = specs.iter().filter_map(failing).map(|(at, _)| at).collect();
        at.sort_unstable();
        let evidence = format!("{} of its pools fail: {}", fail.len(), fail.join(", "));
        let is_failing = fail.len() >= least;
        let spec = FailoverSpec { detect_for: Duration::ZERO, percent: 100, out: None, ..(*slowest).clone() };
        let scope = pop_scope(pop);
        let is_out = seen.model.drains.contains_key(&drain_id(OWNER, &scope));
        let next = at.get(least - 1).filter(|at| **at > seen.now && !is_out);
        acts.upcoming.extend(next.map(|at| (scope.clone(), *at)));
        let answers = pools.iter().flat_map(|pool| seen.weighted(pool, pop)).collect();
        let (pop, spec, limit, hidden) = (Some(pop), &spec, None, None);
        let case = Case { scope, pop, pools, answers, spec, is_failing, evidence, limit, hidden };
        self.watch(case, seen, bounds, acts);
        true
    }

    /// Takes a site out that fails, and brings it back when it is well. While a person has suspended one of its
    /// pools nothing is done, and afterwards it is looked at anew.
    fn watch<'s>(&mut self, mut case: Case, seen: &Seen<'s>, bounds: &mut Bounds<'s>, acts: &mut Acts) {
        case.limit = self.limit(&case, seen, bounds, acts);
        case.hidden = self.hidden_of(&case.answers, seen);
        let site = self.sites.entry(case.scope.clone()).or_default();
        if case.pools.iter().any(|pool| seen.model.suspensions.contains_key(*pool)) {
            site.rest();
            return;
        }
        let next = site.look(&case, seen, acts).filter(|at| *at > seen.now);
        acts.upcoming.extend(next.map(|at| (case.scope.clone(), at)));
    }

    /// What of these answers is hidden.
    fn hidden_of(&self, answers: &[&BaseAnswer], seen: &Seen) -> Option<Known> {
        let since = answers.iter().filter_map(|answer| self.hidden.get(&answer.id)).max()?;
        let hidden = answers.iter().filter_map(|answer| seen.hidden.get(&answer.id));
        Some(Known { hidden: Hidden::of_all(hidden.copied())?, since: *since })
    }

    /// Why a site may not be taken out, of what only the files set bounds to; none when it may.
    fn limit<'s>(
        &self,
        case: &Case,
        seen: &Seen<'s>,
        bounds: &mut Bounds<'s>,
        acts: &Acts,
    ) -> Option<String> {
        // An answer alone is taken out by its verdict, which has its own.
        let pop = case.pop.filter(|_| case.is_failing)?;
        let drain = case.drained(seen);
        let is_back_soon = drain.is_some_and(|drain| drain.ending_since(seen.now).is_some());
        if drain.is_some_and(|drain| !is_back_soon && drain.percent >= case.spec.percent) {
            return None;
        }
        // What comes back, or has lately, was taken out already.
        let is_relapse = is_back_soon || self.sites.get(&case.scope).is_some_and(|site| site.on_trial);
        case.pools.iter().find_map(|pool| {
            let policy = seen.policy(pool);
            let others = seen.others_out(pool, pop, acts.asked());
            let is_too_many = |spec: &FailoverSpec| others >= spec.max_concurrent_pops;
            if !is_relapse && policy.failover.as_ref().is_some_and(is_too_many) {
                return Some(format!(
                    "as many PoPs of pool {pool} are taken out already as its max_concurrent_pops allows, {others}"
                ));
            }
            let gone = bounds.of(pool, seen, &self.applied, acts);
            let (is, most) = (gone.share_with(&case.scope, case.spec.percent), policy.max_down_capacity);
            (is > most && is > gone.share()).then(|| {
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

/// Clients that were coming back when a person suspended one of the pools come no further: nobody looks whether
/// it goes well. What a person lifts meanwhile goes on.
fn hold_returns(seen: &Seen, acts: &mut Acts) {
    if seen.model.suspensions.is_empty() {
        return;
    }
    for drain in seen.model.drains.values().filter(|drain| drain.owner == OWNER) {
        let (Some(since), percent) = (drain.ending_since(seen.now), drain.percent_at(seen.now)) else {
            continue;
        };
        let covered = seen.base.answers().filter(|answer| drain.scope.covers(answer));
        let suspension = covered
            .filter_map(|answer| seen.model.suspensions.get(answer.pool.as_ref()?))
            .find(|suspension| since <= suspension.since);
        if let Some(suspension) = suspension.filter(|_| percent > 0) {
            let return_steps = drain.return_steps.clone();
            let (scope, starts_at, expires_in_s) = (drain.scope.clone(), None, None);
            acts.wishes.push(Act {
                site: scope.clone(),
                change: Change::Drain(DrainAsk { scope, percent, starts_at, expires_in_s, return_steps }),
                reason: format!("its return waits: the automation of pool {} is suspended", suspension.pool),
            });
        }
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

fn pop_scope(pop: &str) -> Scope {
    Scope { pop: Some(pop.into()), ..Scope::default() }
}

fn answer_scope(answer: &BaseAnswer) -> Scope {
    Scope { answer: Some(answer.id.clone()), ..Scope::default() }
}

fn site_scope(pool: &str, pop: &str) -> Scope {
    Scope { pool: Some(pool.into()), ..pop_scope(pop) }
}
