//! What was asked, how it came, and how it was answered: one number for each combination.
//!
//! The combinations are bounded whatever anybody sends: a type that is not in the table is `other`, and a
//! question that could not be read is `none`.

use super::Transport;
use super::stats::Counter;
use crate::wire::{Rcode, record_type};

/// Types that are counted apart. What is asked a lot, what attacks are made of, and what tells of a
/// misconfigured client.
const TYPES: [(u16, &str); 16] = [
    (record_type::A, "A"),
    (record_type::NS, "NS"),
    (record_type::CNAME, "CNAME"),
    (record_type::SOA, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (record_type::TXT, "TXT"),
    (record_type::AAAA, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (record_type::DS, "DS"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (record_type::AXFR, "AXFR"),
    (record_type::ANY, "ANY"),
];
/// The column of a type that is not in the table.
const OTHER: usize = TYPES.len();
/// The column of a question that could not be read.
const NONE: usize = TYPES.len() + 1;
/// Columns of types, and of response codes.
const WIDTH: (usize, usize) = (TYPES.len() + 2, 7);

/// The column of each type below 256, so that counting is a look-up.
const COLUMN: [u8; 256] = {
    let mut columns = [OTHER as u8; 256];
    let mut at = 0;
    while at < TYPES.len() {
        columns[TYPES[at].0 as usize] = at as u8;
        at += 1;
    }
    columns
};

/// The columns of response codes. Those that we send are below 6, but for one.
const RCODES: [&str; WIDTH.1] =
    ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "BADVERS"];

/// How they came.
const LISTENERS: [&str; 2] = ["udp", "tcp"];

/// The answered queries of one worker.
#[derive(Debug)]
pub struct Queries(Box<[Counter]>);

impl Default for Queries {
    fn default() -> Queries {
        Queries((0..LISTENERS.len() * WIDTH.0 * WIDTH.1).map(|_| Counter::default()).collect())
    }
}

impl Queries {
    /// Counts an answer; the type is that of the question, where there was one.
    #[inline]
    pub fn add(&self, transport: Transport, qtype: Option<u16>, rcode: Rcode) {
        let listener = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
        };
        let column = match qtype {
            Some(qtype) => COLUMN.get(usize::from(qtype)).map_or(OTHER, |&column| usize::from(column)),
            None => NONE,
        };
        let rcode = (rcode as usize).min(RCODES.len() - 1);
        self.0[(listener * WIDTH.0 + column) * WIDTH.1 + rcode].add();
    }
}

/// The answered queries of all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryTotals(Vec<u64>);

impl Default for QueryTotals {
    fn default() -> QueryTotals {
        QueryTotals(vec![0; LISTENERS.len() * WIDTH.0 * WIDTH.1])
    }
}

impl QueryTotals {
    /// Adds one worker's.
    pub fn add(&mut self, queries: &Queries) {
        self.0.iter_mut().zip(&queries.0).for_each(|(total, counter)| *total += counter.get());
    }

    /// What has been counted at all: listener, type, response code, and how often.
    pub fn counted(&self) -> impl Iterator<Item = ([&'static str; 3], u64)> {
        let counts = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(at, count)| {
            let column = at / WIDTH.1 % WIDTH.0;
            let qtype = match column {
                OTHER => "other",
                NONE => "none",
                _ => TYPES[column].1,
            };
            ([LISTENERS[at / WIDTH.1 / WIDTH.0], qtype, RCODES[at % WIDTH.1]], *count)
        })
    }
}

/// Scopes of IPv4 are 0 to 32, of IPv6 0 to 128.
const BITS: (usize, usize) = (33, 129);

/// The scopes one worker has answered client subnets with.
#[derive(Debug)]
pub struct Scopes(Box<[Counter]>);

impl Default for Scopes {
    fn default() -> Scopes {
        Scopes((0..BITS.0 + BITS.1).map(|_| Counter::default()).collect())
    }
}

impl Scopes {
    /// Counts a scope.
    #[inline]
    pub fn add(&self, is_ipv4: bool, scope: u8) {
        let at = if is_ipv4 {
            usize::from(scope).min(BITS.0 - 1)
        } else {
            BITS.0 + usize::from(scope).min(BITS.1 - 1)
        };
        self.0[at].add();
    }
}

/// The scopes all workers have answered client subnets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeTotals {
    /// How many answers to an IPv4 subnet had a scope of so many bits.
    pub v4: Vec<u64>,
    /// The same for IPv6.
    pub v6: Vec<u64>,
}

impl Default for ScopeTotals {
    fn default() -> ScopeTotals {
        ScopeTotals { v4: vec![0; BITS.0], v6: vec![0; BITS.1] }
    }
}

impl ScopeTotals {
    /// Adds one worker's.
    pub fn add(&mut self, scopes: &Scopes) {
        let totals = self.v4.iter_mut().chain(&mut self.v6);
        totals.zip(&scopes.0).for_each(|(total, counter)| *total += counter.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_number_of_its_own() {
        let rcodes = [
            Rcode::NoError,
            Rcode::FormErr,
            Rcode::ServFail,
            Rcode::NxDomain,
            Rcode::NotImp,
            Rcode::Refused,
            Rcode::BadVers,
        ];
        let types = TYPES.map(|(number, _)| Some(number)).into_iter().chain([None, Some(65_280)]);
        let queries = Queries::default();
        let mut expected = 0;
        for qtype in types {
            for transport in [Transport::Udp, Transport::Tcp] {
                for rcode in rcodes {
                    queries.add(transport, qtype, rcode);
                    expected += 1;
                }
            }
        }
        // A type beyond the table of columns, and one inside that has no name here, go together.
        queries.add(Transport::Tcp, Some(13), Rcode::Refused);
        let mut totals = QueryTotals::default();
        totals.add(&queries);
        let counted: Vec<_> = totals.counted().collect();
        assert_eq!(counted.len(), expected);
        for (labels, count) in counted {
            assert_eq!(count, if labels == ["tcp", "other", "REFUSED"] { 2 } else { 1 }, "{labels:?}");
        }
    }

    #[test]
    fn scopes_are_counted_by_family() {
        let scopes = Scopes::default();
        for (is_ipv4, scope) in [(true, 0), (true, 24), (true, 32), (false, 0), (false, 56), (false, 128)] {
            scopes.add(is_ipv4, scope);
        }
        let mut totals = ScopeTotals::default();
        totals.add(&scopes);
        let bits = |counts: &[u64]| (0..counts.len()).filter(|&bits| counts[bits] > 0).collect::<Vec<_>>();
        assert_eq!((bits(&totals.v4), bits(&totals.v6)), (vec![0, 24, 32], vec![0, 56, 128]));
    }
}
