//! Query bytes to response bytes.
//!
//! ```text
//! packet -> Worker::answer -> wire::Query -> Zones::find -> an RRset, a referral, NODATA, NXDOMAIN
//!                                                        -> a steered record: steering -> chain -> addresses
//!        <- wire::Writer   <- everything from one Snapshot, loaded once per query
//! ```
//!
//! The walk never allocates, waits, locks or fails. Deliberately absent: sockets and clocks (the
//! listeners' and the publisher's), recursion, zone transfers, DNSSEC.

mod counting;
pub mod explain;
pub mod peer;
pub mod queries;
pub mod query_log;
pub mod sample;
pub mod shares;
pub mod snapshot;
pub mod stats;
pub mod steering;
pub mod worker;
pub mod zones;

pub use peer::{Peer, Reply, Transport};
pub use snapshot::{Identity, Snapshot};
pub use stats::{AllStats, Stats, Totals};
pub use worker::Worker;
pub use zones::Zones;
