//! Swaps snapshots, frees the old ones, and uses again what is left of them.
//!
//! ```text
//! prepare -> (live values of what is touched) -> publish -> retired -> free -> spare -> prepare
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::engine::Snapshot;
use crate::engine::steering::Live;

/// Where snapshots are published.
///
/// A worker keeps the snapshot of its last query until it meets the next one, and would be the one to
/// free it, in the middle of a query. So the publisher keeps every old one until it holds the last
/// reference. A worker that is not asked keeps one old snapshot alive, of which everything that did not
/// change is shared with the new one.
///
/// The live table is one flat list, so that a query finds its values at once; copying it would count a
/// reference to each of thousands of values, and freeing the old one count them back. So a table that
/// nobody holds any more is brought up to date where it is behind, and is the next one: a change costs
/// what it changes.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Vec<Retired>,
    /// A live table that holds what the current one holds.
    spare: Option<Vec<Arc<Live>>>,
}

/// A snapshot that was replaced, and may still be held.
struct Retired {
    snapshot: Arc<Snapshot>,
    /// Where the current live table holds something else, each once or more; none if in too many places, or if
    /// it is of another load.
    behind: Option<Vec<u32>>,
}

impl Publisher {
    /// Publishes a first snapshot.
    pub fn new(first: Snapshot) -> Publisher {
        let current = Arc::new(ArcSwap::from_pointee(first));
        Publisher { current, retired: Vec::new(), spare: None }
    }

    /// Where workers load from.
    pub fn current(&self) -> Arc<ArcSwap<Snapshot>> {
        self.current.clone()
    }

    /// A snapshot that is as the current one, to be changed and published.
    pub fn prepare(&mut self) -> Snapshot {
        self.find_spare();
        let current = self.current.load();
        Snapshot {
            revision: current.revision,
            zones: current.zones.clone(),
            records: current.records.clone(),
            steerings: current.steerings.clone(),
            live: self.spare.take().unwrap_or_else(|| current.live.clone()),
            identity: current.identity.clone(),
        }
    }

    /// Replaces the current snapshot: the next packet sees the new one.
    pub fn publish(&mut self, next: Snapshot) {
        self.spare = None;
        self.retired.iter_mut().for_each(|old| old.behind = None);
        let snapshot = self.current.swap(Arc::new(next));
        self.retired.push(Retired { snapshot, behind: None });
        self.free_retired();
    }

    /// The same, of one that came from [`Publisher::prepare`]; its live table was changed in these places. What it
    /// replaces is not freed before [`Publisher::free_retired`]: whoever waits for the change does not wait for
    /// that.
    pub fn publish_changed(&mut self, next: Snapshot, changed: &[u32]) {
        self.spare = None;
        let behind_most = next.live.len() / 2;
        let snapshot = self.current.swap(Arc::new(next));
        self.retired.push(Retired { snapshot, behind: Some(Vec::new()) });
        for old in &mut self.retired {
            // One that is held for long is not kept account of for ever.
            old.behind = old.behind.take().filter(|behind| behind.len() + changed.len() <= behind_most);
            old.behind.iter_mut().for_each(|behind| behind.extend(changed));
        }
    }

    /// Frees what nobody holds any more. Call it now and then: a worker lets go with its next query.
    pub fn free_retired(&mut self) {
        self.find_spare();
        self.retired.retain(|old| Arc::strong_count(&old.snapshot) > 1);
    }

    /// Makes a spare table of the newest snapshot that nobody holds any more, if there is one.
    fn find_spare(&mut self) {
        let is_free = |old: &Retired| old.behind.is_some() && Arc::strong_count(&old.snapshot) == 1;
        let free = self.retired.iter().rposition(is_free).filter(|_| self.spare.is_none());
        let Some(Retired { snapshot, behind }) = free.map(|at| self.retired.swap_remove(at)) else { return };
        let Some(Snapshot { mut live, .. }) = Arc::into_inner(snapshot) else { return };
        let current = self.current.load();
        for at in behind.into_iter().flatten() {
            live[at as usize].clone_from(&current.live[at as usize]);
        }
        self.spare = Some(live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Answer, Chain, LiveMeta};
    use crate::engine::steering::Steering;
    use crate::engine::{Identity, Zones};

    /// Live values that are told by their drain.
    fn live(steering: &Steering, drained: u8) -> Arc<Live> {
        Live::new(steering, vec![LiveMeta::default()], vec![drained], vec![1.0])
    }

    fn drains(snapshot: &Snapshot) -> Vec<u8> {
        snapshot.live.iter().map(|live| live.drained[0]).collect()
    }

    /// Whoever holds a snapshot goes on seeing what was in it, and the newest has every change, whichever table
    /// it was made in.
    #[test]
    fn tables_are_used_again_and_nobody_sees_it() {
        const STEERINGS: usize = 40;
        let mut random = fastrand::Rng::with_seed(7);
        let steering = |_| Steering::new(vec![Answer::default()], Chain::new(Vec::new()), 0.0, 0);
        let steerings: Vec<Steering> = (0..STEERINGS).map(steering).collect();
        let first = Snapshot {
            revision: 0,
            zones: Arc::new(Zones::build(Vec::new())),
            records: Arc::default(),
            live: steerings.iter().map(|steering| live(steering, 0)).collect(),
            steerings: Arc::new(steerings),
            identity: Arc::new(Identity::default()),
        };
        let mut publisher = Publisher::new(first);
        let mut expected = vec![0; STEERINGS];
        let mut held: Vec<(Arc<Snapshot>, Vec<u8>)> = Vec::new();
        let mut used_again = 0;
        for round in 0..2000_u64 {
            let mut next = publisher.prepare();
            next.revision = round;
            assert_eq!(drains(&next), expected, "round {round}");
            let changed: Vec<u32> = (0..random.u32(..6)).map(|_| random.u32(..STEERINGS as u32)).collect();
            for &at in &changed {
                let at = at as usize;
                expected[at] = random.u8(..100);
                next.live[at] = live(&next.steerings[at], expected[at]);
            }
            match random.u8(..20) {
                0 => publisher.publish(next),
                _ => publisher.publish_changed(next, &changed),
            }
            held.push((publisher.current().load_full(), expected.clone()));
            while random.bool() && !held.is_empty() {
                held.swap_remove(random.usize(..held.len()));
            }
            if random.bool() {
                publisher.free_retired();
                used_again += usize::from(publisher.spare.is_some());
            }
            for (snapshot, expected) in &held {
                assert_eq!(drains(snapshot), *expected, "held from revision {}", snapshot.revision);
            }
        }
        assert!(used_again > 100, "{used_again}");
        held.clear();
        publisher.free_retired();
        assert!(publisher.retired.is_empty());
    }
}
