//! CNAME chains inside our zones.

use std::collections::{HashMap, HashSet};

use super::ZoneRecord;
use super::types::CNAME;
use super::view::{Found, Views};
use crate::files::Problem;
use crate::wire::Name;

/// How many CNAMEs a chain may have before we warn. No RFC has a number; resolvers give up somewhere
/// between 8 and 20, and the part of a chain that lies outside of our zones counts for them too.
pub const ALIASES_MAX: usize = 8;

/// Refuses chains that loop, warns of long ones. Each CNAME is followed once.
pub(super) fn check(views: &Views, is_steered: &dyn Fn(&Name) -> bool, problems: &mut Vec<Problem>) {
    // How many CNAMEs there are from a name to the end of its chain; none where there is no end.
    let mut length: HashMap<&Name, Option<usize>> = HashMap::new();
    let served = views.views.iter().flat_map(|view| {
        view.zone.records.iter().filter(|r| r.record_type == CNAME && !view.is_occluded(&r.owner))
    });
    for start in served {
        let mut path: Vec<&ZoneRecord> = Vec::new();
        let mut on_path = HashSet::new();
        let mut at = Some(start);
        let mut behind = Some(0);
        while let Some(record) = at {
            if let Some(&known) = length.get(&record.owner) {
                behind = known;
                break;
            }
            if !on_path.insert(&record.owner) {
                let from = path.iter().position(|other| other.owner == record.owner).unwrap_or(0);
                let names: Vec<_> = path[from..].iter().map(|other| other.owner.to_string()).collect();
                problems.push(record.error(format!(
                    "the CNAMEs go in a circle: {} -> {}; point one of them at a name with addresses",
                    names.join(" -> "),
                    record.owner
                )));
                behind = None;
                break;
            }
            path.push(record);
            at = next(views, record, is_steered);
        }
        for record in path.into_iter().rev() {
            behind = behind.map(|len| len + 1);
            length.insert(&record.owner, behind);
            if let Some(len) = behind.filter(|len| *len > ALIASES_MAX) {
                problems.push(record.warning(format!(
                    "this chain has {len} CNAMEs, more than {ALIASES_MAX}; resolvers may give up, so point it nearer to its end"
                )));
            }
        }
    }
}

fn next<'z>(
    views: &Views<'z>,
    record: &ZoneRecord,
    is_steered: &dyn Fn(&Name) -> bool,
) -> Option<&'z ZoneRecord> {
    let target = record.target().filter(|target| !is_steered(target))?;
    match views.find(&target) {
        Found::Records(_, records) => records.iter().find(|other| other.record_type == CNAME).copied(),
        _ => None,
    }
}
