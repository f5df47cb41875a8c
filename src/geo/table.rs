//! A prefix table of outcomes: one geo question, answered for every address at load.

use std::net::IpAddr;

/// What a table says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The outcome's number; its keys are [`Table::keys`]. None when no source knows the address.
    pub outcome: Option<u32>,
    /// The length of the widest aligned prefix around the address that has this outcome throughout.
    pub prefix_len: u8,
}

/// See the module's head.
pub struct Table {}

impl Table {
    /// Looks an address up.
    pub fn lookup(&self, _address: IpAddr) -> Found {
        unimplemented!()
    }

    /// An outcome's keys: one per target of the question.
    pub fn keys(&self, _outcome: u32) -> &[u16] {
        unimplemented!()
    }

    /// The outcome of the configured default place, where there is one this question can use.
    pub fn default_outcome(&self) -> Option<u32> {
        unimplemented!()
    }
}
