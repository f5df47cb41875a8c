//! Zones as they are written, to the table that is asked: at load, and nothing of it while a query is answered.
//!
//! ```text
//! StaticZone -> add_zone, children first -> names, with all above them -> RRsets as bytes -> cuts and their glue
//!     steer -> the number of a steered record at its name
//!     shrink -> no room for more
//! ```

use std::collections::HashMap;

use super::{Found, Glue, NONE, Node, RrSet, Slot, Zone, Zones};
use crate::wire::writer::render;
use crate::wire::{Name, Qname, record_type};

/// One record to be served.
#[derive(Clone, Copy, Debug)]
pub struct StaticRecord<'r> {
    /// Its owner.
    pub owner: &'r Name,
    /// Its type.
    pub record_type: u16,
    /// In seconds.
    pub ttl: u32,
    /// Its data, names uncompressed.
    pub rdata: &'r [u8],
}

/// A zone to be served: its apex and its records, checked: one SOA at the apex, nothing outside.
pub struct StaticZone<'r> {
    /// The apex.
    pub apex: &'r Name,
    /// Its records, in any order.
    pub records: Vec<StaticRecord<'r>>,
}

/// What a steered record answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeredKind {
    /// A and AAAA records.
    Addresses,
    /// CNAME records.
    Cname,
}

impl Zones {
    /// Builds every zone. Children go in before their parents, so that a name that is in both belongs
    /// to the deeper one.
    pub fn build(mut input: Vec<StaticZone>) -> Zones {
        let mut zones = Zones {
            slots: vec![Slot::FREE; 16],
            names: 0,
            labels_max: 0,
            nodes: Vec::new(),
            rrsets: Vec::new(),
            bytes: Vec::new(),
            glue: Vec::new(),
            zones: Vec::new(),
            parent_side: HashMap::new(),
        };
        input.sort_by_key(|zone| std::cmp::Reverse(zone.apex.labels().count()));
        for zone in input {
            zones.add_zone(zone);
        }
        zones
    }

    /// Puts a steered record at a name.
    pub fn steer(&mut self, name: &Name, record: u32, kind: SteeredKind) -> Result<(), SteerError> {
        let qname = Qname::from(name);
        let zone = match self.find(&qname, false) {
            Found::NoZone => return Err(SteerError::NoZone),
            Found::Delegated(cut) => {
                return Err(SteerError::Delegated(Name::from_wire(cut.name()).expect("a whole name")));
            }
            Found::Name(node) | Found::NoName(node) => node.get().zone,
        };
        let apex = Name::from_wire(self.name_of(self.zones[zone as usize].apex)).expect("a whole name");
        if kind == SteeredKind::Cname && *name == apex {
            return Err(SteerError::CnameAtApex);
        }
        let index = self.node_at(name, zone, &apex);
        let node = self.node(index);
        if node.steered().is_some() {
            return Err(SteerError::Twice);
        }
        let clash = node.rrsets().find_map(|rrset| match (kind, rrset.record_type) {
            (_, record_type::CNAME) => Some("CNAME"),
            (SteeredKind::Cname, _) => Some("other"),
            (_, record_type::A) => Some("A"),
            (_, record_type::AAAA) => Some("AAAA"),
            _ => None,
        });
        if let Some(clash) = clash {
            return Err(SteerError::Clash(clash));
        }
        self.nodes[index as usize].steered = record;
        Ok(())
    }

    /// Gives back the memory that was set aside for more. Behind the last record that is steered: a single name
    /// that comes later would double what is held.
    pub fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.rrsets.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.glue.shrink_to_fit();
    }

    fn add_zone(&mut self, zone: StaticZone) {
        let number = self.zones.len() as u32;
        let first_node = self.nodes.len() as u32;
        let apex = self.node_at(zone.apex, number, zone.apex);
        self.zones.push(Zone { apex, negative_soa: (0, 0) });
        let mut records = zone.records;
        records.sort_by_cached_key(|record| {
            let owner = record.owner.as_wire();
            (owner.len(), owner.to_ascii_lowercase(), record.record_type)
        });
        for same_owner in records.chunk_by(|a, b| a.owner == b.owner) {
            self.add_owner(same_owner, number, zone.apex);
        }
        self.link(first_node, apex);
    }

    fn add_owner(&mut self, records: &[StaticRecord], zone: u32, apex: &Name) {
        let owner = records[0].owner;
        let node = match self.child_apex_above(owner, zone) {
            None => self.node_at(owner, zone, apex),
            // The child's side answers here; the parent's is kept for DS alone.
            Some((child, true)) => {
                let node = self.push_node(&owner.as_wire().to_ascii_lowercase(), zone);
                self.parent_side.insert(child, node);
                node
            }
            // Below a zone of ours that is deeper: never answered, as with any delegation.
            Some((_, false)) => return,
        };
        let rrsets_start = self.rrsets.len();
        for same_type in records.chunk_by(|a, b| a.record_type == b.record_type) {
            let start = self.bytes.len();
            // One TTL for an RRset (RFC 2181 section 5.2): the lowest that was written.
            let ttl = same_type.iter().map(|record| record.ttl).min().unwrap_or(0);
            for record in same_type {
                render(record.record_type, ttl, record.rdata, &mut self.bytes);
            }
            self.rrsets.push(RrSet {
                record_type: same_type[0].record_type,
                count: same_type.len() as u16,
                start: start as u32,
                len: (self.bytes.len() - start) as u32,
            });
            if same_type[0].record_type == record_type::SOA && owner == apex {
                self.add_negative_soa(&same_type[0], zone);
            }
        }
        let node = &mut self.nodes[node as usize];
        node.rrsets_start = rrsets_start as u32;
        node.rrset_count = (self.rrsets.len() - rrsets_start) as u16;
    }

    fn add_negative_soa(&mut self, soa: &StaticRecord, zone: u32) {
        let minimum = soa.rdata.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
        let start = self.bytes.len();
        render(record_type::SOA, soa.ttl.min(minimum), soa.rdata, &mut self.bytes);
        self.zones[zone as usize].negative_soa = (start as u32, (self.bytes.len() - start) as u32);
    }

    /// The apex of a deeper zone of ours at or above a name, and whether it is the name itself, with no
    /// other zone of ours in between: only then is `zone` the parent.
    fn child_apex_above(&self, name: &Name, zone: u32) -> Option<(u32, bool)> {
        let qname = Qname::from(name);
        let mut apexes = (0..=qname.label_count()).filter_map(|label| {
            let index = self.lookup(&qname, label)?;
            let at = self.nodes[index as usize].zone;
            (at != zone && self.zones[at as usize].apex == index).then_some((index, label == 0))
        });
        let (index, is_itself) = apexes.next()?;
        Some((index, is_itself && apexes.next().is_none()))
    }

    /// The node of a name, made with all its ancestors up to the apex where it is not there yet.
    fn node_at(&mut self, name: &Name, zone: u32, apex: &Name) -> u32 {
        let qname = Qname::from(name);
        if let Some(index) = self.lookup(&qname, 0).filter(|&i| self.nodes[i as usize].zone == zone) {
            return index;
        }
        let index = self.push_node(qname.lower(), zone);
        self.labels_max = self.labels_max.max(qname.label_count());
        self.insert(qname.hash(0), index);
        if name != apex {
            let parent = self.node_at(&name.parent().expect("only the apex has no parent here"), zone, apex);
            if name.is_wildcard() {
                self.nodes[parent as usize].wildcard = index;
            }
        }
        index
    }

    fn push_node(&mut self, lower: &[u8], zone: u32) -> u32 {
        let index = self.nodes.len() as u32;
        self.nodes.push(Node {
            name_start: self.bytes.len() as u32,
            name_len: lower.len() as u8,
            rrsets_start: 0,
            rrset_count: 0,
            zone,
            cut: NONE,
            wildcard: NONE,
            steered: NONE,
            glue_start: 0,
            glue_count: 0,
        });
        self.bytes.extend_from_slice(lower);
        index
    }

    /// Finds the cut above each name of a zone, and the glue of each cut.
    fn link(&mut self, first_node: u32, apex: u32) {
        let nodes = || first_node..self.nodes.len() as u32;
        let cuts: Vec<u32> = nodes()
            .filter(|&index| index != apex && self.node(index).rrset(record_type::NS).is_some())
            .collect();
        if cuts.is_empty() {
            return;
        }
        let highest: Vec<(u32, u32)> = nodes()
            .filter_map(|index| {
                let qname = self.qname_of(index);
                let above = |&label: &usize| {
                    self.lookup(&qname, label).filter(|above| cuts.binary_search(above).is_ok())
                };
                let is_parent_side = cuts.contains(&index).then_some(index);
                let cut =
                    (0..=qname.label_count()).rev().find_map(|label| above(&label)).or(is_parent_side)?;
                Some((index, cut))
            })
            .collect();
        for (index, cut) in highest {
            self.nodes[index as usize].cut = cut;
        }
        for cut in cuts {
            self.add_glue(cut);
        }
    }

    fn add_glue(&mut self, cut: u32) {
        let start = self.glue.len();
        let cut_name = Name::from_wire(self.name_of(cut)).expect("names in the table are whole");
        let servers = self.node(cut).rrset(record_type::NS).map_or(&[][..], |ns| ns.bytes).to_vec();
        let mut rest = &servers[..];
        while rest.len() >= 12 {
            let len = usize::from(u16::from_be_bytes([rest[10], rest[11]]));
            let server = Name::from_wire(&rest[12..12 + len]).expect("a rendered NS is a whole name");
            rest = &rest[12 + len..];
            // Addresses from another zone would be out of bailiwick: resolvers throw them away.
            let zone = self.nodes[cut as usize].zone;
            let owner = self.lookup(&Qname::from(&server), 0);
            let Some(owner) = owner.filter(|&owner| self.nodes[owner as usize].zone == zone) else {
                continue;
            };
            let node = &self.nodes[owner as usize];
            for rrset in node.rrsets_start..node.rrsets_start + u32::from(node.rrset_count) {
                if matches!(self.rrsets[rrset as usize].record_type, record_type::A | record_type::AAAA) {
                    self.glue.push(Glue { owner, rrset, required: server.is_in(&cut_name) });
                }
            }
        }
        let node = &mut self.nodes[cut as usize];
        node.glue_start = start as u32;
        node.glue_count = (self.glue.len() - start) as u16;
    }

    /// A node's name, to be looked up.
    fn qname_of(&self, index: u32) -> Qname {
        Qname::from(&Name::from_wire(self.name_of(index)).expect("names in the table are whole"))
    }

    /// Puts a name that is not there yet into the table.
    fn insert(&mut self, hash: u64, node: u32) {
        self.names += 1;
        if self.names * 2 > self.slots.len() {
            let doubled = vec![Slot::FREE; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, doubled) {
                if slot.node != NONE {
                    let hash = self.qname_of(slot.node).hash(0);
                    self.put(hash, slot.node);
                }
            }
        }
        self.put(hash, node);
    }

    fn put(&mut self, hash: u64, node: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].node != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { tag: (hash >> 32) as u32, node };
    }
}

/// Why a record cannot be steered at a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteerError {
    /// No zone of ours holds the name.
    #[error("lies in no zone; add a zone file for it, or a zone above it")]
    NoZone,
    /// The name is delegated away.
    #[error("lies at or below the delegation of {0}; steer it in the zone it is delegated to")]
    Delegated(Name),
    /// The name already has static data that the record cannot stand beside.
    #[error("the zone already has {0} data at this name; remove one of the two")]
    Clash(&'static str),
    /// A CNAME leaves no room for the SOA and NS of an apex (RFC 1912 section 2.4).
    #[error("is the apex of its zone, where a CNAME cannot stand; give addresses instead")]
    CnameAtApex,
    /// Two records steer one name.
    #[error("is steered twice")]
    Twice,
}
