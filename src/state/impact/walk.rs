//! One client before and after: the serving walk, and what it gives as shares of answers.

use std::collections::HashMap;
use std::net::IpAddr;

use super::space::Client;
use crate::chain::{Ask, LiveMeta, Silent, draw};
use crate::engine::Snapshot;
use crate::engine::steering::chances::{chances, follow};
use crate::engine::steering::{Family, Live, Record, Scratch, Steered, Steering, steer};

/// Draws per client where a step of the chain is random. Both sides get the same numbers, so that a chain
/// that did not change gives the same answers. One of three answers is missing from so many draws for one
/// client in 600.
const DRAWS: u64 = 16;
/// The same where the filters or the answers' places have changed, so that the same number no longer means
/// the same draw, and how far the sides differ by chance must be small.
const DRAWS_APART: u64 = 64;

/// No answer at all: a place to come from and to go to as any other.
pub const NOTHING: u16 = 0;

/// The answers of both sides and the PoPs they stand at, numbered; 0 is [`NOTHING`].
pub struct Places {
    /// The answers' names.
    pub answers: Vec<String>,
    /// The PoP of each answer.
    pub pop_of: Vec<u16>,
    /// The PoPs' names; an answer of no PoP is one by itself.
    pub pops: Vec<String>,
}

impl Default for Places {
    fn default() -> Places {
        let nothing = || vec!["no answer".to_string()];
        Places { answers: nothing(), pop_of: vec![NOTHING], pops: nothing() }
    }
}

impl Places {
    /// The numbers of a steering's answers. Answers of one name are one.
    fn number(&mut self, steering: &Steering) -> Vec<u16> {
        let mut known: HashMap<String, u16> =
            self.answers.iter().cloned().zip(0..).filter(|(_, number)| *number != NOTHING).collect();
        let numbers = steering.answers.iter().map(|answer| {
            *known.entry(answer.name.clone()).or_insert_with(|| {
                let pop = answer.pop.as_ref().unwrap_or(&answer.name);
                let at = self.pops.iter().skip(1).position(|known| known == pop).map(|at| at + 1);
                let at = at.unwrap_or_else(|| {
                    self.pops.push(pop.clone());
                    self.pops.len() - 1
                });
                self.answers.push(answer.name.clone());
                self.pop_of.push(at as u16);
                (self.answers.len() - 1) as u16
            })
        });
        numbers.collect()
    }
}

/// A record in one of the snapshots.
#[derive(Clone, Copy)]
pub struct Served<'s> {
    /// The record.
    pub record: &'s Record,
    /// What it answers with.
    pub steering: &'s Steering,
    /// Its live values.
    pub live: &'s Live,
}

impl<'s> Served<'s> {
    /// The record at this place of a snapshot's.
    pub fn new(snapshot: &'s Snapshot, record: usize) -> Served<'s> {
        let record = &snapshot.records[record];
        let at = record.steering as usize;
        Served { record, steering: &snapshot.steerings[at], live: &snapshot.live[at] }
    }

    /// Walks as [`crate::engine::Worker::answer`] does; the picks are in the scratch. Without a resolver
    /// of its own, the client is taken to ask by itself.
    pub fn walk(
        &self,
        family: Family,
        client: (IpAddr, u8),
        resolver: Option<IpAddr>,
        random: u64,
        scratch: &mut Scratch,
    ) -> Steered {
        let ask = self.ask(client, resolver, random);
        steer(self.record, self.steering, self.live, family, ask, scratch, &mut Silent)
    }

    fn ask(&self, client: (IpAddr, u8), resolver: Option<IpAddr>, random: u64) -> Ask {
        let resolver = resolver.unwrap_or(client.0);
        let whole = (resolver, if resolver.is_ipv4() { 32 } else { 128 });
        let (client, source) = if self.record.use_client_subnet { client } else { whole };
        let record_salt = self.record.salt;
        Ask { client, source, resolver, place: None, random, record_salt, ignore_health: false }
    }

    /// For how much of its clients each PoP is there, 0 to 1: its best stack counts, by drains, health, weight and load.
    pub fn open(&self) -> HashMap<&'s str, f64> {
        let mut open: HashMap<&str, f64> = HashMap::new();
        for (at, answer) in self.steering.answers.iter().enumerate() {
            let meta = &self.live.meta[at];
            let is_there = self.live.split[at] > 0.0 && meta.up.is_up();
            let undrained = 1.0 - f64::from(self.live.drained[at]) / 100.0;
            let share = if is_there { undrained * (1.0 - self.shed(meta)) } else { 0.0 };
            let pop = open.entry(answer.pop.as_ref().unwrap_or(&answer.name)).or_default();
            *pop = pop.max(share);
        }
        open
    }

    /// The part of an answer's clients that the chain sheds.
    fn shed(&self, meta: &LiveMeta) -> f64 {
        let marks = (self.steering.chain.load(meta), meta.low_watermark, meta.high_watermark);
        match marks {
            (Some((_, load)), Some(low), Some(high)) if load > low => {
                if load >= high {
                    1.0
                } else {
                    (load - low) / (high - low)
                }
            }
            _ => 0.0,
        }
    }

    /// What a client connects to: over the family it is of, where the record has addresses of that.
    fn family(&self, client: IpAddr) -> Option<Family> {
        let families = match (self.steering.is_cname, client) {
            (true, _) => [Family::Cname; 2],
            (_, IpAddr::V4(_)) => [Family::A, Family::Aaaa],
            (_, IpAddr::V6(_)) => [Family::Aaaa, Family::A],
        };
        families.into_iter().find(|family| self.live.has(*family))
    }
}

/// Shares of the answers, or of the PoPs, that one client gets: they sum to 1.
pub type Shares = Vec<(u16, f64)>;

/// Adds to the share of one.
pub fn add(shares: &mut Shares, number: u16, share: f64) {
    match shares.iter_mut().find(|(known, _)| *known == number) {
        Some((_, sum)) => *sum += share,
        None => shares.push((number, share)),
    }
}

/// The share of one, 0 when it is not there.
fn share_of(shares: &Shares, number: u16) -> f64 {
    shares.iter().find(|(known, _)| *known == number).map_or(0.0, |(_, share)| *share)
}

/// How much of `before` is not in `after`: the share that must move for one to become the other.
pub fn moved(before: &Shares, after: &Shares) -> f64 {
    before.iter().map(|(number, share)| (share - share_of(after, *number)).max(0.0)).sum()
}

/// Who goes from where to where, as shares: what is missing behind goes to what is new, in proportion.
pub fn flows(before: &Shares, after: &Shares) -> Vec<((u16, u16), f64)> {
    let all = moved(before, after);
    let gains = |number: u16, share: f64| (share - share_of(before, number)).max(0.0);
    let mut flows = Vec::new();
    for &(from, share) in before {
        let lost = share - share_of(after, from);
        if lost <= 0.0 {
            continue;
        }
        for &(to, share) in after {
            let gained = gains(to, share);
            if gained > 0.0 {
                flows.push(((from, to), lost * gained / all));
            }
        }
    }
    flows
}

/// What was found of a client.
#[derive(Clone, Copy)]
pub struct Looked {
    /// For how wide a network all of it is true, in bits of the address.
    pub scope: u8,
    /// A coin had a say, so that it need not be true of the next network.
    pub coin: bool,
    /// A draw had a say, so that the shares are estimates.
    pub draw: bool,
}

/// One record on both sides, and the shares of the client looked at last.
pub struct Pair<'s> {
    sides: [Side<'s>; 2],
    draws: u64,
    /// How often a chain was run so far.
    pub walks: usize,
    /// What the numbers in the shares mean.
    pub places: Places,
    /// By answer, before and after.
    pub answers: [Shares; 2],
    /// By PoP, before and after.
    pub pops: [Shares; 2],
}

struct Side<'s> {
    served: Served<'s>,
    numbers: Vec<u16>,
    scratch: Scratch,
}

impl<'s> Pair<'s> {
    /// A record before and after.
    pub fn new(before: Served<'s>, after: Served<'s>) -> Pair<'s> {
        let mut places = Places::default();
        let sides = [before, after].map(|served| Side {
            served,
            numbers: places.number(served.steering),
            scratch: Scratch::default(),
        });
        let [old, new] = [before, after].map(|served| served.steering);
        let names = |steering: &'s Steering| steering.answers.iter().map(|answer| &answer.name);
        let same_draws = names(old).zip(names(new)).all(|(old, new)| old == new)
            && old.chain.names().eq(new.chain.names());
        let draws = if same_draws { DRAWS } else { DRAWS_APART };
        Pair { sides, draws, walks: 0, places, answers: Default::default(), pops: Default::default() }
    }

    /// Walks for a client on both sides.
    pub fn look(&mut self, client: &Client) -> Looked {
        let mut looked = Looked { scope: 0, coin: false, draw: false };
        self.answers.iter_mut().chain(&mut self.pops).for_each(Vec::clear);
        let key = draw::client_key(client.address, client.source);
        let mut draws = 1;
        let mut number = 0;
        while number < draws {
            let random = draw::draw(number, key);
            for (side, shares) in self.sides.iter_mut().zip(&mut self.answers) {
                let found = side.answer(client, random, shares, &mut self.walks);
                looked.scope = looked.scope.max(found.scope);
                looked.draw |= found.draw;
                looked.coin |= found.coin;
            }
            if number == 0 && looked.draw {
                draws = self.draws;
            }
            number += 1;
        }
        if draws > 1 {
            for shares in &mut self.answers {
                shares.iter_mut().for_each(|(_, share)| *share /= draws as f64);
            }
        }
        for (pops, answers) in self.pops.iter_mut().zip(&self.answers) {
            answers.iter().for_each(|&(answer, share)| {
                add(pops, self.places.pop_of[usize::from(answer)], share);
            });
        }
        looked
    }

    /// How many draws the shares of a client are made of, where draws have a say.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// Whether the same number was another draw on the two sides: by another place of an answer, or by
    /// another stack of the same PoP for this client.
    pub fn drew_apart(&self) -> bool {
        let pop = |number: u16| self.places.pop_of[usize::from(number)];
        let [before, after] = &self.answers;
        let is_other = |one: u16, other: u16| one != other && pop(one) == pop(other);
        self.draws == DRAWS_APART
            || before.iter().any(|(one, _)| after.iter().any(|(other, _)| is_other(*one, *other)))
    }
}

impl Side<'_> {
    /// Adds what a client gets to its shares: all that is answered counts alike. Where coins have a say, it is what
    /// the clients of its place get, each by its chance: a sample would have to be large to say 30 % of 30 %.
    fn answer(&mut self, client: &Client, random: u64, shares: &mut Shares, walks: &mut usize) -> Looked {
        let nothing = Looked { scope: 0, coin: false, draw: false };
        let Some(family) = self.served.family(client.address) else {
            add(shares, NOTHING, 1.0);
            return nothing;
        };
        let (served, who) = (self.served, (client.address, client.source));
        let coin = served.walk(family, who, None, random, &mut self.scratch).coin_mattered;
        *walks += 1;
        let mut found = Looked { scope: self.scratch.picks.scope(), coin, draw: self.scratch.picks.random() };
        let ask = served.ask(who, None, random);
        let ways =
            if coin { chances(served.steering, served.live, family, &ask, &mut self.scratch) } else { None };
        let Some(ways) = ways else {
            self.add_picks(shares, 1.0);
            return found;
        };
        for way in &ways {
            follow(served.steering, served.live, way, &ask, &mut self.scratch);
            found.draw |= self.scratch.picks.random();
            self.add_picks(shares, way.share);
            *walks += 1;
        }
        found
    }

    fn add_picks(&self, shares: &mut Shares, share: f64) {
        let picks = self.scratch.picks.as_slice();
        if picks.is_empty() {
            add(shares, NOTHING, share);
        }
        for &answer in picks {
            add(shares, self.numbers[usize::from(answer)], share / picks.len() as f64);
        }
    }
}
