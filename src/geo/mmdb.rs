//! MaxMind DB files (City, Country and ASN; GeoLite2, GeoIP2, DB-IP), read into memory and folded.
//!
//! ```text
//! file -> bytes -> Reader -> walk of the tree, IPv4 subtree and whole tree apart -> Folded
//!                    |          each distinct record decoded once -> Catalogue
//!                    +-> lookup of one address, for display
//! ```
//!
//! Never mapped into memory: a file overwritten in place would change under a query, one cut short would
//! end the process (SIGBUS). The format is MaxMind DB 2.0 (maxmind.github.io/MaxMind-DB).
//!
//! IPv4 comes from its own subtree; from the tree of IPv6 what carries no IPv4 address ([`embedded`]). The
//! lengths of one family cannot leak into the other's, since only the first address of each network is
//! taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, fs};

use ipnet::{IpNet, Ipv4Net};
use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

use super::catalogue::{Catalogue, Facts, Family, Folded};
use super::ranges::Address;
use super::table::MAX_OUTCOMES;
use super::text::undated;
use super::{Coordinates, Location, countries, embedded};

/// An open file.
pub struct Database {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it calls itself (`GeoLite2-City`).
    pub database_type: String,
    /// When it was built.
    pub built: SystemTime,
    /// Nodes of its tree.
    pub nodes: u32,
    /// Whether it knows IPv6.
    pub has_v6: bool,
    /// Size of the file, in bytes; as much memory is held, for [`Database::lookup`].
    pub bytes: usize,
    reader: Reader<Vec<u8>>,
}

impl Database {
    /// Reads a file and checks that it is one.
    pub fn open(path: &Path) -> Result<Database, DatabaseError> {
        Database::from_bytes(path, fs::read(path).map_err(DatabaseError::Read)?)
    }

    /// The same, from bytes; `path` is only its name.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Database, DatabaseError> {
        let size = bytes.len();
        let reader = Reader::from_source(bytes)?;
        let metadata = reader.metadata();
        let built = metadata.build_time()?;
        if metadata.build_epoch > LATEST_DATE {
            return Err(DatabaseError::Damaged(format!("built in second {}", metadata.build_epoch)));
        }
        Ok(Database {
            path: path.into(),
            database_type: metadata.database_type.clone(),
            built,
            nodes: metadata.node_count,
            has_v6: metadata.ip_version == 6,
            bytes: size,
            reader,
        })
    }

    /// What it says of an address, and of which network: location and ASN.
    pub fn lookup(&self, address: IpAddr) -> Result<(Option<IpNet>, Facts), DatabaseError> {
        if address.is_ipv6() && !self.has_v6 {
            return Ok((None, Facts::default()));
        }
        let result = self.reader.lookup(address)?;
        let network = result.network()?;
        let network = IpNet::new(network.ip(), network.prefix()).ok();
        Ok((network, result.decode::<Record>()?.map(Facts::from).unwrap_or_default()))
    }

    /// Walks the whole file once. `progress` is told how many networks have been seen, of about how many.
    pub(super) fn fold(
        &self,
        catalogue: &mut Catalogue,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Folded, DatabaseError> {
        let mut walk = Walk {
            reader: &self.reader,
            catalogue,
            numbers: HashMap::new(),
            last: (None, (0, 0)),
            seen: 0,
            // A tree with n nodes has n + 1 leaves.
            total: u64::from(self.nodes) + 1,
            progress,
        };
        let (mut v4, mut v6) = (Family::unknown(), Family::unknown());
        walk.family(IpNet::from(Ipv4Net::default()), &mut v4, |address| match address {
            IpAddr::V4(address) => address.into(),
            // Above the IPv4 subtree, in a file without one: it holds for all of IPv4.
            IpAddr::V6(_) => 0,
        })?;
        if self.has_v6 {
            for network in embedded::between() {
                let first = u128::from(network.network());
                walk.family(network.into(), &mut v6, |address| match address {
                    // The reader may show the low end of a network that lies around this one.
                    IpAddr::V6(address) => u128::from(address).max(first),
                    IpAddr::V4(_) => first,
                })?;
            }
        }
        progress(walk.total, walk.total);
        for family in [&mut v4.locations, &mut v4.asns] {
            family.shrink();
        }
        for family in [&mut v6.locations, &mut v6.asns] {
            family.shrink();
        }
        Ok(Folded { v4, v6 })
    }
}

/// One walk over a file.
struct Walk<'d> {
    reader: &'d Reader<Vec<u8>>,
    catalogue: &'d mut Catalogue,
    /// Each record's numbers, by its offset: it is decoded once.
    numbers: HashMap<usize, (u32, u32)>,
    /// Neighbours often share a record.
    last: (Option<usize>, (u32, u32)),
    seen: u64,
    total: u64,
    progress: &'d dyn Fn(u64, u64),
}

impl Walk<'_> {
    fn family<A: Address>(
        &mut self,
        within: IpNet,
        family: &mut Family<A>,
        number: impl Fn(IpAddr) -> A,
    ) -> Result<(), DatabaseError> {
        // Networks without data too: they end the ones before them, and they count against the limit. And
        // aliases: without them the reader leaves out whatever shares its record with a whole IPv4.
        let options = WithinOptions::default().include_aliased_networks().include_networks_without_data();
        let within = within.to_string().parse().expect("a network");
        for network in self.reader.within(within, options)? {
            let network = network?;
            let (location, asn) = self.numbers(&network)?;
            let start = number(network.network()?.ip());
            family.locations.push(start, location);
            family.asns.push(start, asn);
            self.seen += 1;
            if self.seen.is_multiple_of(STEP) {
                (self.progress)(self.seen, self.total.max(self.seen));
            }
            if self.seen > SEEN_LEAST + self.total * COPIES_MAX {
                return Err(DatabaseError::Damaged("its tree is none: nodes lead back to others".into()));
            }
        }
        Ok(())
    }

    fn numbers(&mut self, network: &LookupResult<Vec<u8>>) -> Result<(u32, u32), DatabaseError> {
        let Some(offset) = network.offset() else { return Ok((0, 0)) };
        if self.last.0 == Some(offset) {
            return Ok(self.last.1);
        }
        let numbers = match self.numbers.get(&offset) {
            Some(&numbers) => numbers,
            None => {
                let facts = network.decode::<Record>()?.map(Facts::from).unwrap_or_default();
                let numbers = self.catalogue.facts(&facts);
                if self.catalogue.len() > MAX_OUTCOMES {
                    return Err(DatabaseError::Damaged(format!("more than {MAX_OUTCOMES} distinct places")));
                }
                self.numbers.insert(offset, numbers);
                numbers
            }
        };
        self.last = (Some(offset), numbers);
        Ok(numbers)
    }
}

/// `GeoLite2-City of 2026-11-20T08:00:00Z, 5123456 nodes`; a file built without a date shows none.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.database_type)?;
        if self.built > undated()
            && let Ok(built) = jiff::Timestamp::try_from(self.built)
        {
            write!(f, " of {built:.0}")?;
        }
        write!(f, ", {} nodes", self.nodes)
    }
}

/// Networks between two reports of progress.
const STEP: u64 = 100_000;

/// How often the leaves of a tree may be met: once, and a few times more where nodes lead to others' (for
/// IPv4 in other blocks than the usual). A damaged tree that leads back into itself would never end.
const COPIES_MAX: u64 = 8;

/// Met even in a file of no nodes at all: one network for each that IPv6 is walked by.
const SEEN_LEAST: u64 = 1000;

/// The last second of the year 9999: later dates cannot be written down (RFC 3339, 1).
const LATEST_DATE: u64 = 253_402_300_799;

impl From<Record<'_>> for Facts {
    /// The country is where the address is used (`country`), never where it is registered
    /// (`registered_country`).
    fn from(record: Record) -> Facts {
        let country = record.country.iso_code.and_then(|code| code.parse().ok());
        let location = country.filter(|&country| countries::is_known(country)).map(|country| Location {
            country,
            continent: record
                .continent
                .code
                .and_then(|code| code.parse().ok())
                .or(countries::continent(country)),
            subdivision: record.subdivisions.first().and_then(|first| first.iso_code?.parse().ok()),
            coordinates: Coordinates::new(record.location.latitude, record.location.longitude),
        });
        Facts { location, asn: record.autonomous_system_number.filter(|&asn| asn != 0) }
    }
}

/// The fields of a record that we read; the field names are the format's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'d> {
    #[serde(borrow)]
    country: Code<'d>,
    #[serde(borrow)]
    continent: Code<'d>,
    #[serde(borrow)]
    subdivisions: Vec<Code<'d>>,
    location: Point,
    autonomous_system_number: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Code<'d> {
    iso_code: Option<&'d str>,
    code: Option<&'d str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Point {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// The reader refuses it.
    #[error("no whole MaxMind DB file (is it still being written?): {0}")]
    Reader(#[from] MaxMindDbError),
    /// The reader takes it, yet it cannot be right.
    #[error("no whole MaxMind DB file: {0}")]
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geo::catalogue::Layer;

    const SAMPLE: &[u8] = include_bytes!("../../geoip/sample.mmdb");

    fn fold(bytes: Vec<u8>) -> Result<Folded, DatabaseError> {
        Database::from_bytes(Path::new("x.mmdb"), bytes)?.fold(&mut Catalogue::default(), &|_, _| {})
    }

    #[test]
    fn a_file_says_what_it_is() {
        let database = Database::from_bytes(Path::new("x.mmdb"), SAMPLE.to_vec()).unwrap();
        assert_eq!(database.to_string(), format!("rhumb-City, {} nodes", database.nodes));
        assert!(database.has_v6 && database.nodes > 1000);
        let dated = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_247_955);
        let (bytes, _) = crate::geo::text::build(Path::new("x"), "10.0.0.0/8 IE", Some(dated)).unwrap();
        let database = Database::from_bytes(Path::new("x.mmdb"), bytes).unwrap();
        assert!(database.to_string().starts_with("rhumb-City of 2026-11-21T07:59:15Z, "), "{database}");
    }

    #[test]
    fn progress_ends_at_its_total() {
        let seen = std::cell::Cell::new((0, 1));
        let database = Database::from_bytes(Path::new("x.mmdb"), SAMPLE.to_vec()).unwrap();
        database.fold(&mut Catalogue::default(), &|done, total| seen.set((done, total))).unwrap();
        assert_eq!(seen.get().0, seen.get().1);
        assert!(seen.get().1 > 1000);
    }

    #[test]
    fn a_part_of_a_file_is_refused() {
        for length in [0, 1, 100, SAMPLE.len() / 2, SAMPLE.len() - 200] {
            let error = fold(SAMPLE[..length].to_vec()).err().expect("refused").to_string();
            assert!(error.starts_with("no whole MaxMind DB file"), "{length}: {error}");
        }
        let missing = Database::open(Path::new("/nowhere/x.mmdb")).err().expect("refused").to_string();
        assert!(missing.starts_with("cannot be read: "), "{missing}");
    }

    /// What a file of these networks says of an address: walked, and looked up.
    fn check(writer: &mut mmdb_writer::Writer, networks: &[(&str, u32)], address: &str, expect: Option<u32>) {
        for &(network, asn) in networks {
            let value =
                mmdb_writer::Value::map([("autonomous_system_number", mmdb_writer::Value::from(asn))]);
            writer.insert_value(network.parse::<IpNet>().unwrap(), value).unwrap();
        }
        let address: IpAddr = address.parse().unwrap();
        let database = Database::from_bytes(Path::new("x.mmdb"), writer.to_bytes().unwrap()).unwrap();
        assert_eq!(database.lookup(address).unwrap().1.asn, expect, "looked up: {address}");
        let mut catalogue = Catalogue::default();
        let folded = database.fold(&mut catalogue, &|_, _| {}).unwrap();
        let layer = Layer { values: catalogue.into_lists().1, v4: folded.v4.asns, v6: folded.v6.asns };
        assert_eq!(layer.find(address), expect, "walked: {address}");
    }

    #[test]
    fn families_are_kept_apart() {
        let new = || mmdb_writer::Writer::new("Test-ASN");
        let ten = [("10.0.0.0/8", 1)];
        check(&mut new(), &ten, "10.1.2.3", Some(1));
        check(&mut new(), &ten, "11.1.2.3", None);
        check(&mut new(), &ten, "a00::1", None);
        check(&mut new(), &ten, "::ffff:10.1.2.3", Some(1));
        // IPv4 alone.
        let v4_only =
            || mmdb_writer::Writer::builder("Test-ASN").ip_version(mmdb_writer::IpVersion::V4).build();
        check(&mut v4_only(), &ten, "10.1.2.3", Some(1));
        check(&mut v4_only(), &ten, "a00::1", None);
        // IPv6 alone.
        check(&mut new(), &[("2600::/12", 1)], "10.1.2.3", None);
        check(&mut new(), &[("2600::/12", 1)], "2601::1", Some(1));
        check(&mut new(), &[("2600::/12", 1)], "2700::1", None);
        // One network around the whole of IPv4.
        let low = [("::/3", 1)];
        let bare = || {
            mmdb_writer::Writer::builder("Test-ASN")
                .ipv4_aliasing(mmdb_writer::Ipv4Aliasing::Disabled)
                .build()
        };
        check(&mut bare(), &low, "10.1.2.3", Some(1));
        check(&mut bare(), &low, "1fff::1", Some(1));
        check(&mut bare(), &low, "2000::1", None);
        // A network of IPv6 that shares its record with the whole of IPv4.
        let shared = [("0.0.0.0/0", 1), ("2600::/12", 1), ("2800::/12", 2)];
        for (address, expect) in [("10.1.2.3", 1), ("2601::1", 1), ("2801::1", 2)] {
            check(&mut bare(), &shared, address, Some(expect));
        }
        check(&mut bare(), &shared, "2700::1", None);
    }

    /// The start is new, the end still old, as when a file is overwritten in place.
    #[test]
    fn a_tree_that_leads_back_into_itself_is_refused() {
        let database = Database::from_bytes(Path::new("x.mmdb"), SAMPLE.to_vec()).unwrap();
        let tree = database.nodes as usize * usize::from(database.reader.metadata().record_size) / 4;
        for node in [0, 1] {
            // Every node's both records lead to this one.
            let mut bytes = SAMPLE.to_vec();
            bytes[..tree].fill(0);
            bytes[..tree].iter_mut().skip(2).step_by(3).for_each(|byte| *byte = node);
            let error = fold(bytes).err().expect("refused").to_string();
            assert!(error.contains("cycle"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_never_panics(
            damage in prop::collection::vec((0..SAMPLE.len(), any::<u8>()), 1..20),
            cut in prop::option::of(0..SAMPLE.len()),
        ) {
            let mut bytes = SAMPLE.to_vec();
            for (place, byte) in damage {
                bytes[place] = byte;
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            let database = Database::from_bytes(Path::new("x.mmdb"), bytes);
            if let Ok(database) = database {
                // Whatever it says: it returns, and a file that folds answers for every address.
                let folded = database.fold(&mut Catalogue::default(), &|_, _| {});
                let answer = database.lookup("81.2.69.160".parse().unwrap());
                prop_assert!(folded.is_err() || answer.is_ok());
            }
        }
    }
}
