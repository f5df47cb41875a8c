//! What the listeners count. Each counter has one writer, so counting needs no locked instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread raises and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Only ever called by the counter's one writer: a load and a store, a third of the price of a
    /// locked addition, lose nothing then.
    pub(super) fn add(&self, more: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more as u64), Relaxed);
    }
}

/// The counters of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// One per UDP thread, in the order of the addresses.
    pub udp: Vec<Arc<UdpCounters>>,
    /// The TCP thread's.
    pub tcp: Arc<TcpCounters>,
}

impl Counters {
    /// One UDP counter, over all threads.
    pub fn udp_total(&self, counter: impl Fn(&UdpCounters) -> &Count) -> u64 {
        self.udp.iter().map(|thread| counter(thread).get()).sum()
    }
}

/// Aligned to two cache lines, which is what the prefetcher fetches: threads do not share them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct UdpCounters {
    /// Datagrams taken from the kernel, those too long included.
    pub received: Count,
    /// Answers the kernel took.
    pub sent: Count,
    /// Answers the kernel refused.
    pub send_errors: Count,
    /// Receive calls that failed.
    pub receive_errors: Count,
    /// Datagrams longer than our buffer, dropped unread.
    pub too_long: Count,
    /// Times the answering code panicked; the batch it happened in was lost.
    pub panics: Count,
}

/// What the TCP thread counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TcpCounters {
    /// Connections accepted.
    pub accepted: Count,
    /// Accept calls that failed.
    pub accept_errors: Count,
    /// Connections that gave way to newer ones because a limit was reached.
    pub displaced: Count,
    /// Connections closed because no whole query came in time.
    pub timed_out: Count,
    /// Connections cut off because the client did not read its answers in time.
    pub cut_off: Count,
    /// Connections closed because of a frame too short to be a query.
    pub malformed: Count,
    /// Queries read.
    pub received: Count,
    /// Answers made ready to send.
    pub answered: Count,
    /// Times the answering code panicked; its connection was closed.
    pub panics: Count,
}
