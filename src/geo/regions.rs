//! NS1's seven georegions: their names, which one a location lies in, and which is next.
//!
//! NS1 names the regions and says no more of their borders, so these are ours:
//!
//! - Africa is AFRICA, Europe EUROPE, South America SOUTH-AMERICA, Asia and Oceania ASIAPAC. The
//!   countries' continents and the few that have none (Antarctica and its islands) are in
//!   `geoip/countries.csv`.
//! - The United States, Canada and Mexico span the three regions of North America. The subdivision
//!   decides, by the time zone most of its people live in: Eastern and Atlantic time is US-EAST, Central
//!   time US-CENTRAL, Mountain and Pacific time, Alaska and Hawaii US-WEST. Without a subdivision the
//!   longitude decides, along the same lines: 87 and 103 degrees west. Without either, the country's
//!   line in `countries.csv`: the United States and Mexico US-CENTRAL, Canada (whose people live in
//!   Ontario and Quebec) US-EAST.
//! - Central America is US-CENTRAL, the Caribbean, Bermuda, Greenland and Saint Pierre US-EAST.

use std::fmt;
use std::str::FromStr;

use super::{Georegion, Location, countries};
use Georegion::*;

impl Georegion {
    /// Every region, in NS1's order.
    pub const ALL: [Georegion; 7] = [UsEast, UsCentral, UsWest, Europe, AsiaPac, SouthAmerica, Africa];

    /// The region a location lies in; none when its country is not known to us.
    pub fn of(location: &Location) -> Option<Georegion> {
        let spans = SUBDIVISIONS.iter().find(|(country, ..)| *country == location.country.as_str());
        let Some((_, east, central, west)) = spans else { return countries::georegion(location.country) };
        if let Some(subdivision) = location.subdivision {
            let lists = [(east, UsEast), (central, UsCentral), (west, UsWest)];
            let found = lists.iter().find(|(list, _)| list.contains(&subdivision.as_str()));
            if let Some((_, region)) = found {
                return Some(*region);
            }
        }
        match location.coordinates {
            Some(at) if at.longitude > EASTERN_FROM => Some(UsEast),
            Some(at) if at.longitude > CENTRAL_FROM => Some(UsCentral),
            Some(_) => Some(UsWest),
            None => countries::georegion(location.country),
        }
    }

    /// All regions, nearest first, beginning with this one. Nearness is the usual delay between the
    /// regions' large exchanges, which follows the cables and not the globe: Europe is nearer to the
    /// eastern United States than to southern Africa.
    pub fn by_nearness(self) -> [Georegion; 7] {
        match self {
            UsEast => [UsEast, UsCentral, UsWest, Europe, SouthAmerica, AsiaPac, Africa],
            UsCentral => [UsCentral, UsEast, UsWest, Europe, SouthAmerica, AsiaPac, Africa],
            UsWest => [UsWest, UsCentral, UsEast, AsiaPac, Europe, SouthAmerica, Africa],
            Europe => [Europe, UsEast, UsCentral, UsWest, Africa, AsiaPac, SouthAmerica],
            AsiaPac => [AsiaPac, UsWest, UsCentral, Europe, UsEast, Africa, SouthAmerica],
            SouthAmerica => [SouthAmerica, UsEast, UsCentral, UsWest, Europe, Africa, AsiaPac],
            Africa => [Africa, Europe, UsEast, UsCentral, AsiaPac, UsWest, SouthAmerica],
        }
    }

    /// NS1's name.
    pub fn as_str(self) -> &'static str {
        match self {
            UsEast => "US-EAST",
            UsCentral => "US-CENTRAL",
            UsWest => "US-WEST",
            Europe => "EUROPE",
            AsiaPac => "ASIAPAC",
            SouthAmerica => "SOUTH-AMERICA",
            Africa => "AFRICA",
        }
    }
}

impl FromStr for Georegion {
    type Err = String;

    /// NS1's name, in either case.
    fn from_str(text: &str) -> Result<Georegion, String> {
        let found = Georegion::ALL.into_iter().find(|region| region.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let names = Georegion::ALL.map(Georegion::as_str).join(", ");
            format!("`{text}` is no georegion; there are {names}")
        })
    }
}

impl fmt::Display for Georegion {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A country that spans the three regions of North America, and its subdivisions (ISO 3166-2) in each.
type Spanning = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const SUBDIVISIONS: [Spanning; 3] = [
    (
        "US",
        &[
            "CT", "DC", "DE", "FL", "GA", "IN", "KY", "MA", "MD", "ME", "MI", "NC", "NH", "NJ", "NY", "OH",
            "PA", "PR", "RI", "SC", "VA", "VI", "VT", "WV",
        ],
        &["AL", "AR", "IA", "IL", "KS", "LA", "MN", "MO", "MS", "ND", "NE", "OK", "SD", "TN", "TX", "WI"],
        &["AK", "AZ", "CA", "CO", "HI", "ID", "MT", "NM", "NV", "OR", "UT", "WA", "WY"],
    ),
    ("CA", &["NB", "NL", "NS", "ON", "PE", "QC"], &["MB", "NU", "SK"], &["AB", "BC", "NT", "YT"]),
    (
        "MX",
        &["ROO"],
        &[
            "AGU", "CAM", "CHP", "CMX", "COA", "COL", "DUR", "GRO", "GUA", "HID", "JAL", "MEX", "MIC", "MOR",
            "NLE", "OAX", "PUE", "QUE", "SLP", "TAB", "TAM", "TLA", "VER", "YUC", "ZAC",
        ],
        &["BCN", "BCS", "CHH", "NAY", "SIN", "SON"],
    ),
];

/// East of here, in degrees, the time is mostly Eastern.
const EASTERN_FROM: f64 = -87.0;
/// East of here it is mostly Central, west of here Mountain or Pacific.
const CENTRAL_FROM: f64 = -103.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Coordinates;

    fn region(country: &str, subdivision: &str, longitude: Option<f64>) -> Option<&'static str> {
        let location = Location {
            country: country.parse().unwrap(),
            continent: None,
            subdivision: subdivision.parse().ok(),
            coordinates: longitude.map(|longitude| Coordinates { latitude: 40.0, longitude }),
        };
        Georegion::of(&location).map(Georegion::as_str)
    }

    #[test]
    fn locations_and_their_regions() {
        let check = |country, subdivision, longitude, expect| {
            assert_eq!(
                region(country, subdivision, longitude),
                expect,
                "{country}-{subdivision} {longitude:?}"
            );
        };
        check("US", "VA", None, Some("US-EAST"));
        check("US", "TX", Some(-122.0), Some("US-CENTRAL"));
        check("US", "CA", None, Some("US-WEST"));
        check("US", "", Some(-77.0), Some("US-EAST"));
        check("US", "", Some(-95.0), Some("US-CENTRAL"));
        check("US", "ZZ", Some(-122.0), Some("US-WEST"));
        check("US", "", None, Some("US-CENTRAL"));
        check("CA", "BC", None, Some("US-WEST"));
        check("CA", "", None, Some("US-EAST"));
        check("MX", "CMX", None, Some("US-CENTRAL"));
        check("MX", "", None, Some("US-CENTRAL"));
        check("GT", "", None, Some("US-CENTRAL"));
        check("CU", "", None, Some("US-EAST"));
        check("GB", "ENG", None, Some("EUROPE"));
        check("TR", "", None, Some("ASIAPAC"));
        check("NZ", "", None, Some("ASIAPAC"));
        check("BR", "SP", None, Some("SOUTH-AMERICA"));
        check("ZA", "", None, Some("AFRICA"));
        check("AQ", "", None, Some("SOUTH-AMERICA"));
        check("ZZ", "", None, None);
    }

    #[test]
    fn every_subdivision_is_in_one_region() {
        for (country, east, central, west) in SUBDIVISIONS {
            let mut all = [east, central, west].concat();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{country}");
        }
    }

    #[test]
    fn each_region_knows_all_others_and_itself_first() {
        for region in Georegion::ALL {
            let mut order = region.by_nearness();
            assert_eq!(order[0], region);
            order.sort();
            assert_eq!(order, Georegion::ALL);
            assert_eq!(region.to_string().to_lowercase().parse(), Ok(region));
        }
        // NS1's own example of "closest".
        let order = UsCentral.by_nearness();
        let place = |region| order.iter().position(|&other| other == region);
        assert!(place(UsEast) < place(AsiaPac));
        assert!("US".parse::<Georegion>().is_err());
    }
}
