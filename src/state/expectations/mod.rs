//! What the operator expects of the routing, kept beside the chains: `filter-chains/*.test.toml`.
//!
//! ```text
//! *.test.toml + snapshot -> read: Test (unknown fields, records, PoPs are problems, with their lines)
//! Test: clients, drains, splits, values -> suppose -> the serving walk -> what is not as expected
//! ```
//!
//! The format is in `docs/configuration.md`, "Tests of routing". A test asks as packets would: who gets what
//! by [`crate::engine::steering::steer`], and what stands in the response by [`crate::engine::explain`].
//!
//! Deliberately absent: sockets, and anything of a running server. A test is true of the files.

mod read;
mod run;

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::RecordType;

pub use read::read;
pub use run::{Difference, explanation, run};

use super::chains::Place;
use super::whatif::WhatIf;
use crate::wire::Name;

/// One `[[test]]`.
#[derive(Clone, Debug)]
pub struct Test {
    /// Where it is written.
    pub place: Place,
    /// What it says in words.
    pub name: String,
    /// The name that is asked for.
    pub record: Name,
    /// The type that is asked for.
    pub qtype: RecordType,
    /// Who asks; empty for a resolver that sends no subnet.
    pub clients: Vec<(IpAddr, u8)>,
    /// The packet's address.
    pub resolver: IpAddr,
    /// What is supposed.
    pub what_if: WhatIf,
    /// What is expected.
    pub expect: Expect,
    /// The steered record of that name: its place in the snapshot that the test was read for.
    record_index: usize,
}

/// What is expected; what is not written is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// All PoPs that anybody gets.
    pub pops: Option<BTreeSet<String>>,
    /// All stacks that anybody gets.
    pub stacks: Option<BTreeSet<String>>,
    /// All answers that anybody gets, by name.
    pub answers: Option<BTreeSet<String>>,
    /// All IPv4 addresses, IPv6 addresses and CNAME targets in the responses.
    pub data: Vec<(RecordType, BTreeSet<String>)>,
    /// The ECS scope of every response.
    pub scope: Option<u8>,
    /// The response code of every response.
    pub rcode: Option<String>,
    /// The share of the responses that have a PoP, stack or answer, from and to, in percent.
    pub shares: Vec<(String, f64, f64)>,
    /// PoPs, stacks and answers that nobody gets.
    pub never: Vec<String>,
}
