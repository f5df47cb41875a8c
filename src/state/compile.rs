//! What the operator wrote, to what the engine runs.
//!
//! ```text
//! Config -> World (geo) --+
//!        -> zones --------+-> Loaded { snapshot, world, warnings, report, files }
//!        -> chains -------+      or every error at once, and nothing is changed
//! ```
//!
//! Records of the same pool and chain share one [`Steering`]; chains that ask the same question about
//! places share its table.

mod checks;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::base::{Base, BaseAnswer, BasePool, BasePop, BaseRecord};
use super::chains::{AnswerSpec, Chains, FilterSpec, Place, Pop, RecordSpec, read_chains};
use super::identity::{answer_name, called, identities};
use super::zones::{ZoneText, check_zones, read_zones};
use crate::chain::filters::KINDS;
use crate::chain::{self, Answer, Chain, Effect, Kind, MAX_ANSWERS, OptionValue, draw};
use crate::config::Config;
use crate::engine::shares::{Counted, Slots};
use crate::engine::steering::{Live, Record, Steering};
use crate::engine::zones::{StaticRecord, StaticZone, SteeredKind};
use crate::engine::{Identity, Snapshot, Zones};
use crate::files::{At, Problem, Severity};
use crate::geo::{Questions, World};
use crate::wire::Name;

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

struct Compiler<'c> {
    chains: &'c Chains,
    questions: &'c Questions<'c>,
    seed: u64,
    slots: &'c Slots,
    /// Whether each record has a slot of its own.
    by_record: bool,
    /// Steerings by what they were compiled from.
    shared: HashMap<String, Option<u32>>,
    steerings: Vec<Steering>,
    live: Vec<Arc<Live>>,
    /// The answers of each steering, as the files have them.
    answers: Vec<Vec<BaseAnswer>>,
    problems: Vec<Problem>,
}

/// A record's answers, ready for its chain.
#[derive(Default)]
struct Answered {
    answers: Vec<Answer>,
    base: Vec<BaseAnswer>,
}

impl Compiler<'_> {
    fn compile(&mut self, zones: &mut Zones) -> (Vec<Record>, Base) {
        let mut records = Vec::new();
        let mut base = self.base();
        for spec in &self.chains.records {
            self.check_disabled(spec);
            let steering = self.steering(spec);
            let is_cname = self.written(spec).iter().any(|answer| answer.cname.is_some());
            let kind = if is_cname { SteeredKind::Cname } else { SteeredKind::Addresses };
            if let Err(error) = zones.steer(&spec.name, records.len() as u32, kind) {
                self.error(spec, spec.place.line, "name", error.to_string());
            }
            // What failed has been told; the record's mistakes do not hide those of the next.
            let Some(steering) = steering else { continue };
            let name = spec.name.to_lowercase();
            let text = name.to_string().trim_end_matches('.').to_string();
            let salt = draw::salt(self.seed, &["sticky", &text]);
            base.records.push(BaseRecord {
                place: spec.place.clone(),
                name: text.clone(),
                ttl: spec.ttl,
                pool: spec.pool.as_ref().map(|pool| pool.value.clone()),
                filters: spec.filters.iter().map(written_filter).collect(),
                steering,
            });
            records.push(Record {
                number: self.slots.number(&name),
                slot: self.by_record.then(|| self.slots.slot(Counted::Record(text))),
                name,
                ttl: spec.ttl.max,
                ttl_min: spec.ttl.min,
                salt,
                spread: spec.spread,
                rotate: spec.rotate,
                use_client_subnet: spec.use_client_subnet,
                steering,
            });
        }
        self.check_circles(zones);
        base.steerings = std::mem::take(&mut self.answers);
        (records, base.with_index())
    }

    /// What there is beside the records: PoPs, feeds, and pools with answers of their own meta.
    fn base(&mut self) -> Base {
        let chains = self.chains;
        let pop = |(name, pop): (&String, &Pop)| {
            (name.clone(), BasePop { place: pop.place.clone(), city: pop.city.clone() })
        };
        let pools = chains.pools.iter().map(|(name, pool)| {
            let answers = self.pool_answers(name);
            let (place, policy) = (pool.place.clone(), pool.policy.clone());
            (name.clone(), BasePool::new(place, policy, answers))
        });
        let pools = pools.collect();
        let feeds = chains.feeds.iter().map(|(name, feed)| (name.clone(), feed.value.clone()));
        Base {
            pops: chains.pops.iter().map(pop).collect(),
            pools,
            feeds: feeds.collect(),
            monitors: chains.monitors(),
            ..Base::default()
        }
    }

    /// A pool's answers, as a record with neither meta nor groups of its own would have them.
    fn pool_answers(&mut self, pool: &str) -> Vec<BaseAnswer> {
        let line = self.chains.pools[pool].place.line;
        let bare = RecordSpec::bare(self.chains.pools[pool].place.clone(), At { value: pool.into(), line });
        self.answers(&bare).base
    }

    /// The steering of a record: one it can share, or a new one.
    fn steering(&mut self, spec: &RecordSpec) -> Option<u32> {
        let key = sharing_key(spec);
        if let Some(shared) = key.as_ref().and_then(|key| self.shared.get(key)) {
            return *shared;
        }
        let compiled = self.new_steering(spec);
        if let Some(key) = key {
            self.shared.insert(key, compiled);
        }
        compiled
    }

    fn new_steering(&mut self, spec: &RecordSpec) -> Option<u32> {
        let errors = self.error_count();
        let Answered { answers, base } = self.answers(spec);
        let chain = self.chain(spec, &answers);
        self.check_chain(spec, &chain, &answers, &base);
        if self.error_count() > errors {
            return None;
        }
        let steering = Steering::new(answers, chain, spec.panic_threshold, self.seed);
        let live = base.iter().map(|answer| answer.live.values(|_| std::iter::empty())).collect();
        let split = base.iter().map(|answer| answer.weight).collect();
        self.live.push(Live::new(&steering, live, vec![0; base.len()], split));
        self.steerings.push(steering);
        self.answers.push(base);
        Some(self.steerings.len() as u32 - 1)
    }

    /// What is written as a record's answers: its pool's, or its own.
    fn written<'s>(&'s self, spec: &'s RecordSpec) -> &'s [AnswerSpec] {
        match spec.pool.as_ref().map(|name| self.chains.pools.get(&name.value)) {
            None => &spec.answers,
            Some(Some(pool)) => &pool.answers,
            Some(None) => &[],
        }
    }

    /// A record's answers as far as they can be made; what is wrong with them is told.
    fn answers(&mut self, spec: &RecordSpec) -> Answered {
        let chains = self.chains;
        let mut answered = Answered::default();
        let (pool, written) = match &spec.pool {
            None => (None, &spec.answers),
            Some(name) => match chains.pools.get(&name.value) {
                Some(pool) => (Some((&name.value, pool)), &pool.answers),
                None => {
                    let message = unknown("pool", &name.value, chains.pools.keys());
                    self.error(spec, name.line, "pool", message);
                    return answered;
                }
            },
        };
        // A pool's mistakes are the pool's, whoever gives its answers.
        let owner = match pool {
            Some((name, pool)) => (&pool.place, format!("pool {name}")),
            None => (&spec.place, object(spec)),
        };
        if written.len() > MAX_ANSWERS {
            let message = format!("{} answers; write at most {MAX_ANSWERS}", written.len());
            self.tell(Severity::Error, &owner, "answer", message);
            return answered;
        }
        let record = spec.name.to_lowercase().to_string();
        let record = record.trim_end_matches('.');
        let mut groups: Vec<String> = Vec::new();
        let identities = identities(pool.map_or(record, |(name, _)| name), pool.is_some(), written);
        for (index, answer) in written.iter().enumerate() {
            let pop_meta = match &answer.pop {
                None => Default::default(),
                Some(pop) => match chains.pops.get(&pop.value) {
                    Some(pop) => pop.meta.clone(),
                    None => {
                        let message = unknown("PoP", &pop.value, chains.pops.keys());
                        self.answer_error(&owner, answer, "pop", message);
                        Default::default()
                    }
                },
            };
            let group_name = answer.group.as_ref().or(answer.pop.as_ref()).map(|group| group.value.clone());
            let group_meta = group_name.as_ref().and_then(|group| spec.groups.get(group));
            let mut meta = spec.meta.clone().over(&pop_meta);
            if let Some((_, pool)) = pool {
                meta = pool.meta.clone().over(&meta);
            }
            if let Some(group) = group_meta {
                meta = group.clone().over(&meta);
            }
            meta = answer.meta.clone().over(&meta);
            if let Err(message) = meta.watermarks() {
                self.answer_error(&owner, answer, "low_watermark", message);
            }
            let group = group_name.as_ref().map_or(0, |name| {
                let known = groups.iter().position(|known| known == name);
                known.unwrap_or_else(|| {
                    groups.push(name.clone());
                    groups.len() - 1
                }) as u16
                    + 1
            });
            let (meta, live) = meta.into_meta();
            for (value, feed) in live.feeds() {
                if !chains.feeds.contains_key(feed) {
                    let message = format!(
                        "{}; write a table [feed.{feed}]",
                        unknown("feed", feed, chains.feeds.keys())
                    );
                    self.answer_error(&owner, answer, value, message);
                }
            }
            let pool_name = pool.map(|(name, _)| name.clone());
            let name = answer_name(answer, pool_name.as_deref(), index);
            let id = identities[index].clone();
            answered.base.push(BaseAnswer {
                id: id.clone(),
                pool: pool_name.clone(),
                pop: answer.pop.as_ref().map(|pop| pop.value.clone()),
                stack: answer.stack.clone(),
                weight: answer.weight.unwrap_or(1.0),
                meta: meta.clone(),
                live,
                rdata: rdata_text(answer),
                place: answer.place.clone(),
            });
            let mut compiled = Answer {
                id,
                slot: 0,
                name,
                pool: pool_name,
                pop: answer.pop.as_ref().map(|pop| pop.value.clone()),
                stack: answer.stack.clone(),
                group,
                group_name,
                a: answer.a.clone(),
                aaaa: answer.aaaa.clone(),
                cname: answer.cname.clone(),
                meta,
            };
            compiled.slot = self.slots.slot_of_answer(&compiled, record);
            answered.answers.push(compiled);
        }
        self.check_answers(&owner, pool.is_some(), written, &answered);
        answered
    }

    /// The filter of a name; a name that is none is told.
    fn kind(&mut self, spec: &RecordSpec, filter: &FilterSpec) -> Option<&'static Kind> {
        let kind = KINDS.iter().find(|kind| kind.name == filter.name);
        if kind.is_none() {
            let message = unknown("filter", &filter.name, KINDS.iter().map(|kind| kind.name));
            self.error(spec, filter.line, "filters", message);
        }
        kind
    }

    fn chain(&mut self, spec: &RecordSpec, answers: &[Answer]) -> Chain {
        let mut steps = Vec::new();
        let mut sorted = false;
        let mut selected: Option<&FilterSpec> = None;
        for (place, filter) in spec.filters.iter().filter(|filter| !filter.disabled).enumerate() {
            let Some(kind) = self.kind(spec, filter) else { continue };
            match kind.effect {
                Effect::Sort if !sorted => {
                    if let Some(early) = selected {
                        let message = format!(
                            "`{}` cuts the list before `{}` sorts it; put the sort first",
                            early.name, filter.name
                        );
                        self.warning(spec, early.line, "filters", message);
                    }
                    sorted = true;
                }
                Effect::Select => selected = selected.or(Some(filter)),
                Effect::Sort | Effect::Sift => {}
            }
            let compiled = (kind.compile)(&chain::Spec {
                options: &filter.options,
                answers,
                geo: self.questions,
                place: place as u8,
                nodata_on_empty: spec.nodata_on_empty,
                seed: self.seed,
            });
            match compiled {
                Ok(compiled) => {
                    for warning in compiled.warnings {
                        self.warning(spec, filter.line, &format!("filter {}", filter.name), warning);
                    }
                    steps.push((kind, compiled.filter));
                }
                Err(error) => {
                    self.error(spec, filter.line, &format!("filter {}", filter.name), error.to_string());
                }
            }
        }
        Chain::new(steps)
    }

    fn error_count(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    fn error(&mut self, spec: &RecordSpec, line: usize, field: &str, message: String) {
        let owner = (&Place { line, ..spec.place.clone() }, object(spec));
        self.tell(Severity::Error, &owner, field, message);
    }

    fn warning(&mut self, spec: &RecordSpec, line: usize, field: &str, message: String) {
        let owner = (&Place { line, ..spec.place.clone() }, object(spec));
        self.tell(Severity::Warning, &owner, field, message);
    }

    fn answer_error(&mut self, owner: &Owner, answer: &AnswerSpec, field: &str, message: String) {
        let called = format!("{} answer {}", owner.1, called(answer, None));
        self.tell(Severity::Error, &(&answer.place, called.trim_end().into()), field, message);
    }

    /// Adds a problem once, however many records meet it.
    fn tell(&mut self, severity: Severity, (place, object): &Owner, field: &str, message: String) {
        let error = Problem::error(&place.file, place.line, message).of(object).at(field);
        let problem = Problem { severity, ..error };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// Whose mistake it is: where it is written, and what it is called.
type Owner<'o> = (&'o Place, String);

fn object(spec: &RecordSpec) -> String {
    format!("record {}", spec.name.to_string().trim_end_matches('.'))
}

fn rdata_text(answer: &AnswerSpec) -> Vec<String> {
    let a = answer.a.iter().map(|address| address.to_string());
    let aaaa = answer.aaaa.iter().map(|address| address.to_string());
    a.chain(aaaa).chain(answer.cname.iter().map(|target| target.to_string())).collect()
}

/// A filter with its options as they were written.
fn written_filter(filter: &FilterSpec) -> (String, bool, serde_json::Map<String, serde_json::Value>) {
    let option = |(name, value): (&String, &OptionValue)| {
        let value = match value {
            OptionValue::Bool(on) => (*on).into(),
            OptionValue::Integer(number) => (*number).into(),
            OptionValue::Float(number) => (*number).into(),
            OptionValue::Text(text) => text.clone().into(),
        };
        (name.clone(), value)
    };
    (filter.name.clone(), filter.disabled, filter.options.iter().map(option).collect())
}

fn unknown(kind: &str, name: &str, known: impl Iterator<Item: std::fmt::Display>) -> String {
    let known: Vec<String> = known.map(|name| name.to_string()).collect();
    if known.is_empty() {
        return format!("there is no {kind} `{name}`; none is written");
    }
    format!("there is no {kind} `{name}`; known are {}", known.join(", "))
}

/// What a steering of a pool is compiled from; records that share it share the steering.
fn sharing_key(spec: &RecordSpec) -> Option<String> {
    let pool = spec.pool.as_ref()?;
    let mut key = format!("{} {} {}", pool.value, spec.nodata_on_empty, spec.panic_threshold);
    for filter in spec.filters.iter().filter(|filter| !filter.disabled) {
        let _ = write!(key, " {} {:?}", filter.name, filter.options);
    }
    let _ = write!(key, " {:?} {:?}", spec.meta, spec.groups);
    Some(key)
}
