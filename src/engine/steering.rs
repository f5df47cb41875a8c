//! Steered records: drains remove, splits leave one stack per pool and PoP, then the chain runs.
//!
//! ```text
//! Steering (compiled: answers, sites, chain)     shared by every record of the same pool and chain
//!     + Live (up, load, drains, weights)          -> Plan: rungs, each a list of slots
//! query: Plan -> rung -> slots (coins, splits) -> picks -> chain -> picks
//! ```
//!
//! What no coin decides is settled when the live table is built: a plan without partial drains and open
//! splits is one list, copied. Never empty (DESIGN, decision 4) is the ladder of [`Rung`]s, here and
//! nowhere else.

pub mod addresses;
pub mod chances;

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::chain::{
    Answer, AnswerBits, Answers, Ask, Chain, LiveMeta, MAX_ANSWERS, Picks, Placed, Settled, Silent, Tracer,
    draw,
};
use crate::wire::{Name, record_type};
pub use addresses::Addresses;

/// A record: a name, and how it is answered.
pub struct Record {
    /// Its owner name.
    pub name: Name,
    /// TTL of its answers, in seconds.
    pub ttl: u32,
    /// The shortest that becomes when something is near; the same where it stays as it is.
    pub ttl_min: u32,
    /// Sticky filters are salted by the record's name, without its type.
    pub salt: u64,
    /// The scope a random chain never goes under: bits of IPv4 and of IPv6; 0 is off.
    pub spread: (u8, u8),
    /// Addresses inside one answer rotate per query.
    pub rotate: bool,
    /// Whether the ECS address counts (NS1: `use_client_subnet`).
    pub use_client_subnet: bool,
    /// What it answers with; its place in [`super::Snapshot::steerings`] and in the live table.
    pub steering: u32,
    /// The number of its name in [`super::shares::Slots`].
    pub number: u32,
    /// Its slot there, where records are counted.
    pub slot: Option<u32>,
}

/// What is answered, whoever's name it stands under.
pub struct Steering {
    /// The answers, at most [`MAX_ANSWERS`].
    pub answers: Vec<Answer>,
    /// The answers' addresses as record data, all of them.
    pub addresses: Arc<Addresses>,
    /// The answers' slots, side by side, so that counting does not fetch the answers.
    pub slots: Vec<u32>,
    /// The chain.
    pub chain: Chain,
    /// Share of the undrained answers that must be up for health to count, 0 to 1.
    pub panic_threshold: f64,
    /// Whether it answers with CNAMEs.
    pub is_cname: bool,
    sites: Vec<Site>,
    /// The answers that have data of each family.
    having: [AnswerBits; 3],
}

/// A pool's answers at one PoP: the stacks a split chooses from. An answer of no pool is a site alone.
struct Site {
    answers: Vec<u8>,
    drain_salt: u64,
    split_salts: Vec<u64>,
    /// Stacks that are down leave the split; an answer of no pool is left to the chain.
    is_split: bool,
}

impl Steering {
    /// Compiles the sites of some answers.
    pub fn new(answers: Vec<Answer>, chain: Chain, panic_threshold: f64, seed: u64) -> Steering {
        assert!(answers.len() <= MAX_ANSWERS, "the compiler of files refuses more");
        let mut sites: Vec<Site> = Vec::new();
        let mut names: Vec<(&str, &str)> = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            let pop = answer.pop.as_deref();
            let split_salt =
                |pool, pop| draw::salt(seed, &["split", pool, pop, answer.stack.as_deref().unwrap_or("")]);
            if let (Some(pool), Some(pop)) = (answer.pool.as_deref(), pop) {
                if let Some(site) = names.iter().position(|name| *name == (pool, pop)) {
                    sites[site].answers.push(index as u8);
                    sites[site].split_salts.push(split_salt(pool, pop));
                    continue;
                }
                names.push((pool, pop));
            } else {
                names.push(("", ""));
            }
            sites.push(Site {
                answers: vec![index as u8],
                drain_salt: draw::salt(seed, &["drain", pop.unwrap_or(&answer.name)]),
                split_salts: vec![split_salt(answer.pool.as_deref().unwrap_or(""), pop.unwrap_or(""))],
                is_split: answer.pool.is_some() && pop.is_some(),
            });
        }
        let addresses = Addresses::new(&answers);
        let is_cname = answers.iter().any(|answer| answer.cname.is_some());
        let slots = answers.iter().map(|answer| answer.slot).collect();
        let addresses = Arc::new(addresses);
        let having = Family::ALL.map(|family| {
            let mut having = AnswerBits::default();
            let has = answers.iter().enumerate().filter(|(_, answer)| family.has(answer));
            has.for_each(|(index, _)| having.insert(index as u8));
            having
        });
        Steering { answers, addresses, slots, chain, panic_threshold, is_cname, sites, having }
    }
}

/// The types whose answers are chosen apart: the chain runs on the answers that have the queried type
/// (DESIGN, decision 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A.
    A,
    /// AAAA.
    Aaaa,
    /// CNAME, which answers every type.
    Cname,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 3] = [Family::A, Family::Aaaa, Family::Cname];

    /// The family of a query type at an address record.
    #[inline]
    pub fn of_type(qtype: u16) -> Option<Family> {
        match qtype {
            record_type::A => Some(Family::A),
            record_type::AAAA => Some(Family::Aaaa),
            _ => None,
        }
    }

    /// Whether an answer has data of it.
    pub fn has(self, answer: &Answer) -> bool {
        match self {
            Family::A => !answer.a.is_empty(),
            Family::Aaaa => !answer.aaaa.is_empty(),
            Family::Cname => answer.cname.is_some(),
        }
    }
}

/// The fast-changing part of a steering. Each vector has one element per answer.
pub struct Live {
    /// Live meta.
    pub meta: Vec<LiveMeta>,
    /// How far each answer is drained, in percent: the largest of the drains that cover it.
    pub drained: Vec<u8>,
    /// The weight of each answer's stack in its split.
    pub split: Vec<f64>,
    /// Whether any answer is drained.
    pub any_drained: bool,
    /// Too few undrained answers are up: health is ignored.
    pub panic: bool,
    /// The addresses that are answered: all, or those that do not fail.
    pub addresses: Arc<Addresses>,
    /// What may change it next.
    pub upcoming: Upcoming,
    plans: [Plan; 3],
}

/// What may change a steering next by itself, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// Seconds until then; the most there are where nothing is near.
    pub seconds: u32,
    /// What it is.
    pub what: Option<What>,
}

/// What changes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A drain begins, ends, or gives back a part.
    Drain,
    /// A migration takes its next step.
    Migration,
    /// A feed's value becomes too old.
    Feed,
    /// An address has begun to fail, or to recover.
    Verdict,
    /// Health takes a PoP out, or further out, or begins to bring it back.
    Health,
    /// An answer that flapped is no longer held down.
    Hold,
}

impl Default for Upcoming {
    fn default() -> Upcoming {
        Upcoming { seconds: u32::MAX, what: None }
    }
}

/// How far the ladder of last resort had to be climbed (DESIGN, decision 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Undrained and up.
    Up,
    /// Undrained, but down.
    Down,
    /// Drained, though not every client's share of it.
    PartlyDrained,
    /// Drained: every answer of the record is.
    Drained,
}

/// What can be in play for one family, settled as far as no coin decides.
#[derive(Default)]
struct Plan {
    ladder: Vec<Step>,
}

struct Step {
    rung: Rung,
    ignore_health: bool,
    /// Every candidate, in the record's order.
    candidates: Vec<u8>,
    /// Without coins: what of the chain is settled.
    settled: Settled,
    /// What a coin decides about.
    uncertain: AnswerBits,
    /// The same candidates by site, where a coin decides anything.
    slots: Vec<Slot>,
}

/// A site's candidates: at most one of them is in play for a client.
struct Slot {
    drain_salt: u64,
    stacks: Vec<Stack>,
}

struct Stack {
    answer: u8,
    /// Percent of the clients that do not get it.
    drained: u8,
    salt: u64,
    weight: f64,
}

impl Live {
    /// Settles what no coin decides.
    pub fn new(steering: &Steering, meta: Vec<LiveMeta>, drained: Vec<u8>, split: Vec<f64>) -> Arc<Live> {
        let addresses = steering.addresses.clone();
        Live::with_addresses(steering, addresses, meta, drained, split, Upcoming::default())
    }

    /// The same, with a part of the steering's addresses, and something near.
    pub fn with_addresses(
        steering: &Steering,
        addresses: Arc<Addresses>,
        meta: Vec<LiveMeta>,
        drained: Vec<u8>,
        split: Vec<f64>,
        upcoming: Upcoming,
    ) -> Arc<Live> {
        let undrained = |&answer: &usize| drained[answer] < 100 && split[answer] > 0.0;
        let count = (0..meta.len()).filter(undrained).count();
        let up = (0..meta.len()).filter(undrained).filter(|&answer| meta[answer].up.is_up()).count();
        let panic = (up as f64) < steering.panic_threshold * count as f64;
        let plans = Default::default();
        let any_drained = drained.iter().any(|percent| *percent > 0);
        let mut live = Live { meta, drained, split, any_drained, panic, addresses, upcoming, plans };
        live.plans = Family::ALL.map(|family| Plan::new(steering, &live, family));
        Arc::new(live)
    }

    /// Whether any answer can be given for a family; if none has data of it, the type does not exist.
    #[inline]
    pub fn has(&self, family: Family) -> bool {
        !self.plans[family as usize].ladder.is_empty()
    }

    /// The TTL of a record's answers: the time until something may change them, inside the record's range.
    #[inline]
    pub fn ttl(&self, record: &Record) -> u32 {
        record.ttl.min(self.upcoming.seconds.max(record.ttl_min))
    }

    /// How the clients are placed, where that is settled.
    #[inline]
    pub fn placed(&self) -> Option<&Placed> {
        self.plans.iter().find_map(|plan| plan.ladder.first()?.settled.placed())
    }
}

impl Plan {
    fn new(steering: &Steering, live: &Live, family: Family) -> Plan {
        // What each rung leaves out: drained answers by coin, only those drained whole, or none; and
        // whether stacks that are down leave their split.
        let ladder = [
            (Rung::Up, Some(false), false),
            (Rung::Down, Some(false), true),
            (Rung::PartlyDrained, Some(true), false),
            (Rung::PartlyDrained, Some(true), true),
            (Rung::Drained, None, false),
            (Rung::Drained, None, true),
        ];
        let having = steering.having[family as usize];
        if having.is_empty() {
            return Plan::default();
        }
        // Mostly the first rung is the last.
        let mut plan = Plan { ladder: Vec::with_capacity(1) };
        for (rung, whole_drains_only, ignore_health) in ladder {
            if live.panic && !ignore_health {
                continue;
            }
            let rung = if live.panic && rung == Rung::Down { Rung::Up } else { rung };
            let stack = |site: &Site, place: usize| {
                let (answer, salt) = (site.answers[place], site.split_salts[place]);
                let at = answer as usize;
                let drained = match whole_drains_only {
                    Some(false) => live.drained[at],
                    Some(true) if live.drained[at] >= 100 => 100,
                    _ => 0,
                };
                let out = drained >= 100
                    || live.split[at] <= 0.0
                    || site.is_split && !ignore_health && !live.meta[at].up.is_up()
                    || !having.contains(answer);
                (!out).then(|| Stack { answer, drained, salt, weight: live.split[at] })
            };
            let mut candidates = Vec::with_capacity(steering.answers.len());
            let (mut uncertain, mut always_leaves_one) = (AnswerBits::default(), false);
            for site in &steering.sites {
                let (others, mut has_coin) = (candidates.len(), false);
                for stack in (0..site.answers.len()).filter_map(|place| stack(site, place)) {
                    candidates.push(stack.answer);
                    has_coin |= stack.drained > 0;
                    always_leaves_one |= stack.drained == 0;
                }
                let here = &candidates[others..];
                if has_coin || here.len() > 1 {
                    here.iter().for_each(|answer| uncertain.insert(*answer));
                }
            }
            if candidates.is_empty() {
                continue;
            }
            candidates.sort_unstable();
            let (mut settled, mut slots) = (Settled::default(), Vec::new());
            if uncertain.is_empty() {
                let answers = Answers { fixed: &steering.answers, live: &live.meta };
                settled = Settled::new(&steering.chain, &candidates, ignore_health, &answers);
            } else {
                let stacks =
                    |site: &Site| (0..site.answers.len()).filter_map(|place| stack(site, place)).collect();
                let slot = |site: &Site| Slot { drain_salt: site.drain_salt, stacks: stacks(site) };
                slots.extend(steering.sites.iter().map(slot).filter(|slot| !slot.stacks.is_empty()));
            }
            plan.ladder.push(Step { rung, ignore_health, candidates, settled, uncertain, slots });
            if always_leaves_one {
                break;
            }
        }
        plan
    }
}

impl Slot {
    /// The stack this client gets, if any: a drain takes the client out by the PoP's coin, a split
    /// draws among what is left by the pool's and the PoP's.
    #[inline]
    fn choose(&self, client_key: u64) -> Option<u8> {
        let coin = draw::draw(self.drain_salt, client_key);
        let mut left = self.stacks.iter().filter(|stack| !draw::under_percent(coin, stack.drained));
        let first = left.next()?;
        let rank = |stack: &Stack| draw::weighted_rank(draw::draw(stack.salt, client_key), stack.weight);
        let mut best = (None, first);
        for stack in left {
            let least = *best.0.get_or_insert_with(|| rank(first));
            let rank = rank(stack);
            if rank < least {
                best = (Some(rank), stack);
            }
        }
        Some(best.1.answer)
    }
}

/// What a worker needs to steer: its own, reused for every query.
#[derive(Default)]
pub struct Scratch {
    /// The answers in play.
    pub picks: Picks,
    /// The steering of the last answer.
    pub steering: u32,
    doubt: Picks,
}

/// How an answer came about, besides the picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered {
    /// How far the ladder was climbed.
    pub rung: Rung,
    /// A drain's or a split's coin mattered to the answer.
    pub coin_mattered: bool,
    /// The chain drew numbers for this query, so the record's spread bounds the scope.
    pub spread: bool,
    /// A drain has taken some of the record's answers out, for this client or for others.
    pub drained: bool,
}

/// Steers one query: leaves the answers in `scratch.picks`, in order, with their scope.
#[inline(always)]
pub fn steer<T: Tracer>(
    record: &Record,
    steering: &Steering,
    live: &Live,
    family: Family,
    mut ask: Ask,
    scratch: &mut Scratch,
    tracer: &mut T,
) -> Steered {
    let answers = Answers { fixed: &steering.answers, live: &live.meta };
    scratch.picks.start(&[]);
    let mut first = 0;
    let mut steered =
        Steered { rung: Rung::Up, coin_mattered: false, spread: false, drained: live.any_drained };
    let ladder = &live.plans[family as usize].ladder[..];
    for (at, step) in ladder.iter().enumerate() {
        (steered.rung, ask.ignore_health) = (step.rung, step.ignore_health);
        if step.slots.is_empty() {
            if T::SEES_ALL {
                scratch.picks.start(&step.candidates);
            } else {
                first = step.settled.start(&ask, &mut scratch.picks);
            }
            break;
        }
        let is_last = at + 1 == ladder.len();
        if toss(step, is_last, &steering.chain, &ask, &answers, scratch, &mut steered) {
            break;
        }
    }
    let picks = &mut scratch.picks;
    steering.chain.run(first, &ask, &answers, picks, tracer);
    let (spread, sticky) = match ask.client {
        std::net::IpAddr::V4(_) => (record.spread.0, draw::STICKY_PREFIX_V4),
        std::net::IpAddr::V6(_) => (record.spread.1, draw::STICKY_PREFIX_V6),
    };
    if steered.coin_mattered {
        picks.narrow(sticky);
    }
    if picks.random() && spread > picks.scope() {
        steered.spread = true;
        picks.narrow(spread);
    }
    steered
}

/// Lets the coins of one rung fall, and finds out whether they mattered. Says whether they left anything.
/// Apart from [`steer`], because most queries meet no coin and would pay for the room.
#[cold]
fn toss(
    step: &Step,
    is_last: bool,
    chain: &Chain,
    ask: &Ask,
    answers: &Answers,
    scratch: &mut Scratch,
    steered: &mut Steered,
) -> bool {
    let client_key = ask.network_key();
    let mut chosen = ArrayVec::<u8, MAX_ANSWERS>::new();
    chosen.extend(step.slots.iter().filter_map(|slot| slot.choose(client_key)));
    if chosen.is_empty() {
        // Coins alone emptied the rung, so they decided.
        steered.coin_mattered = true;
        return false;
    }
    scratch.picks.start(&chosen);
    if !steered.coin_mattered {
        scratch.doubt.start_in_doubt(&step.candidates, step.uncertain);
        chain.run(0, ask, answers, &mut scratch.doubt, &mut Silent);
        // A rung that coins can empty sends other clients to the next one, whatever is left here.
        steered.coin_mattered = !is_last || scratch.doubt.coin_mattered();
    }
    true
}
