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

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn tags_decide() {
        check(
            "answer peers   asn=2914,3257
             answer anyone
             chain  netfence_asn
             client AS2914
             after  peers anyone
             why    peers AS2914, AS3257: matches
             client AS701
             after  anyone
             client GB
             after  anyone
             placed nothing
             resolver AS3257
             after  peers anyone
             placed resolver
             chain  netfence_asn(remove_no_asn=1)
             after  peers
             client AS701
             after  anyone",
        );
        check(
            "answer a
             answer b
             chain  netfence_asn
             client AS701
             scope  0
             warn   no answer has an asn, so the filter does nothing",
        );
        refused("netfence_asn(n=1)", "option `n`: unknown; it takes remove_no_asn");
    }
}
