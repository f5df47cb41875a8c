//! What geo knows of an address.

use std::fmt;
use std::str::FromStr;

/// A country by its ISO 3166-1 alpha-2 code, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }
}

impl FromStr for Country {
    type Err = String;

    /// Two ASCII letters of either case; whether the code is assigned is `countries`' to say.
    fn from_str(text: &str) -> Result<Country, String> {
        match text.as_bytes() {
            &[a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Country([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(format!("`{text}` is no ISO 3166-1 code of two letters")),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of an ISO 3166-2 code after the hyphen (`CA` of `US-CA`, `ENG` of `GB-ENG`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision([u8; 3]);

impl Subdivision {
    /// One to three letters or digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII").trim_end_matches('\0')
    }
}

impl FromStr for Subdivision {
    type Err = String;

    fn from_str(text: &str) -> Result<Subdivision, String> {
        let mut code = [0; 3];
        if text.is_empty() || text.len() > 3 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("`{text}` is no ISO 3166-2 suffix of one to three letters or digits"));
        }
        code[..text.len()].copy_from_slice(text.to_ascii_uppercase().as_bytes());
        Ok(Subdivision(code))
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A continent by its two letters, as in MaxMind's files: AF AN AS EU NA OC SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

impl Continent {
    /// Its two letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Continent::Africa => "AF",
            Continent::Antarctica => "AN",
            Continent::Asia => "AS",
            Continent::Europe => "EU",
            Continent::NorthAmerica => "NA",
            Continent::Oceania => "OC",
            Continent::SouthAmerica => "SA",
        }
    }
}

impl FromStr for Continent {
    type Err = String;

    /// The two letters, in either case.
    fn from_str(text: &str) -> Result<Continent, String> {
        use Continent::*;
        [Africa, Antarctica, Asia, Europe, NorthAmerica, Oceania, SouthAmerica]
            .into_iter()
            .find(|continent| continent.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("`{text}` is no continent; write AF, AN, AS, EU, NA, OC or SA"))
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// NS1's seven coarse regions (NS1 metadata key `georegion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Georegion {
    UsEast,
    UsCentral,
    UsWest,
    Europe,
    AsiaPac,
    SouthAmerica,
    Africa,
}

/// A point on the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Coordinates {
    /// Coordinates that are on the globe; none when either is missing or out of range.
    pub fn new(latitude: Option<f64>, longitude: Option<f64>) -> Option<Coordinates> {
        let (latitude, longitude) = (latitude?, longitude?);
        let on_globe = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_globe.then_some(Coordinates { latitude, longitude })
    }
}

/// `51.51,-0.13`: latitude, then longitude.
impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{},{}", self.latitude, self.longitude)
    }
}

impl FromStr for Coordinates {
    type Err = String;

    fn from_str(text: &str) -> Result<Coordinates, String> {
        let (latitude, longitude) = text.split_once(',').unwrap_or((text, ""));
        Coordinates::new(latitude.parse().ok(), longitude.parse().ok()).ok_or_else(|| {
            format!("`{text}` is no point; write latitude,longitude in degrees, such as 51.51,-0.13")
        })
    }
}

/// Where an address is. One unit: it comes whole from the first source that knows a country, so that
/// coordinates never contradict the country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// Its country.
    pub country: Country,
    /// Its continent, where the source names one or the country is known to us.
    pub continent: Option<Continent>,
    /// Its subdivision.
    pub subdivision: Option<Subdivision>,
    /// Its coordinates; a location with them is finer than its country.
    pub coordinates: Option<Coordinates>,
}

/// `GB-ENG 51.51,-0.13 (EU)`, leaving out what is not known.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.country)?;
        if let Some(subdivision) = self.subdivision {
            write!(f, "-{subdivision}")?;
        }
        if let Some(coordinates) = self.coordinates {
            write!(f, " {coordinates}")?;
        }
        if let Some(continent) = self.continent {
            write!(f, " ({continent})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr<Err = String> + fmt::Display>(text: &str) {
        assert_eq!(text.parse::<T>().map(|value| value.to_string()), Ok(text.to_string()));
    }

    #[test]
    fn what_is_read_is_what_is_shown() {
        ["AF", "AN", "AS", "EU", "NA", "OC", "SA"].into_iter().for_each(round_trip::<Continent>);
        ["GB", "XK"].into_iter().for_each(round_trip::<Country>);
        ["ENG", "CA", "13", "L"].into_iter().for_each(round_trip::<Subdivision>);
        ["51.51,-0.13", "-90,180", "0,0"].into_iter().for_each(round_trip::<Coordinates>);
        assert_eq!("gb".parse::<Country>().unwrap().as_str(), "GB");
        for text in ["", "51.51", "51.51 -0.13", "90.1,0", "0,-180.5", "NaN,0", "1,2,3"] {
            assert!(text.parse::<Coordinates>().is_err(), "{text}");
        }
        assert!(
            "G".parse::<Country>().is_err()
                && "GBR".parse::<Country>().is_err()
                && "G1".parse::<Country>().is_err()
        );
        assert!("".parse::<Subdivision>().is_err() && "ABCD".parse::<Subdivision>().is_err());
        assert!("XX".parse::<Continent>().is_err());
    }

    #[test]
    fn a_location_shows_what_it_has() {
        let mut location = Location {
            country: "GB".parse().unwrap(),
            continent: Some(Continent::Europe),
            subdivision: Some("ENG".parse().unwrap()),
            coordinates: Some(Coordinates { latitude: 51.51, longitude: -0.13 }),
        };
        assert_eq!(location.to_string(), "GB-ENG 51.51,-0.13 (EU)");
        location.subdivision = None;
        location.coordinates = None;
        assert_eq!(location.to_string(), "GB (EU)");
    }
}
