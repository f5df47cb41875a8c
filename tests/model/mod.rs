//! An independent model of steering: what a client gets, and how wide that holds.
//!
//! ```text
//! Ground (who is where) + Step (a chain as data) + Answers -> expect(client) -> picks, scope
//! ```
//!
//! It is written from the words of DESIGN and the filters' manuals, as plainly as can be: lists instead of
//! tables, every world of coins instead of a run in doubt. It shares the hash of the coins with the server
//! (`tests/data/sticky.txt` pins it) and nothing else.

#![allow(dead_code, reason = "each test uses its part")]

pub mod ground;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use rhumb::chain::{Answer, draw};

use crate::served::{Client, State, cut};
use ground::{Facts, Ground, Ranges, aligned};

/// A filter as data.
#[derive(Clone, Debug)]
pub enum Step {
    Up,
    Country,
    Latlong,
    FenceCountry { remove: bool },
    FenceAsn { remove: bool },
    FencePrefix { remove: bool },
    Priority { eliminate: bool },
    First(usize),
}

/// A steered record as the model sees it.
pub struct Record<'m> {
    pub answers: &'m [Answer],
    pub state: Vec<State>,
    pub steps: &'m [Step],
    pub nodata_on_empty: bool,
    pub seed: u64,
    pub resolver: IpAddr,
    /// Of each step that asks where the client is: its keys, by facts.
    keys: Vec<Keys>,
    sites: Vec<Vec<usize>>,
    /// What can be in play, and whether health is ignored then: of every world of coins, for A and AAAA.
    plays: [BTreeSet<(Vec<usize>, bool)>; 2],
    mattered: HashMap<(Vec<Option<u32>>, bool), bool>,
}

/// A question's outcomes over both families. An outcome is a key per answer, lower is better and none is
/// untagged; outcome 0 is that nothing is known.
struct Keys {
    outcomes: Vec<Vec<Option<i64>>>,
    v4: Ranges<u32>,
    v6: Ranges<u32>,
}

/// What the coins of every site say: how the PoP's falls, in percent, and which stack comes first.
#[derive(Clone, Debug)]
struct World {
    falls: Vec<u8>,
    orders: Vec<Vec<usize>>,
}

/// What a client should get.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    pub picks: Vec<usize>,
    pub scope: u8,
}

impl<'m> Record<'m> {
    pub fn new(
        ground: &Ground,
        answers: &'m [Answer],
        steps: &'m [Step],
        nodata_on_empty: bool,
        seed: u64,
        resolver: IpAddr,
    ) -> Record<'m> {
        let keys = steps.iter().filter_map(|step| Keys::new(ground, step, answers)).collect();
        Record {
            answers,
            state: Vec::new(),
            steps,
            nodata_on_empty,
            seed,
            resolver,
            keys,
            sites: sites(answers),
            plays: Default::default(),
            mattered: HashMap::new(),
        }
    }

    pub fn set_state(&mut self, state: Vec<State>) {
        self.state = state;
        self.mattered.clear();
        let worlds = self.all_worlds();
        self.plays = [false, true].map(|aaaa| worlds.iter().map(|w| self.in_play(w, aaaa)).collect());
    }

    /// What a client gets; its address is cut to its source prefix, and above 0.
    pub fn expect(&mut self, client: Client, aaaa: bool) -> Expect {
        let (address, source) = client;
        let bits: u8 = if address.is_ipv4() { 24 } else { 56 };
        let key = draw::client_key(address, source.min(bits));
        let world = self.world_of(key);
        let (outcomes, mut scope) = self.outcomes(address);
        let picks = self.run(&self.in_play(&world, aaaa), &outcomes);
        let known = self.mattered.get(&(outcomes.clone(), aaaa)).copied();
        let mattered = known.unwrap_or_else(|| {
            let plays = &self.plays[usize::from(aaaa)];
            let sets: BTreeSet<BTreeSet<usize>> =
                plays.iter().map(|play| self.run(play, &outcomes).into_iter().collect()).collect();
            sets.len() > 1
        });
        self.mattered.insert((outcomes, aaaa), mattered);
        if mattered {
            scope = scope.max(bits);
        }
        Expect { picks, scope }
    }

    /// The outcome of each question, and the length of the widest block that has all of them.
    fn outcomes(&self, address: IpAddr) -> (Vec<Option<u32>>, u8) {
        let mut scope = 0;
        let outcomes = self.keys.iter().map(|keys| {
            let of = |address: IpAddr| {
                let ranges = if address.is_ipv4() { &keys.v4 } else { &keys.v6 };
                let (index, first, last) = ranges.find(aligned(address));
                (ranges.values[index], first, last)
            };
            let (outcome, first, last) = of(address);
            scope = scope.max(if keys.is_one() { 0 } else { widest(aligned(address), first, last).max(1) });
            let outcome = if outcome == 0 { of(self.resolver).0 } else { outcome };
            (outcome != 0).then_some(outcome)
        });
        (outcomes.collect(), scope)
    }

    /// The chain over what drains and splits leave.
    fn run(&self, play: &(Vec<usize>, bool), outcomes: &[Option<u32>]) -> Vec<usize> {
        let (mut picks, ignore_health) = play.clone();
        let mut asked = self.keys.iter().zip(outcomes);
        for step in self.steps {
            match step {
                Step::Up if ignore_health => {}
                Step::Up => keep_unless_empty(&mut picks, |at| self.state[at].meta.up.is_up()),
                Step::Priority { eliminate } => {
                    let key = |at: &usize| self.state[*at].meta.priority.unwrap_or(u32::MAX);
                    match (eliminate, picks.iter().map(key).min()) {
                        (true, Some(least)) => picks.retain(|at| key(at) == least),
                        _ => picks.sort_by_key(key),
                    }
                }
                Step::First(n) => picks.truncate(*n),
                Step::Country | Step::Latlong => {
                    let (keys, outcome) = asked.next().unwrap();
                    if let Some(outcome) = outcome {
                        let keys = &keys.outcomes[*outcome as usize - 1];
                        picks.sort_by_key(|&at| keys[at].unwrap_or(i64::MAX));
                    }
                }
                Step::FenceCountry { remove } | Step::FenceAsn { remove } | Step::FencePrefix { remove } => {
                    let (keys, outcome) = asked.next().unwrap();
                    let matches =
                        |at: usize| outcome.is_some_and(|o| keys.outcomes[o as usize - 1][at] == Some(0));
                    let tag = |at: usize| is_tagged(step, &self.answers[at]).then(|| matches(at));
                    let matched = picks.iter().any(|&at| tag(at) == Some(true));
                    let keep = |at: usize| tag(at).unwrap_or(!(remove & matched));
                    match self.nodata_on_empty {
                        true => picks.retain(|&at| keep(at)),
                        false => keep_unless_empty(&mut picks, keep),
                    }
                }
            }
        }
        picks
    }

    /// Never empty: undrained and up; undrained but down; drained for a part; drained.
    fn in_play(&self, world: &World, aaaa: bool) -> (Vec<usize>, bool) {
        let rungs = [(100, false), (100, true), (1, false), (1, true), (0, false), (0, true)];
        for (drains, ignore_health) in rungs {
            let mut picks = Vec::new();
            for (site, order) in self.sites.iter().zip(&world.orders) {
                let left = order.iter().map(|&place| site[place]).find(|&at| {
                    let (answer, state) = (&self.answers[at], &self.state[at]);
                    let out = match drains {
                        100 => world.falls[at] < state.drained,
                        1 => state.drained == 100,
                        _ => false,
                    };
                    let has = if aaaa { !answer.aaaa.is_empty() } else { !answer.a.is_empty() };
                    let split = answer.pool.is_some() && answer.pop.is_some();
                    let down = split && !ignore_health && !state.meta.up.is_up();
                    has && !out && !down && state.split > 0.0
                });
                picks.extend(left);
            }
            if !picks.is_empty() {
                picks.sort_unstable();
                return (picks, ignore_health);
            }
        }
        (Vec::new(), true)
    }

    /// The world of one client.
    fn world_of(&self, client_key: u64) -> World {
        let number = |parts: &[&str]| draw::draw(draw::salt(self.seed, parts), client_key);
        let falls = self.answers.iter().map(|answer| {
            let coin = number(&["drain", answer.pop.as_ref().unwrap_or(&answer.name)]);
            (0..100).find(|&percent| draw::under_percent(coin, percent + 1)).unwrap()
        });
        let rank = |at: usize| {
            let answer = &self.answers[at];
            let parts = [&answer.pool, &answer.pop, &answer.stack].map(|part| part.as_deref().unwrap_or(""));
            draw::weighted_rank(number(&["split", parts[0], parts[1], parts[2]]), self.state[at].split)
        };
        let orders = self.sites.iter().map(|site| {
            let mut order: Vec<usize> = (0..site.len()).collect();
            order.sort_by(|&a, &b| rank(site[a]).total_cmp(&rank(site[b])));
            order
        });
        World { falls: falls.collect(), orders: orders.collect() }
    }

    /// Every world that could make a difference. No test of ours has two sites at one PoP.
    fn all_worlds(&self) -> Vec<World> {
        let sites = &self.sites;
        let mut worlds =
            vec![World { falls: vec![0; self.answers.len()], orders: vec![Vec::new(); sites.len()] }];
        for (number, site) in sites.iter().enumerate() {
            let mut falls: BTreeSet<u8> = site.iter().map(|&at| self.state[at].drained).collect();
            falls.insert(0);
            falls.remove(&100);
            let open: Vec<usize> = (0..site.len()).filter(|&at| self.state[site[at]].split > 0.0).collect();
            let orders: Vec<Vec<usize>> = match open[..] {
                [] | [_] => vec![open],
                [a, b] => vec![vec![a, b], vec![b, a]],
                _ => panic!("two stacks a site are enough here"),
            };
            let mut next = Vec::new();
            for world in &worlds {
                for (&fall, order) in
                    falls.iter().flat_map(|fall| orders.iter().map(move |order| (fall, order)))
                {
                    let mut world = world.clone();
                    site.iter().for_each(|&at| world.falls[at] = fall);
                    world.orders[number] = order.clone();
                    next.push(world);
                }
            }
            worlds = next;
        }
        worlds
    }
}

/// The answers of each site: those of one pool at one PoP, and every other by itself.
fn sites(answers: &[Answer]) -> Vec<Vec<usize>> {
    let mut sites: Vec<Vec<usize>> = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let same = |site: &&mut Vec<usize>| {
            let other = &answers[site[0]];
            answer.pool.is_some()
                && answer.pop.is_some()
                && (&other.pool, &other.pop) == (&answer.pool, &answer.pop)
        };
        match sites.iter_mut().find(same) {
            Some(site) => site.push(at),
            None => sites.push(vec![at]),
        }
    }
    sites
}

fn keep_unless_empty(picks: &mut Vec<usize>, keep: impl Fn(usize) -> bool) {
    if picks.iter().any(|&at| keep(at)) {
        picks.retain(|&at| keep(at));
    }
}

/// The length of the widest aligned block around an address that stays inside a range.
fn widest(address: u128, first: u128, last: u128) -> u8 {
    let fits = |length: &u8| {
        let rest = u128::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
        address & !rest >= first && address | rest <= last
    };
    (0..=128).find(fits).unwrap()
}

impl Keys {
    fn new(ground: &Ground, step: &Step, answers: &[Answer]) -> Option<Keys> {
        let mut numbers: HashMap<Vec<Option<i64>>, u32> = HashMap::new();
        let mut outcomes = Vec::new();
        let mut number = |keys: Option<Vec<Option<i64>>>| {
            let Some(keys) = keys else { return 0 };
            *numbers.entry(keys.clone()).or_insert_with(|| {
                outcomes.push(keys);
                outcomes.len() as u32
            })
        };
        let (v4, v6) = match step {
            Step::Country | Step::Latlong | Step::FenceCountry { .. } => {
                let of_place: Vec<u32> = (0..ground.places.len())
                    .map(|place| number(of_place(ground, step, answers, place)))
                    .collect();
                let of = |facts: Facts| facts.place.map_or(0, |place| of_place[place as usize]);
                (ground.v4.map(of), ground.v6.map(of))
            }
            Step::FenceAsn { .. } => {
                let keys = |asn: u32| {
                    let key = |answer: &Answer| tag(&answer.meta.asn, |asns| asns.contains(&asn));
                    answers.iter().map(key).collect()
                };
                let mut of = |facts: Facts| number(facts.asn.map(keys));
                (ground.v4.map(&mut of), ground.v6.map(&mut of))
            }
            Step::FencePrefix { .. } => {
                let mut family = |v4: bool| {
                    let nets = answers.iter().flat_map(|answer| &answer.meta.ip_prefixes);
                    let nets = nets.filter(|net| net.addr().is_ipv4() == v4);
                    let mut edges = BTreeSet::from([0]);
                    for net in nets {
                        edges.insert(aligned(net.network()));
                        let rest = u128::MAX.checked_shr(net.prefix_len().into()).unwrap_or(0);
                        edges.extend((aligned(net.network()) | rest).checked_add(1));
                    }
                    let keys = |start: u128| {
                        let address = ground::unaligned(start, v4);
                        let key = |answer: &Answer| {
                            tag(&answer.meta.ip_prefixes, |nets| {
                                nets.iter().any(|net| net.contains(&address))
                            })
                        };
                        answers.iter().map(key).collect()
                    };
                    let starts: Vec<u128> = edges.into_iter().collect();
                    let values = starts.clone();
                    Ranges { starts, values }.map(|start| number(Some(keys(start))))
                };
                (family(true), family(false))
            }
            Step::Up | Step::Priority { .. } | Step::First(_) => return None,
        };
        Some(Keys { outcomes, v4, v6 })
    }

    /// Whether every address has the same outcome.
    fn is_one(&self) -> bool {
        self.v4.values.len() == 1 && self.v4.values == self.v6.values
    }
}

fn is_tagged(step: &Step, answer: &Answer) -> bool {
    let meta = &answer.meta;
    match step {
        Step::FenceAsn { .. } => !meta.asn.is_empty(),
        Step::FencePrefix { .. } => !meta.ip_prefixes.is_empty(),
        _ => !meta.country.is_empty() || !meta.subdivisions.is_empty(),
    }
}

/// A fence's key: 0 where the tag matches, 1 where it does not, none without a tag.
fn tag<T>(tags: &[T], matches: impl Fn(&[T]) -> bool) -> Option<i64> {
    (!tags.is_empty()).then(|| i64::from(!matches(tags)))
}

fn of_place(ground: &Ground, step: &Step, answers: &[Answer], place: usize) -> Option<Vec<Option<i64>>> {
    let place = &ground.places[place];
    let code = |country: &rhumb::geo::Country| country.as_str() == place.country;
    let own = |answer: &Answer| answer.meta.coordinates.map(|at| (at.latitude, at.longitude));
    let in_subdivision = |answer: &Answer| {
        let within = |(country, part): &(rhumb::geo::Country, rhumb::geo::Subdivision)| {
            code(country) && place.subdivision.as_deref() == Some(part.as_str())
        };
        answer.meta.subdivisions.iter().any(within)
    };
    let keys = match step {
        Step::FenceCountry { .. } => answers
            .iter()
            .map(|answer| {
                let matches = answer.meta.country.iter().any(code) || in_subdivision(answer);
                is_tagged(step, answer).then_some(i64::from(!matches))
            })
            .collect(),
        Step::Latlong => {
            let client = ground.point(place)?;
            answers.iter().map(|answer| own(answer).map(|at| metres(client, at))).collect()
        }
        _ => {
            let client = ground.point(place)?;
            let key = |answer: &Answer| {
                // Every answer here stands in one country, its own.
                let [country] = &answer.meta.country[..] else { return None };
                let level = match () {
                    () if in_subdivision(answer) => 0,
                    () if code(country) => 1,
                    () => 2,
                };
                let centroid = ground.centroids[country.as_str()];
                let distance = match place.coordinates {
                    Some(_) => metres(client, own(answer).unwrap_or(centroid)),
                    None if level == 2 => metres(client, centroid),
                    None => 0,
                };
                Some(level * 100_000_000 + distance)
            };
            answers.iter().map(key).collect()
        }
    };
    Some(if let Step::FenceCountry { .. } = step { keys } else { ranks(keys) })
}

/// Each key's rank among the distinct ones: what tells two outcomes apart is the order alone.
fn ranks(keys: Vec<Option<i64>>) -> Vec<Option<i64>> {
    let distinct: BTreeSet<i64> = keys.iter().flatten().copied().collect();
    keys.iter().map(|key| key.map(|key| distinct.range(..key).count() as i64)).collect()
}

/// Along the great circle, by the angle between two vectors from the middle of the earth.
pub fn metres(a: (f64, f64), b: (f64, f64)) -> i64 {
    let vector = |(north, east): (f64, f64)| {
        let (north, east) = (north.to_radians(), east.to_radians());
        [north.cos() * east.cos(), north.cos() * east.sin(), north.sin()]
    };
    let ([ax, ay, az], [bx, by, bz]) = (vector(a), vector(b));
    let cross = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
    let length = cross.iter().map(|part| part * part).sum::<f64>().sqrt();
    (length.atan2(ax * bx + ay * by + az * bz) * 6_371_008.8).round() as i64
}

/// An address inside the block of a client, and a source that shows all of the block.
pub fn inside(rng: &mut fastrand::Rng, client: IpAddr, scope: u8) -> Client {
    let (bits, all): (u128, u8) = (aligned(client), if client.is_ipv4() { 32 } else { 128 });
    let rest = u128::MAX.checked_shr(scope.into()).unwrap_or(0);
    // The edges of a block are where a mistake shows.
    let random = match rng.u8(..4) {
        0 => 0,
        1 => u128::MAX,
        _ => rng.u128(..),
    };
    let address = ground::unaligned(bits & !rest | random & rest, client.is_ipv4());
    let source = rng.u8(scope.max(1)..=all);
    (cut(address, source), source)
}
