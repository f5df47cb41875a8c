#![doc = include_str!("netfence_asn.md")]

use super::fencing::{self, Fencing};
use super::placing::canonical;
use crate::chain::{Compiled, Effect, Kind, Meta, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "netfence_asn", effect: Effect::Sift, manual: include_str!("netfence_asn.md"), compile };

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let fencing = Fencing {
        name: KIND.name,
        remove_option: "remove_no_asn",
        what: "an asn",
        tag,
        word: |tag| word(tag),
        ask: |spec, identity, tags| {
            let keys = |asn| fencing::keys(tags, |tag: &Vec<u32>| tag.contains(&asn));
            spec.geo.by_asn(identity, &|asn| Some(keys(asn)))
        },
        by_place: true,
    };
    fencing::compile(spec, &fencing)
}

fn tag(meta: &Meta) -> Option<Vec<u32>> {
    (!meta.asn.is_empty()).then(|| canonical(meta.asn.iter().copied()))
}

fn word(asns: &[u32]) -> String {
    asns.iter().map(|asn| format!("AS{asn}")).collect::<Vec<_>>().join(", ")
}
