//! What is known when something is to be decided, and what it says of a pool's PoPs: which fail, which are
//! out, which have more than they can hold.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::failover::OWNER;
use super::hidden::Hidden;
use crate::state::base::{Base, BaseAnswer};
use crate::state::live::{Values, VerdictValue, weight};
use crate::state::model::{Drain, Model, Scope, Time};
use crate::state::policy::{FailoverSpec, PoolPolicy, in_force};

/// What is known.
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
    /// What of the answers is hidden by our own failure.
    pub hidden: &'s BTreeMap<String, Hidden>,
    /// When this many pools of a PoP fail, the whole PoP does; none never says so.
    pub pools_of_a_pop: Option<usize>,
    /// When.
    pub now: Time,
}

impl<'s> Seen<'s> {
    /// How a pool is operated.
    pub fn policy(&self, pool: &str) -> &'s PoolPolicy {
        in_force(self.base, self.model, pool)
    }

    /// The stacks of a pool at a PoP that get clients.
    pub fn weighted(&self, pool: &str, pop: &'s str) -> impl Iterator<Item = &'s BaseAnswer> {
        let model = self.model;
        self.base.stacks(pool, pop).filter(move |answer| weight(model, answer) > 0.0)
    }

    /// The pools that stand at a PoP.
    pub fn pools_at(&self, pop: &'s str) -> Vec<&'s str> {
        let stands = |name: &&'s String| self.base.stacks(name, pop).next().is_some();
        self.base.pools.keys().filter(stands).map(String::as_str).collect()
    }

    /// Answers that the monitors say are down.
    pub fn down(&self) -> HashSet<&'s str> {
        self.said.iter().filter(|(_, said)| !said.up).map(|(id, _)| id.as_str()).collect()
    }

    /// Whether enough of a PoP's answers are down, or one by the monitor that is enough, and which.
    pub fn failing(&self, pool: &str, pop: &'s str, spec: &FailoverSpec) -> (bool, String) {
        let weighted: Vec<&BaseAnswer> = self.weighted(pool, pop).collect();
        let down = weighted.iter().filter_map(|answer| {
            let said = self.said.get(&answer.id).filter(|said| !said.up)?;
            Some(format!("{}: {}", answer.id, said.why))
        });
        let down: Vec<String> = down.collect();
        let share = down.len() as f64 / weighted.len().max(1) as f64;
        if !down.is_empty() && share >= spec.detect {
            return (true, down.join("; "));
        }
        let Some(named) = &spec.monitor else { return (false, down.join("; ")) };
        let says_no = |answer: &&BaseAnswer| {
            self.said.get(&answer.id).is_some_and(|said| said.down_by.contains(&named.value))
        };
        match weighted.into_iter().any(|answer| says_no(&answer)) {
            true => (true, format!("{} is enough; {}", named.value, down.join("; "))),
            false => (false, down.join("; ")),
        }
    }

    /// Drains of health that have not begun to end.
    pub fn ours(&self) -> impl Iterator<Item = &'s Drain> {
        let now = self.now;
        let drains = self.model.drains.values();
        drains.filter(move |drain| drain.owner == OWNER && drain.ending_since(now).is_none())
    }

    /// How many PoPs of a pool, beside one, health has taken out and not begun to bring back; `asked` counts
    /// too.
    pub fn others_out<'a>(&self, pool: &str, pop: &str, asked: impl Iterator<Item = &'a Scope>) -> usize
    where
        's: 'a,
    {
        let scopes = self.ours().map(|drain| &drain.scope).chain(asked);
        let of_pool = scopes.filter(|scope| scope.pool.as_deref().is_none_or(|its| its == pool));
        let out: BTreeSet<&str> = of_pool.filter_map(|scope| scope.pop.as_deref()).collect();
        out.into_iter().filter(|out| *out != pop && self.base.stacks(pool, out).next().is_some()).count()
    }

    /// What says that an answer has more than it can hold: load at this mark.
    pub fn overloaded(&self, answer: &BaseAnswer, mark: Mark) -> Option<Overload> {
        let meta = self.values.live_meta(answer, self.now);
        let mark = match mark {
            Mark::High => meta.high_watermark?,
            Mark::Low => meta.low_watermark.or(meta.high_watermark)?,
        };
        let loads =
            [("loadavg", meta.loadavg), ("connections", meta.connections), ("requests", meta.requests)];
        let (metric, load) =
            loads.into_iter().find_map(|(name, load)| Some((name, load.filter(|l| *l >= mark)?)))?;
        Some(Overload { answer: answer.id.clone(), metric, load, mark })
    }
}

/// An answer that has more than it can hold.
pub struct Overload {
    /// The answer.
    pub answer: String,
    /// What is measured: `loadavg`, `connections` or `requests`.
    pub metric: &'static str,
    /// How much it has.
    pub load: f64,
    /// The mark.
    pub mark: f64,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Overload { answer, metric, load, mark } = self;
        write!(f, "{answer} has {metric} {load}, and its mark is {mark}")
    }
}

/// Which watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Up to which nothing is shed; where there is none, the other.
    Low,
    /// From which everything is.
    High,
}
