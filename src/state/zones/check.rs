//! What a zone must have, what it must not, and where it points.

use std::collections::{BTreeMap, HashSet};

use super::aliases;
use super::types::{A, AAAA, CNAME, DS, MX, NS, SOA, SRV, type_name};
use super::view::{Found, View, Views};
use super::{ZoneRecord, ZoneText};
use crate::files::Problem;
use crate::wire::Name;

/// Octets that the records of one answer may take, counted as [`RECORD_OCTETS`] and their data: what the
/// largest message (RFC 1035 section 4.2.2) has left beside its header, the longest question, and an OPT
/// record with a whole subnet and the longest identity.
pub const RRSET_OCTETS_MAX: usize = 65_535 - 12 - 259 - 239;
/// Octets of a record beside its data: a pointer to its owner, type, class, TTL and length.
pub const RECORD_OCTETS: usize = 12;

/// Checks all zones, each by itself and together. `is_steered` says which names have addresses that do
/// not stand in the files, and so are not missing.
pub fn check_zones(zones: &[ZoneText], is_steered: &dyn Fn(&Name) -> bool, problems: &mut Vec<Problem>) {
    let before = problems.len();
    let views = Views::new(zones);
    for view in &views.views {
        check_apex(&views, view, problems);
        check_names(view, problems);
        check_cuts(view, problems);
        check_targets(&views, view, is_steered, problems);
    }
    aliases::check(&views, is_steered, problems);
    problems[before..].sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
}

/// The zone as a whole: one SOA and name servers at its apex, and no other file with the same zone.
fn check_apex(views: &Views, view: &View, problems: &mut Vec<Problem>) {
    let zone = view.zone;
    let whole =
        |message: String| Problem::error(&zone.file, None, message).of(format!("zone {}", zone.origin));
    if let Some(first) = views.at_apex(&zone.origin).filter(|first| !std::ptr::eq(*first, view)) {
        let message = format!("{} holds this zone too; keep one of them", first.zone.file.display());
        problems.push(whole(message));
    }
    let mut first = None;
    for record in zone.records.iter().filter(|record| record.record_type == SOA) {
        if record.owner != zone.origin {
            problems
                .push(record.error(format!("a SOA stands at the apex only; write it at {}", zone.origin)));
        } else if let Some(first) = first.replace(record) {
            problems
                .push(record.error(format!("{} has one too; a zone has one SOA", first.seen_from(record))));
        }
    }
    // What is missing may stand in a line that could not be read, which is a problem already.
    if zone.complete && !view.has_type(&zone.origin, SOA) {
        problems.push(whole(
            "there is no SOA; write @ SOA ns1.example.com. hostmaster.example.com. 1 2h 15m 14d 5m".into(),
        ));
    }
    if zone.complete && !view.has_type(&zone.origin, NS) {
        problems.push(whole("there is no NS at the apex; write @ NS ns1.example.com., at least one".into()));
    }
    let parent = views.parent_of(zone).filter(|parent| {
        let apex = &zone.origin;
        parent.zone.complete
            && !parent.has_type(apex, NS)
            && parent.cut_above(apex).is_none_or(|cut| cut == apex)
    });
    if let Some(parent) = parent {
        let message = format!(
            "{} does not delegate this zone; write its NS records there too",
            parent.zone.file.display()
        );
        problems.push(Problem::warning(&zone.file, None, message).of(format!("zone {}", zone.origin)));
    }
}

/// Each name by itself: inside the zone, and with types that go together.
fn check_names(view: &View, problems: &mut Vec<Problem>) {
    let apex = &view.zone.origin;
    for record in &view.outside {
        let message = format!("it lies outside of the zone {apex}; write it into its own zone's file");
        problems.push(record.error(message));
    }
    for (name, records) in view.names() {
        check_sizes(records, problems);
        let of_type = |record_type| records.iter().filter(move |record| record.record_type == record_type);
        if name.labels().skip(1).any(|label| label == b"*") {
            let message = "a `*` that is not the first label is no wildcard (RFC 4592 section 2.1.1)";
            problems.push(records[0].warning(message));
        }
        if name.is_wildcard() {
            let message = "a wildcard cannot be delegated (RFC 4592 section 4.2); write each name that is";
            problems.extend(of_type(NS).take(1).map(|record| record.error(message)));
        }
        if let Some(cname) = of_type(CNAME).next() {
            for second in of_type(CNAME).skip(1) {
                let message = format!(
                    "{} has one too; a name has one CNAME (RFC 2181 section 10.1)",
                    cname.seen_from(second)
                );
                problems.push(second.error(message));
            }
            if let Some(other) = records.iter().find(|record| record.record_type != CNAME) {
                let message = format!(
                    "a CNAME allows no other data at its name (RFC 1034 section 3.6.2), and {} has {}; write the target's records instead, or move one away",
                    other.seen_from(cname),
                    type_name(other.record_type)
                );
                problems.push(cname.error(message));
            }
        }
        if let Some(ds) = of_type(DS).next() {
            if name == apex {
                let message = "the DS of a zone stands in its parent (RFC 4035 section 2.4); move it there";
                problems.push(ds.error(message));
            } else if of_type(NS).next().is_none() {
                let message =
                    "there is no delegation here; write the NS records of the signed zone beside it";
                problems.push(ds.warning(message));
            }
        }
    }
}

/// An RRset is told whole or not at all (RFC 2181 section 9), so it must fit into a message.
fn check_sizes(records: &[&ZoneRecord], problems: &mut Vec<Problem>) {
    let octets = |records: &[&ZoneRecord]| {
        records.iter().map(|record| RECORD_OCTETS + record.rdata.len()).sum::<usize>()
    };
    if octets(records) <= RRSET_OCTETS_MAX {
        return;
    }
    let mut sets: BTreeMap<u16, Vec<&ZoneRecord>> = BTreeMap::new();
    records.iter().for_each(|record| sets.entry(record.record_type).or_default().push(record));
    for set in sets.values() {
        let octets = octets(set);
        if octets > RRSET_OCTETS_MAX {
            let count = set.len();
            problems.push(set[0].error(format!(
                "the RRset takes {octets} octets with {count} of its records, and a message has room for {RRSET_OCTETS_MAX}, so it can never be told; write fewer records or shorter ones"
            )));
        }
    }
}

/// Below a delegation only glue is ever served.
fn check_cuts(view: &View, problems: &mut Vec<Problem>) {
    let cuts = view.cuts().filter(|cut| !view.is_occluded(cut));
    let servers = cuts.flat_map(|cut| view.at(cut));
    let glue: HashSet<Name> =
        servers.filter(|record| record.record_type == NS).filter_map(|record| record.target()).collect();
    for (name, records) in view.names() {
        let Some(cut) = view.cut_above(name) else { continue };
        for record in records {
            let served = match record.record_type {
                NS | DS => name == cut,
                A | AAAA => glue.contains(name),
                _ => false,
            };
            if !served {
                let message = format!("it is never answered: {cut} is delegated; write it into that zone");
                problems.push(record.warning(message));
            }
        }
    }
}

/// Where NS, MX and SRV point.
fn check_targets(
    views: &Views,
    view: &View,
    is_steered: &dyn Fn(&Name) -> bool,
    problems: &mut Vec<Problem>,
) {
    let apex = &view.zone.origin;
    let pointing =
        view.names().flat_map(|(_, records)| records).filter(|r| matches!(r.record_type, NS | MX | SRV));
    for record in pointing.filter(|record| !view.is_occluded(&record.owner)) {
        let Some(target) = record.target() else { continue };
        // "." says that there is no such service (RFC 2782, RFC 7505).
        if target == Name::root() || is_steered(&target) {
            continue;
        }
        let needs_glue = record.record_type == NS && record.owner != *apex && target.is_in(&record.owner);
        if needs_glue {
            let has_glue = has_address(view.at(&target));
            // Where the zone below is ours too, we answer from it at once and never refer anybody.
            let is_ours = matches!(views.find(&target), Found::Records(_, records) if has_address(records));
            if !has_glue && !is_ours && view.zone.complete {
                problems.push(record.error(format!(
                    "{target} lies in the zone it serves and has no address, so nobody can reach it; write its A or AAAA record here too"
                )));
            }
            continue;
        }
        let (home, records) = match views.find(&target) {
            Found::Elsewhere => continue,
            Found::Nothing(home) => (home, &[][..]),
            Found::Records(home, records) => (home, records),
        };
        if let Some(cname) = records.iter().find(|record| record.record_type == CNAME) {
            problems.push(record.warning(format!(
                "{target} is a CNAME ({}), which resolvers need not follow here (RFC 2181 section 10.3); write the name it stands for",
                cname.seen_from(record)
            )));
        } else if !has_address(records) && home.zone.complete {
            let message = format!("{target} has no address; write its A or AAAA record");
            let is_own = record.record_type == NS && record.owner == *apex && std::ptr::eq(home, view);
            problems.push(if is_own { record.error(message) } else { record.warning(message) });
        }
    }
}

fn has_address(records: &[&ZoneRecord]) -> bool {
    records.iter().any(|record| matches!(record.record_type, A | AAAA))
}
