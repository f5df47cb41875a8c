//! What the files say, as far as drains, splits, feeds and the API need it beside what is compiled.
//!
//! The base is owned by git: nothing here changes but by another load (DESIGN, decision 13).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::chains::Place;
use super::meta::LiveSpec;
use super::model::Scope;
use super::monitors::Monitors;
use super::policy::{FeedSpec, PoolPolicy};
use super::ttl::Ttl;
use crate::chain::Meta;

/// Everything the files say of steering.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// Sites, by name.
    pub pops: BTreeMap<String, BasePop>,
    /// Pools, by name.
    pub pools: BTreeMap<String, BasePool>,
    /// Outside sources of values, by name.
    pub feeds: BTreeMap<String, FeedSpec>,
    /// Monitors, and what they can probe.
    pub monitors: Monitors,
    /// Steered records, in the order of [`crate::engine::Snapshot::records`].
    pub records: Vec<BaseRecord>,
    /// The answers of each steering, in the order of [`crate::engine::Snapshot::steerings`].
    pub steerings: Vec<Vec<BaseAnswer>>,
    /// Where things occur, for the changes of live values.
    pub index: Index,
}

/// A site.
#[derive(Clone, Debug)]
pub struct BasePop {
    /// Where it is written.
    pub place: Place,
    /// For people.
    pub city: Option<String>,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct BasePool {
    /// Where it is written.
    pub place: Place,
    /// How it is operated, as the files say: what is in force is [`super::policy::in_force`]'s to tell.
    pub policy: PoolPolicy,
    /// Its answers.
    pub answers: Vec<BaseAnswer>,
    /// Which of them stand at each PoP.
    pub by_pop: BTreeMap<String, Vec<usize>>,
}

impl BasePool {
    /// A pool with these answers.
    pub fn new(place: Place, policy: PoolPolicy, answers: Vec<BaseAnswer>) -> BasePool {
        let mut by_pop = BTreeMap::<String, Vec<usize>>::new();
        for (at, answer) in answers.iter().enumerate() {
            if let Some(pop) = &answer.pop {
                by_pop.entry(pop.clone()).or_default().push(at);
            }
        }
        BasePool { place, policy, answers, by_pop }
    }
}

/// One answer, as the files have it.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseAnswer {
    /// See [`crate::chain::Answer::id`].
    pub id: String,
    /// Its pool, if any.
    pub pool: Option<String>,
    /// Its site, if any.
    pub pop: Option<String>,
    /// Its load balancer generation, if any.
    pub stack: Option<String>,
    /// The weight of its stack.
    pub weight: f64,
    /// What its place is.
    pub meta: Meta,
    /// Its live meta.
    pub live: LiveSpec,
    /// What it answers with, as text.
    pub rdata: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// A steered record.
#[derive(Clone, Debug)]
pub struct BaseRecord {
    /// Where it is written.
    pub place: Place,
    /// Its owner name, without the dot at its end.
    pub name: String,
    /// How long its answers may be kept.
    pub ttl: Ttl,
    /// The pool whose answers it gives, if any.
    pub pool: Option<String>,
    /// Its chain: name, whether it is disabled, and the options as they were written.
    pub filters: Vec<(String, bool, serde_json::Map<String, serde_json::Value>)>,
    /// The number of its steering.
    pub steering: u32,
}

/// One answer of one steering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The number of the steering.
    pub steering: u32,
    /// The number of the answer in it.
    pub answer: u32,
}

/// Where an answer, a PoP, a pool or a stack occurs, each in the order of the steerings.
#[derive(Clone, Debug, Default)]
pub struct Index {
    by_answer: HashMap<String, Vec<Spot>>,
    by_pop: HashMap<String, Vec<Spot>>,
    by_pool: HashMap<String, Vec<Spot>>,
    by_stack: HashMap<String, Vec<Spot>>,
    /// Steerings of records whose TTL has a range, with the longest of them.
    ranged: BTreeMap<u32, u32>,
    /// The records of each steering: thousands may share one, and a change does not ask them all.
    records: Vec<Records>,
    /// Who takes values from a feed, by feed.
    takers: HashMap<String, Takers>,
}

/// The answers that take values from a feed. Thousands may get one each in one request.
#[derive(Clone, Debug, Default)]
struct Takers {
    all: Vec<At>,
    by_id: HashMap<String, Vec<usize>>,
    by_pop: HashMap<String, Vec<usize>>,
}

/// Where an answer stands.
#[derive(Clone, Debug)]
enum At {
    /// In a pool.
    Pool(Arc<str>, usize),
    /// In the steering of a record that has answers of its own.
    Steering(u32, usize),
}

/// What the records of a steering have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    /// The first of them.
    first: usize,
    count: usize,
    /// The longest TTL.
    ttl_max: u32,
}

impl Base {
    /// Fills the index from the steerings.
    pub fn with_index(mut self) -> Base {
        let mut index = Index::default();
        for (steering, answers) in self.steerings.iter().enumerate() {
            for (at, answer) in answers.iter().enumerate() {
                let spot = Spot { steering: steering as u32, answer: at as u32 };
                let id = Some(&answer.id);
                let named = [
                    (&mut index.by_answer, id),
                    (&mut index.by_pop, answer.pop.as_ref()),
                    (&mut index.by_pool, answer.pool.as_ref()),
                    (&mut index.by_stack, answer.stack.as_ref()),
                ];
                for (map, name) in named {
                    let Some(name) = name else { continue };
                    map.entry(name.clone()).or_default().push(spot);
                }
            }
        }
        index.records = vec![Records::default(); self.steerings.len()];
        for (at, record) in self.records.iter().enumerate() {
            let records = &mut index.records[record.steering as usize];
            if records.count == 0 {
                records.first = at;
            }
            records.count += 1;
            records.ttl_max = record.ttl.max.max(records.ttl_max);
            if record.ttl.min < record.ttl.max {
                let most = index.ranged.entry(record.steering).or_default();
                *most = record.ttl.max.max(*most);
            }
        }
        let pooled = self.pools.iter().flat_map(|(name, pool)| {
            let name: Arc<str> = name.as_str().into();
            (0..pool.answers.len()).map(move |at| At::Pool(name.clone(), at))
        });
        let own = self.records.iter().filter(|record| record.pool.is_none()).flat_map(|record| {
            let answers = self.steerings[record.steering as usize].len();
            (0..answers).map(|at| At::Steering(record.steering, at))
        });
        for at in pooled.chain(own) {
            let answer = self.at(&at);
            let feeds: BTreeSet<&str> = answer.live.feeds().map(|(_, feed)| feed).collect();
            for feed in feeds {
                let Takers { all, by_id, by_pop } = index.takers.entry(feed.into()).or_default();
                by_id.entry(answer.id.clone()).or_default().push(all.len());
                if let Some(pop) = &answer.pop {
                    by_pop.entry(pop.clone()).or_default().push(all.len());
                }
                all.push(at.clone());
            }
        }
        self.index = index;
        self
    }

    fn at(&self, at: &At) -> &BaseAnswer {
        match at {
            At::Pool(pool, at) => &self.pools[&**pool].answers[*at],
            At::Steering(steering, at) => &self.steerings[*steering as usize][*at],
        }
    }

    /// Whether any answer takes values from a feed.
    pub fn has_takers(&self, feed: &str) -> bool {
        self.index.takers.contains_key(feed)
    }

    /// The answers of a scope that take values from a feed.
    pub fn takers(&self, feed: &str, scope: &Scope) -> Vec<&BaseAnswer> {
        let Some(Takers { all, by_id, by_pop }) = self.index.takers.get(feed) else { return Vec::new() };
        let some = match (&scope.answer, &scope.pop) {
            (Some(answer), _) => by_id.get(answer),
            (None, Some(pop)) => by_pop.get(pop),
            (None, None) => {
                return all.iter().map(|at| self.at(at)).filter(|answer| scope.covers(answer)).collect();
            }
        };
        let some = some.into_iter().flatten().map(|at| self.at(&all[*at]));
        some.filter(|answer| scope.covers(answer)).collect()
    }

    /// Steerings of records whose TTL has a range, with the longest of them in seconds.
    pub fn ranged(&self) -> &BTreeMap<u32, u32> {
        &self.index.ranged
    }

    /// The records of some steerings: the name of the first, and how many more there are.
    pub fn names_of(&self, steerings: impl IntoIterator<Item = u32>) -> Option<(&str, usize)> {
        let records = steerings.into_iter().map(|steering| &self.index.records[steering as usize]);
        let both = |(first, count): (usize, usize), records: &Records| {
            (first.min(records.first), count + records.count)
        };
        let (first, count) = records.filter(|records| records.count > 0).fold((usize::MAX, 0), both);
        Some((&self.records.get(first)?.name, count - 1))
    }

    /// The longest TTL of the records of some steerings, in seconds.
    pub fn ttl_max_of(&self, steerings: impl IntoIterator<Item = u32>) -> u32 {
        let records = steerings.into_iter().map(|steering| &self.index.records[steering as usize]);
        records.map(|records| records.ttl_max).max().unwrap_or(0)
    }

    /// Every answer once: those of pools, then those of records.
    pub fn answers(&self) -> impl Iterator<Item = &BaseAnswer> {
        let pooled = self.pools.values().flat_map(|pool| &pool.answers);
        let own = self.records.iter().filter(|record| record.pool.is_none());
        pooled.chain(own.flat_map(|record| &self.steerings[record.steering as usize]))
    }

    /// The stacks of a pool at a PoP, with the files' weights.
    pub fn stacks<'b>(&'b self, pool: &str, pop: &'b str) -> impl Iterator<Item = &'b BaseAnswer> {
        let pool = self.pools.get(pool);
        let here = pool.and_then(|pool| Some((pool, pool.by_pop.get(pop)?)));
        here.into_iter().flat_map(|(pool, here)| here.iter().map(|at| &pool.answers[*at]))
    }

    /// Whether some answer is in both scopes. There may be thousands of drains to be asked: what their fields
    /// tell is not looked for.
    pub fn overlap(&self, one: &Scope, other: &Scope) -> bool {
        let both = match (&one.answer, &other.answer) {
            (None, None) => one.and(other),
            (Some(_), _) => Some(one.clone()),
            (None, Some(_)) => Some(other.clone()),
        };
        let spots = both.as_ref().map_or(&[][..], |both| self.spots_of(both));
        let mut answers = spots.iter().map(|spot| self.answer(*spot));
        answers.any(|answer| one.covers(answer) && other.covers(answer))
    }

    /// The PoPs of a pool.
    pub fn pops_of(&self, pool: &str) -> BTreeSet<&str> {
        self.pools.get(pool).into_iter().flat_map(|pool| pool.by_pop.keys()).map(String::as_str).collect()
    }

    /// The answer that stands there.
    pub fn answer(&self, spot: Spot) -> &BaseAnswer {
        &self.steerings[spot.steering as usize][spot.answer as usize]
    }

    /// Where an answer stands.
    pub fn spots_of_answer(&self, id: &str) -> &[Spot] {
        self.index.by_answer.get(id).map_or(&[], |spots| spots)
    }

    /// The steerings that hold an answer, in their order.
    pub fn steerings_of_answer(&self, id: &str) -> impl Iterator<Item = u32> {
        steerings(self.spots_of_answer(id))
    }

    /// The steerings that a scope may touch, in their order.
    pub fn steerings_of(&self, scope: &Scope) -> impl Iterator<Item = u32> {
        steerings(self.spots_of(scope))
    }

    /// The answers that a scope may take in, in their order: those of the field that the fewest have.
    pub fn spots_of(&self, scope: &Scope) -> &[Spot] {
        if let Some(answer) = &scope.answer {
            return self.spots_of_answer(answer);
        }
        let maps = [
            (&self.index.by_pop, &scope.pop),
            (&self.index.by_pool, &scope.pool),
            (&self.index.by_stack, &scope.stack),
        ];
        let named = maps.into_iter().filter_map(|(map, name)| Some(map.get(name.as_ref()?)));
        // What one field knows nowhere, the scope has nowhere.
        let sets: Option<Vec<_>> = named.collect();
        sets.unwrap_or_default().into_iter().min_by_key(|set| set.len()).map_or(&[], |set| set)
    }
}

/// The steerings of some spots, each once.
fn steerings(spots: &[Spot]) -> impl Iterator<Item = u32> {
    spots.chunk_by(|a, b| a.steering == b.steering).map(|same| same[0].steering)
}

impl Scope {
    /// What is in both as far as their fields say, where neither is an answer's; none where nothing can be.
    fn and(&self, other: &Scope) -> Option<Scope> {
        let both = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => Some(one.clone().or_else(|| other.clone())),
        };
        let (pop, pool) = (both(&self.pop, &other.pop)?, both(&self.pool, &other.pool)?);
        Some(Scope { pop, pool, stack: both(&self.stack, &other.stack)?, answer: None })
    }

    /// Whether it takes an answer in.
    pub fn covers(&self, answer: &BaseAnswer) -> bool {
        if let Some(id) = &self.answer {
            return *id == answer.id;
        }
        let fields = [(&self.pop, &answer.pop), (&self.pool, &answer.pool), (&self.stack, &answer.stack)];
        fields.iter().any(|(wanted, _)| wanted.is_some())
            && fields.iter().all(|(wanted, has)| wanted.is_none() || wanted == has)
    }
}
