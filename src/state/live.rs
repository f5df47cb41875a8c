//! From what is wanted and what is said to what the engine runs: the fast-changing part of each steering.
//!
//! ```text
//! Base (files) + Model (drains, splits) + Values (feeds, verdicts) + now -> Vec<Arc<Live>>
//! ```
//!
//! Only steerings whose values differ get a new [`Live`]; the others are carried over (DESIGN, decision 10).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::base::{Base, BaseAnswer, Spot};
use super::load::MonitorLoads;
use super::model::{Drain, LiveValues, Model, Scope, Time};
use super::policy::Stale;
use super::ttl::upcoming;
use crate::chain::LiveMeta;
use crate::engine::steering::{Addresses, Live, Steering, Upcoming};

/// What feeds and monitors say, by answer. A copy shares what does not change: what readers hold stays as it is
/// while one value of thousands is replaced.
#[derive(Clone, Debug, Default)]
pub struct Values {
    feeds: BTreeMap<String, Said<Vec<FeedValue>>>,
    verdicts: Said<VerdictValue>,
    /// When verdicts that are in doubt may be others.
    in_doubt: BTreeMap<String, Time>,
    /// Load that monitors carry.
    pub loads: MonitorLoads,
    /// When health will do something to what is in a scope, as far as that is known. It is not kept.
    acts: Arc<BTreeMap<Scope, Time>>,
}

/// Something said of answers, by answer.
pub type Said<V> = rpds::HashTrieMapSync<String, V>;

/// What a feed says of an answer in one message. What is held are the newest of each value: of an earlier message
/// those that no later one has replaced, with the time that it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedValue {
    /// What it says.
    pub values: LiveValues,
    /// When that was made.
    pub made_at: Time,
    /// How old it may be, in seconds; none for ever.
    pub max_age_s: Option<u64>,
    /// What becomes of it then.
    pub stale: Stale,
}

/// What the monitors say of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictValue {
    /// Whether all of them say that it is up.
    pub up: bool,
    /// Addresses that fail: they leave the answer first.
    #[serde(default)]
    pub failing: Vec<IpAddr>,
    /// Since when it is so.
    pub since: Time,
    /// Which monitor says no, and why; empty when it is up.
    #[serde(default)]
    pub why: String,
    /// The monitors that say no.
    #[serde(default)]
    pub down_by: BTreeSet<String>,
    /// Until when it is held down, because it changed too often.
    #[serde(default)]
    pub held_until: Option<Time>,
    /// When it may be another at the earliest, if an address has begun to fail or to recover. It is not kept:
    /// after a restart probes begin anew.
    #[serde(skip)]
    pub may_change_at: Option<Time>,
}

impl VerdictValue {
    /// Which monitor says that it is down, why, and since when, in words; none where it is up.
    pub fn said_no(&self) -> Option<String> {
        (!self.up).then(|| format!("{}, since {:.0}", self.why, self.since))
    }
}

impl FeedValue {
    /// When it becomes stale.
    pub fn stale_at(&self) -> Option<Time> {
        let age = SignedDuration::from_secs(i64::try_from(self.max_age_s?).ok()?);
        self.made_at.checked_add(age).ok()
    }

    /// Whether it is older than it may be.
    pub fn is_stale(&self, now: Time) -> bool {
        self.stale_at().is_some_and(|at| at < now)
    }

    /// What counts of it now.
    fn counted(&self, now: Time) -> Counted<'_> {
        match (self.is_stale(now), self.stale) {
            (false, _) | (true, Stale::Hold) => Counted::Said(&self.values),
            (true, Stale::Neutral) => Counted::Nothing,
            (true, Stale::Down) => Counted::Down,
        }
    }
}

enum Counted<'v> {
    Said(&'v LiveValues),
    Nothing,
    Down,
}

impl Values {
    /// What a feed says of an answer: no value is in two of these.
    pub fn feed(&self, feed: &str, answer: &str) -> &[FeedValue] {
        self.feeds.get(feed).and_then(|said| said.get(answer)).map_or(&[], Vec::as_slice)
    }

    /// All that is held, by feed and answer.
    pub fn said(&self) -> impl Iterator<Item = (&str, &str, &Vec<FeedValue>)> {
        self.feeds.iter().flat_map(|(feed, said)| {
            said.iter().map(move |(answer, said)| (feed.as_str(), answer.as_str(), said))
        })
    }

    /// The same, message by message.
    pub fn fed(&self) -> impl Iterator<Item = (&str, &str, &FeedValue)> {
        self.said().flat_map(|(feed, answer, said)| said.iter().map(move |value| (feed, answer, value)))
    }

    /// Takes what a feed says of an answer, value by value: those of which a newer one is held are left out, and
    /// named.
    pub fn take_feed(&mut self, feed: &str, answer: &str, mut value: FeedValue) -> Vec<&'static str> {
        let said = value.values;
        let mut held = self.feed(feed, answer).to_vec();
        for newer in held.iter().filter(|held| held.made_at > value.made_at) {
            value.values = value.values.without(&newer.values);
        }
        if !value.values.is_empty() {
            held.iter_mut().for_each(|held| held.values = held.values.without(&value.values));
            held.retain(|held| !held.values.is_empty());
            let left_out = said.without(&value.values);
            held.push(value);
            self.put_feed(feed, answer, held);
            return left_out.keys();
        }
        said.keys()
    }

    /// Holds this of an answer, instead of what a feed said before.
    pub fn put_feed(&mut self, feed: &str, answer: &str, said: Vec<FeedValue>) {
        self.feeds.entry(feed.into()).or_default().insert_mut(answer.into(), said);
    }

    /// Every verdict, by answer.
    pub fn verdicts(&self) -> &Said<VerdictValue> {
        &self.verdicts
    }

    /// Takes a verdict, or forgets it.
    pub fn put_verdict(&mut self, answer: &str, verdict: Option<VerdictValue>) {
        match verdict.as_ref().and_then(|verdict| verdict.may_change_at) {
            Some(at) => _ = self.in_doubt.insert(answer.into(), at),
            None => _ = self.in_doubt.remove(answer),
        }
        match verdict {
            Some(verdict) => self.verdicts.insert_mut(answer.into(), verdict),
            None => _ = self.verdicts.remove_mut(answer),
        }
    }

    /// When health will do something to what is in a scope: it is taken out, or further, or comes back.
    pub fn acts(&self) -> &BTreeMap<Scope, Time> {
        &self.acts
    }

    /// Takes what health will do instead of what it would have done.
    pub fn put_acts(&mut self, acts: BTreeMap<Scope, Time>) {
        self.acts = Arc::new(acts);
    }

    /// The live meta of a steering's answers, and the addresses of theirs that do not fail.
    fn said_of(
        &self,
        answers: &[BaseAnswer],
        steering: &Steering,
        now: Time,
    ) -> (Vec<LiveMeta>, Arc<Addresses>) {
        let verdicts: Vec<Option<&VerdictValue>> =
            answers.iter().map(|answer| self.verdicts.get(&answer.id)).collect();
        let both = answers.iter().zip(&verdicts);
        let meta = both.map(|(answer, verdict)| self.meta_of(answer, *verdict, now)).collect();
        let failing = |answer: usize, address| {
            verdicts[answer].is_some_and(|verdict| verdict.failing.contains(&address))
        };
        let all = &steering.addresses;
        let fails = verdicts.iter().flatten().any(|verdict| !verdict.failing.is_empty());
        (meta, if fails { Arc::new(all.without(failing)) } else { all.clone() })
    }

    /// The next time at which a value becomes stale. It looks at every value.
    pub fn next_stale(&self, now: Time) -> Option<Time> {
        let fed = self.fed().filter_map(|(_, _, value)| value.stale_at()).filter(|at| *at >= now);
        fed.chain(self.loads.next_stale(now)).min()
    }

    /// The earliest time at which a verdict may be another, of those that are in doubt, or at which health will
    /// do something.
    pub fn next_of_health(&self, now: Time) -> Option<Time> {
        self.in_doubt.values().chain(self.acts.values().filter(|at| **at > now)).min().copied()
    }

    /// The answer's live meta.
    pub fn live_meta(&self, answer: &BaseAnswer, now: Time) -> LiveMeta {
        self.meta_of(answer, self.verdicts.get(&answer.id), now)
    }

    /// Whether a feed says that an answer is down, by its `up` or by its silence.
    pub fn is_fed_down(&self, answer: &BaseAnswer, now: Time) -> bool {
        let says_no = |meta: &str, value: &FeedValue| match value.counted(now) {
            Counted::Said(values) => meta == "up" && values.up == Some(false),
            Counted::Nothing => false,
            Counted::Down => true,
        };
        answer
            .live
            .feeds()
            .any(|(meta, feed)| self.feed(feed, &answer.id).iter().any(|value| says_no(meta, value)))
    }

    fn meta_of(&self, answer: &BaseAnswer, verdict: Option<&VerdictValue>, now: Time) -> LiveMeta {
        let counted = |feed: &str| self.feed(feed, &answer.id).iter().map(move |value| value.counted(now));
        let mut meta = answer.live.values(|feed| {
            counted(feed).filter_map(|counted| match counted {
                Counted::Said(values) => Some(values),
                Counted::Down | Counted::Nothing => None,
            })
        });
        // A feed that gives no `up` can fall silent too, and its policy may be that the answer is down.
        let is_silent = |feed: &str| counted(feed).any(|counted| matches!(counted, Counted::Down));
        if answer.live.feeds().any(|(_, feed)| is_silent(feed)) {
            meta.up.feed = Some(false);
        }
        meta.up.verdict = verdict.map(|verdict| verdict.up);
        self.loads.fill(answer, &mut meta, now);
        meta
    }
}

impl Drain {
    /// For how many of a hundred clients it is in force.
    pub fn percent_at(&self, now: Time) -> u8 {
        if now < self.starts_at {
            return 0;
        }
        let Some(since) = self.ending_since(now) else { return self.percent };
        let Some(steps) = &self.return_steps else { return 0 };
        let elapsed = now.duration_since(since).as_secs().max(0) as u64;
        let step = elapsed.checked_div(steps.pause_s).map_or(usize::MAX, |step| step as usize);
        let back = steps.steps.get(step).copied().unwrap_or(100);
        // Rounded up: a client more or less stays out.
        (u16::from(self.percent) * u16::from(100 - back)).div_ceil(100) as u8
    }

    /// Since when its clients are coming back: because it was lifted, or because it has expired.
    pub fn ending_since(&self, now: Time) -> Option<Time> {
        let expired = self.expires_at.filter(|at| *at <= now);
        match (self.returning_since, expired) {
            (Some(lifted), Some(expired)) => Some(lifted.min(expired)),
            (lifted, expired) => lifted.or(expired),
        }
    }

    /// Whether all its clients are back.
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.starts_at && self.ending_since(now).is_some() && self.percent_at(now) == 0
    }

    /// The next time at which something about it changes by itself.
    pub fn next_change(&self, now: Time) -> Option<Time> {
        if now < self.starts_at {
            return Some(self.starts_at);
        }
        let Some(since) = self.ending_since(now) else { return self.expires_at };
        let pause = self.return_steps.as_ref().map_or(0, |steps| steps.pause_s);
        let elapsed = now.duration_since(since).as_secs().max(0) as u64;
        let next = elapsed.checked_div(pause)?.saturating_add(1).saturating_mul(pause);
        since.checked_add(SignedDuration::from_secs(i64::try_from(next).ok()?)).ok()
    }

    /// Whose it is, for how many of a hundred clients, and why, in words.
    pub fn by(&self, percent: u8) -> String {
        format!("by {}, {percent} % ({})", self.owner, self.reason)
    }

    /// The percentage it takes out at its fullest, for the guards: one that has not begun counts whole.
    pub fn percent_at_most(&self, now: Time) -> u8 {
        if now < self.starts_at { self.percent } else { self.percent_at(now) }
    }
}

/// How far an answer is drained, and by which drains, the largest first.
pub fn drained<'m>(model: &'m Model, answer: &BaseAnswer, now: Time) -> Vec<(&'m Drain, u8)> {
    let mut drains = in_force(model, now);
    drains.retain(|(drain, _)| drain.scope.covers(answer));
    drains
}

/// The drains that take somebody out now, the largest first.
fn in_force(model: &Model, now: Time) -> Vec<(&Drain, u8)> {
    largest_first(model, |drain| drain.percent_at(now))
}

fn largest_first(model: &Model, percent: impl Fn(&Drain) -> u8) -> Vec<(&Drain, u8)> {
    let percents = model.drains.values().map(|drain| (drain, percent(drain)));
    let mut drains: Vec<_> = percents.filter(|(_, percent)| *percent > 0).collect();
    drains.sort_by_key(|(_, percent)| std::cmp::Reverse(*percent));
    drains
}

/// The drains that take somebody out, where they are found quickly: there may be thousands, and thousands of
/// answers to ask for.
#[derive(Default)]
pub struct Percents<'m> {
    by_answer: HashMap<&'m str, u8>,
    by_pop: HashMap<&'m str, Vec<(&'m Drain, u8)>>,
    others: Vec<(&'m Drain, u8)>,
}

impl<'m> Percents<'m> {
    /// With what each drain takes out now, or at its fullest.
    pub fn new(model: &'m Model, percent: impl Fn(&Drain) -> u8) -> Percents<'m> {
        let mut found = Percents::default();
        for (drain, percent) in largest_first(model, percent) {
            match (&drain.scope.answer, &drain.scope.pop) {
                // The largest comes first.
                (Some(answer), _) => _ = found.by_answer.entry(answer).or_insert(percent),
                (None, Some(pop)) => found.by_pop.entry(pop).or_default().push((drain, percent)),
                (None, None) => found.others.push((drain, percent)),
            }
        }
        found
    }

    /// Whether any answer at a PoP can be taken out: not, where nothing names it.
    pub fn may_take_of(&self, pop: &str) -> bool {
        self.by_pop.contains_key(pop) || !self.by_answer.is_empty() || !self.others.is_empty()
    }

    /// For how many of a hundred clients an answer is taken out.
    pub fn of(&self, answer: &BaseAnswer) -> u8 {
        let own = self.by_answer.get(answer.id.as_str()).copied();
        let at_pop = answer.pop.as_ref().and_then(|pop| self.by_pop.get(pop.as_str()));
        let largest = |drains: &Vec<(&Drain, u8)>| {
            drains.iter().find(|(drain, _)| drain.scope.covers(answer)).map(|(_, percent)| *percent)
        };
        own.max(at_pop.and_then(largest)).max(largest(&self.others)).unwrap_or(0)
    }
}

/// The weight of an answer's stack: the split's, else the files'.
pub fn weight(model: &Model, answer: &BaseAnswer) -> f64 {
    let split = match (&answer.pool, &answer.pop) {
        // Where nothing is split, nothing need be looked for.
        (Some(pool), Some(pop)) if !model.splits.is_empty() => model.splits.get(&(pool.clone(), pop.clone())),
        _ => None,
    };
    let written = split.and_then(|split| split.weights.get(answer.stack.as_deref().unwrap_or("")));
    written.copied().unwrap_or(answer.weight)
}

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Any steering.
    All,
    /// These steerings, in anything.
    Said(Vec<u32>),
    /// These answers, in what is wanted of them: what feeds and monitors say is as it was, and is not looked for.
    Wanted(Vec<Spot>),
    /// These steerings, in what is near alone.
    Near(Vec<u32>),
}

/// Compiles the live part of the steerings that may have changed; `live` holds what was in force. Says which are
/// others now.
pub fn refresh(
    live: &mut [Arc<Live>],
    touched: &Touched,
    steerings: &[Steering],
    base: &Base,
    model: &Model,
    values: &Values,
    now: Time,
) -> Vec<u32> {
    let in_force = Percents::new(model, |drain| drain.percent_at(now));
    let mut changed = Vec::new();
    let mut refresh = |at: usize, said_anew: bool, wanted_anew: &mut dyn Iterator<Item = usize>| {
        let answers = &base.steerings[at];
        let old = &live[at];
        let (mut drained, mut split) = (old.drained.clone(), old.split.clone());
        for answer in wanted_anew {
            drained[answer] = in_force.of(&answers[answer]);
            split[answer] = weight(model, &answers[answer]);
        }
        let most = base.ranged().get(&(at as u32));
        let upcoming = most.map_or(Upcoming::default(), |&most| upcoming(answers, model, values, now, most));
        let is_wanted_so = old.drained == drained && old.split == split && old.upcoming == upcoming;
        if is_wanted_so && !said_anew {
            return;
        }
        let (meta, addresses) = match said_anew {
            true => values.said_of(answers, &steerings[at], now),
            false => (old.meta.clone(), old.addresses.clone()),
        };
        if !is_wanted_so || old.meta != meta || old.addresses != addresses {
            live[at] = Live::with_addresses(&steerings[at], addresses, meta, drained, split, upcoming);
            changed.push(at as u32);
        }
    };
    match touched {
        Touched::All => {
            for (at, answers) in base.steerings.iter().enumerate() {
                refresh(at, true, &mut (0..answers.len()));
            }
        }
        Touched::Said(some) => {
            for at in each(some) {
                refresh(at as usize, true, &mut (0..base.steerings[at as usize].len()));
            }
        }
        Touched::Wanted(some) => {
            for same in each(some).chunk_by(|a, b| a.steering == b.steering) {
                let answers = &mut same.iter().map(|spot| spot.answer as usize);
                refresh(same[0].steering as usize, false, answers);
            }
        }
        Touched::Near(some) => {
            for at in each(some) {
                refresh(at as usize, false, &mut iter::empty());
            }
        }
    }
    changed
}

/// Each once, in their order.
fn each<T: Copy + Ord>(some: &[T]) -> Vec<T> {
    let mut some = some.to_vec();
    some.sort_unstable();
    some.dedup();
    some
}
