//! CNAMEs that lead back to where they began, by way of a steered record. Those of zones alone are found by
//! the check of zones.

use std::collections::{HashMap, HashSet};

use crate::engine::Zones;
use crate::engine::zones::Found;
use crate::wire::{Name, Qname, record_type};

/// CNAMEs followed on one way: many more than any resolver follows.
const WAY_MAX: usize = 64;

/// Octets of a rendered record before its data: owner, type, class, TTL and length.
const HEAD_OCTETS: usize = 12;

/// Follows the CNAMEs of steered records.
pub struct Circles<'c> {
    zones: &'c Zones,
    /// The targets of each steered name, by its wire form in lower case.
    targets: HashMap<Vec<u8>, Vec<Name>>,
    /// Names that are done.
    done: HashSet<Vec<u8>>,
}

impl<'c> Circles<'c> {
    /// `targets` are those of every steered name that gives CNAMEs; `zones` know which names are steered.
    pub fn new(zones: &'c Zones, targets: impl Iterator<Item = (Name, Vec<Name>)>) -> Circles<'c> {
        let key = |(name, targets): (Name, Vec<Name>)| (name.as_wire().to_ascii_lowercase(), targets);
        Circles { zones, targets: targets.map(key).collect(), done: HashSet::new() }
    }

    /// The names of a circle that a name leads to, the first one again at the end; each circle is found once.
    pub fn from(&mut self, name: &Name) -> Option<Vec<Name>> {
        self.follow(name, &mut Vec::new())
    }

    fn follow(&mut self, name: &Name, way: &mut Vec<(Vec<u8>, Name)>) -> Option<Vec<Name>> {
        let Found::Name(node) = self.zones.find(&Qname::from(name), false) else { return None };
        // A wildcard's own name: whatever it stands for, its target is the same.
        let key = node.name().to_vec();
        if let Some(at) = way.iter().position(|(other, _)| *other == key) {
            let names = way[at..].iter().map(|(_, name)| name.clone());
            return Some(names.chain([name.clone()]).collect());
        }
        if way.len() == WAY_MAX || !self.done.insert(key.clone()) {
            return None;
        }
        let targets = match (node.steered(), node.rrset(record_type::CNAME)) {
            (Some(_), _) => self.targets.get(&key).cloned().unwrap_or_default(),
            (None, Some(cname)) => Name::from_wire(&cname.bytes[HEAD_OCTETS..]).into_iter().collect(),
            (None, None) => Vec::new(),
        };
        way.push((key, name.clone()));
        let circle = targets.iter().find_map(|target| self.follow(target, way));
        way.pop();
        circle
    }
}
