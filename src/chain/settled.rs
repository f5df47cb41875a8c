//! What of a chain is settled before a query comes.
//!
//! ```text
//! up, shed_load, geotarget_country, select_first_n | shuffle, ...
//! live values alone: one list
//!                -> one question about places: a list for each outcome
//!                                                  -> the rest runs per query
//! ```
//!
//! The steps a chain begins with mostly depend on live values alone, and then on one question about
//! places, whose outcomes are few. They run when the live table is built; a query looks its outcome up.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::filters::place;
use super::{Answers, Ask, Chain, Effects, Filter, Picks};
use crate::geo::{Table, prefetch};

/// Outcomes up to which a chain is settled for each. Each costs a run of the chain, about 0.1 us, whenever
/// a live value changes, and a byte or two: a country has some hundreds of outcomes, cities can have more.
const OUTCOMES_MAX: u32 = 4096;

/// See the module's head.
#[derive(Default)]
pub struct Settled {
    /// What is left of the candidates by live values alone, and after how many steps.
    list: List,
    steps: usize,
    placed: Option<Placed>,
    answers: Vec<u8>,
}

/// Where a list of answers lies.
#[derive(Clone, Copy, Default)]
struct List {
    start: u32,
    len: u16,
    /// What steps did on the way.
    effects: Effects,
    /// The first of the list, so that one that has no other need not be fetched.
    first: u8,
}

/// What of a chain is settled for each outcome of a question about places.
pub struct Placed {
    /// The question.
    table: Arc<Table>,
    /// Whether it asks where the client is, rather than what its address is.
    by_place: bool,
    /// How many steps are done with it.
    steps: usize,
    /// The list of a client of unknown place, then that of each outcome.
    lists: Vec<List>,
}

impl Settled {
    /// Settles what can be settled of a chain over these candidates.
    pub fn new(chain: &Chain, candidates: &[u8], ignore_health: bool, answers: &Answers) -> Settled {
        let mut settled = Settled::default();
        let mut picks = Picks::default();
        picks.start(candidates);
        let nobody = nobody(ignore_health);
        let is_settled = |filter: &dyn Filter| filter.is_settled(answers);
        let run = |from: usize, picks: &mut Picks| {
            let more = chain.steps[from..].iter().take_while(|(_, filter)| is_settled(&**filter));
            let more = more.map(|(_, filter)| filter.apply(&nobody, answers, picks)).count();
            picks.put_in_order();
            from + more
        };
        settled.steps = run(0, &mut picks);
        settled.list = settled.keep(&picks);
        let filter = chain.steps.get(settled.steps).map(|(_, filter)| filter);
        let question = filter.and_then(|filter| {
            let placing = filter.placing()?;
            Some((filter, placing.table.clone()?, placing.by_place))
        });
        if let Some((filter, table, by_place)) =
            question.filter(|(_, table, _)| table.outcomes() <= OUTCOMES_MAX)
        {
            let mut placed = Placed { table: table.clone(), by_place, steps: 0, lists: Vec::new() };
            for outcome in std::iter::once(None).chain((0..table.outcomes()).map(Some)) {
                picks.start(settled.of(settled.list));
                picks.set_effects(settled.list.effects);
                filter.apply_placed(outcome.map(|outcome| table.keys(outcome)), &mut picks);
                placed.steps = run(settled.steps + 1, &mut picks);
                placed.lists.push(settled.keep(&picks));
            }
            settled.placed = Some(placed);
        }
        settled
    }

    /// Starts a query's run: what is settled is done, and the chain goes on from the step given back.
    #[inline(always)]
    pub fn start(&self, ask: &Ask, picks: &mut Picks) -> usize {
        picks.start(&[]);
        let (list, steps) = match &self.placed {
            None => (self.list, self.steps),
            Some(placed) => {
                let outcome = place(&placed.table, placed.by_place, ask, picks);
                let outcome = outcome.map_or(0, |outcome| outcome as usize + 1);
                (placed.lists[outcome], placed.steps)
            }
        };
        match list.len {
            1 => picks.put(&[list.first]),
            _ => picks.put(self.of(list)),
        }
        picks.set_effects(list.effects);
        steps
    }

    /// What a query's run begins with, where a question is settled.
    #[inline]
    pub fn placed(&self) -> Option<&Placed> {
        self.placed.as_ref()
    }

    fn keep(&mut self, picks: &Picks) -> List {
        let start = self.answers.len() as u32;
        self.answers.extend_from_slice(picks.as_slice());
        let first = picks.as_slice().first().copied().unwrap_or_default();
        List { start, len: picks.len() as u16, effects: picks.effects(), first }
    }

    #[inline]
    fn of(&self, list: List) -> &[u8] {
        &self.answers[list.start as usize..][..list.len as usize]
    }
}

impl Placed {
    /// Brings nearer what the first look at each of these clients will read: their places, then the lists of
    /// these. A query's own look at it waits for one thing after the other; here all clients' are under way
    /// at once.
    #[inline(always)]
    pub fn prefetch(&self, clients: &[Ipv4Addr]) {
        clients.iter().for_each(|&client| self.table.prefetch(client));
        for &client in clients {
            let outcome = self.table.lookup(client.into()).outcome;
            prefetch(&self.lists[outcome.map_or(0, |outcome| outcome as usize + 1)]);
        }
    }
}

/// A settled step asks nothing of a query but whether health counts.
fn nobody(ignore_health: bool) -> Ask {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Ask { client: nobody, source: 0, resolver: nobody, place: None, random: 0, record_salt: 0, ignore_health }
}
