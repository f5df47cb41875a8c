//! RRsets as the RFCs want them: no record twice, one TTL.

use std::collections::{HashMap, HashSet};

use super::ZoneRecord;
use super::rdata::canonical;
use crate::files::Problem;
use crate::wire::Name;

/// Gives every RRset its lowest TTL and drops records that say the same twice; each with a warning.
pub(super) fn settle(records: &mut Vec<ZoneRecord>, problems: &mut Vec<Problem>) {
    let mut firsts: HashMap<(&Name, u16), usize> = HashMap::with_capacity(records.len());
    // Only the few RRsets with several records cost a list.
    let mut sets: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        let first = *firsts.entry((&record.owner, record.record_type)).or_insert(index);
        if first != index {
            sets.entry(first).or_insert_with(|| vec![first]).push(index);
        }
    }
    let mut lower = Vec::new();
    let mut twice = HashSet::new();
    for set in sets.into_values() {
        let first = &records[set[0]];
        let lowest = set.iter().map(|&index| records[index].ttl).min().unwrap_or(first.ttl);
        if let Some(&other) = set.iter().find(|&&index| records[index].ttl != first.ttl) {
            problems.push(records[other].warning(format!(
                "TTL {} differs from {} on {}; an RRset has one TTL (RFC 2181 section 5.2) and {lowest} is used",
                records[other].ttl,
                first.ttl,
                first.seen_from(&records[other])
            )));
            lower.extend(set.iter().map(|&index| (index, lowest)));
        }
        let mut seen = HashMap::with_capacity(set.len());
        for index in set {
            let record = &records[index];
            if let Some(earlier) = seen.insert(canonical(record.record_type, &record.rdata), record) {
                let message = format!("it says the same as {}; one is enough", earlier.seen_from(record));
                problems.push(record.warning(message));
                twice.insert(index);
            }
        }
    }
    for (index, ttl) in lower {
        records[index].ttl = ttl;
    }
    if !twice.is_empty() {
        let mut keep = (0..).map(|index| !twice.contains(&index));
        records.retain(|_| keep.next() != Some(false));
    }
}
