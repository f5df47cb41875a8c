//! The road every write takes.
//!
//! ```text
//! Ask -> dry_run: decide on what is wanted now, write nothing ------> Changed (guards, impact)
//!     -> else: limits -> State::change, which serves it or refuses -> Changed, or Problem
//! Terms -> deed: what changes no row by itself is held against the same, and gets its line of the audit log
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};

use super::App;
use super::auth::Caller;
use super::bodies::Changed;
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{IfMatch, Terms};
use crate::state::base::Base;
use crate::state::change::{self, Change, Draft, MigrationStep, Refusal, Situation, Which};
use crate::state::guards::TakenOut;
use crate::state::keeper::{Note, Wish};
use crate::state::model::{Model, Scope, Time};
use crate::state::view::View;

/// What is asked for, as far as every write asks the same.
pub struct Ask {
    /// What.
    pub change: Change,
    /// Why.
    pub reason: String,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Pass the guards.
    pub force: bool,
    /// Serve it from memory while the store cannot be written.
    pub volatile: bool,
    /// The revision it was made for.
    pub expected: Option<u64>,
}

impl Ask {
    /// A change, and what most bodies say beside it.
    pub fn new(
        change: Change,
        reason: String,
        (dry_run, force): (bool, bool),
        (header, body): (IfMatch, Option<u64>),
    ) -> Result<Ask, Problem> {
        Ok(Ask { change, reason, dry_run, force, volatile: false, expected: header.or(body)? })
    }
}

/// Does what is asked for, or says what would happen.
pub async fn write(app: &Arc<App>, caller: Caller, ask: Ask) -> Result<Changed, Problem> {
    let before = app.state.view();
    let scopes = scopes_of(&ask.change, &before);
    if ask.dry_run {
        app.limits.count(&caller, true)?;
        let (draft, after) = draft(app, &before, &caller, &ask).await?;
        let changed = !draft.rows.is_empty();
        let mut notes = draft.words;
        notes.extend(fail_open(&before.base, &scopes, &after, app.now(&before)));
        let told = if changed { impact(app, before.clone(), after).await } else { None };
        return Ok(Changed {
            revision: before.model.revision,
            id: draft.id,
            action: draft.action.into(),
            object: draft.object,
            notes,
            changed,
            durable: true,
            dry_run: true,
            guards: draft.guards,
            impact: told,
            ttl_s: ttl_s(&before.base, &scopes),
        });
    }
    // Who waits for a change holds nothing of what was before: it is used again for what comes next.
    drop(before);
    app.limits.count(&caller, false)?;
    let wish = Wish {
        change: ask.change.clone(),
        actor: caller.actor.clone(),
        role: caller.role,
        pool: caller.pool.clone(),
        reason: ask.reason.clone(),
        expected: ask.expected,
        force: ask.force,
        volatile: ask.volatile,
    };
    let done = match app.state.change(wish).await {
        Ok(done) => done,
        Err(Refusal::Guarded(guards)) => {
            let (view, mut told) = (app.state.view(), None);
            if let Ok((_, after)) = draft(app, &view, &caller, &ask).await {
                told = impact(app, view, after).await;
            }
            return Err(Problem::from(Refusal::Guarded(guards)).with_impact(told));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if done.changed && concerns_health(&ask.change) {
        settle(app).await;
    }
    let after = app.state.view();
    let mut notes = done.words;
    notes.extend(done.forced.iter().map(|guard| format!("passed by force: {guard}")));
    notes.extend(fail_open(&after.base, &scopes, &after.model, app.now(&after)));
    if !done.durable {
        notes.push("NOT DURABLE: it is served from memory until the store can be written".into());
    }
    Ok(Changed {
        revision: done.revision,
        id: done.id,
        action: done.action,
        object: done.object,
        notes,
        changed: done.changed,
        durable: done.durable,
        dry_run: false,
        guards: done.forced,
        // Whoever wants to know whom it moves asks before: a write does not wait for that.
        impact: None,
        ttl_s: ttl_s(&after.base, &scopes),
    })
}

/// What is done and changes no row by itself.
pub struct Deed {
    /// The line of the audit log that says so, once it is done.
    pub note: Note,
    /// Only say what would happen.
    pub dry_run: bool,
    /// The revision it was made for.
    pub expected: Option<u64>,
}

/// Holds a deed against what every write is held against: its reason, its revision, and how often its caller writes.
pub fn deed(
    app: &App,
    caller: &Caller,
    (header, terms): (IfMatch, Terms),
    (action, object): (&str, String),
) -> Result<Deed, Problem> {
    let Terms { reason, dry_run, expected_revision } = terms;
    change::check_reason_if_any(&reason)?;
    let expected = header.or(expected_revision)?;
    check_expected(&app.state.view(), expected)?;
    app.limits.count(caller, dry_run)?;
    let note = Note { actor: caller.actor.clone(), action: action.into(), object, reason };
    Ok(Deed { note, dry_run, expected })
}

/// What became of a deed, or would.
pub fn said(deed: &Deed, revision: u64) -> Changed {
    Changed {
        revision,
        id: String::new(),
        action: deed.note.action.clone(),
        object: deed.note.object.clone(),
        notes: Vec::new(),
        changed: true,
        durable: true,
        dry_run: deed.dry_run,
        guards: Vec::new(),
        impact: None,
        ttl_s: 0,
    }
}

/// Refuses what was made for another revision than the newest.
pub fn check_expected(view: &View, expected: Option<u64>) -> Result<(), Refusal> {
    let current = view.model.revision;
    match expected.filter(|expected| *expected != current) {
        Some(expected) => Err(Refusal::Stale { expected, current }),
        None => Ok(()),
    }
}

/// The response to a write that made nothing new.
pub fn done(changed: Changed) -> Response {
    Tagged(changed.revision, changed).into_response()
}

/// The response to a write that made something new, where it can be read from now on.
pub fn created(changed: Changed, location: &str) -> Response {
    let mut response = done(changed);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// What a change would do to what is wanted now.
async fn draft(app: &App, view: &View, caller: &Caller, ask: &Ask) -> Result<(Draft, Model), Refusal> {
    check_expected(view, ask.expected)?;
    let current = view.model.revision;
    let mut change = ask.change.clone();
    if let Change::RollBack { to, since } = &mut change {
        let newer = app.state.since((*to).min(view.committed)).await?;
        *since = change::to_undo(*to, current, newer)?;
    }
    let situation = Situation {
        base: &view.base,
        model: &view.model,
        values: &view.values,
        now: app.now(view),
        actor: &caller.actor,
        role: caller.role,
        pool: caller.pool.as_deref(),
        reason: &ask.reason,
        force: ask.force,
    };
    let draft = change::decide(&change, &situation)?;
    let mut after = (*view.model).clone();
    draft.rows.iter().for_each(|row| after.set(&row.key, row.after.clone()));
    Ok((draft, after))
}

/// Whom a change moves; it may take long enough to be in the way of other requests.
pub async fn impact(app: &Arc<App>, view: Arc<View>, after: Model) -> Option<serde_json::Value> {
    let app = app.clone();
    // A report that trips over a mistake of ours is a report less, and no reason to refuse the change.
    tokio::task::spawn_blocking(move || (app.hooks.impact)(&view, &after)).await.ok().flatten()
}

/// Whether health probes or decides otherwise from then on.
fn concerns_health(change: &Change) -> bool {
    matches!(
        change,
        Change::SetMonitor { .. }
            | Change::ClearMonitor { .. }
            | Change::SetPolicy { .. }
            | Change::ClearPolicy { .. }
            | Change::RollBack { .. }
    )
}

/// Waits until health probes and decides by what is wanted now.
pub async fn settle(app: &Arc<App>) {
    let app = app.clone();
    // The change is made, whatever becomes of who waits for it.
    let _ = tokio::task::spawn_blocking(move || (app.hooks.settle)()).await;
}

/// What a change touches.
fn scopes_of(change: &Change, view: &View) -> Vec<Scope> {
    let of_pool = |pool: &str| vec![Scope { pool: Some(pool.into()), ..Scope::default() }];
    let of_drain =
        |id: &str| view.model.drains.get(id).map(|drain| drain.scope.clone()).into_iter().collect();
    match change {
        Change::Drain(ask) => vec![ask.scope.clone()],
        Change::EditDrain { id, .. }
        | Change::EndDrain { id }
        | Change::Undrain { which: Which::Id(id), .. } => of_drain(id),
        Change::Undrain { which: Which::Scope { scope, .. }, .. } => vec![scope.clone()],
        Change::Split { pool, .. } | Change::ClearSplit { pool, .. } => of_pool(pool),
        Change::StartMigration { plan, .. } => of_pool(&plan.pool),
        // Nobody gets another answer by these.
        Change::Migrate { step: MigrationStep::Hold | MigrationStep::Resume, .. } => Vec::new(),
        Change::Migrate { id, .. } => {
            view.model.migrations.get(id).map_or(Vec::new(), |migration| of_pool(&migration.plan.pool))
        }
        Change::RollBack { .. } => view.base.pools.keys().flat_map(|pool| of_pool(pool)).collect(),
        Change::CreateToken(_)
        | Change::RevokeToken { .. }
        | Change::Suspend { .. }
        | Change::Unsuspend { .. }
        | Change::SetMonitor { .. }
        | Change::ClearMonitor { .. }
        | Change::SetPolicy { .. }
        | Change::ClearPolicy { .. } => Vec::new(),
    }
}

fn steerings_of(base: &Base, scopes: &[Scope]) -> BTreeSet<u32> {
    scopes.iter().flat_map(|scope| base.steerings_of(scope)).collect()
}

/// The longest TTL of the records that scopes touch.
fn ttl_s(base: &Base, scopes: &[Scope]) -> u32 {
    base.ttl_max_of(steerings_of(base, scopes))
}

/// Records that have nothing undrained, in words: they are never left without an answer.
fn fail_open(base: &Base, scopes: &[Scope], model: &Model, now: Time) -> Option<String> {
    let out = TakenOut::at_most(model, now);
    let is_open = |steering: &u32| !out.leaves_any(&base.steerings[*steering as usize]);
    let name = match base.names_of(steerings_of(base, scopes).into_iter().filter(is_open))? {
        (first, 0) => first.to_string(),
        // Ten thousand names of one pool say the same.
        (first, more) => format!("{first} and {more} more records"),
    };
    Some(format!(
        "nothing is left undrained of {name}: they fail open, and go on answering with what is drained"
    ))
}
