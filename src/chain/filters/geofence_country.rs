#![doc = include_str!("geofence_country.md")]

use super::fencing::{self, Fencing};
use super::placing::canonical;
use crate::chain::{Compiled, Effect, Kind, Meta, Spec, SpecError};
use crate::geo::{Country, Location, Subdivision};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "geofence_country",
    effect: Effect::Sift,
    manual: include_str!("geofence_country.md"),
    compile,
};

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let fencing = Fencing {
        name: KIND.name,
        remove_option: "remove_no_location",
        what: "a country or subdivisions",
        tag,
        word,
        ask: |spec, identity, tags| {
            let keys = |location: &Location| fencing::keys(tags, |tag: &Tag| tag.matches(location));
            spec.geo.by_location(identity, &|location| Some(keys(location)))
        },
        by_place: true,
    };
    fencing::compile(spec, &fencing)
}

#[derive(Debug)]
struct Tag {
    countries: Vec<Country>,
    subdivisions: Vec<(Country, Subdivision)>,
}

fn tag(meta: &Meta) -> Option<Tag> {
    let countries = canonical(meta.country.iter().copied());
    let subdivisions = canonical(meta.subdivisions.iter().copied());
    (!countries.is_empty() || !subdivisions.is_empty()).then_some(Tag { countries, subdivisions })
}

fn word(tag: &Tag) -> String {
    let countries = tag.countries.iter().map(Country::to_string);
    let subdivisions = tag.subdivisions.iter().map(|(country, part)| format!("{country}-{part}"));
    countries.chain(subdivisions).collect::<Vec<_>>().join(", ")
}

impl Tag {
    fn matches(&self, location: &Location) -> bool {
        let within = |part| self.subdivisions.contains(&(location.country, part));
        self.countries.contains(&location.country) || location.subdivision.is_some_and(within)
    }
}
