//! The road of a write: decide, commit, hear back, serve.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::{Keeper, Kept, TRIES};
use crate::state::base::Spot;
use crate::state::change::{self, Change, Refusal, Situation};
use crate::state::handle::{Done, Note, Reply, Wish};
use crate::state::live::Touched;
use crate::state::model::{Entry, Model, Row, RowChange, Scope};
use crate::state::store::{CommitError, Store, StoreError, Watched};

/// What is said when a commit lost too often.
const BUSY: &str = "other writers were first, again and again; try it once more";

/// A wish, and whoever waits for what becomes of it.
pub(super) type Asked = (Wish, Reply<Result<Done, Refusal>>);

impl Keeper {
    pub(super) fn store(&mut self) -> Result<&mut Box<dyn Store>, StoreError> {
        match &mut self.store {
            Kept::Store(store) => Ok(store),
            Kept::Damaged { why, .. } => Err(StoreError::Unavailable(format!(
                "{why}; `rhumb state accept` takes what is served for right and writes again"
            ))),
        }
    }

    /// Decides upon wishes, commits them together, and answers.
    pub(super) fn change(&mut self, wishes: Vec<Asked>) {
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

    pub(super) fn change_all(&mut self, wishes: &[Wish]) -> Vec<Result<Done, Refusal>> {
        for _ in 0..TRIES {
            // What was served from memory alone comes first.
            if let Err(error) = self.write_pending() {
                self.fail(&error);
                return self.change_in_memory(wishes, &error);
            }
            let mut working = self.model.clone();
            let mut entries: Vec<Entry> = Vec::new();
            let mut answers = Vec::new();
            for wish in wishes {
                let decided = self.decide(wish, &working, &entries);
                answers.push(decided.map(|(mut done, entry)| {
                    if let Some(mut entry) = entry {
                        entry.revision = working.revision + 1;
                        entry.rows.iter_mut().for_each(|row| stamp(&mut row.after, entry.revision));
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
            match self.commit(&entries) {
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
        wishes.iter().map(|_| Err(Refusal::Unavailable(BUSY.into()))).collect()
    }

    /// What becomes of wishes while the store cannot be written: drains and undrains that may be volatile
    /// are served from memory.
    pub(super) fn change_in_memory(
        &mut self,
        wishes: &[Wish],
        error: &StoreError,
    ) -> Vec<Result<Done, Refusal>> {
        let mut touched = Vec::new();
        let answers = wishes.iter().map(|wish| {
            let wanted = self.wanted.clone();
            let (mut done, entry) = self.decide(wish, &wanted, &[])?;
            let Some(entry) = entry else {
                done.durable = !self.is_volatile(&format!("drain/{}", done.id));
                return Ok(done);
            };
            let is_drain = entry.rows.iter().all(|row| row.key.starts_with("drain/"));
            if !wish.volatile || !is_drain {
                let advice = match is_drain {
                    true => "; with `volatile` it would be served from memory until then",
                    false => "",
                };
                return Err(Refusal::Unavailable(format!("the state cannot be written: {error}{advice}")));
            }
            touched.extend(self.touched_by(&entry));
            let mut wanted = (*wanted).clone();
            entry.rows.iter().for_each(|row| wanted.set(&row.key, row.after.clone()));
            // It counts as a revision, so that whoever expected the one before is told.
            wanted.revision += 1;
            (done.durable, done.revision) = (false, wanted.revision);
            self.wanted = Arc::new(wanted);
            warn!(object = %entry.object, "NOT DURABLE: served from memory until the store is back");
            self.pending.push(entry);
            Ok(done)
        });
        let answers = answers.collect();
        self.publish(&Touched::Wanted(touched));
        answers
    }

    /// Decides upon one wish, behind those that are committed with it. What it changes, if anything, is an entry
    /// without its revision.
    fn decide(
        &mut self,
        wish: &Wish,
        model: &Model,
        batch: &[Entry],
    ) -> Result<(Done, Option<Entry>), Refusal> {
        if let Some(expected) = wish.expected.filter(|expected| *expected != model.revision) {
            return Err(Refusal::Stale { expected, current: model.revision });
        }
        let mut change = wish.change.clone();
        if let Change::RollBack { to, since } = &mut change {
            *since = batch.iter().rev().cloned().collect();
            since.extend(self.undo_of(*to)?);
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
    pub(super) fn undo_of(&mut self, to: u64) -> Result<Vec<Entry>, Refusal> {
        let newest = self.model.revision;
        let since = self.store().and_then(|store| store.watch(to.min(newest)));
        change::to_undo(to, newest, since.map_err(|error| Refusal::Unavailable(error.to_string()))?)
    }

    /// Commits entries that follow the model, and serves what comes back.
    pub(super) fn commit(&mut self, entries: &[Entry]) -> Result<(), CommitError> {
        let begun = Instant::now();
        let after = self.model.revision;
        self.store()?.commit(after, entries)?;
        self.timings.commit.add(begun.elapsed(), self.now);
        if self.failing.take().is_some() {
            info!("the store can be written again");
        }
        self.catch_up().map_err(CommitError::Store)
    }

    /// Takes what was committed, by us and by others, and serves it.
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        let known = self.model.revision;
        let entries = match self.store()?.watch(known)? {
            Watched::Entries(entries) => entries,
            Watched::TooOld => {
                let contents = self.store()?.read()?;
                self.model = contents.model;
                self.pending.retain(|entry| !is_in(&self.model, entry));
                self.want();
                self.publish(&Touched::All);
                return Ok(());
            }
        };
        let mut touched = Vec::new();
        for entry in &entries {
            touched.extend(self.touched_by(entry));
            self.model.apply(entry);
            // Ours leave when they come back: whether a commit happened that failed is known only then.
            if let Some(at) = self.pending.iter().position(|pending| is_same(pending, entry)) {
                self.pending.remove(at);
            }
        }
        if !entries.is_empty() {
            self.want();
            self.publish(&Touched::Wanted(touched));
        }
        entries.into_iter().for_each(|entry| self.tell(entry));
        Ok(())
    }

    /// Tells the log and whoever listens what was committed.
    pub(super) fn tell(&self, entry: Entry) {
        let Entry { revision, actor, action, object, reason, forced, .. } = &entry;
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        info!(revision, by = %actor.name, from = %actor.from, forced, "{action}: {object}{why}");
        // Nobody listens most of the time.
        let _ = self.entries.send(Arc::new(entry));
    }

    /// Commits a line of the audit log that changes no row. It tells of what has happened already: where it
    /// cannot be written, that stays as it is, and the process's log has the line.
    pub(super) fn note(&mut self, note: Note) {
        let mut entry = note.entry(self.now);
        let Err(error) = self.commit_note(&mut entry) else { return };
        self.fail(&error);
        let Entry { actor, action, object, reason, .. } = &entry;
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        warn!(by = %actor.name, from = %actor.from, "the audit log may lack: {action}: {object}{why}");
    }

    fn commit_note(&mut self, entry: &mut Entry) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            self.write_pending()?;
            entry.revision = self.model.revision + 1;
            match self.commit(std::slice::from_ref(entry)) {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict(_)) => self.catch_up()?,
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable(BUSY.into()))
    }

    /// What is committed, and over it what is served from memory alone.
    fn want(&mut self) {
        let mut wanted = self.model.clone();
        for row in self.pending.iter().flat_map(|entry| &entry.rows) {
            wanted.set(&row.key, row.after.clone());
        }
        wanted.revision += self.pending.len() as u64;
        self.wanted = Arc::new(wanted);
    }

    /// Whether a row is served from memory alone.
    fn is_volatile(&self, key: &str) -> bool {
        self.pending.iter().flat_map(|entry| &entry.rows).any(|row| row.key == key)
    }

    /// Which answers a change may touch.
    fn touched_by(&self, entry: &Entry) -> Vec<Spot> {
        let scopes: BTreeSet<Scope> = entry.rows.iter().flat_map(RowChange::scopes).collect();
        scopes.iter().flat_map(|scope| self.base.spots_of(scope)).copied().collect()
    }

    /// Writes what is served from memory alone.
    pub(super) fn write_pending(&mut self) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            if self.pending.is_empty() {
                return Ok(());
            }
            let mut entries = self.pending.clone();
            for (entry, revision) in entries.iter_mut().zip(self.model.revision + 1..) {
                entry.revision = revision;
                entry.rows.iter_mut().for_each(|row| stamp(&mut row.after, revision));
            }
            match self.commit(&entries) {
                Ok(()) => {
                    info!(count = entries.len(), "what was served from memory is durable now");
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => self.catch_up()?,
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable(BUSY.into()))
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        if self.failing.is_none() {
            error!("the state cannot be written; DNS and reads go on: {error}");
        }
        let since = self.failing.as_ref().map_or(self.now, |(since, _)| *since);
        self.failing = Some((since, error.to_string()));
        self.show();
    }
}

/// Whether what came back is what waits: committed by a try that was taken for failed.
fn is_same(pending: &Entry, committed: &Entry) -> bool {
    let about = |entry: &Entry| {
        let Entry { time, actor, action, object, reason, forced, .. } = entry;
        (*time, actor.clone(), action.clone(), object.clone(), reason.clone(), *forced)
    };
    let rows = |entry: &Entry| -> Vec<(String, Option<Row>)> {
        entry.rows.iter().map(|row| (row.key.clone(), unstamped(row.after.clone()))).collect()
    };
    about(pending) == about(committed) && rows(pending) == rows(committed)
}

/// Whether what waits is so already.
fn is_in(model: &Model, pending: &Entry) -> bool {
    pending.rows.iter().all(|row| unstamped(model.get(&row.key)) == unstamped(row.after.clone()))
}

fn unstamped(mut row: Option<Row>) -> Option<Row> {
    stamp(&mut row, 0);
    row
}

/// The revision that last changed a row, into the row.
fn stamp(row: &mut Option<Row>, revision: u64) {
    match row {
        Some(Row::Drain(drain)) => drain.revision = revision,
        Some(Row::Split(split)) => split.revision = revision,
        Some(Row::Monitor(monitor)) => monitor.revision = revision,
        Some(Row::Policy(policy)) => policy.revision = revision,
        Some(Row::Migration(_) | Row::Token(_) | Row::Suspension(_)) | None => {}
    }
}
