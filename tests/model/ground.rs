//! Who is where: generated, or read from a database, and held as one sorted list per family.
//!
//! Nothing here uses the server's own `geo` room: its tables are what is judged.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::Deserialize;

/// A place; its point is its own, else the middle of its country.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub country: String,
    pub subdivision: Option<String>,
    pub coordinates: Option<(f64, f64)>,
}

/// What is known of a range of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Its place in [`Ground::places`].
    pub place: Option<u32>,
    pub asn: Option<u32>,
}

/// Two families of addresses, at the top of 128 bits both.
pub struct Ground {
    pub places: Vec<Place>,
    pub v4: Ranges<Facts>,
    pub v6: Ranges<Facts>,
    pub centroids: HashMap<String, (f64, f64)>,
}

/// A family cut into ranges: first address and what holds from there on.
#[derive(Clone, Debug)]
pub struct Ranges<T> {
    pub starts: Vec<u128>,
    pub values: Vec<T>,
}

impl<T: Copy + PartialEq> Ranges<T> {
    /// From ranges that do not overlap (first, last), sorted; `rest` holds between them.
    fn with_gaps(ranges: impl IntoIterator<Item = (u128, u128, T)>, rest: T) -> Ranges<T> {
        let mut whole = Ranges { starts: vec![0], values: vec![rest] };
        for (first, last, value) in ranges {
            whole.push(first, value);
            if let Some(next) = last.checked_add(1) {
                whole.push(next, rest);
            }
        }
        whole
    }

    fn push(&mut self, start: u128, value: T) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value);
    }

    /// The range's number, its first and its last address.
    pub fn find(&self, address: u128) -> (usize, u128, u128) {
        let index = self.starts.partition_point(|&start| start <= address) - 1;
        let last = self.starts.get(index + 1).map_or(u128::MAX, |next| next - 1);
        (index, self.starts[index], last)
    }

    /// The same ranges with something else on them, equal neighbours in one.
    pub fn map<U: Copy + PartialEq>(&self, mut to: impl FnMut(T) -> U) -> Ranges<U> {
        let mut mapped: Ranges<U> = Ranges { starts: Vec::new(), values: Vec::new() };
        for (&start, &value) in self.starts.iter().zip(&self.values) {
            let value = to(value);
            if mapped.values.last() != Some(&value) {
                mapped.starts.push(start);
                mapped.values.push(value);
            }
        }
        mapped
    }
}

/// An address at the top of 128 bits.
pub fn aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => v6.into(),
    }
}

/// Whether an IPv6 address carries an IPv4 address that says where it is.
pub fn carries_v4(v6: u128) -> bool {
    v6 >> 48 == 0 || v6 >> 96 == 0x2001_0000 || v6 >> 112 == 0x2002
}

/// Back from the top of 128 bits.
pub fn unaligned(bits: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from((bits >> 96) as u32).into() } else { Ipv6Addr::from(bits).into() }
}

impl Ground {
    pub fn facts(&self, address: IpAddr) -> Facts {
        let ranges = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        ranges.values[ranges.find(aligned(address)).0]
    }

    pub fn point(&self, place: &Place) -> Option<(f64, f64)> {
        place.coordinates.or_else(|| self.centroids.get(&place.country).copied())
    }

    /// A world of about 100,000 networks a family, of all lengths, neighbours often alike.
    pub fn generate(seed: u64) -> Ground {
        let mut maker = Maker::new(seed);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        maker.split(0, 0, &V4_SHAPE, &mut v4);
        maker.split(0x2000 << 112, 3, &V6_SHAPE, &mut v6);
        maker.ground(v4, v6)
    }

    /// A small one, of some thousand networks a family.
    pub fn generate_small(seed: u64) -> Ground {
        let mut maker = Maker::new(seed);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        maker.split(0, 0, &Shape { whole_until: 5, last: 26, again: 0.64 }, &mut v4);
        maker.split(0x2000 << 112, 3, &Shape { whole_until: 9, last: 60, again: 0.51 }, &mut v6);
        maker.ground(v4, v6)
    }

    /// In the form of `networks.toml`: prefixes by what is known of them.
    pub fn to_networks_toml(&self) -> String {
        let mut by_facts: HashMap<(Option<u32>, Option<u32>), Vec<String>> = HashMap::new();
        for (prefix, facts) in self.prefixes() {
            by_facts.entry((facts.place, facts.asn)).or_default().push(format!("'{prefix}'"));
        }
        let mut text = String::new();
        for ((place, asn), prefixes) in by_facts {
            text += &format!("[[network]]\nprefixes = [{}]\n", prefixes.join(","));
            if let Some(place) = place.map(|place| &self.places[place as usize]) {
                text += &format!("country = '{}'\n", place.country);
                text +=
                    &place.subdivision.as_ref().map_or(String::new(), |s| format!("subdivision = '{s}'\n"));
                if let Some((latitude, longitude)) = place.coordinates {
                    text += &format!("latitude = {latitude:.2}\nlongitude = {longitude:.2}\n");
                }
            }
            text += &asn.map_or(String::new(), |asn| format!("asn = {asn}\n"));
        }
        text
    }

    /// In the form `rhumb geoip build` reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (prefix, facts) in self.prefixes() {
            let place = facts.place.map(|place| &self.places[place as usize]);
            let country = place.map_or("-", |place| &place.country);
            let subdivision = place.and_then(|place| place.subdivision.as_deref()).unwrap_or("-");
            let point = place.and_then(|place| place.coordinates);
            let point = point.map_or("-".into(), |(north, east)| format!("{north:.2},{east:.2}"));
            let asn = facts.asn.map_or("-".into(), |asn| asn.to_string());
            text += &format!("{prefix} {country} {subdivision} {point} {asn}\n");
        }
        text
    }

    /// Each range as the prefixes it is made of, where anything is known.
    fn prefixes(&self) -> impl Iterator<Item = (String, Facts)> {
        let of = |ranges: &Ranges<Facts>, v4: bool| {
            let mut list = Vec::new();
            for (index, facts) in ranges.values.iter().enumerate() {
                let (first, last) =
                    (ranges.starts[index], ranges.starts.get(index + 1).map_or(u128::MAX, |next| next - 1));
                if *facts != Facts::default() {
                    list.push((
                        format!("{}/{}", unaligned(first, v4), (first ^ last).leading_zeros()),
                        *facts,
                    ));
                }
            }
            list
        };
        of(&self.v4, true).into_iter().chain(of(&self.v6, false))
    }

    /// The ground as it is served: IPv6 addresses that carry an IPv4 address are where that is (at `::/96`,
    /// mapped, Teredo and 6to4).
    pub fn with_aliases(mut self) -> Ground {
        let v4: Vec<_> = self.v4.starts.iter().copied().zip(self.v4.values.iter().copied()).collect();
        let mut ranges = Vec::new();
        for (base, shift) in [(0, 96), (0xFFFF << 32, 96), (0x2001 << 112, 32), (0x2002 << 112, 16)] {
            for (index, &(start, facts)) in v4.iter().enumerate() {
                let last = v4.get(index + 1).map_or(u128::MAX, |next| next.0 - 1);
                ranges.push((base | start >> shift, base | last >> shift, facts));
            }
        }
        for (index, &start) in self.v6.starts.iter().enumerate() {
            let last = self.v6.starts.get(index + 1).map_or(u128::MAX, |next| next - 1);
            if self.v6.values[index] != Facts::default() {
                ranges.push((start, last, self.v6.values[index]));
            }
        }
        ranges.sort_by_key(|range| range.0);
        self.v6 = Ranges::with_gaps(ranges, Facts::default());
        self
    }

    /// What a MaxMind DB says, by a walk of its own.
    pub fn read(file: &Path) -> Ground {
        let reader = maxminddb::Reader::open_readfile(file).unwrap();
        let mut maker = Maker::new(0);
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut by_offset: HashMap<usize, Facts> = HashMap::new();
        maker.places.clear();
        let mut family = |whole: &str, v4: bool| {
            let mut ranges = Vec::new();
            for network in reader.within(whole.parse().unwrap(), Default::default()).unwrap() {
                let network = network.unwrap();
                let Some(offset) = network.offset() else { continue };
                let facts = *by_offset.entry(offset).or_insert_with(|| {
                    let record: Record = network.decode().unwrap().unwrap();
                    let place = record.place().filter(|place| maker.centroids.contains_key(&place.country));
                    let place = place.map(|place| {
                        *places.entry(format!("{place:?}")).or_insert_with(|| {
                            maker.places.push(place);
                            maker.places.len() as u32 - 1
                        })
                    });
                    Facts { place, asn: record.autonomous_system_number.filter(|asn| *asn != 0) }
                });
                let network = network.network().unwrap();
                let first = aligned(network.ip());
                if network.ip().is_ipv4() == v4 {
                    let rest = u128::MAX.checked_shr(network.prefix().into()).unwrap_or(0);
                    ranges.push((first, first | rest, facts));
                }
            }
            Ranges::with_gaps(ranges, Facts::default())
        };
        let (v4, v6) = (family("0.0.0.0/0", true), family("::/0", false));
        let Maker { places, centroids, .. } = maker;
        Ground { places, v4, v6, centroids }.with_aliases()
    }
}

#[derive(Deserialize)]
struct Record<'d> {
    #[serde(borrow)]
    country: Option<Code<'d>>,
    #[serde(borrow)]
    subdivisions: Option<Vec<Code<'d>>>,
    location: Option<Point>,
    autonomous_system_number: Option<u32>,
}

#[derive(Deserialize)]
struct Code<'d> {
    iso_code: Option<&'d str>,
}

#[derive(Deserialize)]
struct Point {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Record<'_> {
    fn place(&self) -> Option<Place> {
        let subdivision = self.subdivisions.as_ref().and_then(|list| list.first()?.iso_code);
        Some(Place {
            country: self.country.as_ref()?.iso_code?.to_string(),
            subdivision: subdivision.map(str::to_string),
            coordinates: self.location.as_ref().and_then(|at| Some((at.latitude?, at.longitude?))),
        })
    }
}

/// How a family is cut: every block down to a length, then some of the rest, down to the last.
struct Shape {
    whole_until: u32,
    last: u32,
    again: f64,
}

const V4_SHAPE: Shape = Shape { whole_until: 8, last: 25, again: 0.7 };
const V6_SHAPE: Shape = Shape { whole_until: 14, last: 48, again: 0.53 };

struct Maker {
    rng: fastrand::Rng,
    places: Vec<Place>,
    centroids: HashMap<String, (f64, f64)>,
    last: Facts,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let mut rng = fastrand::Rng::with_seed(seed);
        let text = include_str!("../../geoip/countries.csv");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("country,"));
        let line = |line: &str| {
            let columns: Vec<_> = line.split(',').collect();
            (columns[0].to_string(), (columns[3].parse().unwrap(), columns[4].parse().unwrap()))
        };
        let list: Vec<(String, (f64, f64))> = lines.map(line).collect();
        let hundredths = |degrees: f64| (degrees * 100.0).round() / 100.0;
        let places = (0..2000).map(|number| {
            // The large countries are where most addresses are.
            let large = ["US", "CA", "GB", "DE", "IE", "JP", "BR", "AU", "IN", "ZA"];
            let country = match number % 3 {
                0 => large[rng.usize(..large.len())].to_string(),
                _ => list[rng.usize(..list.len())].0.clone(),
            };
            let subdivisions: &[&str] = match country.as_str() {
                "US" => &["CA", "VA", "OR", "TX"],
                "CA" => &["QC", "BC"],
                "BR" => &["SP", "RJ"],
                _ => &[],
            };
            let subdivision = rng.choice(subdivisions).filter(|_| number % 2 == 0);
            let (latitude, longitude) = (rng.f64() * 180.0 - 90.0, rng.f64() * 360.0 - 180.0);
            Place {
                country,
                subdivision: subdivision.map(|s| s.to_string()),
                coordinates: (number % 5 < 2).then_some((hundredths(latitude), hundredths(longitude))),
            }
        });
        let places = places.collect();
        Maker { rng, places, centroids: list.into_iter().collect(), last: Facts::default() }
    }

    fn split(&mut self, start: u128, length: u32, shape: &Shape, out: &mut Vec<(u128, u128, Facts)>) {
        // What the format has as aliases of IPv4 is left to it.
        let holds =
            |alias: u128, bits: u32| length < bits && alias >> (128 - length) == start >> (128 - length);
        let is_in = |alias: u128, bits: u32| length >= bits && alias >> (128 - bits) == start >> (128 - bits);
        let aliases = [(0x2001 << 112, 32), (0x2002 << 112, 16)];
        let v6 = shape.last > 32;
        if v6 && aliases.iter().any(|&(alias, bits)| is_in(alias, bits)) {
            return;
        }
        let must =
            length < shape.whole_until || v6 && aliases.iter().any(|&(alias, bits)| holds(alias, bits));
        if must || length < shape.last && self.rng.f64() < shape.again {
            self.split(start, length + 1, shape, out);
            self.split(start | 1 << (127 - length), length + 1, shape, out);
            return;
        }
        let last = start | u128::MAX.checked_shr(length).unwrap_or(0);
        if self.rng.f64() < 0.6 {
            self.last.place = (self.rng.f64() > 0.15).then(|| self.rng.u32(..self.places.len() as u32));
        }
        if self.rng.f64() < 0.5 {
            self.last.asn = (self.rng.f64() > 0.2).then(|| self.rng.u32(64_500..64_520));
        }
        out.push((start, last, self.last));
    }

    fn ground(self, v4: Vec<(u128, u128, Facts)>, v6: Vec<(u128, u128, Facts)>) -> Ground {
        let Maker { places, centroids, .. } = self;
        let ranges = |list| Ranges::with_gaps(list, Facts::default());
        Ground { places, v4: ranges(v4), v6: ranges(v6), centroids }
    }
}
