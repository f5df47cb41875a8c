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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::base::{Base, BaseAnswer, BasePool, BasePop, BaseRecord};
use super::chains::{AnswerSpec, Chains, FilterSpec, Place, Pop, RecordSpec, read_chains};
use super::circles::Circles;
use super::identity::{answer_name, called, identities};
use super::meta::{LiveSpec, Value};
use super::zones::{RECORD_OCTETS, RRSET_OCTETS_MAX, ZoneText, check_zones, read_zones};
use crate::chain::filters::{KINDS, select_first_n, up};
use crate::chain::{self, Answer, Chain, Effect, Kind, MAX_ANSWERS, OptionValue, draw, options};
use crate::config::Config;
use crate::engine::shares::{Counted, Slots};
use crate::engine::steering::{Family, Live, Record, Steering};
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
            (name.clone(), BasePool { place, policy, answers })
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

    fn check_answers(&mut self, owner: &Owner, is_pool: bool, written: &[AnswerSpec], answered: &Answered) {
        let count = |family: Family| answered.answers.iter().filter(|answer| family.has(answer)).count();
        let [a, aaaa, cnames] = Family::ALL.map(count);
        if cnames > 0 && a + aaaa > 0 {
            let message = "some answers are addresses and some are CNAMEs; a record is of one kind";
            self.tell(Severity::Error, owner, "answer", message.into());
        }
        for (count, kind) in [(a, "IPv4"), (aaaa, "IPv6")] {
            if cnames == 0 && count > 0 && count < written.len() {
                let message = format!(
                    "{count} of {} answers have {kind} addresses; clients of the two families will be \
                     sent to different places",
                    written.len()
                );
                self.tell(Severity::Warning, owner, "answer", message);
            }
        }
        for (index, answer) in written.iter().enumerate() {
            if !is_pool && answer.weight.is_some() {
                let message =
                    "is the share of a stack in its pool; for weighted filters write meta = { weight = ... }";
                self.answer_error(owner, answer, "weight", message.into());
            }
            let Some(pop) = &answer.pop else { continue };
            let beside = |other: &&AnswerSpec| other.pop.as_ref().is_some_and(|p| p.value == pop.value);
            if !is_pool {
                continue;
            }
            if let Some(twin) = written[..index].iter().filter(beside).find(|o| o.stack == answer.stack) {
                let message = format!(
                    "this PoP and stack already have an answer at line {}; give each its own stack",
                    twin.place.line
                );
                self.answer_error(owner, answer, "stack", message);
            }
            if answer.weight.is_none() && written.iter().filter(beside).count() > 1 {
                let message =
                    "missing; each stack of a PoP with several must say its share, such as 100 or 0";
                self.answer_error(owner, answer, "weight", message.into());
            }
            let weighs = |other: &AnswerSpec| other.weight.unwrap_or(1.0) > 0.0;
            let first = !written[..index].iter().any(|other| beside(&other));
            if first && !written.iter().filter(beside).any(weighs) {
                let message = format!("every stack of {} has weight 0: this PoP never answers", pop.value);
                self.tell(Severity::Warning, owner, "answer", message);
            }
        }
        // A record without any answer has been told so already.
        if !written.is_empty() && !answered.base.iter().any(|answer| answer.weight > 0.0) {
            let message = "every weight is 0, so it can never answer; give one a weight";
            self.tell(Severity::Error, owner, "answer", message.into());
        }
    }

    /// What a chain does to these answers, whoever asks.
    fn check_chain(&mut self, spec: &RecordSpec, chain: &Chain, answers: &[Answer], base: &[BaseAnswer]) {
        let line = spec.place.line;
        if spec.nodata_on_empty && !answers.is_empty() && !chain.reaches_anybody(answers) {
            let message = "the fences leave no client of the geo data an answer, so with on_empty = \"nodata\" \
                           it can never answer; loosen one, or leave on_empty out";
            self.error(spec, line, "filters", message.into());
        }
        let written_down =
            |answer: &BaseAnswer| matches!(&answer.live, LiveSpec { up: Some(Value::Literal(false)), .. });
        if !base.is_empty()
            && base.iter().all(written_down)
            && chain.names().any(|name| name == up::KIND.name)
        {
            let message =
                "every answer has up = false, so `up` stands aside and they are answered all the same";
            self.warning(spec, line, "filters", message.into());
        }
        let cnames = answers.iter().filter(|answer| answer.cname.is_some()).count();
        if cnames > 1 && most_picked(spec) > 1 {
            let message = "several CNAMEs may be answered, and a name has one (RFC 2181 section 10.1); end the \
                           chain with select_first_n";
            self.warning(spec, line, "filters", message.into());
        }
        let sizes = [
            ("A", 4, answers.iter().map(|answer| answer.a.len()).collect::<Vec<_>>()),
            ("AAAA", 16, answers.iter().map(|answer| answer.aaaa.len()).collect()),
        ];
        for (kind, octets, counts) in sizes {
            let count = most_records(answers, &counts, most_picked(spec));
            let octets = count * (RECORD_OCTETS + octets);
            if octets > RRSET_OCTETS_MAX {
                let message = format!(
                    "{count} {kind} records may be answered together, {octets} octets, and a message has room for \
                     {RRSET_OCTETS_MAX}; write fewer addresses, or a smaller select_first_n"
                );
                self.error(spec, line, "filters", message);
            }
        }
    }

    /// Steered CNAMEs that lead back to where they began.
    fn check_circles(&mut self, zones: &Zones) {
        let chains = self.chains;
        let targets = |spec: &RecordSpec| -> Vec<Name> {
            self.written(spec).iter().filter_map(|answer| answer.cname.clone()).collect()
        };
        let steered: Vec<_> = chains.records.iter().map(|spec| (spec, targets(spec))).collect();
        let aliases = || steered.iter().filter(|(_, targets)| !targets.is_empty());
        let named = aliases().map(|(spec, targets)| (spec.name.clone(), targets.clone()));
        let mut circles = Circles::new(zones, named);
        for (spec, _) in aliases() {
            let Some(circle) = circles.from(&spec.name) else { continue };
            let names: Vec<_> = circle.iter().map(|name| name.to_lowercase().to_string()).collect();
            let message = format!(
                "the CNAMEs go in a circle: {}; point one of them at a name with addresses",
                names.join(" -> ")
            );
            self.error(spec, spec.place.line, "answer", message);
        }
    }

    /// A filter that is switched off must be right all the same: it is there to be switched on.
    fn check_disabled(&mut self, spec: &RecordSpec) {
        let world = World::empty();
        for filter in spec.filters.iter().filter(|filter| filter.disabled) {
            let Some(kind) = self.kind(spec, filter) else { continue };
            let compiled = (kind.compile)(&chain::Spec {
                options: &filter.options,
                answers: &[],
                geo: &Questions::new(&world),
                place: 0,
                nodata_on_empty: spec.nodata_on_empty,
                seed: self.seed,
            });
            if let Err(error) = compiled {
                self.error(spec, filter.line, &format!("filter {}", filter.name), error.to_string());
            }
        }
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

/// How many answers a record's chain leaves at most.
fn most_picked(spec: &RecordSpec) -> usize {
    let cuts = spec.filters.iter().filter(|f| !f.disabled && f.name == select_first_n::KIND.name);
    let cuts = cuts.filter_map(|filter| options::count(&filter.options, "n", 1).ok());
    cuts.min().unwrap_or(usize::MAX)
}

/// How many records these answers give at most, where so many are picked and one stack of each PoP.
fn most_records(answers: &[Answer], counts: &[usize], picked: usize) -> usize {
    let mut sites: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for (index, (answer, count)) in answers.iter().zip(counts).enumerate() {
        let site = match (&answer.pool, &answer.pop) {
            (Some(_), Some(pop)) => (pop.as_str(), 0),
            _ => ("", index),
        };
        let most = sites.entry(site).or_default();
        *most = (*most).max(*count);
    }
    let mut most: Vec<usize> = sites.into_values().collect();
    most.sort_unstable_by(|a, b| b.cmp(a));
    most.iter().take(picked).sum()
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
