//! What is done because time has passed, and what is done with the store as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::said::{kept_of, values_of};
use super::{
    BACKUP_EVERY, COMPACT_EVERY, ENDED_KEPT_FOR, Keeper, Kept, LOG_KEPT, LOG_KEPT_FOR, TICK,
    TIMED_REFRESH_LEAST, TTLS_COUNTED_EVERY, VALUES_WRITTEN_EVERY,
};
use crate::state::change::{Change, MigrationStep, Refusal};
use crate::state::handle::{NOT_DAMAGED, Note, VALUES_AT_ONCE, Wish};
use crate::state::live::Touched;
use crate::state::migration;
use crate::state::model::{Actor, Entry, Row, RowChange, Time};
use crate::state::store::{Contents, StoreError};
use crate::state::ttl::upcoming;

impl Keeper {
    /// Does what time asks for.
    pub(super) fn keep_time(&mut self) {
        let is_running = self.wanted.migrations.values().any(|migration| migration.is_open());
        let has_rested = self.has_passed(TIMED_REFRESH_LEAST, self.timed_refresh);
        if let Some(stale) = self.stale.filter(|stale| has_rested && *stale <= self.now) {
            self.stale = self.values.next_stale(stale);
        }
        let is_due = has_rested && self.next_due().is_some_and(|due| due <= self.now);
        // What fell due while nobody was here, or could not be written when it did, is not due again.
        let has_waited = self.has_passed(TICK, self.looked);
        if !is_due && !is_running && !has_waited {
            return;
        }
        self.looked = self.elapsed;
        if self.failing.is_none() && matches!(self.store, Kept::Store(_)) {
            let refused = self.change_ourselves(&self.timed_wishes());
            self.change_ourselves(&refused);
        }
        if is_due {
            self.timed_refresh = self.elapsed;
            self.look_for_stale();
            self.publish(&Touched::All);
        }
    }

    /// Does what our own automation wishes for. A migration that is refused its step waits for a person: those
    /// are the wishes that come back.
    fn change_ourselves(&mut self, wishes: &[Wish]) -> Vec<Wish> {
        if wishes.is_empty() {
            return Vec::new();
        }
        let answers = self.change_all(wishes);
        let hold = |(wish, answer): (&Wish, Result<_, Refusal>)| {
            let refused = answer.err()?;
            warn!("our own automation was refused: {refused}");
            match (&wish.change, refused) {
                (Change::Migrate { step: MigrationStep::Hold, .. }, _) | (_, Refusal::Unavailable(_)) => None,
                (Change::Migrate { id, .. }, refused) => {
                    let change = Change::Migrate { id: id.clone(), step: MigrationStep::Hold };
                    Some(Wish::of_ours("rhumb", change, refused.to_string()))
                }
                _ => None,
            }
        };
        wishes.iter().zip(answers).filter_map(hold).collect()
    }

    /// Shortens TTLs while something is near. They are whole seconds, so once in each is enough.
    pub(super) fn count_down(&mut self) {
        let Some(most) = self.base.ranged().values().max() else { return };
        let has_rested = self.has_passed(TTLS_COUNTED_EVERY, self.ttls_counted);
        let is_near = |near: Time| near.duration_since(self.now).as_secs() <= i64::from(*most);
        if !has_rested || !self.near.is_some_and(is_near) {
            return;
        }
        self.ttls_counted = self.elapsed;
        let current = self.publisher.current().load_full();
        let (base, model, values) = (&self.base, &self.wanted, &self.values);
        let is_other = |(steering, most): &(&u32, &u32)| {
            let at = **steering as usize;
            current.live[at].upcoming != upcoming(&base.steerings[at], model, values, self.now, **most)
        };
        let touched: Vec<u32> = base.ranged().iter().filter(is_other).map(|(at, _)| *at).collect();
        if !touched.is_empty() {
            self.publish(&Touched::Near(touched));
        }
    }

    pub(super) fn timed_wishes(&self) -> Vec<Wish> {
        let (model, now) = (&self.wanted, self.now);
        let ours = |change, why: String| Wish::of_ours("rhumb", change, why);
        let drains = model
            .drains
            .values()
            .filter(|drain| drain.is_over(now))
            .map(|drain| ours(Change::EndDrain { id: drain.id.clone() }, "every client is back".into()));
        let migrations = model.migrations.values().filter_map(|migration| {
            let (step, why) = migration::due(migration, &self.base, &self.values, now)?;
            let why = if matches!(step, MigrationStep::Advance(_)) { "it has soaked".into() } else { why };
            Some(ours(Change::Migrate { id: migration.id.clone(), step }, why))
        });
        let is_over = |until: Option<Time>| until.is_some_and(|until| until <= now);
        let suspensions = model.suspensions.values().filter(|s| is_over(s.until)).map(|suspension| {
            ours(Change::Unsuspend { pool: suspension.pool.clone() }, "its time is over".into())
        });
        drains.chain(migrations).chain(suspensions).collect()
    }

    /// Writes behind, copies, compacts, frees.
    pub(super) fn keep_house(&mut self) {
        self.publisher.free_retired();
        if self.has_passed(VALUES_WRITTEN_EVERY, self.values_written) {
            self.values_written = self.elapsed;
            let unwritten = std::mem::take(&mut self.unwritten);
            self.writing.extend(unwritten);
            self.write_values();
            if !self.pending.is_empty()
                && let Err(error) = self.write_pending()
            {
                self.fail(&error);
            }
            self.accept_after_a_while();
        } else if !self.writing.is_empty() {
            self.write_values();
        }
        // What a process finds is copied at once, and so is the first change of a new store.
        let has_rested = self.backed_up.is_none_or(|at| self.has_passed(BACKUP_EVERY, at));
        if has_rested && self.model.revision > 0 && self.copied != Some(self.model.revision) {
            self.back_up();
        }
        if self.has_passed(COMPACT_EVERY, self.compacted) {
            self.compacted = self.elapsed;
            self.compact();
        }
    }

    fn has_passed(&self, span: Duration, since: Duration) -> bool {
        self.elapsed.saturating_sub(since) >= span
    }

    /// Writes a part of the values: who wishes for something meanwhile comes before the next one.
    fn write_values(&mut self) {
        // A store that failed is tried again, even when there is nothing to write: nobody may wish for anything
        // for hours.
        if self.writing.is_empty() && self.failing.is_none() {
            return;
        }
        let rest = match self.writing.keys().nth(VALUES_AT_ONCE).cloned() {
            Some(first) => self.writing.split_off(&first),
            None => BTreeMap::new(),
        };
        let (part, now) = (std::mem::replace(&mut self.writing, rest), self.now);
        let written = self.store().and_then(|store| store.put_values(&part, now));
        // A commit that was cut short may have happened all the same.
        let caught_up = |written| if self.failing.is_some() { self.catch_up() } else { Ok(written) };
        if let Err(error) = written.and_then(caught_up) {
            // What came in the meantime is newer; the store is tried again in a second.
            let rest = std::mem::take(&mut self.writing);
            let newer = std::mem::replace(&mut self.unwritten, part);
            self.unwritten.extend(rest.into_iter().chain(newer));
            self.fail(&error);
        } else if self.pending.is_empty() && self.failing.take().is_some() {
            info!("the store can be written again");
            self.show();
        }
    }

    /// Writes what is not written yet, before the end.
    pub(super) fn write_all_values(&mut self) {
        let unwritten = std::mem::take(&mut self.unwritten);
        self.writing.extend(unwritten);
        loop {
            self.write_values();
            if self.writing.is_empty() {
                break;
            }
        }
    }

    pub(super) fn back_up(&mut self) {
        self.backed_up = Some(self.elapsed);
        let now = self.now;
        let Kept::Store(store) = &mut self.store else { return };
        match store.back_up(now) {
            Ok(()) => self.copied = Some(self.model.revision),
            Err(error) => warn!("the state could not be copied: {error}"),
        }
    }

    pub(super) fn compact(&mut self) {
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

    pub(super) fn contents(&self) -> Contents {
        let mut values = self.kept.clone();
        for (feed, answer, said) in self.values.said() {
            let json = serde_json::to_string(said).expect("values are JSON");
            values.insert(format!("feed/{feed}/{answer}"), json);
        }
        for (answer, verdict) in self.values.verdicts() {
            let json = serde_json::to_string(verdict).expect("verdicts are JSON");
            values.insert(format!("verdict/{answer}"), json);
        }
        Contents { model: (*self.wanted).clone(), values, newest: Some(self.now) }
    }

    pub(super) fn import(
        &mut self,
        mut contents: Contents,
        note: Note,
        expected: Option<u64>,
    ) -> Result<u64, Refusal> {
        let current = self.wanted.revision;
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(Refusal::Stale { expected, current });
        }
        let unavailable = |error: StoreError| Refusal::Unavailable(error.to_string());
        // Watchers must see that it is new.
        contents.model.revision = contents.model.revision.max(self.model.revision + 1);
        let mut entry = note.entry(self.now);
        let replaced = self.store().and_then(|store| store.replace(&contents, entry.clone()));
        entry.revision = replaced.map_err(unavailable)?;
        contents.model.revision = entry.revision;
        self.take_contents(contents);
        self.tell(entry);
        Ok(self.model.revision)
    }

    pub(super) fn take_contents(&mut self, contents: Contents) {
        self.pending.clear();
        self.unwritten.clear();
        self.writing.clear();
        self.values = Arc::new(values_of(&contents.values));
        self.kept = kept_of(&contents.values);
        self.look_for_stale();
        self.model = contents.model;
        self.wanted = Arc::new(self.model.clone());
        self.publish(&Touched::All);
    }

    pub(super) fn accept(&mut self, note: Note) -> Result<(), Refusal> {
        let mut contents = self.contents();
        // What is served from memory alone may have had the last one.
        contents.model.revision += 1;
        let mut entry = note.entry(self.now);
        let Kept::Damaged { begin_anew, .. } = &mut self.store else {
            return Err(Refusal::Conflict(NOT_DAMAGED.into()));
        };
        let begun = begin_anew(&contents, entry.clone());
        let (store, revision) = begun.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        self.store = Kept::Store(store);
        (self.failing, self.backed_up) = (None, None);
        warn!("a new store begins with what is served");
        (contents.model.revision, entry.revision) = (revision, revision);
        self.take_contents(contents);
        self.tell(entry);
        Ok(())
    }

    pub(super) fn accept_after_a_while(&mut self) {
        // Without a copy it would begin empty, and only a person can say that this is right.
        let Kept::Damaged { copy_made_at: Some(_), accept_after: Some(after), .. } = &self.store else {
            return;
        };
        if !self.has_passed(*after, self.begun) {
            return;
        }
        let note = Note {
            actor: Actor { name: "rhumb".into(), from: String::new() },
            action: "accepted".into(),
            object: "what is served".into(),
            reason: "accept_backup_after is over".into(),
        };
        if let Err(error) = self.accept(note) {
            warn!("what is served could not be accepted: {error}");
        }
    }
}
