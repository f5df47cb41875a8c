#![doc = include_str!("netfence_prefix.md")]

use ipnet::IpNet;

use super::fencing::{self, Fencing};
use super::placing::canonical;
use crate::chain::{Compiled, Effect, Kind, Meta, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "netfence_prefix",
    effect: Effect::Sift,
    manual: include_str!("netfence_prefix.md"),
    compile,
};

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let fencing = Fencing {
        name: KIND.name,
        remove_option: "remove_no_ip_prefixes",
        what: "ip_prefixes",
        tag,
        word: |tag| word(tag),
        ask: |spec, identity, tags| {
            let networks: Vec<&[IpNet]> = tags.iter().map(Vec::as_slice).collect();
            spec.geo.by_network(identity, &networks)
        },
        by_place: false,
    };
    fencing::compile(spec, &fencing)
}

fn tag(meta: &Meta) -> Option<Vec<IpNet>> {
    (!meta.ip_prefixes.is_empty()).then(|| canonical(meta.ip_prefixes.iter().map(IpNet::trunc)))
}

/// At most three networks: an answer may have a thousand.
fn word(networks: &[IpNet]) -> String {
    let named: Vec<_> = networks.iter().take(3).map(IpNet::to_string).collect();
    match networks.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn networks_decide() {
        check(
            "answer office   ip_prefixes=10.0.0.0/8,2001:db8:1::/48
             answer lab      ip_prefixes=10.20.30.40/16
             answer anyone
             chain  netfence_prefix
             client 10.20.0.1
             after  office lab anyone
             scope  16
             placed notasked
             why    lab 10.20.0.0/16: matches
             client 10.0.0.0/8
             after  office anyone
             scope  12
             client 2001:db8:1:2::/56
             after  office anyone
             scope  48
             client 2001:db8:2::/56
             after  anyone
             why    office 10.0.0.0/8, 2001:db8:1::/48: no match
             resolver 10.20.0.1
             after  anyone
             chain  netfence_prefix(remove_no_ip_prefixes=1)
             after  anyone
             client 10.20.0.1
             after  office lab",
        );
        check(
            "answer many ip_prefixes=10.0.0.0/8,11.0.0.0/8,12.0.0.0/8,13.0.0.0/8,10.0.0.0/8
             answer b
             chain  netfence_prefix
             why    many 10.0.0.0/8, 11.0.0.0/8, 12.0.0.0/8 and 1 more: no match",
        );
        check(
            "answer a
             answer b
             chain  netfence_prefix
             scope  0
             warn   no answer has ip_prefixes, so the filter does nothing",
        );
        refused("netfence_prefix(n=1)", "option `n`: unknown; it takes remove_no_ip_prefixes");
    }
}
