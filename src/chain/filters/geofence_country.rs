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

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    const ANSWERS: &str = "
        answer britain    country=GB,IE
        answer california subdivisions=US-CA,US-NV
        answer us         country=US subdivisions=US-NY
        answer anywhere
        ";

    #[test]
    fn tags_decide() {
        check(&format!(
            "{ANSWERS}
             chain  geofence_country
             client IE
             after  britain anywhere
             why    britain GB, IE: matches
             why    us US, US-NY: no match
             why    anywhere untagged
             client US-CA
             after  california us anywhere
             client US-TX
             after  us anywhere
             client US
             after  us anywhere
             client DE
             after  anywhere
             chain  geofence_country(remove_no_location=true)
             client IE
             after  britain
             client DE
             after  anywhere
             client 203.0.113.1
             after  anywhere
             placed nothing
             why    us US, US-NY: no match, since nothing is known of the client"
        ));
    }

    #[test]
    fn nothing_left() {
        let tagged = "
            answer britain country=GB
            answer germany country=DE
            chain  geofence_country
            client FR
            ";
        check(&format!("{tagged} after britain germany\nbypassed"));
        check(&format!("{tagged} nodata_on_empty\nafter\nbypassed no"));
    }

    #[test]
    fn warnings_and_options() {
        check(
            "answer a latitude=1.0 longitude=1.0
             answer b
             chain  geofence_country
             client GB
             after  a b
             scope  0
             warn   no answer has a country or subdivisions, so the filter does nothing",
        );
        refused(
            "geofence_country(remove_no_asn=1)",
            "option `remove_no_asn`: unknown; it takes remove_no_location",
        );
    }
}
