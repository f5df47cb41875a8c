//! The one loop that changes what is served.
//!
//! ```text
//! wishes, feed values, verdicts, loads, time -> keeper -> decide -> store.commit -> store.watch -> Model
//!                                                   -> live values -> publisher -> View -> answers to askers
//! ```
//!
//! It takes what has come as one batch: one commit, one snapshot. Who asked hears back when the next packet
//! sees the change. Our own changes come back by `watch`, like anyone's (DESIGN, "a wish").
//!
//! Everything else reads the newest [`View`], which holds still while it is read.

mod house;
mod said;
mod writes;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use tokio::sync::broadcast;
use tracing::{error, info};

use self::said::kept_of;
pub use self::said::values_of;
use super::base::Base;
use super::clock::{Clock, Clocks};
use super::compile::Loaded;
use super::handle::Message;
pub use super::handle::{Done, Fed, Note, State, Wish};
use super::live::{Touched, Values, refresh};
use super::migration;
use super::model::{Entry, Model, RowChange, Time};
use super::publisher::Publisher;
use super::store::{Contents, Store, StoreError, revision_after_loss};
use super::view::{Rejected, StoreState, StoreStatus, Timings, View};
use crate::engine::Snapshot;
use crate::files::Problem;

/// Wishes committed together at the most: one sync of the disk for all of them.
const BATCH_MOST: usize = 256;
/// How often a commit that lost against another writer is decided anew.
const TRIES: usize = 20;
/// How long fast values stay unwritten at the most (DESIGN, decision 11).
const VALUES_WRITTEN_EVERY: Duration = Duration::from_secs(1);
/// How often the loop looks at the clock when nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between two refreshes that time alone asks for.
const TIMED_REFRESH_LEAST: Duration = Duration::from_millis(100);
/// How often TTLs are counted down while something is near.
const TTLS_COUNTED_EVERY: Duration = Duration::from_secs(1);
/// How often the store is copied, when it has changed.
const BACKUP_EVERY: Duration = Duration::from_secs(300);
/// How often old entries of the log are dropped.
const COMPACT_EVERY: Duration = Duration::from_secs(3600);
/// Entries of the log that are kept, and for how long.
const LOG_KEPT: usize = 10_000;
const LOG_KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 180);
/// How long a migration or a token that has ended is kept for the eye.
const ENDED_KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Entries a slow reader of events may be behind before it must begin anew.
const EVENTS_KEPT: usize = 1024;

/// What the keeper begins with.
pub struct Beginning {
    /// Where what is wanted is kept, or why it cannot be used.
    pub store: Kept,
    /// What is wanted: the store's, or its newest readable copy's.
    pub contents: Contents,
    /// What the files say.
    pub loaded: Loaded,
    /// The time.
    pub clocks: Clocks,
    /// Why the process is not ready yet, beside the store.
    pub not_ready: Option<String>,
}

/// Begins a store with contents and the entry that tells of it; the revision it gets.
pub type BeginAnew = Box<dyn FnMut(&Contents, Entry) -> Result<(Box<dyn Store>, u64), StoreError> + Send>;

/// A store, or what is left of it.
pub enum Kept {
    /// It works.
    Store(Box<dyn Store>),
    /// It is damaged or missing: nothing is written until a person, or time, accepts what is served.
    Damaged {
        /// What is wrong.
        why: String,
        /// When the copy was made that is served instead; none when there was no copy.
        copy_made_at: Option<Time>,
        /// Puts the damaged file aside and begins another.
        begin_anew: BeginAnew,
        /// How long until a copy that is served is accepted by itself. Nothing at all never is.
        accept_after: Option<Duration>,
    },
}

/// Starts the keeper, with the first snapshot published. Where workers load snapshots from comes with it.
pub fn start(beginning: Beginning) -> std::io::Result<(State, Arc<ArcSwap<Snapshot>>, JoinHandle<()>)> {
    let (messages, inbox) = channel();
    let (entries, _) = broadcast::channel(EVENTS_KEPT);
    let mut keeper = Keeper::new(beginning, entries.clone());
    let (view, current) = (keeper.view.clone(), keeper.publisher.current());
    let run = move || keeper.run(&inbox);
    let thread = std::thread::Builder::new().name("keeper".into()).spawn(run)?;
    Ok((State { messages, view, entries }, current, thread))
}

struct Keeper {
    store: Kept,
    /// Since when the store cannot be written, and why.
    failing: Option<(Time, String)>,
    /// What is committed.
    model: Model,
    /// What is served from memory alone, until the store is back.
    pending: Vec<Entry>,
    /// Both.
    wanted: Arc<Model>,
    values: Arc<Values>,
    /// What the store keeps for others, by key.
    kept: BTreeMap<String, String>,
    unwritten: BTreeMap<String, Option<String>>,
    /// What of that is being written, part by part.
    writing: BTreeMap<String, Option<String>>,
    base: Arc<Base>,
    loaded: LoadedParts,
    rejected: Option<Rejected>,
    not_ready: Option<String>,
    publisher: Publisher,
    view: Arc<ArcSwap<View>>,
    entries: broadcast::Sender<Arc<Entry>>,
    clocks: Clocks,
    clock: Clock,
    now: Time,
    /// When time alone changes something of what is wanted next.
    due: Option<Time>,
    /// When the first value becomes stale, or earlier: a value that is replaced in time leaves its time here, and
    /// all of them are looked at again when that has come. Looking with each batch would cost more than the batch.
    stale: Option<Time>,
    /// The earlier of both, or when a verdict that is in doubt may be another.
    near: Option<Time>,
    timings: Timings,
    /// The clocks' elapsed time, and what it was at the start, at the last refresh that time asked for, and when it
    /// was looked at what is due.
    elapsed: Duration,
    begun: Duration,
    timed_refresh: Duration,
    looked: Duration,
    /// The same, when each was done last: TTLs counted down, values written, the log compacted.
    ttls_counted: Duration,
    values_written: Duration,
    compacted: Duration,
    /// The same, when a copy of the store was tried last; none makes one at once.
    backed_up: Option<Duration>,
    /// The revision of the newest copy that this process has made.
    copied: Option<u64>,
}

/// The parts of a load that are neither in the snapshot nor in the base.
struct LoadedParts {
    world: Arc<crate::geo::World>,
    report: Arc<super::compile::Report>,
    warnings: Arc<Vec<Problem>>,
    at: Time,
    number: u64,
}

impl Keeper {
    fn new(beginning: Beginning, entries: broadcast::Sender<Arc<Entry>>) -> Keeper {
        let Beginning { store, mut contents, loaded, mut clocks, not_ready } = beginning;
        let reading = clocks();
        let mut clock = Clock::new(reading, contents.newest);
        let now = clock.tick(reading);
        if matches!(store, Kept::Damaged { .. }) {
            contents.model.revision = revision_after_loss(contents.model.revision, now);
        }
        let values = values_of(&contents.values);
        let wanted = Arc::new(contents.model.clone());
        let Loaded { snapshot, world, base, warnings, report, .. } = loaded;
        let parts = LoadedParts {
            world,
            report: Arc::new(report),
            warnings: Arc::new(warnings),
            at: now,
            number: snapshot.revision,
        };
        let base = Arc::new(base);
        let mut live = snapshot.live.clone();
        refresh(&mut live, &Touched::All, &snapshot.steerings, &base, &wanted, &values, now);
        let snapshot = Snapshot { revision: wanted.revision, live, ..snapshot };
        let publisher = Publisher::new(snapshot);
        let current = publisher.current().load_full();
        let mut keeper = Keeper {
            store,
            failing: None,
            model: contents.model,
            pending: Vec::new(),
            wanted,
            values: Arc::new(values),
            kept: kept_of(&contents.values),
            unwritten: BTreeMap::new(),
            writing: BTreeMap::new(),
            base,
            loaded: parts,
            rejected: None,
            not_ready,
            publisher,
            view: Arc::new(ArcSwap::from_pointee(View::empty(current))),
            entries,
            clocks,
            clock,
            now,
            due: None,
            stale: None,
            near: None,
            timings: Timings::default(),
            elapsed: reading.elapsed,
            begun: reading.elapsed,
            timed_refresh: Duration::ZERO,
            looked: Duration::ZERO,
            ttls_counted: Duration::ZERO,
            values_written: reading.elapsed,
            compacted: reading.elapsed,
            backed_up: None,
            copied: None,
        };
        keeper.look_for_stale();
        keeper.find_due();
        keeper.show();
        keeper
    }

    fn run(&mut self, inbox: &Receiver<Message>) {
        loop {
            let mut messages = Vec::new();
            match inbox.recv_timeout(self.patience()) {
                Ok(message) => messages.push(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            messages.extend(inbox.try_iter().take(BATCH_MOST - 1));
            // A message that trips over a mistake of ours must not end what keeps the others.
            let taken = catch_unwind(AssertUnwindSafe(|| self.take(messages)));
            if taken.unwrap_or_else(|_| {
                error!("the keeper of the state ran into a bug of rhumb; the request it was at is lost");
                false
            }) {
                break;
            }
        }
        self.write_all_values();
        if let Err(error) = self.write_pending() {
            error!("what was served from memory is lost with this process: {error}");
        }
        self.back_up();
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        if !self.writing.is_empty() {
            return Duration::ZERO;
        }
        let Some(due) = self.next_due() else { return TICK };
        let until = Duration::try_from(due.duration_since(self.now)).unwrap_or(Duration::ZERO);
        let rest = TIMED_REFRESH_LEAST.saturating_sub(self.elapsed.saturating_sub(self.timed_refresh));
        until.max(rest).clamp(Duration::from_millis(1), TICK)
    }

    /// Takes a batch; true ends the keeper.
    fn take(&mut self, messages: Vec<Message>) -> bool {
        let reading = (self.clocks)();
        let alarm = self.clock.alarm().map(String::from);
        (self.now, self.elapsed) = (self.clock.tick(reading), reading.elapsed);
        if self.clock.alarm() != alarm.as_deref() {
            match self.clock.alarm() {
                Some(alarm) => error!("{alarm}"),
                None => info!("the clock is plausible again"),
            }
            self.show();
        }
        let (mut wishes, mut loads) = (Vec::new(), Vec::new());
        let mut ended = false;
        for message in messages {
            // What came after wishes sees what became of them; loads are none of their business.
            if !matches!(message, Message::Change(..) | Message::Loads(..)) {
                self.change(std::mem::take(&mut wishes));
            }
            match message {
                Message::Change(wish, reply) => wishes.push((*wish, reply)),
                // Probes bring a thousand a second: one snapshot for all that has come.
                Message::Loads(said, reply) => loads.push((said, reply)),
                Message::Stop => ended = true,
                other => self.take_one(other),
            }
        }
        self.take_loads(loads);
        self.change(wishes);
        self.keep_time();
        self.count_down();
        self.keep_house();
        ended
    }

    fn take_one(&mut self, message: Message) {
        match message {
            Message::Feed(feed, values, reply) => {
                let fed = self.take_feed(&feed, values);
                let _ = reply.send(fed);
            }
            Message::Verdicts(verdicts, kept) => {
                for (key, value) in &kept {
                    match value {
                        Some(value) => drop(self.kept.insert(key.clone(), value.clone())),
                        None => drop(self.kept.remove(key)),
                    }
                }
                self.unwritten.extend(kept);
                if !verdicts.is_empty() {
                    self.take_verdicts(verdicts);
                }
            }
            Message::Acts(acts) => self.take_acts(acts),
            Message::Load(loaded, reply) => {
                self.take_load(*loaded);
                let _ = reply.send(());
            }
            Message::Rejected(problems) => {
                self.rejected = Some(Rejected { at: self.now, problems });
                self.show();
            }
            Message::Note(note, reply) => {
                self.note(note);
                let _ = reply.send(());
            }
            Message::Log { before, limit, reply } => {
                let log = self.store().and_then(|store| store.log(before, limit));
                let _ = reply.send(log);
            }
            Message::Since(revision, reply) => {
                let since = self.store().and_then(|store| store.watch(revision));
                let _ = reply.send(since);
            }
            Message::Export(reply) => {
                let _ = reply.send(self.contents());
            }
            Message::Import(contents, note, expected, reply) => {
                let imported = self.import(*contents, note, expected);
                let _ = reply.send(imported);
            }
            Message::Accept(note, reply) => {
                let accepted = self.accept(note);
                let _ = reply.send(accepted);
            }
            Message::AcceptClock(note, reply) => {
                let reading = (self.clocks)();
                self.clock.accept(reading);
                self.now = self.clock.tick(reading);
                self.look_for_stale();
                self.publish(&Touched::All);
                self.note(note);
                let _ = reply.send(());
            }
            Message::Ready(why, reply) => {
                self.not_ready = why;
                self.show();
                let _ = reply.send(());
            }
            Message::Change(..) | Message::Loads(..) | Message::Stop => unreachable!("taken by the batch"),
        }
    }

    fn take_load(&mut self, loaded: Loaded) {
        let Loaded { snapshot, world, base, warnings, report, .. } = loaded;
        self.base = Arc::new(base);
        self.loaded = LoadedParts {
            world,
            report: Arc::new(report),
            warnings: Arc::new(warnings),
            at: self.now,
            number: snapshot.revision,
        };
        self.rejected = None;
        let begun = Instant::now();
        let mut next = snapshot;
        self.refresh(&mut next, &Touched::All);
        self.publisher.publish(next);
        self.published(begun);
    }

    /// Serves what may have changed.
    fn publish(&mut self, touched: &Touched) {
        let begun = Instant::now();
        let mut next = self.publisher.prepare();
        let changed = self.refresh(&mut next, touched);
        self.publisher.publish_changed(next, &changed);
        self.published(begun);
    }

    fn refresh(&self, next: &mut Snapshot, touched: &Touched) -> Vec<u32> {
        next.revision = self.wanted.revision;
        let (base, values) = (&self.base, &self.values);
        refresh(&mut next.live, touched, &next.steerings, base, &self.wanted, values, self.now)
    }

    fn published(&mut self, begun: Instant) {
        self.timings.publish.add(begun.elapsed(), self.now);
        self.find_due();
        self.show();
    }

    /// Shows everybody who asks what is wanted and served.
    fn show(&mut self) {
        let store = match (&self.store, &self.failing) {
            (Kept::Damaged { why, copy_made_at, .. }, _) => StoreStatus {
                state: StoreState::Damaged,
                why: why.clone(),
                copy_made_at: *copy_made_at,
                since: None,
            },
            (Kept::Store(_), Some((since, why))) => StoreStatus {
                state: StoreState::Failing,
                why: why.clone(),
                copy_made_at: None,
                since: Some(*since),
            },
            (Kept::Store(_), None) => StoreStatus::default(),
        };
        // The last of several changes of the same row is what a restart would forget.
        let rows = self.pending.iter().flat_map(|entry| &entry.rows);
        let pending: BTreeMap<&str, &RowChange> = rows.map(|row| (row.key.as_str(), row)).collect();
        let view = View {
            model: self.wanted.clone(),
            committed: self.model.revision,
            base: self.base.clone(),
            values: self.values.clone(),
            snapshot: self.publisher.current().load_full(),
            world: self.loaded.world.clone(),
            report: self.loaded.report.clone(),
            warnings: self.loaded.warnings.clone(),
            loaded_at: self.loaded.at,
            load_number: self.loaded.number,
            rejected: self.rejected.clone(),
            store,
            volatile: pending.keys().map(|key| key.to_string()).collect(),
            not_durable: pending.values().map(|row| row.words()).collect(),
            clock_alarm: self.clock.alarm().map(String::from),
            not_ready: self.not_ready.clone(),
            now: self.now,
            timings: self.timings.clone(),
        };
        self.view.store(Arc::new(view));
    }

    /// When time alone changes something next.
    fn next_due(&self) -> Option<Time> {
        self.due.into_iter().chain(self.stale).min()
    }

    fn look_for_stale(&mut self) {
        self.stale = self.values.next_stale(self.now);
    }

    fn find_due(&mut self) {
        let (model, now) = (&self.wanted, self.now);
        let drains = model.drains.values().filter_map(|drain| drain.next_change(now));
        let suspensions = model.suspensions.values().filter_map(|suspension| suspension.until);
        // What is due already is looked at every second until it is done.
        let others = model.migrations.values().filter_map(migration::due_at).chain(suspensions);
        self.due = drains.chain(others.filter(|due| *due > now)).min();
        self.near = self.next_due().into_iter().chain(self.values.next_of_health(now)).min();
    }
}
