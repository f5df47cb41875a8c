//! What a worker counts.
//!
//! Each worker has its own counters and is the only one that writes them, so counting is a load and a
//! store without a lock on the bus; whoever reads adds the workers up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::queries::{Queries, Scopes};
use super::sample::Ring;
use super::shares::{Given, Shares};

/// Everything one worker counts. About 140 KiB, of which a query touches a few lines.
#[derive(Debug, Default)]
pub struct Stats {
    /// Totals.
    pub tally: Tally,
    /// Answers by listener, type and response code.
    pub queries: Queries,
    /// The scopes that client subnets were answered with.
    pub scopes: Scopes,
    /// How often each answer was given.
    pub shares: Shares,
    /// Some of the clients.
    pub ring: Ring,
}

/// The counters of every worker. Clones are of the same workers.
#[derive(Clone, Debug, Default)]
pub struct AllStats(Arc<Mutex<Vec<Arc<Stats>>>>);

impl AllStats {
    /// Counters for a new worker: those of one that panicked and is gone, or new ones. What was counted
    /// stays, so totals never fall.
    pub fn new_worker(&self) -> Arc<Stats> {
        let mut all = self.all();
        let is_left = |stats: &mut Arc<Stats>| Arc::get_mut(stats).is_some();
        if let Some(left) = all.iter_mut().position(is_left) {
            return all[left].clone();
        }
        all.push(Arc::default());
        all[all.len() - 1].clone()
    }

    /// The counters of each worker, in the order they started.
    pub fn workers(&self) -> Vec<Arc<Stats>> {
        self.all().clone()
    }

    /// The totals of all workers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.all().iter().for_each(|stats| totals.add(&stats.tally));
        totals
    }

    /// How often each answer was given by all workers, for as many slots as are asked for.
    pub fn given(&self, slots: usize) -> Vec<Given> {
        let mut given = vec![Given::default(); slots];
        self.all().iter().for_each(|stats| stats.shares.add_to(&mut given));
        given
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Stats>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    /// What a worker counts for every query.
    Tally, Totals {
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
    /// Of these, answers in which health stood aside.
    bypassed_health,
    /// Of these, answers in which load shedding stood aside.
    bypassed_shed,
    /// Of these, answers in which a fence stood aside.
    bypassed_fence,
    /// Load shedding removed an answer that was in play.
    shed,
    /// A drain had taken answers of the record out, for this client or for others.
    drained,
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
    /// Queries sampled for the query log.
    sampled,
    /// Of these, those whose entries were dropped because they were not written fast enough.
    sampled_dropped,
    }
}
