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
//! The whole tree is walked with its aliases: IPv4 is also reachable as ::ffff:0:0/96, 2001::/32 and
//! 2002::/16 there, and a client with such an address is looked up there too. The lengths of one family
//! cannot leak into the other's, since only the first address of each network is taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, fs};

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

use super::catalogue::{Catalogue, Facts, Family, Folded};
use super::ranges::Address;
use super::table::MAX_OUTCOMES;
use super::{Coordinates, Location, countries};

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
        let mut records = Records { catalogue, numbers: HashMap::new(), last: (None, (0, 0)) };
        // A tree with n nodes has n + 1 leaves. It is walked twice where it holds both families.
        let total = (u64::from(self.nodes) + 1) * if self.has_v6 { 2 } else { 1 };
        let mut seen = 0;
        let mut step = |networks| {
            seen += networks;
            progress(seen, total.max(seen));
        };
        let v4 = self.fold_family("0.0.0.0/0", &mut records, &mut step, |address| match address {
            IpAddr::V4(address) => address.into(),
            // Above the IPv4 subtree, in a file without one: it holds for all of IPv4.
            IpAddr::V6(_) => 0,
        })?;
        let v6 = if self.has_v6 {
            self.fold_family("::/0", &mut records, &mut step, |address| match address {
                // The reader shows what lies in ::/96 as IPv4.
                IpAddr::V4(address) => u32::from(address).into(),
                IpAddr::V6(address) => address.into(),
            })?
        } else {
            Family::unknown()
        };
        progress(total, total);
        Ok(Folded { v4, v6 })
    }

    fn fold_family<A: Address>(
        &self,
        whole: &str,
        records: &mut Records,
        step: &mut dyn FnMut(u64),
        number: impl Fn(IpAddr) -> A,
    ) -> Result<Family<A>, DatabaseError> {
        let mut family = Family::unknown();
        // Networks without data too: they end the ones before them, and they count against the limit.
        let options = WithinOptions::default().include_aliased_networks().include_networks_without_data();
        let limit = (u64::from(self.nodes) + 1) * COPIES_MAX;
        let whole = whole.parse().expect("a family as a network");
        for (seen, network) in (1..).zip(self.reader.within(whole, options)?) {
            let network = network?;
            let (location, asn) = records.number(&network)?;
            let start = number(network.network()?.ip());
            family.locations.push(start, location);
            family.asns.push(start, asn);
            if seen % STEP == 0 {
                step(STEP);
            }
            if seen > limit {
                return Err(DatabaseError::Damaged(
                    "its tree is not a tree: nodes lead back to others".into(),
                ));
            }
        }
        family.locations.shrink();
        family.asns.shrink();
        Ok(family)
    }
}

/// `GeoLite2-City of 2026-11-20T08:00:00Z, 5123456 nodes`; a file built without a date shows none.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.database_type)?;
        if self.built != SystemTime::UNIX_EPOCH {
            write!(f, " of {}", humantime::format_rfc3339_seconds(self.built))?;
        }
        write!(f, ", {} nodes", self.nodes)
    }
}

/// Networks between two reports of progress.
const STEP: u64 = 100_000;

/// How often the leaves of a tree may be met in one walk: once, and once more for each alias of the IPv4
/// subtree. Three aliases are usual; a damaged tree whose nodes lead back into it would be met without end.
const COPIES_MAX: u64 = 8;

/// The last second of the year 9999: later dates cannot be written down (RFC 3339, 1).
const LATEST_DATE: u64 = 253_402_300_799;

/// Numbers of the file's records, each decoded once.
struct Records<'c> {
    catalogue: &'c mut Catalogue,
    /// By the record's offset.
    numbers: HashMap<usize, (u32, u32)>,
    /// Neighbours often share a record.
    last: (Option<usize>, (u32, u32)),
}

impl Records<'_> {
    fn number(&mut self, network: &maxminddb::LookupResult<Vec<u8>>) -> Result<(u32, u32), DatabaseError> {
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
        let (bytes, _) = crate::geo::text::build(Path::new("x"), "10.0.0.0/8 IE", dated).unwrap();
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
