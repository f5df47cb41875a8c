//! Every source folded into sorted ranges of places.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::catalogue::{Catalogue, Facts, Family, Folded, Layer};
use super::mmdb::Database;
use super::networks::Networks;
use super::{Location, embedded, special_purpose};
use crate::files::Problem;

/// All sources, merged.
///
/// A location comes whole from the first source that knows a country, an autonomous system from the first
/// that knows one: two layers, since a Country file and an ASN file cut the address space differently.
pub struct World {
    pub(super) locations: Layer<Location>,
    pub(super) asns: Layer<u32>,
    pub(super) default_place: Option<Location>,
    networks: Option<(PathBuf, Networks)>,
    databases: Vec<Database>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// The file being folded.
    pub file: &'p Path,
    /// Networks folded.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
}

impl World {
    /// Reads `networks.toml` and the databases; of two sources that know something the earlier one wins,
    /// and `networks.toml` is the first. With the world come warnings. An error in one file does not hide
    /// those in the next.
    pub fn load(
        networks: Option<&Path>,
        databases: &[PathBuf],
        default_place: Option<Location>,
        progress: &dyn Fn(Progress),
    ) -> Result<(World, Vec<Problem>), Vec<Problem>> {
        let mut catalogue = Catalogue::default();
        let (mut problems, mut errors) = (Vec::new(), Vec::new());
        let mut folds = Vec::new();
        let mut read_networks = None;
        if let Some(path) = networks {
            match read_networks_file(path) {
                Ok((read, warnings)) => {
                    problems.extend(warnings);
                    folds.push(read.fold(&mut catalogue));
                    read_networks = Some((path.to_path_buf(), read));
                }
                Err(found) => errors.extend(found),
            }
        }
        let mut read_databases = Vec::new();
        for path in databases {
            let report = |done, total| progress(Progress { file: path, done, total });
            let opened = Database::open(path)
                .and_then(|database| Ok((database.fold(&mut catalogue, &report)?, database)));
            match opened {
                Ok((folded, database)) => {
                    if !folded.knows_anything() {
                        let message = format!(
                            "a {} gives neither a country nor an autonomous system; take a City, Country or ASN file",
                            database.database_type
                        );
                        problems.push(Problem::warning(path, None, message));
                    }
                    folds.push(folded);
                    read_databases.push(database);
                }
                Err(error) => errors.push(Problem::error(path, None, error.to_string())),
            }
        }
        if !errors.is_empty() {
            problems.extend(errors);
            return Err(problems);
        }
        Ok((World::merge(catalogue, folds, default_place, read_networks, read_databases), problems))
    }

    /// Knows nothing.
    pub fn empty() -> World {
        World::merge(Catalogue::default(), Vec::new(), None, None, Vec::new())
    }

    /// Knows what a text in the form of `networks.toml` says.
    pub fn from_networks_text(text: &str) -> Result<World, Vec<Problem>> {
        let path = PathBuf::from("networks.toml");
        let (networks, _) = Networks::parse(&path, text)?;
        let mut catalogue = Catalogue::default();
        let folds = vec![networks.fold(&mut catalogue)];
        Ok(World::merge(catalogue, folds, None, Some((path, networks)), Vec::new()))
    }

    /// The same, with another place for clients that no source knows.
    pub fn with_default_place(self, default_place: Option<Location>) -> World {
        World { default_place, ..self }
    }

    fn merge(
        catalogue: Catalogue,
        folds: Vec<Folded>,
        default_place: Option<Location>,
        networks: Option<(PathBuf, Networks)>,
        databases: Vec<Database>,
    ) -> World {
        // From the last source up, so that each is laid over all it takes precedence of.
        let (mut v4, mut v6) = (Family::unknown(), Family::unknown());
        for folded in folds.into_iter().rev() {
            v4 = folded.v4.over(v4);
            v6 = folded.v6.over(v6);
        }
        let (locations, asns) = catalogue.into_lists();
        World {
            locations: Layer { values: locations, v4: v4.locations, v6: v6.locations },
            asns: Layer { values: asns, v4: v4.asns, v6: v6.asns },
            default_place,
            networks,
            databases,
        }
    }

    /// Where an address is, and who says so. For people: it decodes and allocates. An IPv6 address that
    /// carries an IPv4 address (mapped, 6to4, Teredo) is asked for as that.
    pub fn lookup(&self, address: IpAddr) -> Place {
        Place {
            location: self.location(address),
            asn: self.asns.find(address),
            said: self.sources().map(|source| source.say(embedded::located(address))).collect(),
            special: special_purpose(address),
        }
    }

    /// Where an address is, without who says so: nothing is decoded and nothing allocated.
    pub fn location(&self, address: IpAddr) -> Option<Location> {
        self.locations.find(address)
    }

    /// The IPv4 ranges that some source places, in order: first and last address, and where.
    pub fn placed_v4(&self) -> impl Iterator<Item = (u32, u32, Location)> {
        self.locations.known(&self.locations.v4)
    }

    /// The same of IPv6.
    pub fn placed_v6(&self) -> impl Iterator<Item = (u128, u128, Location)> {
        self.locations.known(&self.locations.v6)
    }

    /// The sources in the order of their precedence.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        let networks = self.networks.iter().map(|(path, networks)| Source::Networks { path, networks });
        networks.chain(self.databases.iter().map(Source::Database))
    }

    /// The place of clients that no source knows, where the operator gave one.
    pub fn default_place(&self) -> Option<Location> {
        self.default_place
    }

    /// How many distinct locations and autonomous systems are known.
    pub fn distinct(&self) -> (usize, usize) {
        (self.locations.values.len(), self.asns.values.len())
    }

    /// Memory held in bytes: the merged ranges, and the databases as they were read.
    pub fn bytes(&self) -> usize {
        let databases: usize = self.databases.iter().map(|database| database.bytes).sum();
        self.locations.bytes() + self.asns.bytes() + databases
    }
}

/// One source of a world.
pub enum Source<'w> {
    /// `networks.toml`.
    #[expect(private_interfaces, reason = "only asked what it says")]
    Networks {
        /// The file.
        path: &'w Path,
        /// Its entries.
        networks: &'w Networks,
    },
    /// A MaxMind DB file.
    Database(&'w Database),
}

impl Source<'_> {
    fn say(&self, address: IpAddr) -> Said {
        let said = Said { source: self.path().into(), network: None, facts: Facts::default(), note: None };
        match self {
            Source::Networks { networks, .. } => match networks.find(address) {
                Some((network, entry)) => {
                    Said { network: Some(network), facts: entry.facts, note: entry.note.clone(), ..said }
                }
                None => said,
            },
            // Every record was decoded when the file was folded, so this does not fail for the file.
            Source::Database(database) => match database.lookup(address) {
                Ok((network, facts)) => Said { network, facts, ..said },
                Err(error) => Said { note: Some(error.to_string()), ..said },
            },
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        match self {
            Source::Networks { path, .. } => path,
            Source::Database(database) => &database.path,
        }
    }
}

/// One line for people: `GeoLite2-City of 2026-11-20T08:00:00Z, 5,123,456 nodes`.
impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Source::Networks { networks, .. } => write!(f, "{} prefixes", networks.len()),
            Source::Database(database) => database.fmt(f),
        }
    }
}

/// Where an address is, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// What the questions go by.
    pub location: Option<Location>,
    /// What the questions go by.
    pub asn: Option<u32>,
    /// What every source says, in the order of their precedence.
    pub said: Vec<Said>,
    /// The special-purpose block it lies in, if any, and what that is for.
    pub special: Option<(IpNet, &'static str)>,
}

/// What one source says of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The source's file.
    pub source: PathBuf,
    /// The network it says it of; for an address it does not know, of which it does not.
    pub network: Option<IpNet>,
    /// What it says.
    pub facts: Facts,
    /// The operator's note in `networks.toml`.
    pub note: Option<String>,
}

impl Place {
    /// The source the location is from.
    pub fn location_from(&self) -> Option<&Path> {
        Some(&self.said.iter().find(|said| said.facts.location.is_some())?.source)
    }

    /// The source the autonomous system is from.
    pub fn asn_from(&self) -> Option<&Path> {
        Some(&self.said.iter().find(|said| said.facts.asn.is_some())?.source)
    }
}

fn read_networks_file(path: &Path) -> Result<(Networks, Vec<Problem>), Vec<Problem>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Networks::parse(path, &text),
        Err(error) => Err(vec![Problem::error(path, None, format!("cannot be read: {error}"))]),
    }
}
