//! The way to the keeper: what may be asked of it, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, oneshot};

use super::change::{Change, Refusal};
use super::clock::CLOCK_SKEW;
use super::compile::Loaded;
use super::live::{FeedValue, Values, VerdictValue};
use super::load::MonitorLoad;
use super::model::{Actor, Entry, Role, Scope, Time};
use super::store::{Contents, StoreError, Watched};
use super::view::View;
use crate::files::Problem;

/// Values of feeds that the keeper takes, or writes, without looking up: a drain does not wait for thousands.
pub(super) const VALUES_AT_ONCE: usize = 250;

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

/// What was done without changing a row of its own: a line of the audit log.
#[derive(Clone, Debug)]
pub struct Note {
    /// Who.
    pub actor: Actor,
    /// What was done, in one word or two.
    pub action: String,
    /// To what, in words.
    pub object: String,
    /// Why; empty where nobody said so.
    pub reason: String,
}

impl Note {
    /// The entry of it, without its revision.
    pub fn entry(self, time: Time) -> Entry {
        let Note { actor, action, object, reason } = self;
        Entry { revision: 0, time, actor, action, object, reason, forced: false, rows: Vec::new() }
    }
}

/// Why nothing can be accepted.
pub const NOT_DAMAGED: &str = "the store is not damaged; there is nothing to accept";

/// What becomes of what a feed says of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It is served.
    Taken,
    /// Newer values are held of all that it says.
    Older,
    /// Newer values are held of these; the others are served.
    PartlyOlder(Vec<&'static str>),
    /// It says that it was made in the future.
    FromTheFuture,
}

impl Fed {
    /// Has values take what a feed says of an answer.
    pub fn of(held: &mut Values, feed: &str, answer: &str, mut value: FeedValue, now: Time) -> Fed {
        if value.made_at > now + CLOCK_SKEW {
            return Fed::FromTheFuture;
        }
        value.made_at = value.made_at.min(now);
        let count = value.values.keys().len();
        let older = held.take_feed(feed, answer, value);
        match older.len() {
            0 => Fed::Taken,
            all if all == count => Fed::Older,
            _ => Fed::PartlyOlder(older),
        }
    }

    /// Whether anything of it is served.
    pub fn is_served(&self) -> bool {
        matches!(self, Fed::Taken | Fed::PartlyOlder(_))
    }
}

pub(super) type Reply<T> = oneshot::Sender<T>;

pub(super) enum Message {
    Change(Box<Wish>, Reply<Result<Done, Refusal>>),
    Feed(String, Vec<(String, FeedValue)>, Reply<Vec<Fed>>),
    Verdicts(Vec<(String, Option<VerdictValue>)>, Vec<(String, Option<String>)>),
    Loads(Vec<MonitorLoad>, Reply<()>),
    Acts(BTreeMap<Scope, Time>),
    Load(Box<Loaded>, Reply<()>),
    Rejected(Vec<Problem>),
    Note(Note, Reply<()>),
    Log { before: u64, limit: usize, reply: Reply<Result<Vec<Entry>, StoreError>> },
    Since(u64, Reply<Result<Watched, StoreError>>),
    Export(Reply<Contents>),
    Import(Box<Contents>, Note, Option<u64>, Reply<Result<u64, Refusal>>),
    Accept(Note, Reply<Result<(), Refusal>>),
    AcceptClock(Note, Reply<()>),
    Ready(Option<String>, Reply<()>),
    Stop,
}

/// The way to the keeper; a copy is another way to the same.
#[derive(Clone)]
pub struct State {
    pub(super) messages: Sender<Message>,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) entries: broadcast::Sender<Arc<Entry>>,
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
    pub async fn feed(
        &self,
        feed: String,
        mut values: Vec<(String, FeedValue)>,
    ) -> Result<Vec<Fed>, Refusal> {
        let mut fed = Vec::with_capacity(values.len());
        while !values.is_empty() {
            // The first go first: of two values for one answer the later counts.
            let rest = values.split_off(values.len().min(VALUES_AT_ONCE));
            let part = std::mem::replace(&mut values, rest);
            let became = self.ask(|reply| Message::Feed(feed.clone(), part, reply)).await;
            fed.extend(became.ok_or_else(gone)?);
        }
        Ok(fed)
    }

    /// Gives monitors' verdicts, by answer, and what is to be kept of each monitor, by key; none forgets one.
    pub fn verdicts(
        &self,
        verdicts: Vec<(String, Option<VerdictValue>)>,
        kept: Vec<(String, Option<String>)>,
    ) {
        // Nobody needs to know when the process is stopping.
        let _ = self.messages.send(Message::Verdicts(verdicts, kept));
    }

    /// Gives what monitors say of load. It is served when this returns.
    pub async fn loads(&self, loads: Vec<MonitorLoad>) -> Result<(), Refusal> {
        self.ask(|reply| Message::Loads(loads, reply)).await.ok_or_else(gone)
    }

    /// The same, for who need not know when it is served.
    pub fn tell_loads(&self, loads: Vec<MonitorLoad>) {
        // Nor when the process is stopping.
        let _ = self.messages.send(Message::Loads(loads, oneshot::channel().0));
    }

    /// Says when health will do something to what is in a scope, for the TTLs of its answers.
    pub fn acts(&self, acts: BTreeMap<Scope, Time>) {
        // Nobody needs to know when the process is stopping.
        let _ = self.messages.send(Message::Acts(acts));
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

    /// Writes a line of the audit log; where the store cannot be written, the process's log has it.
    pub async fn note(&self, note: Note) {
        // Without an answer the process is stopping, and what was done is done.
        let _ = self.ask(|reply| Message::Note(note, reply)).await;
    }

    /// The same, for threads that may block.
    pub fn note_blocking(&self, note: Note) {
        let (reply, done) = oneshot::channel();
        if self.messages.send(Message::Note(note, reply)).is_ok() {
            let _ = done.blocking_recv();
        }
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

    /// Replaces everything that is wanted, if the revision that is expected is the newest; the new revision.
    pub async fn import(
        &self,
        contents: Contents,
        note: Note,
        expected: Option<u64>,
    ) -> Result<u64, Refusal> {
        self.ask(|reply| Message::Import(Box::new(contents), note, expected, reply))
            .await
            .unwrap_or_else(|| Err(gone()))
    }

    /// Takes what is served for right, after the store was found damaged.
    pub async fn accept(&self, note: Note) -> Result<(), Refusal> {
        self.ask(|reply| Message::Accept(note, reply)).await.unwrap_or_else(|| Err(gone()))
    }

    /// Takes the clock for right, after it jumped.
    pub async fn accept_clock(&self, note: Note) -> Result<(), Refusal> {
        self.ask(|reply| Message::AcceptClock(note, reply)).await.ok_or_else(gone)
    }

    /// Says why the process is not ready; none when it is. Returns when that is shown.
    pub fn not_ready(&self, why: Option<String>) {
        let (reply, done) = oneshot::channel();
        if self.messages.send(Message::Ready(why, reply)).is_ok() {
            let _ = done.blocking_recv();
        }
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
