//! What can be read, and cannot be meant: of a record's answers, and of what its chain does to them.

use std::collections::BTreeMap;

use super::{Answered, Compiler, Owner};
use crate::chain::filters::{select_first_n, up};
use crate::chain::{self, Answer, Chain, options};
use crate::engine::Zones;
use crate::engine::steering::Family;
use crate::files::Severity;
use crate::geo::{Questions, World};
use crate::state::base::BaseAnswer;
use crate::state::chains::{AnswerSpec, RecordSpec};
use crate::state::circles::Circles;
use crate::state::meta::{LiveSpec, Value};
use crate::state::zones::{RECORD_OCTETS, RRSET_OCTETS_MAX};
use crate::wire::Name;

impl Compiler<'_> {
    /// What is wrong with answers, whatever the chain does to them.
    pub(super) fn check_answers(
        &mut self,
        owner: &Owner,
        is_pool: bool,
        written: &[AnswerSpec],
        answered: &Answered,
    ) {
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
    pub(super) fn check_chain(
        &mut self,
        spec: &RecordSpec,
        chain: &Chain,
        answers: &[Answer],
        base: &[BaseAnswer],
    ) {
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
    pub(super) fn check_circles(&mut self, zones: &Zones) {
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
    pub(super) fn check_disabled(&mut self, spec: &RecordSpec) {
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
