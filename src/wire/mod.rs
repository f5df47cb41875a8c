//! Bytes to and from DNS messages.
//!
//! ```text
//! packet -> Query::parse (header, question, EDNS) -> engine -> Writer (sections, compression, truncation) -> bytes
//! ```
//!
//! Nothing here allocates or fails: what cannot be read is a [`query::Malformed`] that says how to answer,
//! and what does not fit is truncation. Deliberately absent: record data as types. Zones are rendered to
//! bytes at load, and hickory-proto is the oracle in tests.

pub mod edns;
pub mod name;
pub mod query;
pub mod writer;

pub use edns::{Edns, Subnet};
pub use name::{Name, NameError};
pub use query::{Malformed, Qname, Query};
pub use writer::Writer;

/// Record types the server itself has to know (IANA, DNS parameters).
pub mod record_type {
    #![expect(missing_docs, reason = "the names are the documentation")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Class IN (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;
/// Class CH, in which servers answer about themselves (RFC 1035 section 3.2.4).
pub const CLASS_CH: u16 = 3;

/// Response codes, the extended ones of EDNS included (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// Two octets in network order; the caller has checked that they are there.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
