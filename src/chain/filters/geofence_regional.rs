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
