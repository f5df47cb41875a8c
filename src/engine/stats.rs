//! What a worker counts.
//!
//! Each worker has its own counters and is the only one that writes them, so counting is a load and a
//! store without a lock on the bus; whoever reads adds the workers up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// One number, written by one worker.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one. Only the owning worker may call it.
    #[inline]
    pub fn add(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// The counters of one worker. The alignment keeps two workers off one cache line.
        #[derive(Default)]
        #[repr(align(128))]
        pub struct Stats { $($(#[doc = $doc])+ pub $name: Counter,)+ }

        /// The counters of every worker, added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Totals { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Totals {
            /// Adds a worker's counters.
            pub fn add(&mut self, stats: &Stats) {
                $(self.$name += stats.$name.get();)+
            }
        }
    };
}

counters! {
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
