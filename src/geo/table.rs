//! A prefix table of outcomes: one geo question, answered for every address at load.
//!
//! The table is a poptrie (Asai and Ohara, "Poptrie: A Compressed Trie with Population Count for Fast and
//! Scalable Software IP Routing Table Lookup", SIGCOMM 2015): 16 bits choose in a flat array, then each
//! node takes 6 bits. A node is two bit vectors of 64: which slots have a child, and at which slots a run
//! of equal leaves begins; counting the bits below a slot gives its place in the array.
//!
//! Leaves carry outcomes alone. A node exists only where its block has several outcomes, so the widest
//! prefix around one of its leaves lies within the node, and its vectors say how wide it is.

use std::net::{IpAddr, Ipv4Addr};

use super::embedded;
use super::ranges::Ranges;

/// What a table says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The outcome's number; its keys are [`Table::keys`]. None when no source knows the address.
    pub outcome: Option<u32>,
    /// The length of the widest aligned prefix around the address that has this outcome throughout. 0 only
    /// when both families have one single outcome: a scope of 0 is for everybody (RFC 7871, 7.3.1).
    pub prefix_len: u8,
}

/// See the module's head.
pub struct Table {
    v4: Trie,
    v6: Trie,
    keys: Vec<u16>,
    width: usize,
    outcomes: u32,
    default_outcome: Option<u32>,
}

impl Table {
    /// Looks an address up.
    #[inline(always)]
    pub fn lookup(&self, address: IpAddr) -> Found {
        let (number, prefix_len) = match address {
            IpAddr::V4(address) => self.v4(address.into()),
            IpAddr::V6(address) => {
                let bits = u128::from(address);
                let found = self.v6.find((bits >> 112) as u16, |offset| (bits << offset >> 122) as u32);
                match found {
                    (EMBEDDED, before) => {
                        let (number, length) = self.v4((bits << before >> 96) as u32);
                        (number, before + length)
                    }
                    found => found,
                }
            }
        };
        Found { outcome: number.checked_sub(1), prefix_len }
    }

    /// Asks the processor for what a lookup of this address reads first. The flat array is read at random,
    /// and the kernel's work on a datagram leaves little of it in the cache.
    #[inline(always)]
    pub fn prefetch(&self, address: Ipv4Addr) {
        prefetch(&self.v4.direct[usize::from((u32::from(address) >> 16) as u16)]);
    }

    #[inline(always)]
    fn v4(&self, address: u32) -> (u32, u8) {
        let bits = u64::from(address) << 32;
        self.v4.find((bits >> 48) as u16, |offset| (bits << offset >> 58) as u32)
    }

    /// An outcome's keys: one per target of the question.
    #[inline]
    pub fn keys(&self, outcome: u32) -> &[u16] {
        &self.keys[outcome as usize * self.width..][..self.width]
    }

    /// The outcome of the configured default place, where there is one this question can use.
    #[inline]
    pub fn default_outcome(&self) -> Option<u32> {
        self.default_outcome
    }

    /// How many different outcomes there are.
    pub fn outcomes(&self) -> u32 {
        self.outcomes
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + size_of_val(&self.keys[..])
    }

    /// From ranges of outcomes (numbered from 1; both families' addresses at the top of their 128 bits)
    /// and the outcomes' keys, `width` each. With `embedded`, IPv6 addresses that carry an IPv4 address
    /// have the outcome of that.
    pub(super) fn build(
        v4: &Ranges<u128>,
        v6: Ranges<u128>,
        embedded: bool,
        outcomes: Outcomes,
        default_outcome: Option<u32>,
    ) -> Table {
        let mut v6 = v6;
        if embedded {
            // A prefix around an address in such a block lies within it, and one beside it never reaches
            // over it, as long as IPv4 has several outcomes.
            v6 = blocks().over(v6);
            // Else the block is a range like any other, and may be as its neighbours are.
            if let &[number] = v4.ids() {
                v6 = v6.renumbered(|id| if id == EMBEDDED { number } else { id });
            }
        }
        let one = v4.len() == 1 && v4 == &v6;
        let shortest = if one { 0 } else { 1 };
        Table {
            v4: Trie::build(v4, shortest),
            v6: Trie::build(&v6, shortest),
            outcomes: outcomes.len,
            width: outcomes.width,
            keys: outcomes.keys,
            default_outcome,
        }
    }
}

/// Asks the processor to bring something nearer.
#[inline(always)]
pub fn prefetch<T>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing into the program, and what it is asked for is there.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>((&raw const *what).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// The blocks of IPv6 whose addresses carry an IPv4 address.
fn blocks() -> Ranges<u128> {
    let blocks = embedded::BLOCKS.iter();
    let blocks = blocks.map(|block| (block.network().into(), block.broadcast().into(), EMBEDDED));
    Ranges::from_nested(blocks.collect())
}

/// The most outcomes a slot has room for. The loader refuses more distinct places than this, so no
/// question can have more outcomes.
pub(super) const MAX_OUTCOMES: usize = EMBEDDED as usize - 1;

/// In place of an outcome's number: ask IPv4, of the address behind as many bits as the prefix is long.
const EMBEDDED: u32 = (1 << 23) - 1;

/// The keys of all outcomes, in order.
#[derive(Default)]
pub(super) struct Outcomes {
    /// `len` times `width` keys.
    pub keys: Vec<u16>,
    /// How many keys an outcome has.
    pub width: usize,
    /// How many outcomes there are.
    pub len: u32,
}

/// In a slot of the flat array: the rest is an outcome's number (0 for unknown) and, in the low byte, the
/// prefix length; otherwise the slot is a node's place.
const LEAF: u32 = 1 << 31;

const DIRECT_BITS: u32 = 16;
const STRIDE_BITS: u32 = 6;

struct Trie {
    /// An array and not a slice: 16 bits cannot miss it, so the compiler drops the check.
    direct: Box<[u32; 1 << DIRECT_BITS]>,
    nodes: Vec<Node>,
    /// Numbers of outcomes.
    leaves: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// Slots that have a child.
    children: u64,
    /// Leaf slots where a run begins; a run goes on over slots that have a child.
    runs: u64,
    first_child: u32,
    first_leaf: u32,
}

impl Trie {
    /// An outcome's number and the length of the widest prefix that has it. `chunk` gives the 6 bits from
    /// an offset on, padded with zeros behind the address.
    #[inline(always)]
    fn find(&self, top: u16, chunk: impl Fn(u32) -> u32) -> (u32, u8) {
        let slot = self.direct[usize::from(top)];
        if slot & LEAF != 0 {
            return ((slot & !LEAF) >> 8, slot as u8);
        }
        let mut node = &self.nodes[slot as usize];
        let mut offset = DIRECT_BITS;
        loop {
            let slot = chunk(offset);
            let up_to_slot = u64::MAX >> (63 - slot);
            if node.children >> slot & 1 == 0 {
                let leaf = (node.first_leaf + (node.runs & up_to_slot).count_ones()) as usize - 1;
                return (self.leaves[leaf], (offset + node.shared_bits(slot)) as u8);
            }
            node = &self.nodes[(node.first_child + (node.children & up_to_slot).count_ones()) as usize - 1];
            offset += STRIDE_BITS;
        }
    }

    fn build(ranges: &Ranges<u128>, shortest: u8) -> Trie {
        let mut slots = Slots { ranges, cursor: 0 };
        let mut direct = vec![0; 1 << DIRECT_BITS];
        let mut nodes: Vec<Node> = Vec::new();
        let mut leaves = Vec::new();
        // Nodes made but not filled yet: number, first address, offset, and where its ranges begin.
        let mut pending = Vec::new();
        for (slot, start) in direct.iter_mut().zip((0u128..).map(|top| top << 112)) {
            *slot = match slots.outcome(start, DIRECT_BITS) {
                Some(number) => LEAF | number << 8 | u32::from(slots.length(start).max(shortest)),
                None => {
                    pending.push((nodes.len(), start, DIRECT_BITS, slots.cursor));
                    nodes.push(Node::default());
                    (nodes.len() - 1) as u32
                }
            };
        }
        while let Some((number, first, offset, cursor)) = pending.pop() {
            slots.cursor = cursor;
            let mut node =
                Node { first_child: nodes.len() as u32, first_leaf: leaves.len() as u32, ..Node::default() };
            for slot in 0..1 << STRIDE_BITS {
                let start = first | ((slot as u128) << (128 - STRIDE_BITS) >> offset);
                match slots.outcome(start, offset + STRIDE_BITS) {
                    Some(outcome) => {
                        if node.runs == 0 || leaves.last() != Some(&outcome) {
                            node.runs |= 1 << slot;
                            leaves.push(outcome);
                        }
                    }
                    None => {
                        node.children |= 1 << slot;
                        pending.push((nodes.len(), start, offset + STRIDE_BITS, slots.cursor));
                        nodes.push(Node::default());
                    }
                }
            }
            nodes[number] = node;
        }
        nodes.shrink_to_fit();
        leaves.shrink_to_fit();
        let direct = direct.into_boxed_slice().try_into().expect("as many slots as were made");
        Trie { direct, nodes, leaves }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.direct[..]) + size_of_val(&self.nodes[..]) + size_of_val(&self.leaves[..])
    }
}

impl Node {
    /// How many of a leaf slot's bits the widest block of slots around it shares that are all of its run.
    #[inline]
    fn shared_bits(&self, slot: u32) -> u32 {
        // The first slot of whatever differs from what is before it; slot 0 is always one.
        let edges = self.runs | self.children | self.children << 1;
        // The slot before those like this one, and the one after. Both are outside the block, so it must be
        // longer than what this slot shares with either. Where there is none, the number has a seventh bit
        // and shares nothing.
        let first = 63 - (edges & u64::MAX >> (63 - slot)).leading_zeros();
        let before = first.wrapping_sub(1) & 127;
        let after = (edges & (u64::MAX - 1) << slot).trailing_zeros();
        let shared = |other: u32| (slot ^ other).leading_zeros() - (31 - STRIDE_BITS);
        shared(before).max(shared(after))
    }
}

/// The ranges as slots are asked about, from the lowest up.
struct Slots<'r> {
    ranges: &'r Ranges<u128>,
    /// The range that holds the first address of the slot asked about last.
    cursor: usize,
}

impl Slots<'_> {
    /// The outcome of the slot of `length` bits from `start` on; none when it has more than one.
    fn outcome(&mut self, start: u128, length: u32) -> Option<u32> {
        let starts = self.ranges.starts();
        while starts.get(self.cursor + 1).is_some_and(|&next| next <= start) {
            self.cursor += 1;
        }
        let last = start | u128::MAX.checked_shr(length).unwrap_or(0);
        let uniform = starts.get(self.cursor + 1).is_none_or(|&next| next > last);
        uniform.then(|| self.ranges.ids()[self.cursor])
    }

    /// The length of the widest block around the slot that stays in its range: it must be longer than what
    /// the slot shares with the address below the range and with the one above. Exact for every address
    /// of the slot, as they all share the same bits with an address outside it.
    fn length(&self, start: u128) -> u8 {
        let starts = self.ranges.starts();
        let below = starts[self.cursor].checked_sub(1);
        let above = starts.get(self.cursor + 1).copied();
        let longer_than =
            |outside: Option<u128>| outside.map_or(0, |outside| (start ^ outside).leading_zeros() as u8 + 1);
        longer_than(below).max(longer_than(above))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;

    /// A table of networks and their outcomes, the innermost deciding, and the ranges it must agree with.
    fn table(networks: &[(IpNet, u32)], embedded: bool) -> (Table, Ranges<u128>, Ranges<u128>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &(network, id) in networks {
            match network {
                IpNet::V4(network) => {
                    let (first, last) = block(network.network().into(), network.prefix_len());
                    v4.push((first, last, id));
                }
                IpNet::V6(network) => v6.push((network.network().into(), network.broadcast().into(), id)),
            }
        }
        let unique = |mut list: Vec<(u128, u128, u32)>| {
            list.sort();
            list.dedup_by_key(|&mut (first, last, _)| (first, last));
            Ranges::from_nested(list)
        };
        let (v4, v6) = (unique(v4), unique(v6));
        let keys = Outcomes { keys: (0..8).collect(), width: 1, len: 8 };
        let table = Table::build(&v4, v6.clone(), embedded, keys, None);
        if !embedded {
            return (table, v4, v6);
        }
        // The same by copying: IPv4 behind each block's prefix, with 1 for unknown so that it covers too.
        let mut copies = Vec::new();
        for block in embedded::BLOCKS {
            let (first, last) = (u128::from(block.network()), u128::from(block.broadcast()));
            for (place, (start, id)) in v4.iter().enumerate() {
                let end =
                    v4.starts().get(place + 1).map_or(last, |next| (first | next >> block.prefix_len()) - 1);
                copies.push((first | start >> block.prefix_len(), end, id + 1));
            }
        }
        let below = v6.renumbered(|id| id + 1);
        (table, v4, Ranges::from_nested(copies).over(below).renumbered(|id| id - 1))
    }

    fn block(address: IpAddr, length: u8) -> (u128, u128) {
        let (bits, longest) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        assert!(length <= longest, "{address}/{length}");
        let rest = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        (bits & !rest, bits | rest)
    }

    fn uniform(ranges: &Ranges<u128>, (first, last): (u128, u128)) -> bool {
        let range = |address| ranges.starts().partition_point(|&start| start <= address);
        range(first) == range(last)
    }

    fn check(table: &Table, ranges: &Ranges<u128>, other: &Ranges<u128>, address: IpAddr) {
        let found = table.lookup(address);
        let at = block(address, if address.is_ipv4() { 32 } else { 128 }).0;
        assert_eq!(found.outcome, ranges.find(at).checked_sub(1), "{address}");
        assert!(
            uniform(ranges, block(address, found.prefix_len)),
            "{address}/{} is too wide",
            found.prefix_len
        );
        match found.prefix_len {
            0 => assert!(ranges.len() == 1 && ranges == other),
            1 if ranges.len() == 1 => assert!(ranges != other),
            length => {
                assert!(!uniform(ranges, block(address, length - 1)), "{address}/{length} is too narrow")
            }
        }
    }

    /// The address so many further; the last is before the first.
    fn beside(address: IpAddr, step: u128) -> IpAddr {
        match address {
            IpAddr::V4(address) => Ipv4Addr::from(u32::from(address).wrapping_add(step as u32)).into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address).wrapping_add(step)).into(),
        }
    }

    fn network() -> impl Strategy<Value = IpNet> {
        // Few top bits, so that networks nest and touch; any length, so that every stride is crossed.
        let v4 = (any::<u32>(), 0..=32u8, any::<bool>()).prop_map(|(bits, length, near)| {
            let bits = if near { 0x0a0a_0a0a ^ (bits & 0x0003_0307) } else { bits };
            IpNet::new(Ipv4Addr::from(bits).into(), length).unwrap().trunc()
        });
        let v6 = (any::<u128>(), 0..=128u8, any::<bool>()).prop_map(|(bits, length, near)| {
            let near_bits = 0x2001_0db8_0a0a_0a0a_0a0a_0a0a_0a0a_0a0a
                ^ (bits & 0x0001_0003_0000_0307_0000_0000_0000_000f);
            IpNet::new(Ipv6Addr::from(if near { near_bits } else { bits }).into(), length).unwrap().trunc()
        });
        let carrying = (any::<u32>(), 0..4usize, 0..=32u8).prop_map(|(bits, block, length)| {
            let block = embedded::BLOCKS[block];
            let address = u128::from(block.network()) | u128::from(bits) << 96 >> block.prefix_len();
            IpNet::new(Ipv6Addr::from(address).into(), block.prefix_len() + length).unwrap().trunc()
        });
        prop_oneof![v4, v6, carrying]
    }

    proptest! {
        #[test]
        fn every_address_has_its_outcome_and_its_widest_prefix(
            networks in prop::collection::vec((network(), 0..4u32), 0..40),
            random in prop::collection::vec(network(), 20),
            embedded in any::<bool>(),
        ) {
            let (table, v4, v6) = table(&networks, embedded);
            let edges = networks.iter().map(|(network, _)| *network).chain(random).flat_map(|network| {
                let (first, last) = (network.network(), network.broadcast());
                [first, last, beside(first, u128::MAX), beside(last, 1)]
            });
            for address in edges {
                let (ranges, other) = if address.is_ipv4() { (&v4, &v6) } else { (&v6, &v4) };
                check(&table, ranges, other, address);
            }
        }
    }

    #[test]
    fn length_0_is_for_one_single_outcome() {
        let check = |networks: &[(&str, u32)], v4: u8, v6: u8| {
            let networks: Vec<_> =
                networks.iter().map(|(network, id)| (network.parse().unwrap(), *id)).collect();
            let (table, ..) = table(&networks, false);
            assert_eq!(table.lookup("192.0.2.1".parse().unwrap()).prefix_len, v4, "{networks:?}");
            assert_eq!(table.lookup("2001:db8::1".parse().unwrap()).prefix_len, v6, "{networks:?}");
        };
        check(&[], 0, 0);
        check(&[("0.0.0.0/0", 1), ("::/0", 1)], 0, 0);
        check(&[("0.0.0.0/0", 1), ("::/0", 2)], 1, 1);
        check(&[("0.0.0.0/0", 1)], 1, 1);
        check(&[("192.0.2.0/24", 1)], 24, 1);
        check(&[("192.0.2.0/25", 1), ("192.0.2.128/25", 1)], 24, 1);
        check(&[("2001:db8::1/128", 1)], 1, 128);
        check(&[("192.0.2.1/32", 1)], 32, 1);
    }

    #[test]
    fn keys_belong_to_their_outcome() {
        let keys = Outcomes { keys: vec![1, 2, 3, 4], width: 2, len: 2 };
        let table = Table::build(&Ranges::whole(2), Ranges::whole(1), true, keys, Some(1));
        let found = table.lookup("192.0.2.1".parse().unwrap());
        assert_eq!(table.keys(found.outcome.unwrap()), [3, 4]);
        assert_eq!((table.default_outcome(), table.outcomes()), (Some(1), 2));
        assert!(table.bytes() > 2 * 4 * 65536);
    }
}
