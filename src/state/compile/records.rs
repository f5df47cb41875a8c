//! What the operator wrote of records, to records that share what is the same.

mod checks;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::chain::filters::KINDS;
use crate::chain::{self, Answer, Chain, Effect, Kind, MAX_ANSWERS, Meta, OptionValue, draw};
use crate::engine::Zones;
use crate::engine::shares::{Counted, Slots};
use crate::engine::steering::{Live, Record, Steering};
use crate::engine::zones::SteeredKind;
use crate::files::{At, Problem, Severity};
use crate::geo::Questions;
use crate::state::base::{Base, BaseAnswer, BasePool, BasePop, BaseRecord};
use crate::state::chains::{AnswerSpec, Chains, FilterSpec, Place, Pop, RecordSpec};
use crate::state::identity::{answer_name, called, identities};
use crate::state::meta::{LiveSpec, MetaSpec};

/// Compiles the records.
pub(super) struct Compiler<'c> {
    pub(super) chains: &'c Chains,
    pub(super) questions: &'c Questions<'c>,
    pub(super) seed: u64,
    pub(super) slots: &'c Slots,
    /// Whether each record has a slot of its own.
    pub(super) by_record: bool,
    /// Steerings by what they were compiled from.
    pub(super) shared: HashMap<String, Option<u32>>,
    pub(super) steerings: Vec<Steering>,
    pub(super) live: Vec<Arc<Live>>,
    /// The answers of each steering, as the files have them.
    pub(super) answers: Vec<Vec<BaseAnswer>>,
    pub(super) problems: Vec<Problem>,
}

/// A record's answers, ready for its chain.
#[derive(Default)]
struct Answered {
    answers: Vec<Answer>,
    base: Vec<BaseAnswer>,
}

impl Compiler<'_> {
    pub(super) fn compile(&mut self, zones: &mut Zones) -> (Vec<Record>, Base) {
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
            let group_name = answer.group.as_ref().or(answer.pop.as_ref()).map(|group| group.value.clone());
            let group_meta = group_name.as_ref().and_then(|group| spec.groups.get(group));
            let levels = [group_meta, pool.map(|(_, pool)| &pool.meta), Some(&spec.meta)];
            let (meta, live) = self.meta(&owner, answer, levels);
            let group = group_name.as_ref().map_or(0, |name| {
                let known = groups.iter().position(|known| known == name);
                known.unwrap_or_else(|| {
                    groups.push(name.clone());
                    groups.len() - 1
                }) as u16
                    + 1
            });
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

    /// The meta of one answer: what is written for it, over what these levels have, the first over the next, over its
    /// PoP's.
    fn meta(
        &mut self,
        owner: &Owner,
        answer: &AnswerSpec,
        levels: [Option<&MetaSpec>; 3],
    ) -> (Meta, LiveSpec) {
        let chains = self.chains;
        let mut base = MetaSpec::default();
        if let Some(pop) = &answer.pop {
            match chains.pops.get(&pop.value) {
                Some(pop) => base = pop.meta.clone(),
                None => {
                    let message = unknown("PoP", &pop.value, chains.pops.keys());
                    self.answer_error(owner, answer, "pop", message);
                }
            }
        }
        let levels = [Some(&answer.meta)].into_iter().chain(levels);
        let meta = levels.flatten().rev().fold(base, |base, level| level.clone().over(&base));
        if let Err(message) = meta.watermarks() {
            self.answer_error(owner, answer, "low_watermark", message);
        }
        let (meta, live) = meta.into_meta();
        for (value, feed) in live.feeds().filter(|(_, feed)| !chains.feeds.contains_key(*feed)) {
            let message =
                format!("{}; write a table [feed.{feed}]", unknown("feed", feed, chains.feeds.keys()));
            self.answer_error(owner, answer, value, message);
        }
        (meta, live)
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
