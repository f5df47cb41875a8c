//! Load that monitors carry: what a heartbeat says of its answer beside that it is well.
//!
//! It counts where the files say nothing of the value, neither a number nor a feed, and only while it is fresh. It
//! is not kept: after a restart the next heartbeat says it again.

use std::collections::BTreeMap;

use super::base::BaseAnswer;
use super::live::Said;
use super::model::Time;
use crate::chain::LiveMeta;

/// What a monitor says of the load of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorLoad {
    /// See [`LiveMeta::loadavg`].
    pub loadavg: Option<f64>,
    /// See [`LiveMeta::connections`].
    pub connections: Option<f64>,
    /// See [`LiveMeta::requests`].
    pub requests: Option<f64>,
    /// When it came.
    pub made_at: Time,
    /// Until when it counts.
    pub fresh_until: Time,
}

impl MonitorLoad {
    /// Its values, by name.
    pub fn parts(&self) -> [(&'static str, Option<f64>); 3] {
        [("loadavg", self.loadavg), ("connections", self.connections), ("requests", self.requests)]
    }
}

/// What monitors say of load, by answer and monitor.
#[derive(Clone, Debug, Default)]
pub struct MonitorLoads(Said<BTreeMap<String, MonitorLoad>>);

impl MonitorLoads {
    /// Takes what a monitor says of an answer instead of what it said before.
    pub fn put(&mut self, monitor: &str, answer: &str, load: MonitorLoad) {
        let mut of_answer = self.0.get(answer).cloned().unwrap_or_default();
        of_answer.insert(monitor.into(), load);
        self.0.insert_mut(answer.into(), of_answer);
    }

    /// What is fresh of an answer, by monitor.
    pub fn fresh(&self, answer: &str, now: Time) -> impl Iterator<Item = (&str, &MonitorLoad)> {
        let said = self.0.get(answer).into_iter().flatten();
        said.filter(move |(_, load)| now <= load.fresh_until).map(|(monitor, load)| (monitor.as_str(), load))
    }

    /// Puts in what the files say nothing of; where several monitors say something, the most counts.
    pub fn fill(&self, answer: &BaseAnswer, meta: &mut LiveMeta, now: Time) {
        let spec = &answer.live;
        for (_, load) in self.fresh(&answer.id, now) {
            let parts = [
                (spec.loadavg.is_some(), &mut meta.loadavg, load.loadavg),
                (spec.connections.is_some(), &mut meta.connections, load.connections),
                (spec.requests.is_some(), &mut meta.requests, load.requests),
            ];
            for (is_written, value, said) in parts {
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
