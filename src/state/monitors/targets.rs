//! Which answers a monitor's target takes in, and what is wrong with those that take in none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Check, Family, FileMonitor, HealthSpec, Kind, MonitorSpec, Monitored, Plan};
use crate::files::Problem;
use crate::state::chains::{AnswerSpec, Chains};
use crate::state::change::some_of;
use crate::state::identity::identities;
use crate::state::model::{Monitor, Rows, Scope, Understood};

/// An answer of a pool or of a record.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its identity.
    id: String,
    /// The pool, or the record of an answer without one.
    owner: String,
    pool: Option<String>,
    pop: Option<String>,
    stack: Option<String>,
    addresses: Vec<IpAddr>,
}

impl Candidate {
    fn is_in(&self, scope: &Scope) -> bool {
        let fields = [(&scope.pool, &self.pool), (&scope.pop, &self.pop), (&scope.stack, &self.stack)];
        let id = scope.answer.as_ref();
        id.is_none_or(|id| *id == self.id)
            && fields.iter().all(|(wanted, has)| wanted.is_none() || wanted == has)
    }

    /// The addresses a check probes.
    fn probed(&self, check: &Check) -> Vec<IpAddr> {
        let wanted = |address: &&IpAddr| check.family.is_none_or(|family| family == Family::of(**address));
        match check.kind {
            Kind::Push => Vec::new(),
            _ => self.addresses.iter().filter(wanted).copied().collect(),
        }
    }

    /// Whether there is something to probe. A heartbeat needs nothing.
    fn can_be_probed(&self, check: &Check) -> bool {
        check.kind == Kind::Push || !self.probed(check).is_empty()
    }
}

/// What the files say of monitors, and what there is to be probed.
#[derive(Clone, Debug, Default)]
pub struct Monitors {
    /// Those of the files, by name.
    pub files: BTreeMap<String, FileMonitor>,
    /// How our own failure is told.
    pub health: HealthSpec,
    candidates: Vec<Candidate>,
}

/// Monitors of the store, by name.
pub type MonitorRows = Rows<String, Understood<Monitor, MonitorSpec>>;

/// Why a monitor has nothing to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its target names something that is not there.
    Missing(String),
    /// What it names has no address to probe.
    NoAddress(String),
}

impl Unfit {
    /// In words.
    pub fn words(&self) -> &str {
        match self {
            Unfit::Missing(words) | Unfit::NoAddress(words) => words,
        }
    }
}

impl Monitors {
    /// What is to be probed: what the rows say, and for all else what the files say. An answer without an address
    /// to probe is passed over.
    pub fn plan(&self, rows: &MonitorRows) -> Plan {
        let specs = self.in_force(rows).into_iter();
        let monitored: Vec<Monitored> = specs.flat_map(|(name, spec)| self.monitored(name, spec)).collect();
        let probing = monitored.iter().filter(|monitored| monitored.check.kind != Kind::Push);
        let quickest = probing.map(|monitored| monitored.check.interval).min();
        Plan { health: self.health.beside(quickest.unwrap_or(Duration::MAX)), monitored }
    }

    /// The monitors that are in force, by name.
    fn in_force<'m>(&'m self, rows: &'m MonitorRows) -> BTreeMap<&'m String, &'m MonitorSpec> {
        let of_files = self.files.iter().map(|(name, monitor)| (name, &monitor.spec));
        let of_rows = rows.iter().filter_map(|(name, row)| Some((name, self.fitting(row)?)));
        of_files.chain(of_rows).collect()
    }

    /// Why a monitor that the failover of a pool names cannot say that the pool fails; none when it can.
    pub fn why_blind(&self, rows: &MonitorRows, named: &str, pool: &str) -> Option<String> {
        let of_files = || self.files.get(named).map(|monitor| &monitor.spec);
        let spec = rows.get(named).and_then(|row| self.fitting(row)).or_else(of_files);
        if spec.is_some_and(|spec| watches(spec, pool, &self.candidates)) {
            return None;
        }
        Some(blind(named, pool, self.in_force(rows).into_iter(), &self.candidates))
    }

    fn monitored<'m>(&'m self, name: &'m str, spec: &'m MonitorSpec) -> impl Iterator<Item = Monitored> {
        let is_meant =
            |answer: &&Candidate| answer.is_in(&spec.target.value) && answer.can_be_probed(&spec.check);
        self.candidates.iter().filter(is_meant).map(|answer| Monitored {
            monitor: name.into(),
            answer: answer.id.clone(),
            pool: answer.owner.clone(),
            site: answer.pop.clone().unwrap_or_else(|| answer.id.clone()),
            addresses: answer.probed(&spec.check),
            check: spec.check.clone(),
        })
    }

    /// Every monitor's name, of rows and of files.
    pub fn names<'m>(&'m self, rows: &'m MonitorRows) -> BTreeSet<&'m String> {
        rows.keys().chain(self.files.keys()).collect()
    }

    /// What a row says, if it is in force.
    pub fn fitting<'r>(&self, row: &'r Understood<Monitor, MonitorSpec>) -> Option<&'r MonitorSpec> {
        row.said.as_ref().ok().map(Arc::as_ref).filter(|spec| self.fit(spec).is_ok())
    }

    /// Why a row is not in force; none when it is.
    pub fn dormant(&self, row: &Understood<Monitor, MonitorSpec>) -> Option<String> {
        match &row.said {
            Ok(spec) => self.fit(spec).err().map(|unfit| format!("target: {}", unfit.words())),
            Err(problems) => Some(problems.iter().map(Problem::words).collect::<Vec<String>>().join("; ")),
        }
    }

    /// Holds a monitor against the pools, PoPs and answers there are: how many it probes, or why none.
    pub fn fit(&self, spec: &MonitorSpec) -> Result<usize, Unfit> {
        fit(spec, &self.candidates)
    }

    /// Whether all that a monitor takes in is of a pool.
    pub fn is_within(&self, spec: &MonitorSpec, pool: &str) -> bool {
        let scope = &spec.target.value;
        let mut is_in = self.candidates.iter().filter(|candidate| candidate.is_in(scope)).peekable();
        scope.pool.as_deref() == Some(pool)
            || is_in.peek().is_some() && is_in.all(|candidate| candidate.pool.as_deref() == Some(pool))
    }
}

fn fit(spec: &MonitorSpec, candidates: &[Candidate]) -> Result<usize, Unfit> {
    let scope = &spec.target.value;
    let is_in: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.is_in(scope)).collect();
    if is_in.is_empty() {
        return Err(Unfit::Missing(nothing_matches(scope, candidates)));
    }
    match is_in.iter().filter(|candidate| candidate.can_be_probed(&spec.check)).count() {
        0 => {
            let family = spec.check.family.map_or("", Family::name);
            let words = format!("{scope} has no {family} address to probe; take another target or family");
            Err(Unfit::NoAddress(words.replace("  ", " ")))
        }
        probed => Ok(probed),
    }
}

/// Whether a monitor watches an answer of a pool.
fn watches(spec: &MonitorSpec, pool: &str, candidates: &[Candidate]) -> bool {
    let scope = &spec.target.value;
    candidates.iter().any(|answer| answer.pool.as_deref() == Some(pool) && answer.is_in(scope))
}

/// That a name is of none of the monitors that watch a pool, with what there is instead.
fn blind<'m>(
    named: &str,
    pool: &str,
    monitors: impl Iterator<Item = (&'m String, &'m MonitorSpec)>,
    candidates: &[Candidate],
) -> String {
    let watching = monitors.filter(|(_, spec)| watches(spec, pool, candidates));
    let known: Vec<&str> = watching.map(|(name, _)| name.as_str()).collect();
    match known.is_empty() {
        true => format!("no monitor probes this pool, so `{named}` cannot say that it fails"),
        false => format!("no monitor `{named}` probes this pool (those that do: {})", some_of(&known)),
    }
}

impl Chains {
    /// What can be probed, and what the files say of it.
    pub fn monitors(&self) -> Monitors {
        Monitors {
            files: self.monitors.clone(),
            health: self.health.as_ref().map(|(_, health)| health.clone()).unwrap_or_default(),
            candidates: self.candidates(),
        }
    }

    /// Holds the monitors against the pools, PoPs and answers there are.
    pub fn check_monitors(&self, problems: &mut Vec<Problem>) {
        let candidates = self.candidates();
        for (name, FileMonitor { place, spec, .. }) in &self.monitors {
            if let Err(unfit) = fit(spec, &candidates) {
                let error = Problem::error(&place.file, spec.target.line, unfit.words());
                problems.push(error.of(format!("monitor {name}")).at("target"));
            }
        }
    }

    /// Holds the monitors that pools' failovers name against those of the files. One that no file has may be set over
    /// the API.
    pub fn check_named_monitors(&self, problems: &mut Vec<Problem>) {
        let candidates = self.candidates();
        for (name, pool) in &self.pools {
            let Some(named) = pool.policy.failover.as_ref().and_then(|spec| spec.monitor.as_ref()) else {
                continue;
            };
            let monitor = self.monitors.get(&named.value);
            if monitor.is_some_and(|monitor| watches(&monitor.spec, name, &candidates)) {
                continue;
            }
            let of_files = self.monitors.iter().map(|(name, monitor)| (name, &monitor.spec));
            let why = blind(&named.value, name, of_files, &candidates);
            let (file, line) = (&pool.place.file, named.line);
            let problem = match monitor.is_some() {
                true => Problem::error(file, line, why),
                false => Problem::warning(file, line, format!("{why}, unless one is set over the API")),
            };
            problems.push(problem.of(format!("pool {name} failover")).at("monitor"));
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (name, pool) in &self.pools {
            candidates_of(&mut all, name, Some(name), &pool.answers);
        }
        for record in self.records.iter().filter(|record| record.pool.is_none()) {
            let name = record.name.to_lowercase().to_string();
            candidates_of(&mut all, name.trim_end_matches('.'), None, &record.answers);
        }
        all
    }
}

fn candidates_of(all: &mut Vec<Candidate>, owner: &str, pool: Option<&str>, answers: &[AnswerSpec]) {
    for (answer, id) in answers.iter().zip(identities(owner, pool.is_some(), answers)) {
        let addresses = answer.a.iter().copied().map(IpAddr::from);
        all.push(Candidate {
            id,
            owner: owner.into(),
            pool: pool.map(String::from),
            pop: answer.pop.as_ref().map(|pop| pop.value.clone()),
            stack: answer.stack.clone(),
            addresses: addresses.chain(answer.aaaa.iter().copied().map(IpAddr::from)).collect(),
        });
    }
}

/// Names the first part of a target that nothing has, with what there is instead.
fn nothing_matches(scope: &Scope, candidates: &[Candidate]) -> String {
    let list = |of: fn(&Candidate) -> Option<&String>| -> Vec<&str> {
        let named: BTreeSet<&str> = candidates.iter().filter_map(of).map(String::as_str).collect();
        named.into_iter().collect()
    };
    let parts = [
        ("pool", &scope.pool, list(|answer| answer.pool.as_ref())),
        ("PoP", &scope.pop, list(|answer| answer.pop.as_ref())),
        ("stack", &scope.stack, list(|answer| answer.stack.as_ref())),
        ("answer", &scope.answer, list(|answer| Some(&answer.id))),
    ];
    for (kind, wanted, known) in parts {
        let is_missing = |wanted: &&String| !known.contains(&wanted.as_str());
        let Some(wanted) = wanted.as_ref().filter(is_missing) else { continue };
        return match known.is_empty() {
            true => format!("no answer has a {kind}; `{wanted}` matches nothing"),
            false => format!("no answer has the {kind} `{wanted}`; known are {}", some_of(&known)),
        };
    }
    format!("{scope} matches no answer: each part is known, but no answer has all of them")
}
