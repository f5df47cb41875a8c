//! `/api/v1/state`, `/api/v1/rollback`, `/api/v1/clock`: everything that is wanted at once, and breaking glass.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::App;
use super::auth::Caller;
use super::bodies::{Changed, RollbackBody};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{IfMatch, Input, InputText, Params, Terms};
use super::write::{Ask, deed, done, impact, said, settle, write};
use crate::state::change::{Change, Refusal};
use crate::state::handle::NOT_DAMAGED;
use crate::state::store::export::{self, Export};
use crate::state::view::StoreState;

/// Puts drains, splits, monitors and policies back to where they were at a revision, and holds open migrations.
#[utoipa::path(
    post, path = "/api/v1/rollback", tag = "state",
    request_body = RollbackBody,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn roll_back(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Input(body): Input<RollbackBody>,
) -> Result<Response, Problem> {
    // The keeper fills in what was committed since, at the moment it commits.
    let change = Change::RollBack { to: body.to_revision, since: Vec::new() };
    let flags = (body.dry_run, body.force);
    write(&app, caller, Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?)
        .await
        .map(done)
}

/// Exports everything that is wanted, and what feeds and monitors say.
#[utoipa::path(
    get, path = "/api/v1/state", tag = "state",
    responses((status = 200, description = "As `rhumb state export` prints it.", body = serde_json::Value)),
)]
pub async fn export_all(State(app): State<Arc<App>>) -> Result<Tagged<serde_json::Value>, Problem> {
    let contents = app.state.export().await?;
    let export = Export::new(&contents, app.now(&app.state.view()));
    let json = serde_json::to_value(export).expect("an export is JSON");
    Ok(Tagged(contents.model.revision, json))
}

/// Replaces everything that is wanted by an export.
#[utoipa::path(
    put, path = "/api/v1/state", tag = "state",
    params(Terms),
    request_body = serde_json::Value,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn import_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(terms): Params<Terms>,
    InputText(text): InputText,
) -> Result<Response, Problem> {
    let export = Export::parse(&text).map_err(|message| Problem::invalid("body", message))?;
    let wrong = export::check(&export);
    if !wrong.is_empty() {
        return Err(Problem::invalid("body", wrong.join("; ")));
    }
    let what = ("imported", "everything that is wanted".to_string());
    let deed = deed(&app, &caller, (if_match, terms), what)?;
    let contents = export.contents();
    if deed.dry_run {
        let view = app.state.view();
        let notes = export::differences(&view.model, &contents.model);
        let mut changed = Changed { notes, ..said(&deed, view.model.revision) };
        changed.impact = impact(&app, view, contents.model).await;
        return Ok(done(changed));
    }
    let revision = app.state.import(contents, deed.note.clone(), deed.expected).await?;
    settle(&app).await;
    Ok(done(said(&deed, revision)))
}

/// Takes what is served for right, after the store was found damaged.
#[utoipa::path(
    post, path = "/api/v1/state/accept", tag = "state",
    params(Terms),
    responses((status = 200, description = "A new store begins with what is served.", body = Changed)),
)]
pub async fn accept(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(terms): Params<Terms>,
) -> Result<Response, Problem> {
    let deed = deed(&app, &caller, (if_match, terms), ("accepted", "what is served".into()))?;
    if !deed.dry_run {
        app.state.accept(deed.note.clone()).await?;
    } else if app.state.view().store.state != StoreState::Damaged {
        return Err(Refusal::Conflict(NOT_DAMAGED.into()).into());
    }
    Ok(done(said(&deed, app.state.view().model.revision)))
}

/// Takes the clock for right, after it jumped.
#[utoipa::path(
    post, path = "/api/v1/clock/accept", tag = "state",
    params(Terms),
    responses((status = 200, description = "Time goes on from what the clock says.", body = Changed)),
)]
pub async fn accept_clock(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(terms): Params<Terms>,
) -> Result<Response, Problem> {
    let deed = deed(&app, &caller, (if_match, terms), ("accepted", format!("the clock of {}", app.node)))?;
    let alarm = app.state.view().clock_alarm.clone();
    if !deed.dry_run {
        app.state.accept_clock(deed.note.clone()).await?;
    }
    let notes = alarm.into_iter().collect();
    Ok(done(Changed { notes, ..said(&deed, app.state.view().model.revision) }))
}
