//! The distinct places and autonomous systems of all sources, numbered from 1; 0 is unknown.
//!
//! A City file names 100,000 places five million times: ranges carry the number, and a question is asked
//! once per place.

use std::collections::HashMap;
use std::net::IpAddr;

use super::ranges::{Address, Ranges};
use super::{Continent, Country, Location, Subdivision, embedded};

/// What a source says of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Its location; none when the source names no country that ISO 3166-1 knows.
    pub location: Option<Location>,
    /// Its autonomous system.
    pub asn: Option<u32>,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Catalogue {
    locations: Vec<Location>,
    location_ids: HashMap<Key, u32>,
    asns: Vec<u32>,
    asn_ids: HashMap<u32, u32>,
}

/// A location that can be a map's key: coordinates by their bits.
type Key = (Country, Option<Continent>, Option<Subdivision>, Option<(u64, u64)>);

impl Catalogue {
    fn location(&mut self, location: Location) -> u32 {
        let bits = location.coordinates.map(|at| (at.latitude.to_bits(), at.longitude.to_bits()));
        let key = (location.country, location.continent, location.subdivision, bits);
        *self.location_ids.entry(key).or_insert_with(|| {
            self.locations.push(location);
            self.locations.len() as u32
        })
    }

    fn asn(&mut self, asn: u32) -> u32 {
        *self.asn_ids.entry(asn).or_insert_with(|| {
            self.asns.push(asn);
            self.asns.len() as u32
        })
    }

    /// The numbers of a location and a system; 0 where there is none.
    pub fn facts(&mut self, facts: &Facts) -> (u32, u32) {
        let location = facts.location.map_or(0, |location| self.location(location));
        (location, facts.asn.map_or(0, |asn| self.asn(asn)))
    }

    /// How many distinct locations or systems there are, whichever is more.
    pub fn len(&self) -> usize {
        self.locations.len().max(self.asns.len())
    }

    /// The locations and the systems; number 1 is the first.
    pub fn into_lists(self) -> (Vec<Location>, Vec<u32>) {
        (self.locations, self.asns)
    }
}

/// What a source says of a family's addresses, by the catalogue's numbers.
pub(super) struct Family<A> {
    pub locations: Ranges<A>,
    pub asns: Ranges<A>,
}

impl<A: Address> Family<A> {
    /// Nothing is known.
    pub fn unknown() -> Family<A> {
        Family { locations: Ranges::whole(0), asns: Ranges::whole(0) }
    }

    /// What these say, and where they say nothing what `base` says.
    pub fn over(self, base: Family<A>) -> Family<A> {
        Family { locations: self.locations.over(base.locations), asns: self.asns.over(base.asns) }
    }
}

/// What a source says, family by family.
pub(super) struct Folded {
    pub v4: Family<u32>,
    pub v6: Family<u128>,
}

/// One kind of knowledge of all sources together.
pub(super) struct Layer<T> {
    /// Number 1 is the first.
    pub values: Vec<T>,
    pub v4: Ranges<u32>,
    pub v6: Ranges<u128>,
}

impl<T: Copy> Layer<T> {
    /// What is known of an address.
    pub fn find(&self, address: IpAddr) -> Option<T> {
        let number = match embedded::located(address) {
            IpAddr::V4(address) => self.v4.find(address.into()),
            IpAddr::V6(address) => self.v6.find(address.into()),
        };
        Some(self.values[number.checked_sub(1)? as usize])
    }

    /// The ranges of a family of which something is known, in order: first and last address, and what.
    pub fn known<A: Address>(&self, ranges: &Ranges<A>) -> impl Iterator<Item = (A, A, T)> {
        ranges.spans().filter_map(|(first, last, number)| {
            Some((first, last, self.values[number.checked_sub(1)? as usize]))
        })
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.v4.bytes() + self.v6.bytes()
    }
}

impl Folded {
    /// Whether it says anything at all.
    pub fn knows_anything(&self) -> bool {
        fn family<A: Address>(family: &Family<A>) -> bool {
            family.locations.ids() != [0] || family.asns.ids() != [0]
        }
        family(&self.v4) || family(&self.v6)
    }
}
