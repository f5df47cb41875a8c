//! A test asked, and what is not as expected.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;

use super::Test;
use crate::engine::Snapshot;
use crate::engine::explain::{Explanation, Question, explain};
use crate::engine::steering::{Family, Scratch};
use crate::geo::World;
use crate::state::impact::{SENT_V4, SENT_V6, Served, percent};
use crate::state::whatif::suppose;

/// Responses a test looks at, where a network stands for many or a step of the chain draws. A share of them
/// is off by 1 in a hundred on average, so a range of 6 in a hundred holds.
const RESPONSES: usize = 2000;
/// Responses that are made whole, for addresses, scopes and codes. They cost a hundred times more.
const WHOLE_RESPONSES: usize = 64;

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Which field of the expectation.
    pub what: String,
    /// What it says.
    pub expected: String,
    /// What is so.
    pub got: String,
}

/// Runs a test over the snapshot it was read for.
pub fn run(test: &Test, snapshot: &Snapshot, world: &World) -> Vec<Difference> {
    let supposed = Arc::new(ArcSwap::from_pointee(suppose(snapshot, &test.what_if)));
    let networks = networks(test);
    let seen = Seen::of(test, &supposed.load(), &networks);
    let mut differences = seen.hold_against(test);
    let expect = &test.expect;
    if !expect.data.is_empty() || expect.scope.is_some() || expect.rcode.is_some() {
        hold_responses(test, &supposed, world, &networks, seen.is_random, &mut differences);
    }
    differences
}

/// How the test's first client is answered, and why.
pub fn explanation(test: &Test, snapshot: &Snapshot, world: &World) -> Explanation {
    let supposed = Arc::new(ArcSwap::from_pointee(suppose(snapshot, &test.what_if)));
    explain(&supposed, world, &question(test, networks(test).first().copied().flatten(), 0))
}

fn question(test: &Test, client: Option<(IpAddr, u8)>, seed: u64) -> Question {
    Question { name: test.record.clone(), qtype: test.qtype, client, resolver: test.resolver, seed }
}

/// Who asks: a network that is wider than what resolvers send stands for those in it, evenly spread. None is
/// a query without a subnet.
fn networks(test: &Test) -> Vec<Option<(IpAddr, u8)>> {
    if test.clients.is_empty() {
        return vec![None];
    }
    let most = (RESPONSES / test.clients.len()).max(1);
    let mut networks = Vec::new();
    for &(address, source) in &test.clients {
        let sent = if address.is_ipv4() { SENT_V4 } else { SENT_V6 };
        if source >= sent {
            networks.push(Some((address, source)));
            continue;
        }
        let all = 1u128 << (sent - source);
        let count = all.min(most as u128);
        networks.extend((0..count).map(|number| {
            let step = number * all / count;
            let address = match address {
                IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) + ((step as u32) << (32 - sent))).into(),
                IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) + (step << (128 - sent))).into(),
            };
            Some((address, sent))
        }));
    }
    networks
}

/// The random number of a seed, as the server that explains draws it.
fn random_of(seed: usize) -> u64 {
    fastrand::Rng::with_seed(seed as u64).u64(..)
}

/// Who got what, in numbers of responses.
#[derive(Default)]
struct Seen {
    responses: usize,
    is_random: bool,
    pops: BTreeMap<String, usize>,
    stacks: BTreeMap<String, usize>,
    answers: BTreeMap<String, usize>,
}

impl Seen {
    fn of(test: &Test, snapshot: &Snapshot, networks: &[Option<(IpAddr, u8)>]) -> Seen {
        let mut seen = Seen::default();
        let served = Served::new(snapshot, test.record_index);
        let family =
            if served.steering.is_cname { Some(Family::Cname) } else { Family::of_type(test.qtype.into()) };
        let Some(family) = family.filter(|family| served.live.has(*family)) else {
            seen.responses = networks.len();
            return seen;
        };
        let mut scratch = Scratch::default();
        let whole = (test.resolver, if test.resolver.is_ipv4() { 32 } else { 128 });
        for client in networks {
            let mut draws = 1;
            let mut draw = 0;
            while draw < draws {
                let client = client.unwrap_or(whole);
                served.walk(family, client, Some(test.resolver), random_of(draw), &mut scratch);
                if draw == 0 && scratch.picks.random() {
                    seen.is_random = true;
                    draws = (RESPONSES / networks.len()).max(1);
                }
                seen.count(&served, scratch.picks.as_slice());
                draw += 1;
            }
        }
        seen
    }

    /// Counts each PoP, stack and answer of a response once.
    fn count(&mut self, served: &Served, picks: &[u8]) {
        self.responses += 1;
        let answers = || picks.iter().map(|&pick| &served.steering.answers[usize::from(pick)]);
        let pops: BTreeSet<_> = answers().filter_map(|answer| answer.pop.as_ref()).collect();
        let stacks: BTreeSet<_> = answers().filter_map(|answer| answer.stack.as_ref()).collect();
        let called: BTreeSet<_> = answers().map(|answer| &answer.name).collect();
        for (names, counts) in
            [(pops, &mut self.pops), (stacks, &mut self.stacks), (called, &mut self.answers)]
        {
            names.into_iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
        }
    }

    /// How many responses had a PoP, a stack or an answer of this name.
    fn share(&self, name: &str) -> f64 {
        let of = [&self.pops, &self.stacks, &self.answers];
        let count = of.iter().find_map(|counts| counts.get(name)).copied().unwrap_or(0);
        count as f64 / self.responses.max(1) as f64
    }

    fn hold_against(&self, test: &Test) -> Vec<Difference> {
        let expect = &test.expect;
        let mut differences = Vec::new();
        for (what, expected, counts) in [
            ("pops", &expect.pops, &self.pops),
            ("stacks", &expect.stacks, &self.stacks),
            ("answers", &expect.answers, &self.answers),
        ] {
            let Some(expected) = expected.as_ref().filter(|expected| !expected.iter().eq(counts.keys()))
            else {
                continue;
            };
            let got = counts.keys().map(|name| match percent(self.share(name)) {
                all if all == "100 %" => name.clone(),
                share => format!("{name} ({share})"),
            });
            differences.push(Difference {
                what: what.into(),
                expected: listed(expected.iter().cloned()),
                got: listed(got),
            });
        }
        for (name, from, to) in &expect.shares {
            let share = self.share(name);
            // Shares are counted, so a bound that is met must not be missed by a rounding.
            if share * 100.0 < from - 1e-9 || share * 100.0 > to + 1e-9 {
                differences.push(Difference {
                    what: format!("shares of {name}"),
                    expected: if from == to { format!("{from} %") } else { format!("{from}..{to} %") },
                    got: percent(share),
                });
            }
        }
        for name in expect.never.iter().filter(|name| self.share(name) > 0.0) {
            let got = format!("{name} ({})", percent(self.share(name)));
            differences.push(Difference { what: "never".into(), expected: format!("no {name}"), got });
        }
        differences
    }
}

/// Makes whole responses, and holds their addresses, scopes and codes against the test.
fn hold_responses(
    test: &Test,
    supposed: &Arc<ArcSwap<Snapshot>>,
    world: &World,
    networks: &[Option<(IpAddr, u8)>],
    is_random: bool,
    differences: &mut Vec<Difference>,
) {
    let expect = &test.expect;
    let count = networks.len().min(WHOLE_RESPONSES);
    let draws = if is_random { (WHOLE_RESPONSES / count).max(1) } else { 1 };
    let (mut data, mut scopes, mut rcodes) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..count {
        for seed in 0..draws {
            let client = networks[number * networks.len() / count];
            let said = explain(supposed, world, &question(test, client, seed as u64));
            scopes.insert(said.scope);
            rcodes.insert(said.rcode);
            for line in &said.answer {
                let mut words = line.split_whitespace().skip(3);
                if let (Some(kind), Some(value)) = (words.next(), words.next()) {
                    data.entry(kind.to_string()).or_insert_with(BTreeSet::new).insert(value.to_string());
                }
            }
        }
    }
    for (kind, expected) in &expect.data {
        let got = data.remove(&kind.to_string()).unwrap_or_default();
        if *expected != got {
            differences.push(Difference {
                what: kind.to_string().to_ascii_lowercase(),
                expected: listed(expected.iter().cloned()),
                got: listed(got.into_iter()),
            });
        }
    }
    if let Some(scope) = expect.scope
        && scopes != BTreeSet::from([Some(scope)])
    {
        let got = scopes.iter().map(|scope| scope.map_or("none".into(), |scope| scope.to_string()));
        let (what, expected) = ("scope".into(), scope.to_string());
        differences.push(Difference { what, expected, got: listed(got) });
    }
    if let Some(rcode) = &expect.rcode
        && rcodes != BTreeSet::from([rcode.clone()])
    {
        let (what, expected) = ("rcode".into(), rcode.clone());
        differences.push(Difference { what, expected, got: listed(rcodes.into_iter()) });
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
