//! The zones as a resolver would find them, for the checks: which zone a name is in, what stands there,
//! what a wildcard makes of it, and where our authority ends.

use std::collections::{HashMap, HashSet};

use super::types::NS;
use super::{ZoneRecord, ZoneText};
use crate::wire::Name;

pub(super) struct Views<'z> {
    pub views: Vec<View<'z>>,
    by_apex: HashMap<&'z Name, usize>,
}

/// One zone.
pub(super) struct View<'z> {
    pub zone: &'z ZoneText,
    /// What each name has, records outside of the zone left out.
    pub names: HashMap<&'z Name, Vec<&'z ZoneRecord>>,
    /// Empty non-terminals (RFC 4592 section 2.2.2).
    empties: HashSet<Name>,
    /// Where others, or another of our zones, take over.
    pub cuts: HashSet<&'z Name>,
}

/// What a name is to us.
pub(super) enum Found<'v, 'z> {
    /// These records, perhaps by a wildcard.
    Records(&'v View<'z>, &'v [&'z ZoneRecord]),
    /// It is ours and there is nothing.
    Nothing(&'v View<'z>),
    /// It is in no zone of ours, or below a delegation.
    Elsewhere,
}

impl<'z> Views<'z> {
    pub fn new(zones: &'z [ZoneText]) -> Views<'z> {
        let mut by_apex = HashMap::new();
        for (index, zone) in zones.iter().enumerate() {
            by_apex.entry(&zone.origin).or_insert(index);
        }
        let mut views: Vec<_> = zones.iter().map(View::new).collect();
        for zone in zones {
            if let Some(parent) = zone.origin.parent().and_then(|above| deepest(&by_apex, &above)) {
                views[parent].cuts.insert(&zone.origin);
            }
        }
        Views { views, by_apex }
    }

    /// The zone that is the first of ours above this zone's apex.
    pub fn parent_of(&self, zone: &ZoneText) -> Option<&View<'z>> {
        deepest(&self.by_apex, &zone.origin.parent()?).map(|index| &self.views[index])
    }

    /// The zone that has this apex; the first one if there are two.
    pub fn at_apex(&self, apex: &Name) -> Option<&View<'z>> {
        self.by_apex.get(apex).map(|&index| &self.views[index])
    }

    pub fn find(&self, name: &Name) -> Found<'_, 'z> {
        match deepest(&self.by_apex, name).map(|index| &self.views[index]) {
            Some(view) if view.cut_above(name).is_none() => match view.records_at(name) {
                Some(records) => Found::Records(view, records),
                None => Found::Nothing(view),
            },
            _ => Found::Elsewhere,
        }
    }
}

impl<'z> View<'z> {
    fn new(zone: &'z ZoneText) -> View<'z> {
        let mut names: HashMap<_, Vec<_>> = HashMap::with_capacity(zone.records.len());
        for record in zone.records.iter().filter(|record| record.owner.is_in(&zone.origin)) {
            names.entry(&record.owner).or_default().push(record);
        }
        let mut empties = HashSet::new();
        let mut cuts = HashSet::new();
        for (&name, records) in &names {
            if *name == zone.origin {
                continue;
            }
            if records.iter().any(|record| record.record_type == NS) {
                cuts.insert(name);
            }
            let mut above = name.parent();
            while let Some(name) = above.filter(|name| !names.contains_key(name) && *name != zone.origin) {
                above = name.parent();
                if !empties.insert(name) {
                    break;
                }
            }
        }
        View { zone, names, empties, cuts }
    }

    /// The highest cut at or above a name.
    pub fn cut_above(&self, name: &Name) -> Option<Name> {
        if self.cuts.is_empty() {
            return None;
        }
        let mut highest = None;
        let mut at = Some(name.clone());
        while let Some(name) = at.filter(|name| *name != self.zone.origin) {
            at = name.parent();
            if self.cuts.contains(&name) {
                highest = Some(name);
            }
        }
        highest
    }

    /// Whether a name lies below a cut, so that only glue is served from it.
    pub fn is_occluded(&self, name: &Name) -> bool {
        self.cut_above(name).is_some_and(|cut| cut != *name)
    }

    fn records_at(&self, name: &Name) -> Option<&[&'z ZoneRecord]> {
        if let Some(records) = self.names.get(name) {
            return Some(records);
        }
        // The closest encloser's wildcard (RFC 4592 section 3.3.1).
        let mut at = name.clone();
        while at != self.zone.origin && !self.names.contains_key(&at) && !self.empties.contains(&at) {
            at = at.parent()?;
        }
        let wildcard = Name::from_wire(&[b"\x01*", at.as_wire()].concat()).ok()?;
        if at == *name { None } else { self.names.get(&wildcard).map(Vec::as_slice) }
    }

    pub fn has_type(&self, name: &Name, record_type: u16) -> bool {
        self.names.get(name).is_some_and(|records| records.iter().any(|r| r.record_type == record_type))
    }
}

fn deepest(by_apex: &HashMap<&Name, usize>, name: &Name) -> Option<usize> {
    let mut at = Some(name.clone());
    while let Some(name) = at {
        if let Some(&index) = by_apex.get(&name) {
            return Some(index);
        }
        at = name.parent();
    }
    None
}
