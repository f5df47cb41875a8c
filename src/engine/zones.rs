//! Static data, ready to be answered: every name of every zone in one table, every RRset as bytes.
//!
//! ```text
//! Qname (hashed suffixes) -> find -> the name itself, or its closest encloser
//!     below a cut?  referral      no such name?  wildcard of the closest encloser, else NXDOMAIN
//! ```
//!
//! What is decided once is decided at load: which zone answers for a name when parent and child are both
//! ours, which names lie below a delegation, which addresses are its glue, where a wildcard stands.

use std::collections::HashMap;

use crate::wire::writer::{Rendered, render};
use crate::wire::{Name, Qname, record_type};

/// No node, no cut, no steered record.
const NONE: u32 = u32::MAX;

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

/// Every zone. See the module's head.
pub struct Zones {
    /// Where each name is: open addressing by the low bits of its hash, at most half full.
    slots: Vec<Slot>,
    names: usize,
    /// Labels of the name that has most.
    labels_max: usize,
    nodes: Vec<Node>,
    rrsets: Vec<RrSet>,
    /// Names in lower case, and rendered records.
    bytes: Vec<u8>,
    glue: Vec<Glue>,
    zones: Vec<Zone>,
    /// For a child's apex whose parent is ours too: the parent's node at the cut (RFC 4035 3.1.4.1).
    parent_side: HashMap<u32, u32>,
}

/// A place of the table: the high bits of a name's hash, so that most other names are told apart without
/// a look at them, and the name's node.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    node: u32,
}

impl Slot {
    const FREE: Slot = Slot { tag: 0, node: NONE };
}

/// A name that exists, empty non-terminals included (RFC 4592 section 2.2.2).
struct Node {
    name_start: u32,
    rrsets_start: u32,
    rrset_count: u16,
    name_len: u8,
    zone: u32,
    /// The highest delegation at or above this name in its zone.
    cut: u32,
    /// The child `*`.
    wildcard: u32,
    steered: u32,
    glue_start: u32,
    glue_count: u16,
}

struct RrSet {
    record_type: u16,
    count: u16,
    start: u32,
    len: u32,
}

struct Zone {
    apex: u32,
    /// The SOA record as negative answers carry it: TTL = min(its TTL, MINIMUM) (RFC 2308 section 5).
    negative_soa: (u32, u32),
}

struct Glue {
    owner: u32,
    rrset: u32,
    /// The name server lies at or below the cut: without its address nobody reaches it.
    required: bool,
}

/// What a name is to us.
#[derive(Clone, Copy)]
pub enum Found<'z> {
    /// The name exists, or a wildcard stands for it; ours to answer.
    Name(NodeRef<'z>),
    /// It lies at or below a delegation; the node is the cut.
    Delegated(NodeRef<'z>),
    /// It does not exist in the zone of this node.
    NoName(NodeRef<'z>),
    /// It is in no zone of ours.
    NoZone,
}

/// A node of a [`Zones`].
#[derive(Clone, Copy)]
pub struct NodeRef<'z> {
    zones: &'z Zones,
    index: u32,
}

impl Zones {
    /// Finds what a name is to us. `ds` asks for the parent's side of a zone cut.
    #[inline(always)]
    pub fn find(&self, qname: &Qname, ds: bool) -> Found<'_> {
        let labels = qname.label_count();
        // Nothing here has more labels than `labels_max`, so a name that has cannot be found by its
        // longer suffixes: senders of names with many labels do not make us look for each.
        for label in labels.saturating_sub(self.labels_max)..=labels {
            let Some(index) = self.lookup(qname, label) else { continue };
            let node = self.node(index);
            if label == 0 {
                return if ds { self.find_ds(node) } else { node.or_delegated() };
            }
            // The closest encloser (RFC 4592 section 3.3.1).
            let (cut, wildcard) = (node.get().cut, node.get().wildcard);
            return match (cut, wildcard) {
                (NONE, NONE) => Found::NoName(node),
                (NONE, wildcard) => Found::Name(self.node(wildcard)),
                (cut, _) => Found::Delegated(self.node(cut)),
            };
        }
        Found::NoZone
    }

    /// A DS RRset belongs to the parent's side of a cut (RFC 4035 section 3.1.4.1).
    fn find_ds<'z>(&'z self, node: NodeRef<'z>) -> Found<'z> {
        if let Some(&parent) = self.parent_side.get(&node.index) {
            // Where the parent has delegated a name above, its side of this cut is not ours to tell.
            let cut = self.nodes[parent as usize].cut;
            return Found::Name(if cut == NONE || cut == parent { self.node(parent) } else { node });
        }
        if node.get().cut == node.index { Found::Name(node) } else { node.or_delegated() }
    }

    #[inline(always)]
    fn lookup(&self, qname: &Qname, label: usize) -> Option<u32> {
        let (hash, suffix) = (qname.hash(label), qname.suffix(label));
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at & mask];
            if slot.node == NONE {
                return None;
            }
            if slot.tag == (hash >> 32) as u32 && self.name_of(slot.node) == suffix {
                return Some(slot.node);
            }
            at += 1;
        }
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

    #[inline]
    fn node(&self, index: u32) -> NodeRef<'_> {
        NodeRef { zones: self, index }
    }

    #[inline]
    fn name_of(&self, index: u32) -> &[u8] {
        let node = &self.nodes[index as usize];
        &self.bytes[node.name_start as usize..][..usize::from(node.name_len)]
    }

    #[inline]
    fn rendered(&self, rrset: &RrSet) -> Rendered<'_> {
        Rendered {
            record_type: rrset.record_type,
            count: rrset.count,
            bytes: &self.bytes[rrset.start as usize..][..rrset.len as usize],
        }
    }

    /// How many zones there are.
    pub fn zone_count(&self) -> usize {
        self.zones.len()
    }

    /// Octets of memory held.
    pub fn octets(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.rrsets.capacity() * size_of::<RrSet>()
            + self.glue.capacity() * size_of::<Glue>()
            + self.bytes.capacity()
    }
}

impl<'z> NodeRef<'z> {
    #[inline]
    fn get(self) -> &'z Node {
        &self.zones.nodes[self.index as usize]
    }

    #[inline]
    fn or_delegated(self) -> Found<'z> {
        match self.get().cut {
            NONE => Found::Name(self),
            cut => Found::Delegated(self.zones.node(cut)),
        }
    }

    /// The name, in lower case, in wire form.
    #[inline]
    pub fn name(self) -> &'z [u8] {
        self.zones.name_of(self.index)
    }

    /// The number of the steered record at this name.
    #[inline]
    pub fn steered(self) -> Option<u32> {
        let steered = self.get().steered;
        (steered != NONE).then_some(steered)
    }

    /// The apex of the zone that answers here.
    #[inline]
    pub fn apex(self) -> &'z [u8] {
        let zone = &self.zones.zones[self.get().zone as usize];
        self.zones.name_of(zone.apex)
    }

    /// The zone's SOA as negative answers carry it.
    #[inline]
    pub fn negative_soa(self) -> Rendered<'z> {
        let (start, len) = self.zones.zones[self.get().zone as usize].negative_soa;
        let bytes = &self.zones.bytes[start as usize..][..len as usize];
        Rendered { record_type: record_type::SOA, count: 1, bytes }
    }

    /// The RRset of a type.
    #[inline]
    pub fn rrset(self, record_type: u16) -> Option<Rendered<'z>> {
        self.rrsets().find(|rrset| rrset.record_type == record_type)
    }

    /// Every RRset, by type.
    #[inline]
    pub fn rrsets(self) -> impl Iterator<Item = Rendered<'z>> {
        let (node, zones) = (self.get(), self.zones);
        let rrsets = &zones.rrsets[node.rrsets_start as usize..][..usize::from(node.rrset_count)];
        rrsets.iter().map(|rrset| zones.rendered(rrset))
    }

    /// The addresses of a delegation's name servers, and whether a referral is useless without them.
    pub fn glue(self) -> impl Iterator<Item = (&'z [u8], Rendered<'z>, bool)> {
        let (node, zones) = (self.get(), self.zones);
        let glue = &zones.glue[node.glue_start as usize..][..usize::from(node.glue_count)];
        glue.iter().map(|glue| {
            (zones.name_of(glue.owner), zones.rendered(&zones.rrsets[glue.rrset as usize]), glue.required)
        })
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
        zones.nodes.shrink_to_fit();
        zones.rrsets.shrink_to_fit();
        zones.bytes.shrink_to_fit();
        zones
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
}
