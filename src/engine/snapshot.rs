//! What is served: one immutable value, stored by one task, loaded once per query.

use std::sync::Arc;

use super::Zones;
use super::steering::{Live, Record, Steering};

/// Everything a query is answered from.
pub struct Snapshot {
    /// Which state of the model this is.
    pub revision: u64,
    /// Static data.
    pub zones: Arc<Zones>,
    /// Steered records.
    pub records: Arc<Vec<Record>>,
    /// What the records answer with.
    pub steerings: Arc<Vec<Steering>>,
    /// The fast-changing part of each steering.
    pub live: Vec<Arc<Live>>,
    /// How the server presents itself.
    pub identity: Arc<Identity>,
}

/// How the server presents itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// NSID (RFC 5001) and `id.server` (RFC 4892); empty hides it.
    pub id: Vec<u8>,
    /// `version.bind` and `version.server`; empty hides it.
    pub version: Vec<u8>,
    /// The largest UDP response, in octets.
    pub udp_octets_max: u16,
}
