//! Static data, ready to be answered: every name of every zone in one table, every RRset as bytes.
//!
//! ```text
//! Qname (hashed suffixes) -> find -> the name itself, or its closest encloser
//!     below a cut?  referral      no such name?  wildcard of the closest encloser, else NXDOMAIN
//! ```
//!
//! What is decided once is decided at load, in `build`: which zone answers for a name when parent and child
//! are both ours, which names lie below a delegation, which addresses are its glue, where a wildcard stands.

mod build;

use std::collections::HashMap;

pub use self::build::{StaticRecord, StaticZone, SteerError, SteeredKind};
use crate::wire::writer::Rendered;
use crate::wire::{Qname, record_type};

/// No node, no cut, no steered record.
const NONE: u32 = u32::MAX;

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
