//! Load that monitors carry: what a heartbeat or a response over HTTP says of its answer beside that it is well.
//!
//! ```text
//! heartbeat, probe -> crate::health: each address, then the answer -> MonitorLoad -> keeper -> Values -> LiveMeta
//! ```
//!
//! It counts where the files say nothing of the value, neither a number nor a feed, and only while it is fresh. It
//! is not kept: after a restart the next heartbeat or probe says it again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::base::BaseAnswer;
use super::live::Said;
use super::model::Time;
use crate::chain::LiveMeta;

/// What load is measured by.
pub const METRICS: [&str; 3] = ["loadavg", "connections", "requests"];

/// Something for each of [`METRICS`].
pub type ByMetric<T> = [Option<T>; METRICS.len()];

/// How much load there is.
pub type Load = ByMetric<f64>;

/// What a monitor says now of the load of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorLoad {
    /// The monitor.
    pub monitor: String,
    /// The answer's identity.
    pub answer: String,
    /// What it says.
    pub load: Load,
    /// For how long it counts, unless it says something else before.
    pub counts: Duration,
}

/// The same, once it is held.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldLoad {
    /// What was said.
    pub load: Load,
    /// When it came.
    pub made_at: Time,
    /// Until when it counts.
    pub fresh_until: Time,
}

/// What monitors say of load, by answer and monitor.
#[derive(Clone, Debug, Default)]
pub struct MonitorLoads(Said<BTreeMap<String, HeldLoad>>);

impl MonitorLoads {
    /// Takes what a monitor says of an answer instead of what it said before; until when that counts.
    pub fn put(&mut self, said: MonitorLoad, now: Time) -> Time {
        let MonitorLoad { monitor, answer, load, counts } = said;
        let fresh_until = now.checked_add(counts).unwrap_or(Time::MAX);
        let mut of_answer = self.0.get(&answer).cloned().unwrap_or_default();
        of_answer.insert(monitor, HeldLoad { load, made_at: now, fresh_until });
        self.0.insert_mut(answer, of_answer);
        fresh_until
    }

    /// What is fresh of an answer, by monitor.
    pub fn fresh(&self, answer: &str, now: Time) -> impl Iterator<Item = (&str, &HeldLoad)> {
        let said = self.0.get(answer).into_iter().flatten();
        said.filter(move |(_, load)| now <= load.fresh_until).map(|(monitor, load)| (monitor.as_str(), load))
    }

    /// Puts in what the files say nothing of; where several monitors say something, the most counts.
    pub fn fill(&self, answer: &BaseAnswer, meta: &mut LiveMeta, now: Time) {
        let spec = &answer.live;
        let is_written = [spec.loadavg.is_some(), spec.connections.is_some(), spec.requests.is_some()];
        for (_, held) in self.fresh(&answer.id, now) {
            let values = [&mut meta.loadavg, &mut meta.connections, &mut meta.requests];
            for ((is_written, value), said) in is_written.into_iter().zip(values).zip(held.load) {
                if !is_written {
                    *value = (*value).into_iter().chain(said).reduce(f64::max);
                }
            }
        }
    }

    /// The next time at which one stops counting.
    pub fn next_stale(&self, now: Time) -> Option<Time> {
        let all = self.0.values().flat_map(BTreeMap::values);
        all.map(|load| load.fresh_until).filter(|at| *at >= now).min()
    }
}
