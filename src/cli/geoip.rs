//! `rhumb geoip lookup` and `rhumb geoip build`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::progress::Progress;
use super::{print_problems, read_config};
use crate::config::Config;
use crate::geo::{Facts, World, build_file};

/// What to do with geo data.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show what every loaded source says of an address, and the merged place.
    Lookup {
        /// The address.
        address: IpAddr,
    },
    /// Write a small .mmdb from a text file.
    ///
    /// Each line is `prefix  country  [subdivision]  [lat,lon]  [asn]`; `-` leaves a field out, `#` begins a
    /// comment. For private networks, tests, and the sample this project comes with.
    Build {
        /// The text.
        source: PathBuf,
        /// The database to write.
        target: PathBuf,
    },
}

/// Runs one of them.
pub fn run(config: &Path, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Lookup { address } => lookup(&read_config(config)?, *address),
        Command::Build { source, target } => match build_file(source, target, None) {
            Ok(networks) => {
                outln!("{}: {networks} networks", target.display());
                Ok(())
            }
            Err(problems) => {
                print_problems(&problems);
                bail!("{} is not written", target.display())
            }
        },
    }
}

/// Reads the geo sources a configuration names.
pub fn read_world(config: &Config) -> anyhow::Result<World> {
    let geo = &config.geo;
    let progress = Progress::new();
    let world = World::load(geo.networks.as_deref(), &geo.databases, geo.default_place, &|done| {
        progress.report(&done.file.display().to_string(), done.done as f64 / done.total.max(1) as f64);
    });
    drop(progress);
    match world {
        Ok((world, _)) => Ok(world),
        Err(problems) => {
            print_problems(&problems);
            bail!("the geo data cannot be used")
        }
    }
}

fn lookup(config: &Config, address: IpAddr) -> anyhow::Result<()> {
    let world = read_world(config)?;
    let place = world.lookup(address);
    for said in &place.said {
        let network = said.network.map_or("-".into(), |network| network.to_string());
        let note = said.note.as_ref().map_or(String::new(), |note| format!("  ({note})"));
        outln!("{}: {network}  {}{note}", said.source.display(), describe(&said.facts));
    }
    if let Some((block, purpose)) = place.special {
        outln!("special-purpose: {block}, {purpose}");
    }
    outln!("place: {}", describe(&Facts { location: place.location, asn: place.asn }));
    Ok(())
}

/// What is known, in one line.
fn describe(facts: &Facts) -> String {
    let known =
        [facts.location.map(|location| location.to_string()), facts.asn.map(|asn| format!("AS{asn}"))];
    let known: Vec<String> = known.into_iter().flatten().collect();
    if known.is_empty() { "unknown".into() } else { known.join(", ") }
}
