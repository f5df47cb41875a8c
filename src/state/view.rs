//! What is wanted and served, as one value that holds still while it is read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::base::Base;
use super::compile::Report;
use super::live::Values;
use super::model::{Model, Time};
use crate::engine::Snapshot;
use crate::files::Problem;
use crate::geo::World;

/// See the module's head.
pub struct View {
    /// What is wanted. Its revision counts what is served from memory alone, too.
    pub model: Arc<Model>,
    /// The revision that is durable.
    pub committed: u64,
    /// What the files say.
    pub base: Arc<Base>,
    /// What feeds and monitors say.
    pub values: Arc<Values>,
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// What geo knows.
    pub world: Arc<World>,
    /// What the load is made of.
    pub report: Arc<Report>,
    /// What is suspicious about it.
    pub warnings: Arc<Vec<Problem>>,
    /// When it was loaded.
    pub loaded_at: Time,
    /// The how-manieth load since the start it is.
    pub load_number: u64,
    /// A later load that could not be served.
    pub rejected: Option<Rejected>,
    /// How the store is.
    pub store: StoreStatus,
    /// Keys of rows that are served from memory alone.
    pub volatile: BTreeSet<String>,
    /// The same in words: what of whom, by how much.
    pub not_durable: Vec<String>,
    /// Why the time stands still.
    pub clock_alarm: Option<String>,
    /// Why the process is not ready, beside the store.
    pub not_ready: Option<String>,
    /// The time that is believed.
    pub now: Time,
    /// How long commits and publishing take.
    pub timings: Timings,
}

/// A load that could not be served.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// When.
    pub at: Time,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStatus {
    /// In one word.
    pub state: StoreState,
    /// What is wrong; empty when nothing is.
    pub why: String,
    /// Since when it fails.
    pub since: Option<Time>,
    /// When the copy was made that is served instead of it.
    pub copy_made_at: Option<Time>,
}

/// How the store is, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It can be written.
    #[default]
    Ok,
    /// It cannot be written now.
    Failing,
    /// It was found damaged or missing, and nobody has accepted what is served instead.
    Damaged,
}

impl View {
    /// A view that shows a snapshot and nothing else.
    pub fn empty(snapshot: Arc<Snapshot>) -> View {
        View {
            model: Arc::default(),
            committed: 0,
            base: Arc::default(),
            values: Arc::default(),
            snapshot,
            world: Arc::new(World::empty()),
            report: Arc::default(),
            warnings: Arc::default(),
            loaded_at: Time::UNIX_EPOCH,
            load_number: 0,
            rejected: None,
            store: StoreStatus::default(),
            volatile: BTreeSet::new(),
            not_durable: Vec::new(),
            clock_alarm: None,
            not_ready: None,
            now: Time::UNIX_EPOCH,
            timings: Timings::default(),
        }
    }

    /// The time that is believed, where this is the wall clock's: the view's own stands still between two
    /// changes, and on purpose while the clock is not plausible.
    pub fn believed(&self, wall: Time) -> Time {
        if self.clock_alarm.is_some() { self.now } else { self.now.max(wall) }
    }

    /// Why the node should get no clients' queries yet; none when it should.
    pub fn not_ready(&self) -> Option<String> {
        match self.store.state {
            StoreState::Damaged => Some("the store is damaged".into()),
            StoreState::Ok | StoreState::Failing => self.not_ready.clone(),
        }
    }
}

/// How long the road of a change takes.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// From a decision to its being durable.
    pub commit: Timing,
    /// From there to the next packet seeing it.
    pub publish: Timing,
}

/// Times of one thing that is done again and again. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For Prometheus.
    pub histogram: Histogram,
    last: Arc<Mutex<Option<Last>>>,
}

/// The last time it was done.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    /// How long it took.
    pub took: Duration,
    /// When it was done.
    pub at: Time,
}

impl Default for Timing {
    fn default() -> Timing {
        // From what publishing takes to what a store across an ocean does: 50 us to 13 s.
        Timing { histogram: Histogram::new(exponential_buckets(0.000_05, 4.0, 10)), last: Arc::default() }
    }
}

impl Timing {
    /// Notes that it was done.
    pub fn add(&self, took: Duration, at: Time) {
        self.histogram.observe(took.as_secs_f64());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { took, at });
    }

    /// The last time it was done; none when it never was.
    pub fn last(&self) -> Option<Last> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
