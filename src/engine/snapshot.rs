//! What is served: one immutable value, stored by one task, loaded once per query.

use std::sync::Arc;

use super::Zones;
use super::steering::{Live, Record, Steering};
use crate::wire::{Qname, Rcode, Writer, record_type};

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

impl Identity {
    /// `version.bind`, `version.server` and `id.server` in class CH (RFC 4892), where configured.
    pub fn answer(&self, qname: &Qname, qtype: u16, writer: &mut Writer) -> Rcode {
        let text = match qname.lower() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &self.version,
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &self.id,
            _ => return Rcode::Refused,
        };
        if text.is_empty() {
            return Rcode::Refused;
        }
        writer.set_authoritative();
        if matches!(qtype, record_type::TXT | record_type::ANY) && writer.text_of_chaos(text).is_err() {
            writer.set_truncated();
        }
        Rcode::NoError
    }
}
