//! What the listeners count. Each counter has one writer, so counting needs no locked instruction.

use std::sync::Arc;

use crate::engine::stats::counters;

/// The counters of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// One per UDP thread, in the order of the addresses.
    pub udp: Vec<Arc<UdpCounters>>,
    /// The TCP thread's.
    pub tcp: Arc<TcpCounters>,
}

impl Counters {
    /// The UDP threads' counters, added up.
    pub fn udp_totals(&self) -> UdpTotals {
        let mut totals = UdpTotals::default();
        self.udp.iter().for_each(|thread| totals.add(thread));
        totals
    }

    /// The TCP thread's counters.
    pub fn tcp_totals(&self) -> TcpTotals {
        let mut totals = TcpTotals::default();
        totals.add(&self.tcp);
        totals
    }
}

counters! {
    /// What a UDP thread counts.
    UdpCounters, UdpTotals {
    /// Datagrams taken from the kernel, those too long included.
    received,
    /// Answers the kernel took.
    sent,
    /// Answers the kernel refused.
    send_errors,
    /// Receive calls that failed.
    receive_errors,
    /// Datagrams longer than our buffer, dropped unread.
    too_long,
    /// Times the answering code panicked; the batch it happened in was lost.
    panics,
    }
}

counters! {
    /// What the TCP thread counts.
    TcpCounters, TcpTotals {
    /// Connections accepted.
    accepted,
    /// Accept calls that failed.
    accept_errors,
    /// Connections that gave way to newer ones because a limit was reached.
    displaced,
    /// Connections closed because no whole query came in time.
    timed_out,
    /// Connections cut off because the client did not read its answers in time.
    cut_off,
    /// Connections closed because of a frame too short to be a query.
    malformed,
    /// Queries read.
    received,
    /// Answers made ready to send.
    answered,
    /// Times the answering code panicked; its connection was closed.
    panics,
    }
}
