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
