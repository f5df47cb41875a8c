//! The zones as a resolver would find them, for the checks: which zone a name is in, what stands there,
//! what a wildcard makes of it, and where our authority ends.
//!
//! Names are looked up by their wire form in lower case, so that every name above another one is a slice
//! of it and a look-up allocates nothing: with `Name` as the key the checks took a quarter longer.

use std::collections::{HashMap, HashSet};

use super::types::NS;
use super::{ZoneRecord, ZoneText};
use crate::wire::Name;

pub(super) struct Views<'z> {
    pub views: Vec<View<'z>>,
    by_apex: HashMap<Vec<u8>, usize>,
}

/// One zone.
pub(super) struct View<'z> {
    pub zone: &'z ZoneText,
    apex: Vec<u8>,
    /// Records outside of the zone; nothing else here has them.
    pub outside: Vec<&'z ZoneRecord>,
    /// What each name has.
    names: HashMap<Vec<u8>, Vec<&'z ZoneRecord>>,
    /// Empty non-terminals (RFC 4592 section 2.2.2).
    empties: HashSet<Vec<u8>>,
    /// Where others, or another of our zones, take over.
    cuts: HashMap<Vec<u8>, &'z Name>,
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
            by_apex.entry(key(&zone.origin)).or_insert(index);
        }
        let mut views = Views { views: zones.iter().map(View::new).collect(), by_apex };
        for zone in zones {
            if let Some(parent) = views.parent_index(zone) {
                views.views[parent].cuts.insert(key(&zone.origin), &zone.origin);
            }
        }
        views
    }

    /// The first zone of ours above this zone's apex.
    pub fn parent_of(&self, zone: &ZoneText) -> Option<&View<'z>> {
        self.parent_index(zone).map(|index| &self.views[index])
    }

    fn parent_index(&self, zone: &ZoneText) -> Option<usize> {
        above(&key(&zone.origin)).skip(1).find_map(|name| self.by_apex.get(name).copied())
    }

    /// The zone that has this apex; the first one if there are two.
    pub fn at_apex(&self, apex: &Name) -> Option<&View<'z>> {
        self.by_apex.get(&key(apex)).map(|&index| &self.views[index])
    }

    pub fn find(&self, name: &Name) -> Found<'_, 'z> {
        let name = key(name);
        let deepest = above(&name).find_map(|apex| self.by_apex.get(apex));
        match deepest.map(|&index| &self.views[index]) {
            Some(view) if view.cut(&name).is_none() => match view.answer(&name) {
                Some(records) => Found::Records(view, records),
                None => Found::Nothing(view),
            },
            _ => Found::Elsewhere,
        }
    }
}

impl<'z> View<'z> {
    fn new(zone: &'z ZoneText) -> View<'z> {
        let apex = key(&zone.origin);
        let mut names: HashMap<_, Vec<_>> = HashMap::with_capacity(zone.records.len());
        let mut outside = Vec::new();
        for record in &zone.records {
            let name = key(&record.owner);
            let is_inside = above(&name).any(|name| name == apex);
            match is_inside {
                true => names.entry(name).or_default().push(record),
                false => outside.push(record),
            }
        }
        let mut empties = HashSet::new();
        let mut cuts = HashMap::new();
        for (name, records) in names.iter().filter(|(name, _)| **name != apex) {
            if let Some(server) = records.iter().find(|record| record.record_type == NS) {
                cuts.insert(name.clone(), &server.owner);
            }
            for name in above(name).skip(1).take_while(|name| *name != apex) {
                if names.contains_key(name) || !empties.insert(name.to_vec()) {
                    break;
                }
            }
        }
        View { zone, apex, outside, names, empties, cuts }
    }

    /// Every name with its records, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&'z Name, &[&'z ZoneRecord])> {
        self.names.values().map(|records| (&records[0].owner, &records[..]))
    }

    /// What stands at a name itself, above and below cuts.
    pub fn at(&self, name: &Name) -> &[&'z ZoneRecord] {
        self.names.get(&key(name)).map_or(&[], Vec::as_slice)
    }

    /// Whether a name has records of a type.
    pub fn has_type(&self, name: &Name, record_type: u16) -> bool {
        self.at(name).iter().any(|record| record.record_type == record_type)
    }

    /// Where others take over.
    pub fn cuts(&self) -> impl Iterator<Item = &'z Name> {
        self.cuts.values().copied()
    }

    /// The highest cut at or above a name.
    pub fn cut_above(&self, name: &Name) -> Option<&'z Name> {
        if self.cuts.is_empty() { None } else { self.cut(&key(name)) }
    }

    /// Whether a name lies below a cut, so that only glue is served from it.
    pub fn is_occluded(&self, name: &Name) -> bool {
        self.cut_above(name).is_some_and(|cut| cut != name)
    }

    fn cut(&self, name: &[u8]) -> Option<&'z Name> {
        let inside = above(name).take_while(|name| **name != self.apex);
        inside.filter_map(|name| self.cuts.get(name).copied()).last()
    }

    /// What is answered for a name: its own records, or those of the closest encloser's wildcard (RFC
    /// 4592 section 3.3.1).
    fn answer(&self, name: &[u8]) -> Option<&[&'z ZoneRecord]> {
        let exists = |name: &&[u8]| {
            *name == self.apex || self.names.contains_key(*name) || self.empties.contains(*name)
        };
        let encloser = above(name).find(exists)?;
        let records = match encloser == name {
            true => self.names.get(name),
            false => self.names.get(&[b"\x01*", encloser].concat()),
        };
        records.map(Vec::as_slice)
    }
}

/// Length octets are 63 at most and stay as they are.
fn key(name: &Name) -> Vec<u8> {
    name.as_wire().to_ascii_lowercase()
}

/// A name and every name above it, the root last.
fn above(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| match name[0] {
        0 => None,
        len => Some(&name[1 + usize::from(len)..]),
    })
}
