//! Filter chains: which of a record's answers this client gets, in which order.
//!
//! ```text
//! picks (after drains and splits) -> filter -> filter -> ... -> picks (what is answered)
//!                                      |
//!                 Ask (client, resolver, random number), Answers (fixed and live meta)
//! ```
//!
//! A filter is a pure function: everything it may depend on comes in with the [`Ask`] and the
//! [`Answers`]; all it can do is in [`Picks`]. One feature, one file, one line in [`filters::KINDS`].
//!
//! Deliberately absent: clocks, sockets, allocation, and the order drains, splits, chain, which the
//! engine owns so that no chain can forget a drain.

pub mod answers;
pub mod draw;
pub mod effects;
pub mod filters;
pub mod options;
pub mod picks;
pub mod reach;
pub mod settled;
pub mod trace;

use std::net::IpAddr;

pub use answers::{Answer, LiveMeta, Meta, Up};
pub use effects::Effects;
pub use filters::Placing;
pub use options::{OptionValue, Options, SpecError};
pub use picks::{AnswerBits, Fenced, MAX_ANSWERS, Picks, PlacedBy, Shed};
pub use settled::{Placed, Settled};
pub use trace::{Silent, Tracer};

use crate::geo::{self, Location};

/// One step of a chain.
pub trait Filter: Send + Sync {
    /// Sifts or sorts the picks.
    fn apply(&self, ask: &Ask, answers: &Answers, picks: &mut Picks);

    /// Whether, with these live values, what it does depends on nothing a query brings. The steps a chain
    /// begins with that are settled run when the live table is built, and not once per query.
    fn is_settled(&self, _answers: &Answers) -> bool {
        false
    }

    /// The question about places its effect depends on, where it depends on that and live values alone.
    fn placing(&self) -> Option<&Placing> {
        None
    }

    /// What it does for the keys of one outcome of [`Filter::placing`], which asks for itself.
    fn apply_placed(&self, _keys: Option<&[u16]>, _picks: &mut Picks) {}

    /// The load that it looks at of an answer, and what that is called; of every other filter nothing.
    fn load(&self, _live: &LiveMeta) -> Option<(&'static str, f64)> {
        None
    }

    /// Why this filter treats an answer as it does, in words, for `explain`. Not on the query path.
    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String>;
}

/// What a query asks of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Who the answer is for: the ECS address, else the peer.
    pub client: IpAddr,
    /// How many bits of it were given (RFC 7871, SOURCE PREFIX-LENGTH); all without ECS.
    pub source: u8,
    /// The packet's address: places a client that no database knows.
    pub resolver: IpAddr,
    /// Where the client is, for the remarks of `explain` alone: filters ask their compiled tables.
    pub place: Option<Location>,
    /// A number drawn for this query.
    pub random: u64,
    /// The record's salt for sticky filters: its name without its type.
    pub record_salt: u64,
    /// Health is ignored: everything is down, or the record is below its panic threshold.
    pub ignore_health: bool,
}

impl Ask {
    /// A number for this query, the filter (its place in the chain) and the answer.
    #[inline]
    pub fn draw(&self, filter: u8, answer: usize) -> u64 {
        let salt = u64::from(filter) << 32 | answer as u64;
        draw::mix(self.random.wrapping_add(draw::mix(salt)))
    }

    /// The client's network as sticky choices see it: cut to the sticky prefix, or to the source
    /// prefix where that is shorter.
    #[inline]
    pub fn network_key(&self) -> u64 {
        draw::client_key(self.client, self.source.min(draw::sticky_prefix(self.client)))
    }
}

/// The answers of a record as filters see them. Both slices have one element per answer.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// What is fixed.
    pub fixed: &'a [Answer],
    /// What changes while we serve.
    pub live: &'a [LiveMeta],
}

/// What a filter is compiled from.
pub struct Spec<'a> {
    /// What the operator wrote.
    pub options: &'a Options,
    /// The record's answers.
    pub answers: &'a [Answer],
    /// Compiles questions about places into tables.
    pub geo: &'a geo::Questions<'a>,
    /// The filter's place in its chain, from 0.
    pub place: u8,
    /// A fence that leaves nothing: false keeps the unfenced list, true answers NODATA.
    pub nodata_on_empty: bool,
    /// The seed of the sticky hash.
    pub seed: u64,
}

/// A compiled filter, and what `check` should warn of.
pub struct Compiled {
    /// The filter.
    pub filter: Box<dyn Filter>,
    /// Suspicious but legal things, in words.
    pub warnings: Vec<String>,
}

impl<F: Filter + 'static> From<F> for Compiled {
    fn from(filter: F) -> Compiled {
        Compiled { filter: Box::new(filter), warnings: Vec::new() }
    }
}

/// What a filter does to the list, for `check`: some orders of filters make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Removes answers.
    Sift,
    /// Reorders answers.
    Sort,
    /// Cuts the ordered list.
    Select,
}

/// A line of the table of filters.
pub struct Kind {
    /// Its name in files, API, console and manual: NS1's key.
    pub name: &'static str,
    /// What it does to the list.
    pub effect: Effect,
    /// Its manual.
    pub manual: &'static str,
    /// Compiles it.
    pub compile: fn(&Spec) -> Result<Compiled, SpecError>,
}

/// A record's ordered steps.
pub struct Chain {
    steps: Vec<(&'static Kind, Box<dyn Filter>)>,
}

impl Chain {
    /// A chain of these steps, in this order.
    pub fn new(steps: Vec<(&'static Kind, Box<dyn Filter>)>) -> Chain {
        Chain { steps }
    }

    /// The names of its filters, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|(kind, _)| kind.name)
    }

    /// The load by which it sheds an answer, and what that is called.
    pub fn load(&self, live: &LiveMeta) -> Option<(&'static str, f64)> {
        self.steps.iter().find_map(|(_, filter)| filter.load(live))
    }

    /// Runs the picks through the steps from `first` on.
    #[inline]
    pub fn run<T: Tracer>(
        &self,
        first: usize,
        ask: &Ask,
        answers: &Answers,
        picks: &mut Picks,
        tracer: &mut T,
    ) {
        for (kind, filter) in &self.steps[first..] {
            tracer.before(picks);
            filter.apply(ask, answers, picks);
            if T::SEES_ALL {
                picks.put_in_order();
            }
            tracer.after(kind.name, picks, |answer| filter.remark(ask, answers, answer));
        }
        picks.put_in_order();
    }
}
