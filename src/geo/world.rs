//! Every source folded into sorted ranges of places.

use std::sync::Arc;

use ipnet::IpNet;

use super::{Location, Table};

/// All sources, merged.
pub struct World {}

/// Compiles questions about places into tables; a question asked twice is compiled once.
pub struct Questions<'w> {
    _world: &'w World,
}

impl Questions<'_> {
    /// A question about locations. `identity` names the question: two that share it share a table.
    /// `outcome` gives one key per target, or nothing where the location does not help it.
    /// It is called once per distinct location, with the default place too.
    pub fn by_location(
        &self,
        _identity: &str,
        _outcome: &dyn Fn(&Location) -> Option<Vec<u16>>,
    ) -> Arc<Table> {
        unimplemented!()
    }

    /// A question about autonomous systems; otherwise as [`Questions::by_location`].
    pub fn by_asn(&self, _identity: &str, _outcome: &dyn Fn(u32) -> Option<Vec<u16>>) -> Arc<Table> {
        unimplemented!()
    }

    /// A question about networks alone, which no source answers: `targets` are lists of networks, and
    /// a target's key is 1 where one of its networks covers the address, else 0. Every address has an outcome.
    pub fn by_network(&self, _identity: &str, _targets: &[&[IpNet]]) -> Arc<Table> {
        unimplemented!()
    }
}
