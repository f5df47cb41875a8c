#![doc = include_str!("geofence_regional.md")]

use super::fencing::{self, Fencing};
use super::placing::canonical;
use crate::chain::{Compiled, Effect, Kind, Meta, Spec, SpecError};
use crate::geo::Georegion;

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "geofence_regional",
    effect: Effect::Sift,
    manual: include_str!("geofence_regional.md"),
    compile,
};

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let fencing = Fencing {
        name: KIND.name,
        remove_option: "remove_no_georegion",
        what: "a georegion",
        tag,
        word: |tag| word(tag),
        ask: |spec, identity, tags| {
            spec.geo.by_location(identity, &|location| {
                let region = Georegion::of(location)?;
                Some(fencing::keys(tags, |tag: &Vec<Georegion>| tag.contains(&region)))
            })
        },
        by_place: true,
    };
    fencing::compile(spec, &fencing)
}

fn tag(meta: &Meta) -> Option<Vec<Georegion>> {
    (!meta.georegion.is_empty()).then(|| canonical(meta.georegion.iter().copied()))
}

fn word(regions: &[Georegion]) -> String {
    regions.iter().map(Georegion::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn tags_decide() {
        check(
            "answer america  georegion=US-EAST,US-CENTRAL,US-WEST
             answer europe   georegion=EUROPE
             answer anywhere
             chain  geofence_regional
             client US-CA
             after  america anywhere
             why    america US-EAST, US-CENTRAL, US-WEST: matches
             client FR
             after  europe anywhere
             client JP
             after  anywhere
             chain  geofence_regional(remove_no_georegion=1)
             client FR
             after  europe
             why    anywhere untagged, and remove_no_georegion removes it where a tagged answer matches
             client JP
             after  anywhere",
        );
        check(
            "answer a country=GB
             answer b
             chain  geofence_regional
             warn   no answer has a georegion, so the filter does nothing",
        );
        refused("geofence_regional(n=1)", "option `n`: unknown; it takes remove_no_georegion");
    }
}
