//! Live values that are supposed: what would be served if these drains, splits and values were so.
//!
//! Unlike [`super::live`], which compiles what is wanted and said, this asks nothing of a model: a value counts
//! whether the files give it a feed or not, so that a test can say what is not so yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{LiveValues, Scope};
use crate::chain::{Answer, LiveMeta};
use crate::engine::Snapshot;
use crate::engine::steering::Live;

/// What is supposed, on top of what a snapshot has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhatIf {
    /// Drains: what they take out, and for how many of a hundred clients.
    pub drains: Vec<(Scope, u8)>,
    /// Weights of the stacks of a pool at a PoP; a stack that is not named keeps its weight.
    pub splits: Vec<(String, String, BTreeMap<String, f64>)>,
    /// What feeds say of answers; of two values for one answer the later counts.
    pub values: Vec<(Scope, LiveValues)>,
}

impl WhatIf {
    /// Whether nothing is supposed.
    pub fn is_empty(&self) -> bool {
        self.drains.is_empty() && self.splits.is_empty() && self.values.is_empty()
    }
}

/// The snapshot as it would be.
pub fn suppose(snapshot: &Snapshot, what_if: &WhatIf) -> Snapshot {
    Snapshot {
        revision: snapshot.revision,
        zones: snapshot.zones.clone(),
        records: snapshot.records.clone(),
        steerings: snapshot.steerings.clone(),
        live: live_values(snapshot, what_if),
        identity: snapshot.identity.clone(),
    }
}

/// The live values of every steering, as they would be.
fn live_values(snapshot: &Snapshot, what_if: &WhatIf) -> Vec<Arc<Live>> {
    let mut supposed = Vec::with_capacity(snapshot.live.len());
    for (steering, live) in snapshot.steerings.iter().zip(&snapshot.live) {
        let (mut meta, mut drained, mut split) =
            (live.meta.clone(), live.drained.clone(), live.split.clone());
        for (index, answer) in steering.answers.iter().enumerate() {
            for (scope, percent) in &what_if.drains {
                if covers(scope, answer) {
                    drained[index] = drained[index].max(*percent);
                }
            }
            for (pool, pop, weights) in &what_if.splits {
                let weight = answer.stack.as_ref().and_then(|stack| weights.get(stack));
                let is_there = answer.pool.as_ref() == Some(pool) && answer.pop.as_ref() == Some(pop);
                if let Some(weight) = weight.filter(|_| is_there) {
                    split[index] = *weight;
                }
            }
            for (scope, values) in &what_if.values {
                if covers(scope, answer) {
                    say(&mut meta[index], values);
                }
            }
        }
        supposed.push(Live::new(steering, meta, drained, split));
    }
    supposed
}

/// Whether an answer is in a scope. One that a record has by itself may be named without the record.
pub fn covers(scope: &Scope, answer: &Answer) -> bool {
    if let Some(name) = &scope.answer {
        return *name == answer.id || *name == answer.name;
    }
    let fields = [(&scope.pop, &answer.pop), (&scope.pool, &answer.pool), (&scope.stack, &answer.stack)];
    let is_any = fields.iter().any(|(wanted, _)| wanted.is_some());
    is_any && fields.iter().all(|(wanted, has)| wanted.is_none() || wanted == has)
}

/// Lays a feed's values over an answer's meta.
fn say(meta: &mut LiveMeta, values: &LiveValues) {
    meta.up.feed = values.up.or(meta.up.feed);
    meta.loadavg = values.loadavg.or(meta.loadavg);
    meta.connections = values.connections.or(meta.connections);
    meta.requests = values.requests.or(meta.requests);
    meta.low_watermark = values.low_watermark.or(meta.low_watermark);
    meta.high_watermark = values.high_watermark.or(meta.high_watermark);
    meta.weight = values.weight.or(meta.weight);
    meta.priority = values.priority.or(meta.priority);
    meta.cost = values.cost.or(meta.cost);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_conjunction_or_one_answer() {
        let answer = Answer {
            id: "wss/dublin/envoy".into(),
            name: "wss/dublin/envoy".into(),
            pool: Some("wss".into()),
            pop: Some("dublin".into()),
            stack: Some("envoy".into()),
            ..Answer::default()
        };
        let own = Answer { id: "x.example/one".into(), name: "one".into(), ..Answer::default() };
        let scope = |pop: &str, stack: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
            Scope { pop: some(pop), stack: some(stack), ..Scope::default() }
        };
        let cases =
            [("dublin", "", true), ("", "envoy", true), ("dublin", "haproxy", false), ("", "", false)];
        for (pop, stack, expect) in cases {
            assert_eq!(covers(&scope(pop, stack), &answer), expect, "{pop} {stack}");
        }
        let named = |name: &str| Scope { answer: Some(name.into()), ..Scope::default() };
        assert!(covers(&named("wss/dublin/envoy"), &answer));
        assert!(covers(&named("x.example/one"), &own) && covers(&named("one"), &own));
        assert!(!covers(&named("y.example/one"), &own));
    }
}
