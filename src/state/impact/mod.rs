//! What a change does to clients: who gets another PoP than before, and where they all go.
//!
//! ```text
//! snapshot before --+
//! snapshot after  --+-> Pair: records of one name, the serving walk on both sides -> shares per client
//! clients ----------+                                 -> Tally -> Impact -> words, JSON
//! ```
//!
//! Nothing is predicted: a client is asked about as a packet would be, by [`crate::engine::steering::steer`].
//! Where a step of the chain draws (shuffle, shed_load between its marks), the clients of a country that meet
//! the same PoPs are one distribution, over several draws of each with the same numbers on both sides; what
//! moves is what the one distribution lacks of the other. So a chain that only draws again moves nobody, and
//! of three PoPs by chance, one of which is exchanged, a third. All answers of a response count alike; their
//! order does not count. Where a coin has a say (a drain of 30 %, an open split), each way for it to fall counts with its
//! chance, and not with the few networks that a sample happens to have.
//!
//! Deliberately absent: how long resolvers keep what they have (the TTL), and how much a client loads.

mod space;
mod tally;
mod walk;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

pub use space::{Client, SENT_V4, SENT_V6, address_space, address_space_v6};
pub use walk::Served;
pub use words::{percent, thousands};

use crate::engine::Snapshot;
use crate::engine::steering::{Live, Record};
use crate::geo::World;
use crate::state::base::Base;
use crate::state::model::Model;
use crate::state::policy::in_force;
use crate::wire::Name;
use tally::Tally;
use walk::{Looked, Pair};

/// What pools can hold, by pool and PoP; only the ratios within a pool count.
pub type Capacities = BTreeMap<(String, String), f64>;

/// What is said that pools can hold, as far as anything is.
pub fn capacities(base: &Base, model: &Model) -> Capacities {
    let of_pool = |pool: &String| {
        let capacity = in_force(base, model, pool).capacity.iter();
        capacity.map(|(pop, holds)| ((pool.clone(), pop.clone()), *holds)).collect::<Vec<_>>()
    };
    base.pools.keys().flat_map(of_pool).collect()
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Impact {
    /// Records that are answered alike, together: those that move most first. Those that are answered from
    /// the very same as before are left out.
    pub records: Vec<RecordImpact>,
    /// Records that are new.
    pub added: Vec<String>,
    /// Records that are gone.
    pub removed: Vec<String>,
    /// Records that change too, and were not looked at: [`compare_within`].
    pub unseen: usize,
}

/// What becomes of the clients of some records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordImpact {
    /// The records' names; over the API the first of them.
    pub records: Vec<String>,
    /// How many records they are.
    pub count: usize,
    /// The pool they answer with, if it is one.
    pub pool: Option<String>,
    /// From how many clients it is estimated; none when the whole address space was counted.
    pub estimated_from: Option<usize>,
    /// Share of the clients that get another PoP.
    pub moved: f64,
    /// Share of the clients that stay at their PoP and get another stack or answer there.
    pub moved_within: f64,
    /// Where they go, those that most clients go first.
    pub moves: Vec<Move>,
    /// By the clients' country, those with most moved clients first.
    pub countries: Vec<CountryImpact>,
    /// By PoP, those that gain most first.
    pub pops: Vec<PopImpact>,
}

/// A share of the clients that goes from one PoP to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// Where from.
    pub from: String,
    /// Where to.
    pub to: String,
    /// The share of all clients.
    pub share: f64,
}

/// What becomes of a country's clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CountryImpact {
    /// The country; none for clients whose country nobody knows.
    pub country: Option<String>,
    /// Its share of all clients.
    pub share: f64,
    /// The share of its clients that get another PoP.
    pub moved: f64,
}

/// What becomes of a PoP.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PopImpact {
    /// The PoP; an answer of no PoP is one by itself.
    pub pop: String,
    /// Its share of all clients before.
    pub before: f64,
    /// Its share of all clients after.
    pub after: f64,
    /// It is there for fewer of its clients than before: drained, down, without weight, shed, or gone.
    pub goes: bool,
    /// Its share of the pool's capacity after the change; equal shares unless [`Impact::with_capacities`]
    /// knows better.
    pub capacity: f64,
    /// Its load, where the chain sheds by one and its answers have values for it.
    pub load: Option<LoadImpact>,
}

/// What becomes of a PoP's load, if load follows clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadImpact {
    /// Which: `connections`, `requests` or `loadavg`.
    pub metric: String,
    /// As it is said to be.
    pub before: f64,
    /// As it would be: with its part of the whole pool's load, by clients.
    pub after: f64,
    /// From where on everything is shed; none where it is not written.
    pub high_watermark: Option<f64>,
}

/// Runs of a chain for one group of records, at least: with fewer clients the shares would be guesses.
const WALKS_LEAST: usize = 5000;

/// Asks both snapshots about every client. Records are matched by their names.
pub fn compare(before: &Snapshot, after: &Snapshot, clients: &[Client]) -> Impact {
    compare_within(before, after, clients, usize::MAX)
}

/// The same with about so many runs of a chain at most, where somebody waits for it. The records that ask most come
/// first, with fewer clients each if there are many groups of them; of what is left the records are counted.
pub fn compare_within(before: &Snapshot, after: &Snapshot, clients: &[Client], walks: usize) -> Impact {
    let (mut groups, mut impact) = group(before, after);
    let asked = weights(clients);
    let weight = |group: &Group| -> f64 { group.members.iter().filter_map(|record| asked.get(record)).sum() };
    groups.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(b.names.len().cmp(&a.names.len())));
    let everybody: Vec<&Client> = clients.iter().filter(|client| client.record.is_none()).collect();
    let mut own = by_group(&groups, clients);
    let mut left = walks;
    for (at, group) in groups.iter().enumerate() {
        let own = own.remove(&at).unwrap_or_default();
        let is_asked = !(everybody.is_empty() && own.is_empty());
        if left < WALKS_LEAST && is_asked {
            impact.unseen += group.names.len();
            continue;
        }
        let asks: Vec<&Client> = everybody.iter().copied().chain(own).collect();
        let most = (left / (groups.len() - at)).max(WALKS_LEAST);
        let (told, walked) = group.estimate(before, after, &asks, most);
        left = left.saturating_sub(walked);
        impact.records.push(told);
    }
    impact.in_order()
}

/// How much each record was asked for.
fn weights(clients: &[Client]) -> HashMap<u32, f64> {
    let mut asked = HashMap::new();
    for client in clients {
        if let Some(record) = client.record {
            *asked.entry(record).or_default() += client.weight;
        }
    }
    asked
}

/// The clients that ask for a record of each group.
fn by_group<'c>(groups: &[Group], clients: &'c [Client]) -> HashMap<usize, Vec<&'c Client>> {
    let mut group_of: HashMap<u32, usize> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        group_of.extend(group.members.iter().map(|record| (*record, at)));
    }
    let mut own: HashMap<usize, Vec<&Client>> = HashMap::new();
    for client in clients {
        if let Some(at) = client.record.and_then(|record| group_of.get(&record)) {
            own.entry(*at).or_default().push(client);
        }
    }
    own
}

/// All of them, in an order of which any beginning is spread evenly over the whole: by steps of the golden section.
fn spread<'c>(clients: &[&'c Client]) -> impl Iterator<Item = &'c Client> {
    fn divisor(a: usize, b: usize) -> usize {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    let count = clients.len();
    let near = (count as f64 * 0.618) as usize;
    let step = (near.max(1)..=count.max(1)).find(|step| divisor(count, *step) == 1).unwrap_or(1);
    (0..count).map(move |at| at * step % count).map(|at| clients[at])
}

/// Asks both snapshots about every IPv4 address that a source places, network by network as far as each
/// answer holds. Where a coin has a say, [`address_space`] with this many clients stands in; where a draw has
/// one, an eighth of them, since each draws several times.
pub fn compare_space(before: &Snapshot, after: &Snapshot, world: &World, estimate_from: usize) -> Impact {
    let (groups, mut impact) = group(before, after);
    for group in &groups {
        let counted = group.count(before, after, world);
        impact.records.push(counted.unwrap_or_else(|looked| {
            let count = if looked.draw { estimate_from / 8 } else { estimate_from };
            let clients = address_space(world, count);
            group.estimate(before, after, &clients.iter().collect::<Vec<_>>(), usize::MAX).0
        }));
    }
    impact.in_order()
}

/// Records that the same two steerings answer.
struct Group<'s> {
    names: Vec<&'s Name>,
    /// Their places among the records before.
    members: Vec<u32>,
    /// One of them, before and after: it stands for all.
    first: (usize, usize),
}

fn group<'s>(before: &'s Snapshot, after: &'s Snapshot) -> (Vec<Group<'s>>, Impact) {
    let mut impact = Impact::default();
    let mut new: HashMap<&Name, usize> =
        after.records.iter().enumerate().map(|(at, record)| (&record.name, at)).collect();
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<_, usize> = HashMap::new();
    for (at, record) in before.records.iter().enumerate() {
        let Some(to) = new.remove(&record.name) else {
            impact.removed.push(called(&record.name));
            continue;
        };
        let other = &after.records[to];
        if is_untouched(before, after, (record, other)) {
            continue;
        }
        let key = (record.steering, other.steering, record.use_client_subnet, other.use_client_subnet);
        let group = *known.entry(key).or_insert_with(|| {
            groups.push(Group { names: Vec::new(), members: Vec::new(), first: (at, to) });
            groups.len() - 1
        });
        groups[group].names.push(&record.name);
        groups[group].members.push(at as u32);
    }
    let is_new = |record: &&Record| new.contains_key(&record.name);
    impact.added = after.records.iter().filter(is_new).map(|record| called(&record.name)).collect();
    (groups, impact)
}

/// Whether a record is answered from the same in both: a change of live values touches few of many records.
fn is_untouched(before: &Snapshot, after: &Snapshot, (old, new): (&Record, &Record)) -> bool {
    let (at, to) = (old.steering as usize, new.steering as usize);
    let same_live =
        |old: &Live, new: &Live| old.meta == new.meta && old.drained == new.drained && old.split == new.split;
    Arc::ptr_eq(&before.steerings, &after.steerings)
        && at == to
        && (old.salt, old.use_client_subnet) == (new.salt, new.use_client_subnet)
        && (Arc::ptr_eq(&before.live[at], &after.live[to]) || same_live(&before.live[at], &after.live[to]))
}

/// A name as people write it.
fn called(name: &Name) -> String {
    name.to_string().trim_end_matches('.').into()
}

impl Group<'_> {
    fn pair<'s>(&self, before: &'s Snapshot, after: &'s Snapshot) -> Pair<'s> {
        Pair::new(Served::new(before, self.first.0), Served::new(after, self.first.1))
    }

    /// By these clients, or as many of them as come to about so many runs of a chain; with how many there were.
    fn estimate(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        clients: &[&Client],
        walks: usize,
    ) -> (RecordImpact, usize) {
        let mut pair = self.pair(before, after);
        let mut tally = Tally::default();
        for client in spread(clients) {
            if pair.walks >= walks {
                break;
            }
            let looked = pair.look(client);
            tally.count(&pair, looked, client.country, client.weight);
        }
        let count = tally.clients;
        (self.tell(tally, &pair, (before, after), Some(count)), pair.walks)
    }

    /// Walks the address space, until a coin or a draw has a say.
    fn count(&self, before: &Snapshot, after: &Snapshot, world: &World) -> Result<RecordImpact, Looked> {
        let mut pair = self.pair(before, after);
        let mut tally = Tally::default();
        for (first, last, place) in world.placed_v4() {
            let mut at = first;
            loop {
                let client = Client::of_space(std::net::Ipv4Addr::from(at).into(), place.country);
                let looked = pair.look(&client);
                if looked.coin || looked.draw {
                    return Err(looked);
                }
                let rest = u32::MAX.checked_shr(looked.scope.min(SENT_V4).into()).unwrap_or(0);
                let end = (at | rest).min(last);
                tally.count(&pair, looked, client.country, f64::from(end - at) + 1.0);
                match end.checked_add(1).filter(|next| *next <= last) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        Ok(self.tell(tally, &pair, (before, after), None))
    }

    fn tell(
        &self,
        tally: Tally,
        pair: &Pair,
        (before, after): (&Snapshot, &Snapshot),
        estimated_from: Option<usize>,
    ) -> RecordImpact {
        let (before, after) = (Served::new(before, self.first.0), Served::new(after, self.first.1));
        let mut told = tally.tell(pair, before, after);
        told.records = self.names.iter().map(|name| called(name)).collect();
        told.count = told.records.len();
        told.estimated_from = estimated_from;
        told
    }
}

impl Impact {
    /// Whether no client of any record gets another answer, and no record came or went.
    pub fn is_nothing(&self) -> bool {
        let still = |record: &RecordImpact| record.moved <= 0.0 && record.moved_within <= 0.0;
        let is_seen = self.unseen == 0;
        is_seen && self.added.is_empty() && self.removed.is_empty() && self.records.iter().all(still)
    }

    /// The same, with shares of capacity by what the pools can hold; where a PoP is not named, it is taken
    /// for an average one of its pool.
    pub fn with_capacities(mut self, capacities: &Capacities) -> Impact {
        for record in &mut self.records {
            let Some(pool) = &record.pool else { continue };
            let has_answers = |pop: &&mut PopImpact| pop.capacity > 0.0;
            let known = |pop: &PopImpact| capacities.get(&(pool.clone(), pop.pop.clone())).copied();
            let mut pops: Vec<&mut PopImpact> = record.pops.iter_mut().filter(has_answers).collect();
            let given: Vec<Option<f64>> = pops.iter().map(|pop| known(pop)).collect();
            let count = given.iter().flatten().count();
            if count == 0 {
                continue;
            }
            let average = given.iter().flatten().sum::<f64>() / count as f64;
            let all: f64 = given.iter().map(|given| given.unwrap_or(average)).sum();
            for (pop, given) in pops.iter_mut().zip(given) {
                pop.capacity = if all > 0.0 { given.unwrap_or(average) / all } else { 0.0 };
            }
        }
        self
    }

    /// Leaves so many groups of records, those that move most, and so many names of each.
    pub fn cut(&mut self, groups: usize, names: usize) {
        self.records.truncate(groups);
        self.records.iter_mut().for_each(|record| record.records.truncate(names));
    }

    fn in_order(mut self) -> Impact {
        let size = |record: &RecordImpact| record.moved + record.moved_within;
        self.records.sort_by(|a, b| size(b).total_cmp(&size(a)));
        self
    }
}
