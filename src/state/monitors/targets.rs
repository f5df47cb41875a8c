//! Which answers a monitor's target takes in, and what is wrong with those that take in none.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Check, Family, Kind, Monitored, Plan};
use crate::files::Problem;
use crate::state::chains::{AnswerSpec, Chains};
use crate::state::identity::identities;
use crate::state::model::Scope;

/// An answer of a pool or of a record.
struct Candidate<'c> {
    id: String,
    /// The pool, or the record of an answer without one.
    owner: String,
    pool: Option<&'c str>,
    pop: Option<&'c str>,
    stack: Option<&'c str>,
    addresses: Vec<IpAddr>,
}

impl Candidate<'_> {
    fn is_in(&self, scope: &Scope) -> bool {
        let fields = [(&scope.pool, self.pool), (&scope.pop, self.pop), (&scope.stack, self.stack)];
        let id = scope.answer.as_ref();
        id.is_none_or(|id| *id == self.id)
            && fields.iter().all(|(wanted, has)| wanted.is_none() || wanted.as_deref() == *has)
    }

    /// The addresses a check probes.
    fn probed(&self, check: &Check) -> Vec<IpAddr> {
        let wanted = |address: &&IpAddr| check.family.is_none_or(|family| family == Family::of(**address));
        match check.kind {
            Kind::Push => Vec::new(),
            _ => self.addresses.iter().filter(wanted).copied().collect(),
        }
    }
}

impl Chains {
    /// What is to be probed. An answer without an address to probe is passed over.
    pub fn plan(&self) -> Plan {
        let candidates = self.candidates();
        let mut monitored = Vec::new();
        for (name, monitor) in &self.monitors {
            for candidate in candidates.iter().filter(|answer| answer.is_in(&monitor.target.value)) {
                let addresses = candidate.probed(&monitor.check);
                if addresses.is_empty() && monitor.check.kind != Kind::Push {
                    continue;
                }
                monitored.push(Monitored {
                    monitor: name.clone(),
                    answer: candidate.id.clone(),
                    pool: candidate.owner.clone(),
                    site: candidate.pop.map_or_else(|| candidate.id.clone(), String::from),
                    addresses,
                    check: monitor.check.clone(),
                });
            }
        }
        let health = self.health.as_ref().map(|(_, health)| health.clone()).unwrap_or_default();
        Plan { monitored, health }
    }

    /// Holds the monitors against the pools, PoPs and answers there are.
    pub fn check_monitors(&self, problems: &mut Vec<Problem>) {
        let candidates = self.candidates();
        for (name, monitor) in &self.monitors {
            let scope = &monitor.target.value;
            let is_in: Vec<_> = candidates.iter().filter(|candidate| candidate.is_in(scope)).collect();
            let message = if is_in.is_empty() {
                nothing_matches(scope, &candidates)
            } else if monitor.check.kind == Kind::Push
                || is_in.iter().any(|candidate| !candidate.probed(&monitor.check).is_empty())
            {
                continue;
            } else {
                let family = monitor.check.family.map_or("", Family::name);
                let message =
                    format!("{scope} has no {family} address to probe; take another target or family");
                message.replace("  ", " ")
            };
            let error = Problem::error(&monitor.place.file, monitor.target.line, message);
            problems.push(error.of(format!("monitor {name}")).at("target"));
        }
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
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

fn candidates_of<'c>(
    all: &mut Vec<Candidate<'c>>,
    owner: &str,
    pool: Option<&'c str>,
    answers: &'c [AnswerSpec],
) {
    for (answer, id) in answers.iter().zip(identities(owner, pool.is_some(), answers)) {
        let pop = answer.pop.as_ref().map(|pop| pop.value.as_str());
        let stack = answer.stack.as_deref();
        let addresses = answer.a.iter().copied().map(IpAddr::from);
        let addresses = addresses.chain(answer.aaaa.iter().copied().map(IpAddr::from)).collect();
        all.push(Candidate { id, owner: owner.into(), pool, pop, stack, addresses });
    }
}

/// Names the first part of a target that nothing has, with what there is instead.
fn nothing_matches(scope: &Scope, candidates: &[Candidate]) -> String {
    let list = |of: fn(&Candidate) -> Option<String>| -> Vec<String> {
        candidates.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let parts = [
        ("pool", &scope.pool, list(|answer| answer.pool.map(String::from))),
        ("PoP", &scope.pop, list(|answer| answer.pop.map(String::from))),
        ("stack", &scope.stack, list(|answer| answer.stack.map(String::from))),
        ("answer", &scope.answer, list(|answer| Some(answer.id.clone()))),
    ];
    for (kind, wanted, known) in parts {
        let Some(wanted) = wanted.as_ref().filter(|wanted| !known.contains(wanted)) else { continue };
        return match known.is_empty() {
            true => format!("no answer has a {kind}; `{wanted}` matches nothing"),
            false => format!("no answer has the {kind} `{wanted}`; known are {}", known.join(", ")),
        };
    }
    format!("{scope} matches no answer: each part is known, but no answer has all of them")
}
