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

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use tokio::sync::{broadcast, oneshot};
use tracing::{error, info, warn};

use super::base::Base;
use super::change::{self, Change, MigrationStep, Refusal, Situation};
use super::clock::{CLOCK_SKEW, Clock, Clocks};
use super::compile::Loaded;
use super::live::{FeedValue, Touched, Values, VerdictValue, refresh};
use super::migration;
use super::model::{Actor, Entry, Model, Role, Row, RowChange, Scope, Time};
use super::publisher::Publisher;
use super::store::{CommitError, Contents, Store, StoreError, Watched};
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

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub change: Change,
    /// Who.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// The pool they are confined to.
    pub pool: Option<String>,
    /// Why.
    pub reason: String,
    /// The revision it was made for; another is a refusal.
    pub expected: Option<u64>,
    /// Passes the guards.
    pub force: bool,
    /// A drain or an undrain may be served from memory when the store cannot be written.
    pub volatile: bool,
}

impl Wish {
    /// A wish of our own automation.
    pub fn of_ours(name: &str, change: Change, reason: impl Into<String>) -> Wish {
        Wish {
            change,
            actor: Actor { name: name.into(), from: String::new() },
            role: Role::Admin,
            pool: None,
            reason: reason.into(),
            expected: None,
            force: false,
            volatile: false,
        }
    }
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The revision that is served now.
    pub revision: u64,
    /// The identity of what was made or changed.
    pub id: String,
    /// What was done, in words.
    pub action: String,
    /// To what, in words.
    pub object: String,
    /// What the asker should know.
    pub words: Vec<String>,
    /// Guards that `force` passed.
    pub forced: Vec<String>,
    /// Whether anything changed; a repetition changes nothing.
    pub changed: bool,
    /// Whether it survives a restart.
    pub durable: bool,
}

/// What becomes of a feed's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It is served.
    Taken,
    /// A newer one is held.
    Older,
    /// It says that it was made in the future.
    FromTheFuture,
}

type Reply<T> = oneshot::Sender<T>;

enum Message {
    Change(Box<Wish>, Reply<Result<Done, Refusal>>),
    Feed(String, Vec<(String, FeedValue)>, Reply<Vec<Fed>>),
    Verdicts(Vec<(String, Option<VerdictValue>)>),
    Load(Box<Loaded>, Reply<()>),
    Rejected(Vec<Problem>),
    Log { before: u64, limit: usize, reply: Reply<Result<Vec<Entry>, StoreError>> },
    Since(u64, Reply<Result<Watched, StoreError>>),
    Export(Reply<Contents>),
    Import(Box<Contents>, Reply<Result<u64, Refusal>>),
    Accept(Reply<Result<(), Refusal>>),
    AcceptClock(Reply<()>),
    Ready(Option<String>),
    Stop,
}

/// The way to the keeper; a copy is another way to the same.
#[derive(Clone)]
pub struct State {
    messages: Sender<Message>,
    view: Arc<ArcSwap<View>>,
    entries: broadcast::Sender<Arc<Entry>>,
}

/// The keeper has ended, because the process is stopping.
fn gone() -> Refusal {
    Refusal::Unavailable("the server is stopping".into())
}

impl State {
    /// Asks for a change, and waits until it is served or refused.
    pub async fn change(&self, wish: Wish) -> Result<Done, Refusal> {
        self.ask(|reply| Message::Change(Box::new(wish), reply)).await.unwrap_or_else(|| Err(gone()))
    }

    /// The same, for threads that may block.
    pub fn change_blocking(&self, wish: Wish) -> Result<Done, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Change(Box::new(wish), reply));
        sent.ok().and_then(|()| answer.blocking_recv().ok()).unwrap_or_else(|| Err(gone()))
    }

    /// Gives a feed's values, by answer. They are served when this returns; what became of each.
    pub async fn feed(&self, feed: String, values: Vec<(String, FeedValue)>) -> Result<Vec<Fed>, Refusal> {
        self.ask(|reply| Message::Feed(feed, values, reply)).await.ok_or_else(gone)
    }

    /// Gives monitors' verdicts, by answer; none forgets one.
    pub fn verdicts(&self, verdicts: Vec<(String, Option<VerdictValue>)>) {
        // Nobody needs to know when the process is stopping.
        let _ = self.messages.send(Message::Verdicts(verdicts));
    }

    /// Serves another load of the files; returns when it is served.
    pub fn load(&self, loaded: Loaded) {
        let (reply, done) = oneshot::channel();
        if self.messages.send(Message::Load(Box::new(loaded), reply)).is_ok() {
            let _ = done.blocking_recv();
        }
    }

    /// Keeps what was wrong with a load, for whoever asks.
    pub fn rejected(&self, problems: Vec<Problem>) {
        let _ = self.messages.send(Message::Rejected(problems));
    }

    /// At most `limit` entries of the log before a revision, the newest first.
    pub async fn log(&self, before: u64, limit: usize) -> Result<Vec<Entry>, Refusal> {
        let log = self.ask(|reply| Message::Log { before, limit, reply }).await.ok_or_else(gone)?;
        log.map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    /// The entries after a revision; [`Watched::TooOld`] when they are no longer kept.
    pub async fn since(&self, revision: u64) -> Result<Watched, Refusal> {
        let since = self.ask(|reply| Message::Since(revision, reply)).await.ok_or_else(gone)?;
        since.map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    /// Entries as they are committed.
    pub fn entries(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.entries.subscribe()
    }

    /// Everything that is wanted and said, for `rhumb state export`.
    pub async fn export(&self) -> Result<Contents, Refusal> {
        self.ask(Message::Export).await.ok_or_else(gone)
    }

    /// Replaces everything that is wanted; the new revision.
    pub async fn import(&self, contents: Contents) -> Result<u64, Refusal> {
        self.ask(|reply| Message::Import(Box::new(contents), reply)).await.unwrap_or_else(|| Err(gone()))
    }

    /// Takes what is served for right, after the store was found damaged.
    pub async fn accept(&self) -> Result<(), Refusal> {
        self.ask(Message::Accept).await.unwrap_or_else(|| Err(gone()))
    }

    /// Takes the clock for right, after it jumped.
    pub async fn accept_clock(&self) -> Result<(), Refusal> {
        self.ask(Message::AcceptClock).await.ok_or_else(gone)
    }

    /// Says why the process is not ready; none when it is.
    pub fn not_ready(&self, why: Option<String>) {
        let _ = self.messages.send(Message::Ready(why));
    }

    /// What is wanted and served now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Ends the keeper, after what has been sent so far.
    pub fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).ok()?;
        answer.await.ok()
    }
}

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
        replace: Box<dyn FnMut() -> Result<Box<dyn Store>, StoreError> + Send>,
        /// How long until what is served is accepted by itself.
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
    unwritten: BTreeMap<String, Option<String>>,
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
    /// When time alone changes something next.
    due: Option<Time>,
    timings: Arc<Timings>,
    begun: Instant,
    values_written: Instant,
    timed_refresh: Instant,
    backed_up: (Instant, u64),
    compacted: Instant,
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
        let Beginning { store, contents, loaded, mut clocks, not_ready } = beginning;
        let reading = clocks();
        let mut clock = Clock::new(reading, contents.newest);
        let now = clock.tick(reading);
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
        let revision = wanted.revision;
        let mut keeper = Keeper {
            store,
            failing: None,
            model: contents.model,
            pending: Vec::new(),
            wanted,
            values: Arc::new(values),
            unwritten: BTreeMap::new(),
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
            timings: Arc::default(),
            begun: Instant::now(),
            values_written: Instant::now(),
            timed_refresh: Instant::now(),
            backed_up: (Instant::now(), revision),
            compacted: Instant::now(),
        };
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
        self.write_values();
        self.back_up();
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let Some(due) = self.due else { return TICK };
        let until = Duration::try_from(due.duration_since(self.now)).unwrap_or(Duration::ZERO);
        let rest = TIMED_REFRESH_LEAST.saturating_sub(self.timed_refresh.elapsed());
        until.max(rest).clamp(Duration::from_millis(1), TICK)
    }

    /// Takes a batch; true ends the keeper.
    fn take(&mut self, messages: Vec<Message>) -> bool {
        let reading = (self.clocks)();
        let alarm = self.clock.alarm().map(String::from);
        self.now = self.clock.tick(reading);
        if self.clock.alarm() != alarm.as_deref() {
            match self.clock.alarm() {
                Some(alarm) => error!("{alarm}"),
                None => info!("the clock is plausible again"),
            }
            self.show();
        }
        let mut wishes = Vec::new();
        let mut ended = false;
        for message in messages {
            // What came after wishes sees what became of them.
            if !matches!(message, Message::Change(..)) {
                self.change(std::mem::take(&mut wishes));
            }
            match message {
                Message::Change(wish, reply) => wishes.push((wish, reply)),
                Message::Stop => ended = true,
                other => self.take_one(other),
            }
        }
        self.change(wishes);
        self.keep_time();
        self.keep_house();
        ended
    }

    fn take_one(&mut self, message: Message) {
        match message {
            Message::Feed(feed, values, reply) => {
                let fed = self.take_feed(&feed, values);
                let _ = reply.send(fed);
            }
            Message::Verdicts(verdicts) => self.take_verdicts(verdicts),
            Message::Load(loaded, reply) => {
                self.take_load(*loaded);
                let _ = reply.send(());
            }
            Message::Rejected(problems) => {
                self.rejected = Some(Rejected { at: self.now, problems });
                self.show();
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
            Message::Import(contents, reply) => {
                let imported = self.import(*contents);
                let _ = reply.send(imported);
            }
            Message::Accept(reply) => {
                let accepted = self.accept("a person accepted what is served");
                let _ = reply.send(accepted);
            }
            Message::AcceptClock(reply) => {
                let reading = (self.clocks)();
                self.clock.accept(reading);
                self.now = self.clock.tick(reading);
                self.publish(&Touched::All);
                let _ = reply.send(());
            }
            Message::Ready(why) => {
                self.not_ready = why;
                self.show();
            }
            Message::Change(..) | Message::Stop => unreachable!("taken by the batch"),
        }
    }

    fn store(&mut self) -> Result<&mut Box<dyn Store>, StoreError> {
        match &mut self.store {
            Kept::Store(store) => Ok(store),
            Kept::Damaged { why, .. } => Err(StoreError::Unavailable(format!(
                "{why}; `rhumb state accept` takes what is served for right and writes again"
            ))),
        }
    }

    /// Decides upon wishes, commits them together, and answers.
    fn change(&mut self, wishes: Vec<(Box<Wish>, Reply<Result<Done, Refusal>>)>) {
        if wishes.is_empty() {
            return;
        }
        let (wishes, replies): (Vec<_>, Vec<_>) = wishes.into_iter().unzip();
        let answers = self.change_all(&wishes);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Who no longer waits does not need to know.
            let _ = reply.send(answer);
        }
    }

    fn change_all(&mut self, wishes: &[Box<Wish>]) -> Vec<Result<Done, Refusal>> {
        for _ in 0..TRIES {
            // What was served from memory alone comes first.
            let written = self.write_pending();
            let mut working = self.model.clone();
            let mut entries: Vec<Entry> = Vec::new();
            let mut answers = Vec::new();
            for wish in wishes {
                let decided = self.decide(wish, &working);
                answers.push(decided.map(|(mut done, entry)| {
                    if let Some(mut entry) = entry {
                        entry.revision = working.revision + 1;
                        entry.rows.iter_mut().for_each(|row| stamp(row, entry.revision));
                        working.apply(&entry);
                        entries.push(entry);
                    }
                    done.revision = working.revision;
                    done
                }));
            }
            if entries.is_empty() {
                return answers;
            }
            let committed = match written {
                Ok(()) => self.commit(&entries),
                Err(error) => Err(CommitError::Store(error)),
            };
            match committed {
                Ok(()) => return answers,
                Err(CommitError::Conflict(_)) => {
                    if let Err(error) = self.catch_up() {
                        self.fail(&error);
                    }
                }
                Err(CommitError::Store(error)) => {
                    self.fail(&error);
                    return self.change_in_memory(wishes, &error);
                }
            }
        }
        let busy = "other writers were first, again and again; try it once more";
        wishes.iter().map(|_| Err(Refusal::Unavailable(busy.into()))).collect()
    }

    /// What becomes of wishes while the store cannot be written: drains and undrains that may be volatile
    /// are served from memory.
    fn change_in_memory(&mut self, wishes: &[Box<Wish>], error: &StoreError) -> Vec<Result<Done, Refusal>> {
        let mut touched = Touched::nothing();
        let answers = wishes.iter().map(|wish| {
            let wanted = self.wanted.clone();
            let (mut done, entry) = self.decide(wish, &wanted)?;
            let Some(entry) = entry else { return Ok(done) };
            let is_drain = entry.rows.iter().all(|row| row.key.starts_with("drain/"));
            if !wish.volatile || !is_drain {
                let advice = match is_drain {
                    true => "; with `volatile` it would be served from memory until then",
                    false => "",
                };
                return Err(Refusal::Unavailable(format!("the state cannot be written: {error}{advice}")));
            }
            touched.merge(self.touched_by(&entry));
            let mut wanted = (*wanted).clone();
            entry.rows.iter().for_each(|row| wanted.set(&row.key, row.after.clone()));
            self.wanted = Arc::new(wanted);
            warn!(object = %entry.object, "NOT DURABLE: served from memory until the store is back");
            self.pending.push(entry);
            (done.durable, done.revision) = (false, self.model.revision);
            Ok(done)
        });
        let answers = answers.collect();
        self.publish(&touched);
        answers
    }

    /// Decides upon one wish. What it changes, if anything, is an entry without its revision.
    fn decide(&mut self, wish: &Wish, model: &Model) -> Result<(Done, Option<Entry>), Refusal> {
        if let Some(expected) = wish.expected.filter(|expected| *expected != model.revision) {
            return Err(Refusal::Stale { expected, current: model.revision });
        }
        let mut change = wish.change.clone();
        if let Change::RollBack { to, since } = &mut change {
            *since = self.undo_of(*to)?;
        }
        let situation = Situation {
            base: &self.base,
            model,
            values: &self.values,
            now: self.now,
            actor: &wish.actor,
            role: wish.role,
            pool: wish.pool.as_deref(),
            reason: &wish.reason,
            force: wish.force,
        };
        let draft = change::decide(&change, &situation)?;
        if !draft.guards.is_empty() && !draft.rows.is_empty() {
            if !wish.force {
                return Err(Refusal::Guarded(draft.guards));
            }
            change::check_reason(&wish.reason)?;
        }
        let done = Done {
            revision: model.revision,
            id: draft.id,
            action: draft.action.into(),
            object: draft.object.clone(),
            words: draft.words,
            forced: draft.guards.clone(),
            changed: !draft.rows.is_empty(),
            durable: true,
        };
        let entry = (!draft.rows.is_empty()).then(|| Entry {
            revision: 0,
            time: self.now,
            actor: wish.actor.clone(),
            action: draft.action.into(),
            object: draft.object,
            reason: wish.reason.clone(),
            forced: wish.force && !draft.guards.is_empty(),
            rows: draft.rows,
        });
        Ok((done, entry))
    }

    /// What was committed after a revision, the newest first.
    fn undo_of(&mut self, to: u64) -> Result<Vec<Entry>, Refusal> {
        if to > self.model.revision {
            let message = format!("there is no revision {to} yet; the newest is {}", self.model.revision);
            return Err(Refusal::NotFound(message));
        }
        let since = self.store().and_then(|store| store.watch(to));
        match since.map_err(|error| Refusal::Unavailable(error.to_string()))? {
            Watched::Entries(mut entries) => {
                entries.reverse();
                Ok(entries)
            }
            Watched::TooOld => Err(Refusal::NotFound(format!(
                "what was changed since revision {to} is no longer in the log; see the audit log for what is"
            ))),
        }
    }

    /// Commits entries that follow the model, and serves what comes back.
    fn commit(&mut self, entries: &[Entry]) -> Result<(), CommitError> {
        let begun = Instant::now();
        let after = self.model.revision;
        self.store()?.commit(after, entries)?;
        self.timings.commit.add(begun.elapsed());
        if self.failing.take().is_some() {
            info!("the store can be written again");
        }
        self.catch_up().map_err(CommitError::Store)
    }

    /// Takes what was committed, by us and by others, and serves it.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let known = self.model.revision;
        let entries = match self.store()?.watch(known)? {
            Watched::Entries(entries) => entries,
            Watched::TooOld => {
                let contents = self.store()?.read()?;
                self.model = contents.model;
                self.wanted = Arc::new(self.model.clone());
                self.publish(&Touched::All);
                return Ok(());
            }
        };
        let mut touched = Touched::nothing();
        for entry in &entries {
            touched.merge(self.touched_by(entry));
            self.model.apply(entry);
        }
        let mut wanted = self.model.clone();
        for row in self.pending.iter().flat_map(|entry| &entry.rows) {
            wanted.set(&row.key, row.after.clone());
        }
        self.wanted = Arc::new(wanted);
        self.publish(&touched);
        for entry in entries {
            let Entry { revision, actor, action, object, reason, forced, .. } = &entry;
            info!(revision, by = %actor.name, from = %actor.from, forced, "{action}: {object} ({reason})");
            // Nobody listens most of the time.
            let _ = self.entries.send(Arc::new(entry));
        }
        Ok(())
    }

    /// Which steerings a change may touch.
    fn touched_by(&self, entry: &Entry) -> Touched {
        let mut touched = Touched::nothing();
        for row in entry.rows.iter().flat_map(|change| [&change.before, &change.after]).flatten() {
            match row {
                Row::Drain(drain) => touched.add(self.base.steerings_of(&drain.scope)),
                Row::Split(split) => {
                    let scope = Scope { pool: Some(split.pool.clone()), ..Scope::default() };
                    touched.add(self.base.steerings_of(&scope));
                }
                Row::Migration(_) | Row::Token(_) | Row::Suspension(_) => {}
            }
        }
        touched
    }

    /// Writes what is served from memory alone.
    fn write_pending(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut entries = std::mem::take(&mut self.pending);
        let mut revision = self.model.revision;
        for entry in &mut entries {
            revision += 1;
            entry.revision = revision;
            entry.rows.iter_mut().for_each(|row| stamp(row, revision));
        }
        let kept = entries.clone();
        match self.commit(&entries) {
            Ok(()) => {
                info!(count = entries.len(), "what was served from memory is durable now");
                Ok(())
            }
            Err(CommitError::Conflict(_)) => {
                self.pending = kept;
                self.catch_up()?;
                self.write_pending()
            }
            Err(CommitError::Store(error)) => {
                self.pending = kept;
                Err(error)
            }
        }
    }

    fn fail(&mut self, error: &StoreError) {
        if self.failing.is_none() {
            error!("the state cannot be written; DNS and reads go on: {error}");
        }
        let since = self.failing.as_ref().map_or(self.now, |(since, _)| *since);
        self.failing = Some((since, error.to_string()));
        self.show();
    }

    fn take_feed(&mut self, feed: &str, values: Vec<(String, FeedValue)>) -> Vec<Fed> {
        let mut touched = Touched::nothing();
        let mut held = (*self.values).clone();
        let fed = values.into_iter().map(|(answer, mut value)| {
            if value.made_at > self.now + CLOCK_SKEW {
                return Fed::FromTheFuture;
            }
            value.made_at = value.made_at.min(self.now);
            if held.feed(feed, &answer).is_some_and(|old| old.made_at > value.made_at) {
                return Fed::Older;
            }
            touched.add(self.base.steerings_of_answer(&answer).iter().copied());
            let json = serde_json::to_string(&value).expect("values are JSON");
            self.unwritten.insert(format!("feed/{feed}/{answer}"), Some(json));
            held.put_feed(feed, &answer, value);
            Fed::Taken
        });
        let fed = fed.collect();
        self.values = Arc::new(held);
        self.publish(&touched);
        fed
    }

    fn take_verdicts(&mut self, verdicts: Vec<(String, Option<VerdictValue>)>) {
        let mut touched = Touched::nothing();
        let mut held = (*self.values).clone();
        for (answer, verdict) in verdicts {
            touched.add(self.base.steerings_of_answer(&answer).iter().copied());
            let json =
                verdict.as_ref().map(|verdict| serde_json::to_string(verdict).expect("verdicts are JSON"));
            self.unwritten.insert(format!("verdict/{answer}"), json);
            held.put_verdict(&answer, verdict);
        }
        self.values = Arc::new(held);
        self.publish(&touched);
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
        self.publish_from(snapshot, &Touched::All);
    }

    /// Serves what may have changed.
    fn publish(&mut self, touched: &Touched) {
        let current = self.publisher.current().load_full();
        let next = Snapshot {
            revision: current.revision,
            zones: current.zones.clone(),
            records: current.records.clone(),
            steerings: current.steerings.clone(),
            live: current.live.clone(),
            identity: current.identity.clone(),
        };
        self.publish_from(next, touched);
    }

    fn publish_from(&mut self, mut next: Snapshot, touched: &Touched) {
        let begun = Instant::now();
        next.revision = self.wanted.revision;
        let (base, values) = (&self.base, &self.values);
        refresh(&mut next.live, touched, &next.steerings, base, &self.wanted, values, self.now);
        self.publisher.publish(next);
        self.timings.publish.add(begun.elapsed());
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
        let volatile = self.pending.iter().flat_map(|entry| &entry.rows).map(|row| row.key.clone());
        let view = View {
            model: self.wanted.clone(),
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
            volatile: volatile.collect::<BTreeSet<String>>(),
            clock_alarm: self.clock.alarm().map(String::from),
            not_ready: self.not_ready.clone(),
            now: self.now,
            timings: self.timings.clone(),
        };
        self.view.store(Arc::new(view));
    }

    fn find_due(&mut self) {
        let (model, now) = (&self.wanted, self.now);
        let drains = model.drains.values().filter_map(|drain| drain.next_change(now));
        let migrations = model.migrations.values().filter_map(migration::due_at);
        let suspensions = model.suspensions.values().filter_map(|suspension| suspension.until);
        self.due = drains.chain(migrations).chain(suspensions).chain(self.values.next_stale(now)).min();
    }

    /// Does what time asks for.
    fn keep_time(&mut self) {
        let is_running = self.wanted.migrations.values().any(|m| m.is_open());
        let is_due = self.due.is_some_and(|due| due <= self.now);
        if !(is_due && self.timed_refresh.elapsed() >= TIMED_REFRESH_LEAST) && !is_running {
            return;
        }
        let wishes = self.timed_wishes();
        if !wishes.is_empty() && self.failing.is_none() && matches!(self.store, Kept::Store(_)) {
            for refused in self.change_all(&wishes).into_iter().filter_map(Result::err) {
                warn!("our own automation was refused: {refused}");
            }
        }
        if is_due {
            self.timed_refresh = Instant::now();
            self.publish(&Touched::All);
        }
    }

    fn timed_wishes(&self) -> Vec<Box<Wish>> {
        let (model, now) = (&self.wanted, self.now);
        let ours = |change, why: String| Box::new(Wish::of_ours("rhumb", change, why));
        let drains = model
            .drains
            .values()
            .filter(|drain| drain.is_over(now))
            .map(|drain| ours(Change::EndDrain { id: drain.id.clone() }, "every client is back".into()));
        let migrations = model.migrations.values().filter_map(|migration| {
            let (step, why) = migration::due(migration, &self.base, &self.values, now)?;
            let why = if step == MigrationStep::Advance { "it has soaked".into() } else { why };
            Some(ours(Change::Migrate { id: migration.id.clone(), step }, why))
        });
        let is_over = |until: Option<Time>| until.is_some_and(|until| until <= now);
        let suspensions = model.suspensions.values().filter(|s| is_over(s.until)).map(|suspension| {
            ours(Change::Unsuspend { pool: suspension.pool.clone() }, "its time is over".into())
        });
        drains.chain(migrations).chain(suspensions).collect()
    }

    /// Writes behind, copies, compacts, frees.
    fn keep_house(&mut self) {
        self.publisher.free_retired();
        if self.values_written.elapsed() >= VALUES_WRITTEN_EVERY {
            self.values_written = Instant::now();
            self.write_values();
            if !self.pending.is_empty()
                && let Err(error) = self.write_pending()
            {
                self.fail(&error);
            }
            self.accept_after_a_while();
        }
        if self.backed_up.0.elapsed() >= BACKUP_EVERY && self.backed_up.1 != self.model.revision {
            self.back_up();
        }
        if self.compacted.elapsed() >= COMPACT_EVERY {
            self.compacted = Instant::now();
            self.compact();
        }
    }

    fn write_values(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let (unwritten, now) = (std::mem::take(&mut self.unwritten), self.now);
        let written = self.store().and_then(|store| store.put_values(&unwritten, now));
        if let Err(error) = written {
            // What came in the meantime is newer.
            let newer = std::mem::replace(&mut self.unwritten, unwritten);
            self.unwritten.extend(newer);
            self.fail(&error);
        } else if self.pending.is_empty() && self.failing.take().is_some() {
            info!("the store can be written again");
            self.show();
        }
    }

    fn back_up(&mut self) {
        self.backed_up = (Instant::now(), self.model.revision);
        let now = self.now;
        let Kept::Store(store) = &mut self.store else { return };
        if let Err(error) = store.back_up(now) {
            warn!("the state could not be copied: {error}");
        }
    }

    fn compact(&mut self) {
        let before = self.now - LOG_KEPT_FOR;
        if let Err(error) = self.store().and_then(|store| store.compact(before, LOG_KEPT)) {
            warn!("old entries of the log could not be dropped: {error}");
        }
        let old = self.now - ENDED_KEPT_FOR;
        let ended = |key: String, row: Row| RowChange { before: Some(row), key, after: None };
        let migrations = self.model.migrations.values().filter(|m| !m.is_open() && m.step_since < old);
        let rows: Vec<RowChange> = migrations
            .map(|m| ended(format!("migration/{}", m.id), Row::Migration(m.clone())))
            .chain(
                self.model
                    .tokens
                    .values()
                    .filter(|t| t.expires_at.is_some_and(|at| at < old))
                    .map(|t| ended(format!("token/{}", t.name), Row::Token(t.clone()))),
            )
            .collect();
        if rows.is_empty() {
            return;
        }
        let entry = Entry {
            revision: self.model.revision + 1,
            time: self.now,
            actor: Actor { name: "rhumb".into(), from: String::new() },
            action: "compacted".into(),
            object: "migrations and tokens that ended long ago".into(),
            reason: String::new(),
            forced: false,
            rows,
        };
        if let Err(error) = self.commit(&[entry]) {
            warn!("what ended long ago could not be dropped: {error}");
        }
    }

    fn contents(&self) -> Contents {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (feed, answer, value) in self.values.fed() {
            let json = serde_json::to_string(value).expect("values are JSON");
            values.insert(format!("feed/{feed}/{answer}"), json);
        }
        for (answer, verdict) in self.values.verdicts() {
            let json = serde_json::to_string(verdict).expect("verdicts are JSON");
            values.insert(format!("verdict/{answer}"), json);
        }
        Contents { model: (*self.wanted).clone(), values, newest: Some(self.now) }
    }

    fn import(&mut self, mut contents: Contents) -> Result<u64, Refusal> {
        let unavailable = |error: StoreError| Refusal::Unavailable(error.to_string());
        // Watchers must see that it is new.
        contents.model.revision = contents.model.revision.max(self.model.revision + 1);
        self.store().and_then(|store| store.replace(&contents)).map_err(unavailable)?;
        self.take_contents(contents);
        Ok(self.model.revision)
    }

    fn take_contents(&mut self, contents: Contents) {
        self.pending.clear();
        self.unwritten.clear();
        self.values = Arc::new(values_of(&contents.values));
        self.model = contents.model;
        self.wanted = Arc::new(self.model.clone());
        self.publish(&Touched::All);
    }

    fn accept(&mut self, why: &str) -> Result<(), Refusal> {
        let contents = self.contents();
        let Kept::Damaged { replace, .. } = &mut self.store else {
            return Err(Refusal::Conflict("the store is not damaged; there is nothing to accept".into()));
        };
        let begun = replace().and_then(|mut store| store.replace(&contents).map(|()| store));
        let store = begun.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        self.store = Kept::Store(store);
        self.failing = None;
        warn!("a new store begins with what is served: {why}");
        self.take_contents(contents);
        Ok(())
    }

    fn accept_after_a_while(&mut self) {
        let Kept::Damaged { accept_after: Some(after), .. } = &self.store else { return };
        if self.begun.elapsed() >= *after
            && let Err(error) = self.accept("accept_backup_after is over")
        {
            warn!("what is served could not be accepted: {error}");
        }
    }
}

/// The revision that last changed a row, into the row.
fn stamp(change: &mut RowChange, revision: u64) {
    match &mut change.after {
        Some(Row::Drain(drain)) => drain.revision = revision,
        Some(Row::Split(split)) => split.revision = revision,
        Some(Row::Migration(_) | Row::Token(_) | Row::Suspension(_)) | None => {}
    }
}

/// What was said, as the store kept it. What cannot be read is left out: it will be said again.
fn values_of(kept: &BTreeMap<String, String>) -> Values {
    let mut values = Values::default();
    for (key, json) in kept {
        if let Some((feed, answer)) = key.strip_prefix("feed/").and_then(|key| key.split_once('/')) {
            match serde_json::from_str(json) {
                Ok(value) => values.put_feed(feed, answer, value),
                Err(error) => warn!("the kept value {key} cannot be read: {error}"),
            }
        } else if let Some(answer) = key.strip_prefix("verdict/") {
            match serde_json::from_str(json) {
                Ok(verdict) => values.put_verdict(answer, Some(verdict)),
                Err(error) => warn!("the kept value {key} cannot be read: {error}"),
            }
        }
    }
    values
}
