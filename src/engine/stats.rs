//! What a worker counts.
//!
//! Each worker has its own counters and is the only one that writes them, so counting is a load and a
//! store without a lock on the bus; whoever reads adds the workers up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread raises and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one. Only the counter's one writer may call it.
    #[inline]
    pub fn add(&self) {
        self.add_many(1);
    }

    /// Adds a number. Only the counter's one writer may call it: then a load and a store, a third of the
    /// price of a locked addition, lose nothing.
    #[inline]
    pub fn add_many(&self, more: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more as u64), Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters of one thread, and their sums over all threads.
macro_rules! counters {
    ($(#[doc = $about:literal])+ $counters:ident, $totals:ident { $($(#[doc = $doc:literal])+ $name:ident),+ $(,)? }) => {
        $(#[doc = $about])+
        ///
        /// The alignment is two cache lines, which is what the prefetcher takes: threads share none.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $counters { $($(#[doc = $doc])+ pub $name: $crate::engine::stats::Counter,)+ }

        /// The same, added up over all threads.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct $totals { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl $totals {
            /// Adds one thread's counters.
            pub fn add(&mut self, counters: &$counters) {
                $(self.$name += counters.$name.get();)+
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// What a worker counts.
    Stats, Totals {
    /// Packets over UDP.
    udp,
    /// Messages over TCP.
    tcp,
    /// Packets not answered.
    dropped,
    /// Answers with NOERROR.
    noerror,
    /// Answers with NXDOMAIN.
    nxdomain,
    /// Answers with REFUSED.
    refused,
    /// Answers with FORMERR, NOTIMP or BADVERS, and REFUSED to NOTIFY and UPDATE.
    rejected,
    /// Answers with TC set.
    truncated,
    /// Queries with EDNS.
    edns,
    /// Queries with a client subnet.
    ecs,
    /// Answers to a client subnet that hold for a part of the address space only.
    scoped,
    /// Answers of steered records.
    steered,
    /// Clients no database knows, placed by the resolver's address.
    placed_by_resolver,
    /// Clients placed by `default_place`.
    placed_by_default,
    /// Clients placed by nothing: the record's order stood.
    placed_by_nothing,
    /// A filter stood aside because it would have removed everything.
    bypassed,
    /// A drain's or a split's coin mattered to the answer.
    coins,
    /// The scope was narrowed to the record's spread.
    spread,
    /// Answers from the rung of last resort: undrained but down.
    rung_down,
    /// Answers from the rung of last resort: drained for a part of the clients.
    rung_partly_drained,
    /// Answers from the rung of last resort: drained.
    rung_drained,
    }
}
