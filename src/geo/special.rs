//! Addresses that belong to nobody in particular: no database can place them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The special-purpose block an address lies in, and what it is for (IANA's registries, RFC 6890 and its
/// updates, and the multicast blocks). The narrowest where several do.
///
/// It is for `explain` alone: the operator may know where a private network is, so such an address is
/// placed like any other as soon as a source names it.
pub fn special_purpose(address: IpAddr) -> Option<(IpNet, &'static str)> {
    let blocks = BLOCKS.iter().map(|&(block, purpose)| (block.parse::<IpNet>().expect("a network"), purpose));
    blocks.filter(|(block, _)| block.contains(&address)).max_by_key(|(block, _)| block.prefix_len())
}

const BLOCKS: [(&str, &str); 36] = [
    ("0.0.0.0/8", "this network (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared, carrier-grade NAT (RFC 6598)"),
    ("127.0.0.0/8", "loopback (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927)"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "documentation (RFC 5737)"),
    ("192.31.196.0/24", "AS112 (RFC 7535)"),
    ("192.52.193.0/24", "AMT (RFC 7450)"),
    ("192.88.99.0/24", "6to4 relay anycast, deprecated (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("192.175.48.0/24", "AS112 (RFC 7534)"),
    ("198.18.0.0/15", "benchmarking (RFC 2544)"),
    ("198.51.100.0/24", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
    ("255.255.255.255/32", "limited broadcast (RFC 8190)"),
    ("::/128", "unspecified (RFC 4291)"),
    ("::1/128", "loopback (RFC 4291)"),
    ("::ffff:0:0/96", "IPv4-mapped (RFC 4291)"),
    ("64:ff9b::/96", "IPv4/IPv6 translation (RFC 6052)"),
    ("64:ff9b:1::/48", "local-use IPv4/IPv6 translation (RFC 8215)"),
    ("100::/64", "discard-only (RFC 6666)"),
    ("2001::/23", "protocol assignments (RFC 2928)"),
    ("2001::/32", "Teredo (RFC 4380)"),
    ("2001:20::/28", "ORCHIDv2 (RFC 7343)"),
    ("2001:db8::/32", "documentation (RFC 3849)"),
    ("2002::/16", "6to4 (RFC 3056)"),
    ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
    ("3fff::/20", "documentation (RFC 9637)"),
    ("5f00::/16", "segment routing identifiers (RFC 9602)"),
    ("fc00::/7", "unique local (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("ff00::/8", "multicast (RFC 4291)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_neighbours() {
        let check = |address: &str, expect: Option<&str>| {
            let found = special_purpose(address.parse().unwrap());
            assert_eq!(found.map(|(block, _)| block.to_string()).as_deref(), expect, "{address}");
        };
        check("10.255.255.255", Some("10.0.0.0/8"));
        check("11.0.0.0", None);
        check("172.31.255.255", Some("172.16.0.0/12"));
        check("172.32.0.0", None);
        check("100.63.255.255", None);
        check("100.64.0.0", Some("100.64.0.0/10"));
        check("255.255.255.255", Some("255.255.255.255/32"));
        check("240.0.0.1", Some("240.0.0.0/4"));
        check("81.2.69.160", None);
        check("::1", Some("::1/128"));
        check("::2", None);
        check("2001::1", Some("2001::/32"));
        check("2001:db8::1", Some("2001:db8::/32"));
        check("2001:200::1", None);
        check("fd00::1", Some("fc00::/7"));
        check("2606:4700::1111", None);
        assert!(BLOCKS.iter().all(|(block, _)| block.parse::<IpNet>().is_ok_and(|net| net == net.trunc())));
    }
}
