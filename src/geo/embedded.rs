//! IPv6 addresses that carry an IPv4 address: they are where that is.
//!
//! Databases do the same by leading the tree of IPv6 back to that of IPv4 (MaxMind DB 2.0, "IPv4 addresses
//! in an IPv6 tree"). We look such an address up as IPv4 instead: walking four copies of IPv4 at load and
//! keeping them in every table would be most of both, and an override for an IPv4 network holds for its
//! 6to4 addresses too.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

/// The blocks, lowest first. The IPv4 address follows the prefix at once (in Teredo it is the server's).
pub(super) const BLOCKS: [Ipv6Net; 4] = [
    // The tree's own place for IPv4; once IPv4-compatible addresses (RFC 4291, 2.5.5.1).
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96),
    // IPv4-mapped (RFC 4291, 2.5.5.2).
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    // Teredo (RFC 4380).
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 (RFC 3056).
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// The address as geo goes by it: the IPv4 address it carries, else itself.
pub(super) fn located(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match BLOCKS.iter().find(|block| block.contains(&v6)) {
        Some(block) => IpAddr::V4(((u128::from(v6) << block.prefix_len() >> 96) as u32).into()),
        None => address,
    }
}

/// What lies between the blocks and around them, as networks, lowest first.
pub(super) fn between() -> Vec<Ipv6Net> {
    let mut networks = Vec::new();
    let mut first = 0;
    for block in BLOCKS {
        let start = u128::from(block.network());
        if first < start {
            networks.extend(ipnet::Ipv6Subnets::new(first.into(), (start - 1).into(), 0));
        }
        first = u128::from(block.broadcast()) + 1;
    }
    networks.extend(ipnet::Ipv6Subnets::new(first.into(), u128::MAX.into(), 0));
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_what_they_carry() {
        let check = |address: &str, expect: &str| {
            assert_eq!(located(address.parse().unwrap()).to_string(), expect, "{address}");
        };
        check("::ffff:81.2.69.160", "81.2.69.160");
        check("::81.2.69.160", "81.2.69.160");
        check("2001:0:5102:45a0:1::1", "81.2.69.160");
        check("2002:5102:45a0:1::1", "81.2.69.160");
        check("2001:1::1", "2001:1::1");
        check("2003::1", "2003::1");
        check("81.2.69.160", "81.2.69.160");
    }

    #[test]
    fn the_blocks_and_what_is_between_are_everything_once() {
        let mut all = [between(), BLOCKS.to_vec()].concat();
        all.sort();
        let mut next = Some(0u128);
        for network in all {
            assert_eq!(Some(network.network().into()), next, "{network}");
            next = u128::from(network.broadcast()).checked_add(1);
        }
        assert_eq!(next, None);
    }
}
