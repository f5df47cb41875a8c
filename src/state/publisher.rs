//! Swaps snapshots, and frees the old ones.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::engine::Snapshot;

/// Where snapshots are published.
///
/// A worker keeps the snapshot of its last query until it meets the next one, and would be the one to
/// free it, in the middle of a query. So the publisher keeps every old one until it holds the last
/// reference. A worker that is not asked keeps one old snapshot alive, of which everything that did not
/// change is shared with the new one.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Vec<Arc<Snapshot>>,
}

impl Publisher {
    /// Publishes a first snapshot.
    pub fn new(first: Snapshot) -> Publisher {
        Publisher { current: Arc::new(ArcSwap::from_pointee(first)), retired: Vec::new() }
    }

    /// Where workers load from.
    pub fn current(&self) -> Arc<ArcSwap<Snapshot>> {
        self.current.clone()
    }

    /// Replaces the current snapshot: the next packet sees the new one.
    pub fn publish(&mut self, next: Snapshot) {
        self.retired.push(self.current.swap(Arc::new(next)));
        self.free_retired();
    }

    /// Frees what no worker holds any more. Call it now and then: a worker lets go with its next query.
    pub fn free_retired(&mut self) {
        self.retired.retain(|old| Arc::strong_count(old) > 1);
    }
}
