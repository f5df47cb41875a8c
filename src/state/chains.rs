//! `filter-chains/*.toml`: PoPs, pools of answers, and steered records with their chains.
//!
//! ```text
//! files -> Chains { pops, pools, records } -> compile -> what is served
//! ```
//!
//! Every file of the folder is read, in the order of their names; what one names, every other may use.
//! Files `*.test.toml` are left to [`super::expectations`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::meta::MetaSpec;
use super::monitors::{FileMonitor, HealthSpec, read_health, read_monitor};
use super::policy::{FeedSpec, PoolPolicy};
use super::ttl::Ttl;
use crate::chain::{OptionValue, Options};
use crate::files::{At, Document, Fields, Problem};
use crate::geo::Country;
use crate::geo::written::{assigned, read_coordinates};
use crate::wire::Name;

/// What the files of the folder say.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    /// Sites, by name.
    pub pops: BTreeMap<String, Pop>,
    /// Pools, by name.
    pub pools: BTreeMap<String, Pool>,
    /// Steered records, in the order they stand.
    pub records: Vec<RecordSpec>,
    /// Outside sources of live values, by name.
    pub feeds: BTreeMap<String, At<FeedSpec>>,
    /// Monitors, by name.
    pub monitors: BTreeMap<String, FileMonitor>,
    /// How our own failure is told from theirs, and where that is written.
    pub health: Option<(Place, HealthSpec)>,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// `file:line`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A site.
#[derive(Clone, Debug)]
pub struct Pop {
    /// Where it is written.
    pub place: Place,
    /// Its city, for people.
    pub city: Option<String>,
    /// Its country and coordinates.
    pub meta: MetaSpec,
}

/// Answers operated together.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Where it is written.
    pub place: Place,
    /// Meta of all its answers.
    pub meta: MetaSpec,
    /// Its answers.
    pub answers: Vec<AnswerSpec>,
    /// How it is operated.
    pub policy: PoolPolicy,
}

/// One answer as written.
#[derive(Clone, Debug)]
pub struct AnswerSpec {
    /// Where it is written.
    pub place: Place,
    /// Its name, where one is written.
    pub name: Option<String>,
    /// The site it stands at.
    pub pop: Option<At<String>>,
    /// The load balancer generation.
    pub stack: Option<String>,
    /// The weight of its stack in the split of its PoP.
    pub weight: Option<f64>,
    /// The group it is in.
    pub group: Option<At<String>>,
    /// IPv4 addresses.
    pub a: Vec<Ipv4Addr>,
    /// IPv6 addresses.
    pub aaaa: Vec<Ipv6Addr>,
    /// A target.
    pub cname: Option<Name>,
    /// Its meta.
    pub meta: MetaSpec,
}

/// A steered record as written.
#[derive(Clone, Debug)]
pub struct RecordSpec {
    /// Where it is written.
    pub place: Place,
    /// Its owner name.
    pub name: Name,
    /// How long its answers may be kept.
    pub ttl: Ttl,
    /// The pool whose answers it gives.
    pub pool: Option<At<String>>,
    /// Answers of its own, where there is no pool.
    pub answers: Vec<AnswerSpec>,
    /// Its groups' meta.
    pub groups: BTreeMap<String, MetaSpec>,
    /// Its own meta.
    pub meta: MetaSpec,
    /// Its chain.
    pub filters: Vec<FilterSpec>,
    /// Whether the client's subnet counts.
    pub use_client_subnet: bool,
    /// Whether addresses inside an answer rotate.
    pub rotate: bool,
    /// Share of the undrained answers that must be up for health to count.
    pub panic_threshold: f64,
    /// A fence that leaves nothing answers NODATA.
    pub nodata_on_empty: bool,
    /// The scope a random chain never goes under: bits of IPv4 and of IPv6.
    pub spread: (u8, u8),
}

impl RecordSpec {
    /// A record of a pool that says nothing of its own.
    pub fn bare(place: Place, pool: At<String>) -> RecordSpec {
        RecordSpec {
            place,
            name: Name::root(),
            ttl: Ttl::default(),
            pool: Some(pool),
            answers: Vec::new(),
            groups: BTreeMap::new(),
            meta: MetaSpec::default(),
            filters: Vec::new(),
            use_client_subnet: true,
            rotate: true,
            panic_threshold: 0.0,
            nodata_on_empty: false,
            spread: (0, 0),
        }
    }
}

/// One filter of a chain as written.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterSpec {
    /// Its line.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Skipped.
    pub disabled: bool,
    /// What it is given.
    pub options: Options,
}

/// What ends the names of files that say how clients should be answered; they are no chains.
pub const TEST_FILES: &str = ".test.toml";

/// Reads every `.toml` file of the folder, but for those of tests. Returns the files too, for whoever watches them.
pub fn read_chains(folder: &Path, problems: &mut Vec<Problem>) -> (Chains, Vec<PathBuf>) {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) => {
            let message = format!("cannot be read: {error}; set filter_chains to a folder of .toml files");
            problems.push(Problem::error(folder, None, message));
            Vec::new()
        }
    };
    let is_chains = |name: &str| name.ends_with(".toml") && !name.ends_with(TEST_FILES);
    files.retain(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_chains));
    files.sort();
    let mut chains = Chains::default();
    for file in &files {
        match std::fs::read_to_string(file) {
            Ok(text) => chains.read_file(file, &text, problems),
            Err(error) => problems.push(Problem::error(file, None, format!("cannot be read: {error}"))),
        }
    }
    chains.check_monitors(problems);
    chains.check_named_monitors(problems);
    (chains, files)
}

impl Chains {
    /// Reads one file's text on top of what is there.
    pub fn read_file(&mut self, file: &Path, text: &str, problems: &mut Vec<Problem>) {
        let document = Document::new(file, text);
        if let Some(mut root) = document.read() {
            for (name, fields) in root.named_tables("pop") {
                let pop = read_pop(file, &name, fields);
                insert_once(&mut self.pops, "pop", name, pop, |pop| &pop.place, &document, file);
            }
            for (name, fields) in root.named_tables("pool") {
                let pool = read_pool(file, &name, fields);
                insert_once(&mut self.pools, "pool", name, pool, |pool| &pool.place, &document, file);
            }
            for (name, fields) in root.named_tables("feed") {
                let feed = At { value: FeedSpec::read(&name.value, fields), line: name.line };
                if self.feeds.insert(name.value.clone(), feed).is_some() {
                    let message = "is written in another file too; keep one";
                    document
                        .record(Problem::error(file, name.line, message).of(format!("feed {}", name.value)));
                }
            }
            for fields in root.tables("record") {
                self.records.extend(read_record(file, fields));
            }
            for (name, fields) in root.named_tables("monitor") {
                let written = fields.to_json();
                let Some(spec) = read_monitor(Some(file), &name.value, fields) else { continue };
                let place = Place { file: file.into(), line: name.line };
                let monitor = FileMonitor { place, spec, written };
                insert_once(&mut self.monitors, "monitor", name, monitor, |m| &m.place, &document, file);
            }
            if let Some(fields) = root.table("health") {
                let place = Place { file: file.into(), line: fields.line };
                match &self.health {
                    Some((first, _)) => {
                        let message =
                            format!("already written at {}:{}; keep one", first.file.display(), first.line);
                        document.record(Problem::error(file, place.line, message).of("health"));
                    }
                    None => self.health = Some((place, read_health(fields))),
                }
            }
            root.finish();
        }
        problems.extend(document.into_problems());
    }
}

fn insert_once<T>(
    map: &mut BTreeMap<String, T>,
    kind: &str,
    name: At<String>,
    value: T,
    place: impl Fn(&T) -> &Place,
    document: &Document,
    file: &Path,
) {
    if let Some(first) = map.get(&name.value) {
        let Place { file: first, line } = place(first);
        let message = format!("already written at {}:{line}; keep one", first.display());
        document.record(Problem::error(file, name.line, message).of(format!("{kind} {}", name.value)));
        return;
    }
    map.insert(name.value, value);
}

fn read_pop(file: &Path, name: &At<String>, mut fields: Fields) -> Pop {
    fields.object = format!("pop {}", name.value);
    fields.require(&["country"]);
    let country = fields.parsed::<Country>("country");
    let country = country.and_then(|country| assigned(&fields, "country", country));
    let coordinates = read_coordinates(&mut fields);
    let city = fields.text("city").map(|city| city.value);
    fields.finish();
    let meta = country.map(|country| MetaSpec::of_pop(country, coordinates)).unwrap_or_default();
    Pop { place: Place { file: file.into(), line: name.line }, city, meta }
}

fn read_pool(file: &Path, name: &At<String>, mut fields: Fields) -> Pool {
    fields.object = format!("pool {}", name.value);
    fields.require(&["answer"]);
    let meta = MetaSpec::read(&mut fields);
    let answers: Vec<AnswerSpec> =
        fields.tables("answer").into_iter().map(|fields| read_answer(file, fields)).collect();
    let (policy, named) = PoolPolicy::read(&mut fields);
    for pop in named {
        let stands = |answer: &AnswerSpec| answer.pop.as_ref().is_some_and(|at| at.value == pop.value);
        if !answers.iter().any(stands) {
            fields.error("capacity", pop.line, format!("the pool has no answer at a PoP `{}`", pop.value));
        }
    }
    fields.finish();
    Pool { place: Place { file: file.into(), line: name.line }, meta, answers, policy }
}

fn read_answer(file: &Path, mut fields: Fields) -> AnswerSpec {
    let owner = std::mem::take(&mut fields.object);
    let name = fields.text("name");
    let pop = fields.text("pop");
    let stack = fields.text("stack");
    let called = [name.as_ref(), pop.as_ref(), stack.as_ref()];
    let called: Vec<&str> = called.into_iter().flatten().map(|part| part.value.as_str()).collect();
    fields.object = format!("{owner} answer {}", called.join("/")).trim_end().into();
    let spec = AnswerSpec {
        place: Place { file: file.into(), line: fields.line },
        name: name.map(|name| name.value),
        pop,
        stack: stack.map(|stack| stack.value),
        weight: fields.float_in("weight", 0.0, 1e9).map(|weight| weight.value),
        group: fields.text("group"),
        a: read_addresses(&mut fields, "a", "192.0.2.1", |address: &Ipv4Addr| {
            address.is_unspecified() || address.is_multicast() || address.is_broadcast()
        }),
        aaaa: read_addresses(&mut fields, "aaaa", "2001:db8::1", |address: &Ipv6Addr| {
            address.is_unspecified() || address.is_multicast()
        }),
        cname: fields.parsed::<Name>("cname").map(|name| name.value),
        meta: MetaSpec::read(&mut fields),
    };
    match (&spec.cname, spec.a.is_empty() && spec.aaaa.is_empty()) {
        (Some(_), false) => {
            fields.error("cname", fields.line, "stands beside addresses; an answer has either");
        }
        (None, true) => fields.error("a", fields.line, "no data; write a and aaaa addresses, or a cname"),
        _ => {}
    }
    fields.finish();
    spec
}

/// `is_nobody` tells the addresses that no client can connect to.
fn read_addresses<T>(
    fields: &mut Fields,
    name: &'static str,
    example: &str,
    is_nobody: impl Fn(&T) -> bool,
) -> Vec<T>
where
    T: std::str::FromStr + PartialEq + std::fmt::Display,
{
    let mut addresses: Vec<T> = Vec::new();
    for address in fields.parsed_list_like::<T>(name, example) {
        if addresses.contains(&address.value) {
            fields.error(name, address.line, format!("{} is written twice", address.value));
        } else {
            if is_nobody(&address.value) {
                let message = format!("{} is no address that clients can connect to", address.value);
                fields.warning(name, address.line, message);
            }
            addresses.push(address.value);
        }
    }
    addresses
}

fn read_record(file: &Path, mut fields: Fields) -> Option<RecordSpec> {
    fields.object = "record".into();
    fields.require(&["name", "filters"]);
    let name = fields.parsed::<Name>("name").map(|name| name.value);
    if let Some(name) = &name {
        fields.object = format!("record {}", name.to_string().trim_end_matches('.'));
    }
    let pool = fields.text("pool");
    let answers: Vec<AnswerSpec> =
        fields.tables("answer").into_iter().map(|answer| read_answer(file, answer)).collect();
    match (&pool, answers.is_empty()) {
        (Some(pool), false) => {
            fields.error(
                "pool",
                pool.line,
                "stands beside answers; a record has either a pool or its own answers",
            );
        }
        (None, true) => {
            fields.error("pool", fields.line, "missing; name a pool, or write [[record.answer]] tables");
        }
        _ => {}
    }
    let groups = fields.named_tables("group").into_iter().map(|(name, mut group)| {
        group.object = format!("{} group {}", fields.object, name.value);
        let meta = MetaSpec::read(&mut group);
        group.finish();
        (name.value, meta)
    });
    let groups = groups.collect();
    let meta = MetaSpec::read(&mut fields);
    let ttl = Ttl::read(&mut fields);
    let flag = |fields: &mut Fields, name| fields.flag(name).is_none_or(|flag| flag.value);
    let use_client_subnet = flag(&mut fields, "use_client_subnet");
    let rotate = flag(&mut fields, "rotate");
    let panic_threshold = fields.float_in("panic_threshold", 0.0, 1.0).map_or(0.0, |share| share.value);
    let nodata_on_empty = fields.text("on_empty").is_some_and(|word| match word.value.as_str() {
        "nodata" => true,
        "unfenced" => false,
        other => {
            let message = format!("`{other}` is unknown; write unfenced (the default) or nodata");
            fields.error("on_empty", word.line, message);
            false
        }
    });
    let spread = fields.table("spread").map_or((16, 40), |mut spread| {
        spread.object = format!("{} spread", fields.object);
        let v4 = spread.integer_in("ipv4", 0, 32).map_or(16, |bits| bits.value as u8);
        let v6 = spread.integer_in("ipv6", 0, 128).map_or(40, |bits| bits.value as u8);
        spread.finish();
        (v4, v6)
    });
    let filters = read_filters(&mut fields);
    let place = Place { file: file.into(), line: fields.line };
    fields.finish();
    Some(RecordSpec {
        place,
        name: name?,
        ttl,
        pool,
        answers,
        groups,
        meta,
        filters,
        use_client_subnet,
        rotate,
        panic_threshold,
        nodata_on_empty,
        spread,
    })
}

/// A chain: `"up"` or `{ filter = "up", disabled = false, config = { ... } }`, as NS1's clients send it.
fn read_filters(fields: &mut Fields) -> Vec<FilterSpec> {
    let mut filters = Vec::new();
    for value in fields.list("filters") {
        let line = value.line;
        if let DeValue::String(name) = &value.value {
            filters.push(FilterSpec {
                line,
                name: name.to_string(),
                disabled: false,
                options: Options::new(),
            });
            continue;
        }
        let Some(mut filter) = fields.as_table("filters", value) else { continue };
        filter.require(&["filter"]);
        let name = filter.text("filter");
        if let Some(name) = &name {
            filter.object = format!("{} filter {}", fields.object, name.value);
        }
        let disabled = filter.flag("disabled").is_some_and(|flag| flag.value);
        let config = filter.table("config").map(Fields::into_values).unwrap_or_default();
        let options = config.into_iter().filter_map(|(name, value)| {
            let option = option_value(&value.value);
            if option.is_none() {
                filter.error(&name.value, value.line, "write a number, a text, true or false");
            }
            Some((name.value, option?))
        });
        let options = options.collect();
        filter.finish();
        if let Some(name) = name {
            filters.push(FilterSpec { line, name: name.value, disabled, options });
        }
    }
    filters
}

fn option_value(value: &DeValue) -> Option<OptionValue> {
    Some(match value {
        DeValue::Boolean(on) => OptionValue::Bool(*on),
        DeValue::Integer(number) => {
            OptionValue::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => OptionValue::Float(number.as_str().parse().ok()?),
        DeValue::String(text) => OptionValue::Text(text.to_string()),
        _ => return None,
    })
}
