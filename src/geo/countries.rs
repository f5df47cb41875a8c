//! What we know of countries without any database: `geoip/countries.csv`, built into the binary.
//!
//! The codes are those of ISO 3166-1 and XK (Kosovo, user-assigned, in every geo database). A centroid is
//! that of the country's main land, far-flung parts left out: France without Guiana, Norway without
//! Svalbard, the United States without Alaska and Hawaii.

use std::str::FromStr;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Continent, Coordinates, Country, Georegion, Location, Subdivision};

/// A country's line.
#[derive(Clone, Copy, Debug)]
struct Entry {
    country: Country,
    continent: Continent,
    georegion: Georegion,
    centroid: Coordinates,
}

/// Whether the code is assigned.
pub fn is_known(country: Country) -> bool {
    entry(country).is_some()
}

/// What to write instead of a code that is not assigned but often written, as the end of a message; may be
/// empty.
pub fn meant_by(country: Country) -> &'static str {
    match country.as_str() {
        "UK" | "EN" => "; write GB",
        _ => "",
    }
}

/// Whether a subdivision is one of its country; of other countries than the United States and Canada, whose
/// lists change too often to keep, every one is taken.
pub fn is_part(country: Country, subdivision: Subdivision) -> bool {
    let parts = match country.as_str() {
        "US" => US_PARTS,
        "CA" => CA_PARTS,
        _ => return true,
    };
    parts.split_whitespace().any(|part| part == subdivision.as_str())
}

/// States, the district, and outlying areas (ISO 3166-2:US).
const US_PARTS: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV \
                        NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY \
                        DC AS GU MP PR UM VI";

/// Provinces and territories (ISO 3166-2:CA).
const CA_PARTS: &str = "AB BC MB NB NL NS ON PE QC SK NT NU YT";

/// The continent it is counted to.
pub fn continent(country: Country) -> Option<Continent> {
    Some(entry(country)?.continent)
}

/// The georegion most of it lies in; of a location within, [`Georegion::of`] knows better.
pub fn georegion(country: Country) -> Option<Georegion> {
    Some(entry(country)?.georegion)
}

/// The middle of its main land.
pub fn centroid(country: Country) -> Option<Coordinates> {
    Some(entry(country)?.centroid)
}

/// Where a location is on the globe: its coordinates, else its country's centroid.
pub fn point(location: &Location) -> Option<Coordinates> {
    location.coordinates.or_else(|| centroid(location.country))
}

/// Every country there is, by code.
pub fn all() -> impl Iterator<Item = Country> {
    ENTRIES.iter().map(|entry| entry.country)
}

fn entry(country: Country) -> Option<&'static Entry> {
    let place = ENTRIES.binary_search_by_key(&country, |entry| entry.country).ok()?;
    Some(&ENTRIES[place])
}

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let text = include_str!("../../geoip/countries.csv");
    let lines = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes()).into_deserialize();
    let entries = lines.map(|line| line.expect("`countries.csv` is tested")).map(|line: Line| Entry {
        country: known(&line.country),
        continent: known(&line.continent),
        georegion: known(&line.georegion),
        centroid: Coordinates { latitude: line.latitude, longitude: line.longitude },
    });
    entries.collect()
});

fn known<T: FromStr<Err = String>>(text: &str) -> T {
    text.parse().expect("`countries.csv` is tested")
}

#[derive(Deserialize)]
struct Line {
    country: String,
    continent: String,
    georegion: String,
    latitude: f64,
    longitude: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::distance_km;

    #[test]
    fn every_line_is_right_and_in_order() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.country < b.country));
        assert_eq!(ENTRIES.len(), 250, "249 codes of ISO 3166-1 and XK");
        for entry in ENTRIES.iter() {
            let at = entry.centroid;
            assert!(Coordinates::new(Some(at.latitude), Some(at.longitude)).is_some(), "{entry:?}");
            assert_ne!((at.latitude, at.longitude), (0.0, 0.0), "{entry:?}");
            let regions: &[Georegion] = match entry.continent {
                Continent::Africa => &[Georegion::Africa],
                Continent::Asia | Continent::Oceania => &[Georegion::AsiaPac],
                Continent::Europe => &[Georegion::Europe],
                Continent::NorthAmerica => &[Georegion::UsEast, Georegion::UsCentral, Georegion::UsWest],
                Continent::SouthAmerica => &[Georegion::SouthAmerica],
                Continent::Antarctica => &[Georegion::SouthAmerica, Georegion::Africa, Georegion::AsiaPac],
            };
            assert!(regions.contains(&entry.georegion), "{entry:?}");
        }
    }

    #[test]
    fn centroids_lie_in_the_middle() {
        let check = |code: &str, latitude: f64, longitude: f64, within_km: f64| {
            let found = centroid(code.parse().unwrap()).unwrap();
            let off = distance_km(found, Coordinates { latitude, longitude });
            assert!(off < within_km, "{code} is {off:.0} km off: {found:?}");
        };
        check("US", 39.8, -98.6, 300.0);
        check("FR", 46.6, 2.4, 150.0);
        check("NO", 64.5, 13.0, 350.0);
        check("NL", 52.2, 5.6, 100.0);
        check("ES", 40.2, -3.6, 150.0);
        check("PT", 39.6, -8.0, 150.0);
        check("CL", -35.5, -71.2, 600.0);
        check("NZ", -41.8, 171.9, 300.0);
        check("FJ", -17.8, 178.0, 200.0);
        check("KI", 1.4, 173.0, 700.0);
        check("RU", 66.4, 94.3, 300.0);
        check("JP", 36.5, 138.0, 300.0);
        check("SG", 1.35, 103.8, 30.0);
        check("ZA", -29.0, 25.1, 200.0);
        check("AU", -25.6, 134.5, 200.0);
        check("CA", 60.1, -97.0, 600.0);
        check("GB", 54.0, -2.5, 200.0);
        assert_eq!(centroid("ZZ".parse().unwrap()), None);
    }
}
