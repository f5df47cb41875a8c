//! Fast values: what feeds and monitors say. They have no revision, and are written behind (DESIGN, decision 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use super::Keeper;
use crate::state::handle::{Fed, Reply};
use crate::state::live::{FeedValue, Touched, Values, VerdictValue};
use crate::state::load::MonitorLoad;
use crate::state::model::{Scope, Time};

impl Keeper {
    pub(super) fn take_feed(&mut self, feed: &str, values: Vec<(String, FeedValue)>) -> Vec<Fed> {
        let mut touched = Vec::new();
        let mut held = (*self.values).clone();
        let fed = values.into_iter().map(|(answer, value)| {
            let fed = Fed::of(&mut held, feed, &answer, value, self.now);
            if !fed.is_served() {
                return fed;
            }
            touched.extend(self.base.steerings_of_answer(&answer));
            let said = held.feed(feed, &answer);
            let json = serde_json::to_string(said).expect("values are JSON");
            self.unwritten.insert(format!("feed/{feed}/{answer}"), Some(json));
            // What was taken is the last that is held.
            let stale_at = said.last().and_then(FeedValue::stale_at).filter(|at| *at >= self.now);
            self.stale = self.stale.into_iter().chain(stale_at).min();
            fed
        });
        let fed = fed.collect();
        self.values = Arc::new(held);
        self.publish(&Touched::Said(touched));
        fed
    }

    /// Serves what monitors say of load.
    pub(super) fn take_loads(&mut self, said: Vec<(Vec<MonitorLoad>, Reply<()>)>) {
        if said.is_empty() {
            return;
        }
        let (loads, replies): (Vec<_>, Vec<_>) = said.into_iter().unzip();
        let mut touched = Vec::new();
        let mut held = (*self.values).clone();
        for load in loads.into_iter().flatten() {
            touched.extend(self.base.steerings_of_answer(&load.answer));
            let fresh_until = held.loads.put(load, self.now);
            self.stale = self.stale.into_iter().chain([fresh_until]).min();
        }
        self.values = Arc::new(held);
        self.publish(&Touched::Said(touched));
        for reply in replies {
            // Who told may not wait.
            let _ = reply.send(());
        }
    }

    pub(super) fn take_verdicts(&mut self, verdicts: Vec<(String, Option<VerdictValue>)>) {
        let mut touched = Vec::new();
        let mut held = (*self.values).clone();
        for (answer, verdict) in verdicts {
            touched.extend(self.base.steerings_of_answer(&answer));
            let json =
                verdict.as_ref().map(|verdict| serde_json::to_string(verdict).expect("verdicts are JSON"));
            self.unwritten.insert(format!("verdict/{answer}"), json);
            held.put_verdict(&answer, verdict);
        }
        self.values = Arc::new(held);
        self.publish(&Touched::Said(touched));
    }

    /// What health will do by itself matters to TTLs alone.
    pub(super) fn take_acts(&mut self, acts: BTreeMap<Scope, Time>) {
        let scopes = self.values.acts().keys().chain(acts.keys());
        let touched = scopes.flat_map(|scope| self.base.steerings_of(scope)).collect();
        Arc::make_mut(&mut self.values).put_acts(acts);
        self.publish(&Touched::Near(touched));
    }
}

/// What was said, as the store kept it. What cannot be read is left out: it will be said again.
pub fn values_of(kept: &BTreeMap<String, String>) -> Values {
    let mut values = Values::default();
    for (key, json) in kept {
        if let Some((feed, answer)) = key.strip_prefix("feed/").and_then(|key| key.split_once('/')) {
            match serde_json::from_str(json) {
                Ok(said) => values.put_feed(feed, answer, said),
                Err(error) => warn!("the kept value {key} cannot be read: {error}"),
            }
        } else if let Some(answer) = key.strip_prefix("verdict/") {
            match serde_json::from_str(json) {
                Ok(verdict) => values.put_verdict(answer, Some(verdict)),
                Err(error) => warn!("the kept value {key} cannot be read: {error}"),
            }
        }
    }
    values
}

/// What the store keeps for others: neither feeds' values nor verdicts.
pub(super) fn kept_of(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_ours = |key: &str| key.starts_with("feed/") || key.starts_with("verdict/");
    let others = values.iter().filter(|(key, _)| !is_ours(key));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}
