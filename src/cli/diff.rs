//! `rhumb diff`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::state::read_export;
use super::{load_files, verdict};
use crate::state::Loaded;
use crate::state::chains::{Chains, read_chains};
use crate::state::edits::{Edit, edits};
use crate::state::impact::{
    Impact, RecordImpact, address_space_v6, capacities, compare, compare_space, percent, thousands,
};
use crate::state::keeper::values_of;
use crate::state::live::{Touched, refresh};
use crate::state::model::Model;
use crate::state::store::Contents;

/// IPv4 networks that stand for all where chance has a say: one is two thousandths of a percent.
const ESTIMATED_FROM_V4: usize = 65_536;
/// IPv6 networks that stand for all.
const ESTIMATED_FROM_V6: usize = 8_192;
/// Countries that are named; the rest is counted.
const COUNTRIES_TOLD: usize = 12;

/// What to compare.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration as it was: a file, or a folder with a rhumb.toml.
    old: PathBuf,
    /// The configuration as it is to be; it may be the same, where the states differ.
    new: PathBuf,
    /// The live state that OLD is compared in, as `rhumb state export` writes it: drains, splits, values of feeds and
    /// verdicts at the time of the export. Left out, there are none.
    #[arg(long, value_name = "FILE")]
    old_state: Option<PathBuf>,
    /// The live state that NEW is compared in; the same file twice compares the configurations as they stand under it.
    #[arg(long, value_name = "FILE")]
    new_state: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Everything that is told.
#[derive(Serialize)]
struct Told {
    written: Vec<Edit>,
    ipv4: Impact,
    ipv6: Impact,
}

/// Compares two configurations.
pub fn run(args: &Args) -> ExitCode {
    verdict(tell(args))
}

/// Says whether they are the same.
fn tell(args: &Args) -> anyhow::Result<bool> {
    let old = Side::read(&args.old, args.old_state.as_deref())?;
    let new = Side::read(&args.new, args.new_state.as_deref())?;
    let networks = address_space_v6(&new.loaded.world, ESTIMATED_FROM_V6);
    let capacities = capacities(&new.loaded.base, &new.model);
    let (before, after) = (&old.loaded.snapshot, &new.loaded.snapshot);
    let told = Told {
        written: edits(&old.chains, &new.chains),
        ipv4: compare_space(before, after, &new.loaded.world, ESTIMATED_FROM_V4).with_capacities(&capacities),
        ipv6: compare(before, after, &networks).with_capacities(&capacities),
    };
    let is_same = told.written.is_empty() && told.ipv4.is_nothing() && told.ipv6.is_nothing();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&told).context("cannot write JSON")?);
        return Ok(is_same);
    }
    told.written.iter().for_each(|edit| outln!("{edit}"));
    for (impact, clients) in [(&told.ipv4, "IPv4 addresses"), (&told.ipv6, "IPv6 networks")] {
        impact.records.iter().for_each(|record| print_record(record, clients));
    }
    Ok(is_same)
}

/// One side of the comparison.
struct Side {
    loaded: Loaded,
    chains: Chains,
    model: Model,
}

impl Side {
    /// Reads a configuration, and puts a live state in force in it.
    fn read(path: &Path, state: Option<&Path>) -> anyhow::Result<Side> {
        let file = if path.is_dir() { path.join("rhumb.toml") } else { path.to_path_buf() };
        let (config, mut loaded) = load_files(&file, "compared")?;
        // What is wrong with the chains would have stopped the load.
        let chains = read_chains(&config.filter_chains, &mut Vec::new()).0;
        let Some(state) = state else { return Ok(Side { loaded, chains, model: Model::default() }) };
        let export = read_export(state, "compared")?;
        let Contents { model, values, .. } = export.contents();
        let Loaded { snapshot, base, .. } = &mut loaded;
        let (live, steerings) = (&mut snapshot.live, &snapshot.steerings);
        refresh(live, &Touched::All, steerings, base, &model, &values_of(&values), export.made_at);
        Ok(Side { loaded, chains, model })
    }
}

fn print_record(record: &RecordImpact, clients: &str) {
    let words = record.words();
    if words.is_empty() {
        return;
    }
    let basis = match record.estimated_from {
        None => format!("all {clients} that geo data places"),
        Some(count) => format!("estimated from {} {clients}", thousands(count as u64)),
    };
    outln!("\n{} ({basis})", record.called());
    words.iter().for_each(|sentence| outln!("  {sentence}"));
    let countries = record.countries.iter().take(COUNTRIES_TOLD).map(|country| {
        let name = country.country.as_deref().unwrap_or("unknown");
        format!("{name} {}", percent(country.moved))
    });
    let mut countries: Vec<String> = countries.collect();
    if let rest @ 1.. = record.countries.len().saturating_sub(COUNTRIES_TOLD) {
        countries.push(format!("and {rest} more"));
    }
    if !countries.is_empty() {
        outln!("  by country: {}", countries.join(", "));
    }
}
