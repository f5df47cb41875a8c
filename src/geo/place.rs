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
