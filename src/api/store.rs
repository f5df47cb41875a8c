//! `/api/v1/state`, `/api/v1/rollback`, `/api/v1/clock`: everything that is wanted at once, and breaking glass.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::App;
use super::auth::Caller;
use super::bodies::{Changed, RollbackBody};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{IfMatch, Input, InputText, Params, Why};
use super::write::{Ask, done, settle, write};
use crate::state::change::Change;
use crate::state::store::export::{self, Export};

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

/// What is said of an import.
const IMPORTED: (&str, &str) = ("imported", "everything that is wanted");

/// Replaces everything that is wanted by an export.
#[utoipa::path(
    put, path = "/api/v1/state", tag = "state",
    params(Why),
    request_body = serde_json::Value,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn import_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(why): Params<Why>,
    InputText(text): InputText,
) -> Result<Response, Problem> {
    let export = Export::parse(&text).map_err(|message| Problem::invalid("body", message))?;
    let wrong = export::check(&export);
    if !wrong.is_empty() {
        return Err(Problem::invalid("body", wrong.join("; ")));
    }
    if let Some(expected) = if_match.0 {
        let current = app.state.view().model.revision;
        if expected != current {
            return Err(crate::state::change::Refusal::Stale { expected, current }.into());
        }
    }
    let note = why.note(&caller, IMPORTED.0, IMPORTED.1.into())?;
    app.limits.count_change(&caller)?;
    let revision = app.state.import(export.contents(), note).await?;
    settle(&app).await;
    Ok(done(said(revision, IMPORTED.0, IMPORTED.1)))
}

/// Takes what is served for right, after the store was found damaged.
#[utoipa::path(
    post, path = "/api/v1/state/accept", tag = "state",
    params(Why),
    responses((status = 200, description = "A new store begins with what is served.", body = Changed)),
)]
pub async fn accept(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(why): Params<Why>,
) -> Result<Response, Problem> {
    app.state.accept(why.note(&caller, "accepted", "what is served".into())?).await?;
    Ok(done(said(app.state.view().model.revision, "accepted", "what is served")))
}

/// Takes the clock for right, after it jumped.
#[utoipa::path(
    post, path = "/api/v1/clock/accept", tag = "state",
    params(Why),
    responses((status = 200, description = "Time goes on from what the clock says.", body = Changed)),
)]
pub async fn accept_clock(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(why): Params<Why>,
) -> Result<Response, Problem> {
    app.state.accept_clock(why.note(&caller, "accepted", format!("the clock of {}", app.node))?).await?;
    Ok(done(said(app.state.view().model.revision, "accepted", "the clock")))
}

fn said(revision: u64, action: &str, object: &str) -> Changed {
    Changed {
        revision,
        id: String::new(),
        action: action.into(),
        object: object.into(),
        notes: Vec::new(),
        changed: true,
        durable: true,
        dry_run: false,
        guards: Vec::new(),
        impact: None,
        ttl_s: 0,
    }
}
