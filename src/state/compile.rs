//! What the operator wrote, to what the engine runs.
//!
//! ```text
//! Config -> World (geo) --+
//!        -> zones --------+-> Loaded { snapshot, world, warnings, report, files }
//!        -> chains -------+      or every error at once, and nothing is changed
//! ```
//!
//! Records of the same pool and chain share one [`Steering`](crate::engine::steering::Steering); chains that
//! ask the same question about places share its table.

mod records;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::base::Base;
use super::chains::read_chains;
use super::zones::{ZoneText, check_zones, read_zones};
use crate::config::Config;
use crate::engine::shares::Slots;
use crate::engine::zones::{StaticRecord, StaticZone};
use crate::engine::{Identity, Snapshot, Zones};
use crate::files::{Problem, Severity};
use crate::geo::{Questions, World};
use crate::wire::Name;
use records::Compiler;

/// A state that can be served.
pub struct Loaded {
    /// What is served.
    pub snapshot: Snapshot,
    /// What geo knows, for `explain` and `geoip lookup`.
    pub world: Arc<World>,
    /// What the files say, for drains, splits, feeds and monitors.
    pub base: Base,
    /// Legal, but hardly what was meant.
    pub warnings: Vec<Problem>,
    /// What it is made of.
    pub report: Report,
    /// Every file it was read from.
    pub files: Vec<PathBuf>,
}

/// What a state is made of, for `check` and the log.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Zones.
    pub zones: usize,
    /// Static records.
    pub static_records: usize,
    /// Octets of memory the static data takes.
    pub static_octets: usize,
    /// Steered records.
    pub steered_records: usize,
    /// Distinct compiled chains with their answers.
    pub steerings: usize,
    /// Each distinct geo question, its outcomes and the octets of its table.
    pub questions: Vec<Question>,
    /// How long reading and folding the geo sources took.
    pub geo_time: Duration,
    /// How long everything took.
    pub total_time: Duration,
}

/// One compiled geo question.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it asks.
    pub identity: String,
    /// How many outcomes it has.
    pub outcomes: u32,
    /// Octets of its table.
    pub octets: usize,
    /// How long it took to compile.
    pub time: Duration,
}

impl Question {
    /// The filter that asks; what it asks of follows in the identity, which may be long.
    pub fn kind(&self) -> &str {
        self.identity.split_whitespace().next().unwrap_or_default()
    }
}

/// What is being worked on, and how far it has come, 0 to 1.
pub type Progress<'p> = &'p dyn Fn(&str, f64);

/// Reads and compiles everything the configuration names, for a process that does so once.
pub fn load(config: &Config, revision: u64, progress: Progress) -> Result<Loaded, Vec<Problem>> {
    load_counted(config, revision, &Slots::default(), progress)
}

/// Loads by a configuration that was read as far as it can be, with what is wrong in the rest: a mistake in it
/// hides none in what it names.
pub fn load_as_read(
    config: Option<&Config>,
    mut problems: Vec<Problem>,
    load: impl FnOnce(&Config) -> Result<Loaded, Vec<Problem>>,
) -> Result<Loaded, Vec<Problem>> {
    match config.map(load) {
        Some(Ok(loaded)) if problems.is_empty() => return Ok(loaded),
        Some(Ok(loaded)) => problems.extend(loaded.warnings),
        Some(Err(more)) => problems.extend(more),
        None => {}
    }
    Err(problems)
}

/// Reads and compiles everything the configuration names; what is counted keeps the slots it has.
pub fn load_counted(
    config: &Config,
    revision: u64,
    slots: &Slots,
    progress: Progress,
) -> Result<Loaded, Vec<Problem>> {
    let start = Instant::now();
    let mut problems = Vec::new();
    let mut files = vec![config.file.clone()];
    let geo = &config.geo;
    let place = geo.default_place;
    let world = match World::load(geo.networks.as_deref(), &geo.databases, place, &|done| {
        progress(&done.file.display().to_string(), done.done as f64 / done.total.max(1) as f64);
    }) {
        Ok((world, warnings)) => {
            problems.extend(warnings);
            world
        }
        Err(errors) => {
            problems.extend(errors);
            World::empty()
        }
    };
    files.extend(config.geo.networks.iter().chain(&config.geo.databases).cloned());
    let geo_time = start.elapsed();
    let (zones, zone_problems) = read_zones(&config.zones, &mut |done| {
        progress("zones", done.done_bytes as f64 / done.all_bytes.max(1) as f64);
    });
    problems.extend(zone_problems);
    files.extend(zones.iter().flat_map(|zone| zone.files.iter().map(|file| file.to_path_buf())));
    let (chains, chain_files) = read_chains(&config.filter_chains, &mut problems);
    files.extend(chain_files);
    let steered: HashSet<&Name> = chains.records.iter().map(|record| &record.name).collect();
    check_zones(&zones, &|name| steered.contains(name), &mut problems);

    let static_records = zones.iter().map(|zone| zone.records.len()).sum();
    // What the check of zones refuses is left out, so that what is steered can be checked all the same.
    let mut apexes = HashSet::new();
    let once = zones.iter().filter(|zone| apexes.insert(&zone.origin));
    let mut served_zones = Zones::build(once.map(static_zone).collect());
    let questions = Questions::new(&world);
    let mut compiler = Compiler {
        chains: &chains,
        questions: &questions,
        seed: config.sticky_seed,
        slots,
        by_record: config.metrics.by_record,
        shared: HashMap::new(),
        steerings: Vec::new(),
        live: Vec::new(),
        answers: Vec::new(),
        problems,
    };
    let (records, base) = compiler.compile(&mut served_zones);
    served_zones.shrink();
    let Compiler { steerings, live, mut problems, .. } = compiler;
    config.name_missing(&mut problems);
    problems.sort_by(|a, b| (a.severity, &a.file, a.line).cmp(&(b.severity, &b.file, b.line)));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    let report = Report {
        zones: served_zones.zone_count(),
        static_records,
        static_octets: served_zones.octets(),
        steered_records: records.len(),
        steerings: steerings.len(),
        questions: questions
            .compiled()
            .into_iter()
            .map(|(identity, compiled)| Question {
                identity,
                outcomes: compiled.table.outcomes(),
                octets: compiled.table.bytes(),
                time: compiled.took,
            })
            .collect(),
        geo_time,
        total_time: start.elapsed(),
    };
    let identity = Identity {
        id: config.identity.id.clone().into_bytes(),
        version: config.identity.version.clone().into_bytes(),
        udp_octets_max: config.udp_response_octets_max,
    };
    let snapshot = Snapshot {
        revision,
        zones: Arc::new(served_zones),
        records: Arc::new(records),
        steerings: Arc::new(steerings),
        live,
        identity: Arc::new(identity),
    };
    Ok(Loaded { snapshot, world: Arc::new(world), base, warnings: problems, report, files })
}

fn static_zone(zone: &ZoneText) -> StaticZone<'_> {
    let inside = zone.records.iter().filter(|record| record.owner.is_in(&zone.origin));
    let records = inside.map(|record| StaticRecord {
        owner: &record.owner,
        record_type: record.record_type,
        ttl: record.ttl,
        rdata: &record.rdata,
    });
    StaticZone { apex: &zone.origin, records: records.collect() }
}
