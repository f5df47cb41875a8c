//! An answer and its meta: what filters read.
//!
//! Geographic meta is fixed when the chain is compiled; live meta changes while we serve.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::geo::{Coordinates, Country, Georegion, Subdivision};
use crate::wire::Name;

/// One candidate of a record: a PoP's addresses (of one stack), or a CNAME target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What the operator calls it: `pool/PoP/stack`, or what the file says.
    pub name: String,
    /// Its identity: `pool/PoP/stack`, whichever record gives it, or `record/answer` where it is a record's
    /// own. Drains, feeds and monitors name it, and it is counted as this.
    pub id: String,
    /// The slot it is counted in.
    pub slot: u32,
    /// The pool it belongs to, if any.
    pub pool: Option<String>,
    /// The site it stands at, if any.
    pub pop: Option<String>,
    /// The load balancer generation, if any.
    pub stack: Option<String>,
    /// The number of its group in the record; answers without one share a number of their own.
    pub group: u16,
    /// The name of its group, if any.
    pub group_name: Option<String>,
    /// IPv4 addresses.
    pub a: Vec<Ipv4Addr>,
    /// IPv6 addresses.
    pub aaaa: Vec<Ipv6Addr>,
    /// The target of a CNAME answer, whole.
    pub cname: Option<Name>,
    /// What its place is.
    pub meta: Meta,
}

/// Meta that is compiled into tables (NS1: `country`, `subdivisions`, `georegion`, `latitude`,
/// `longitude`, `asn`, `ip_prefixes`, `note`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Countries it serves.
    pub country: Vec<Country>,
    /// Subdivisions it serves (ISO 3166-2; `us_state` and `ca_province` are spellings of it).
    pub subdivisions: Vec<(Country, Subdivision)>,
    /// Georegions it serves.
    pub georegion: Vec<Georegion>,
    /// Where it stands.
    pub coordinates: Option<Coordinates>,
    /// The country its coordinates lie in, when that is known (a PoP's own).
    pub home: Option<Country>,
    /// Networks it serves.
    pub ip_prefixes: Vec<IpNet>,
    /// Autonomous systems it serves.
    pub asn: Vec<u32>,
    /// A word of the operator; no filter reads it.
    pub note: Option<String>,
}

/// Meta that changes while we serve.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LiveMeta {
    /// Whether it is up.
    pub up: Up,
    /// Load average, in the operator's unit.
    pub loadavg: Option<f64>,
    /// Open connections.
    pub connections: Option<f64>,
    /// Requests, in the operator's unit.
    pub requests: Option<f64>,
    /// Load up to which nothing is shed.
    pub low_watermark: Option<f64>,
    /// Load from which everything is shed.
    pub high_watermark: Option<f64>,
    /// Relative weight for weighted filters; unset counts as 1.
    pub weight: Option<f64>,
    /// Preference, lowest first; unset comes last.
    pub priority: Option<u32>,
    /// Cost, lowest first; unset comes last.
    pub cost: Option<f64>,
}

/// `up` is a conjunction of its sources; unset ones do not count (DESIGN, decision 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Up {
    /// What the file says.
    pub literal: Option<bool>,
    /// What a feed says.
    pub feed: Option<bool>,
    /// What the monitors say.
    pub verdict: Option<bool>,
}

impl Up {
    /// Whether no source says it is down.
    #[inline]
    pub fn is_up(self) -> bool {
        // Spelled out because every query asks it of every answer.
        self.literal != Some(false) && self.feed != Some(false) && self.verdict != Some(false)
    }

    /// The first source that says it is down.
    #[inline]
    pub fn said_no(self) -> Option<&'static str> {
        self.said(false)
    }

    /// The first source that says it is up.
    pub fn said_yes(self) -> Option<&'static str> {
        self.said(true)
    }

    fn said(self, word: bool) -> Option<&'static str> {
        let sources = [("meta", self.literal), ("feed", self.feed), ("monitor", self.verdict)];
        sources.into_iter().find(|(_, up)| *up == Some(word)).map(|(name, _)| name)
    }
}
