//! `/api/v1/drains`: taking answers out, and bringing them back.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::auth::Caller;
use super::bodies::{AuditLine, Changed, DrainBody, DrainPatch, Lift, NewDrain, Page};
use super::problem::Problem;
use super::shown::{self, Tagged};
use super::take::{IfMatch, Input, Params, Part, maybe_seconds, return_steps};
use super::write::{Ask, created, done, write};
use super::{audit, take};
use crate::state::change::{Change, DrainAsk, DrainEdit, Which};
use crate::state::model::Drain;

/// Which drains.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Whose.
    owner: Option<String>,
    /// Whose scope names this PoP.
    pop: Option<String>,
    /// Whose scope names this pool.
    pool: Option<String>,
    /// Whose scope names this stack.
    stack: Option<String>,
    /// `scheduled`, `active` or `returning`.
    state: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the part before ended: its `next`.
    cursor: Option<String>,
}

impl Filter {
    fn fits(&self, drain: &Drain) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&String>| wanted.is_none() || wanted.as_ref() == is;
        fits(&self.owner, Some(&drain.owner))
            && fits(&self.pop, drain.scope.pop.as_ref())
            && fits(&self.pool, drain.scope.pool.as_ref())
            && fits(&self.stack, drain.scope.stack.as_ref())
    }
}

/// Lists the drains.
#[utoipa::path(
    get, path = "/api/v1/drains", tag = "drains",
    params(Filter),
    responses((status = 200, description = "A part of the list.", body = Page<DrainBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(filter): Params<Filter>,
) -> Result<Tagged<Page<DrainBody>>, Problem> {
    let view = app.state.view();
    let now = app.now(&view);
    let drains = view.model.drains.values().filter(|drain| filter.fits(drain));
    let drains = drains.map(|drain| (drain.id.clone(), shown::drain(drain, &view, now)));
    let drains = drains.filter(|(_, body)| filter.state.as_ref().is_none_or(|state| *state == body.state));
    let part = Part { limit: filter.limit, cursor: filter.cursor.clone() };
    let is_identity = |cursor: &String| cursor.len() == 16 && cursor.bytes().all(|c| c.is_ascii_hexdigit());
    if !part.cursor.as_ref().is_none_or(is_identity) {
        return Err(Problem::bad_request("send the `next` of the part before").of_field("cursor"));
    }
    Ok(Tagged(view.model.revision, part.of(drains)?))
}

/// Lists what was done to drains, the newest first.
#[utoipa::path(
    get, path = "/api/v1/drains/history", tag = "drains",
    params(take::Part),
    responses((status = 200, description = "A part of the audit log.", body = Page<AuditLine>)),
)]
pub async fn history(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<AuditLine>>, Problem> {
    let is_of_drain =
        |entry: &crate::state::model::Entry| entry.rows.iter().any(|row| row.key.starts_with("drain/"));
    let revision = app.state.view().model.revision;
    Ok(Tagged(revision, audit::page(&app, &part, is_of_drain).await?))
}

/// Takes answers out. The same owner and scope is the same drain, so that a retry is safe.
#[utoipa::path(
    post, path = "/api/v1/drains", tag = "drains",
    request_body = NewDrain,
    responses(
        (
            status = 201,
            description = "It is served from the next packet on.",
            body = Changed,
            headers(("Location" = String, description = "Where it is shown from now on.")),
        ),
        (status = 200, description = "It was there before, or it was a dry run.", body = Changed),
    ),
)]
pub async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Input(body): Input<NewDrain>,
) -> Result<Response, Problem> {
    let ask = DrainAsk {
        scope: body.scope.into(),
        percent: body.percent,
        starts_at: body.starts_at,
        expires_in_s: maybe_seconds("expires_in", body.expires_in.as_deref())?,
        return_steps: body.return_steps.as_ref().map(return_steps).transpose()?,
    };
    let flags = (body.dry_run, body.force);
    let mut ask = Ask::new(Change::Drain(ask), body.reason, flags, (if_match, body.expected_revision))?;
    ask.volatile = body.volatile;
    let before = app.state.view().model.clone();
    let changed = write(&app, caller, ask).await?;
    let is_new = !changed.dry_run && !before.drains.contains_key(&changed.id);
    let location = format!("/api/v1/drains/{}", changed.id);
    Ok(if is_new { created(changed, &location) } else { done(changed) })
}

/// Shows a drain.
#[utoipa::path(
    get, path = "/api/v1/drains/{id}", tag = "drains",
    params(("id" = String, Path, description = "Its identity.")),
    responses((status = 200, description = "The drain.", body = DrainBody)),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Tagged<DrainBody>, Problem> {
    let view = app.state.view();
    let drain = view.model.drains.get(&id);
    let drain =
        drain.ok_or_else(|| Problem::not_found(format!("there is no drain {id}; it may have ended")))?;
    Ok(Tagged(view.model.revision, shown::drain(drain, &view, app.now(&view))))
}

/// Changes a drain. What is not sent stays as it is; null takes back what was said.
#[utoipa::path(
    patch, path = "/api/v1/drains/{id}", tag = "drains",
    params(("id" = String, Path, description = "Its identity.")),
    request_body = DrainPatch,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
    Input(body): Input<DrainPatch>,
) -> Result<Response, Problem> {
    let edit = DrainEdit {
        percent: body.percent,
        reason: body.reason.clone(),
        starts_at: body.starts_at,
        expires_in_s: match &body.expires_in {
            Some(span) => Some(maybe_seconds("expires_in", span.as_deref())?),
            None => None,
        },
        return_steps: match &body.return_steps {
            Some(steps) => Some(steps.as_ref().map(return_steps).transpose()?),
            None => None,
        },
    };
    let (reason, flags) = (body.reason.unwrap_or_default(), (body.dry_run, body.force));
    let change = Change::EditDrain { id, edit };
    write(&app, caller, Ask::new(change, reason, flags, (if_match, body.expected_revision))?).await.map(done)
}

/// How a drain is lifted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiftOne {
    /// At once, without the steps of the return.
    #[serde(default)]
    #[param(required = false)]
    now: bool,
    /// Why; may be empty.
    #[serde(default)]
    #[param(required = false)]
    reason: String,
    /// Serve it from memory while the store cannot be written.
    #[serde(default)]
    #[param(required = false)]
    volatile: bool,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    expected_revision: Option<u64>,
}

/// Lifts a drain: its clients come back by the steps of its return, or at once.
#[utoipa::path(
    delete, path = "/api/v1/drains/{id}", tag = "drains",
    params(("id" = String, Path, description = "Its identity."), LiftOne),
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn lift(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
    Params(how): Params<LiftOne>,
) -> Result<Response, Problem> {
    let change = Change::Undrain { which: Which::Id(id), now: how.now };
    let flags = (how.dry_run, how.force);
    let mut ask = Ask::new(change, how.reason, flags, (if_match, how.expected_revision))?;
    ask.volatile = how.volatile;
    write(&app, caller, ask).await.map(done)
}

/// Lifts the drains of a scope: one's own, or everybody's.
#[utoipa::path(
    post, path = "/api/v1/drains/lift", tag = "drains",
    request_body = Lift,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn lift_scope(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Input(body): Input<Lift>,
) -> Result<Response, Problem> {
    let which = Which::Scope { scope: body.scope.into(), all_owners: body.all_owners };
    let change = Change::Undrain { which, now: body.now };
    let flags = (body.dry_run, body.force);
    let mut ask = Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?;
    ask.volatile = body.volatile;
    write(&app, caller, ask).await.map(done)
}
