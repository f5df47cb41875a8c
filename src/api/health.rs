//! Heartbeats, and `/api/v1/pools/{pool}/suspension`: what health is told, and stopping what it does.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::auth::Caller;
use super::bodies::{Changed, Heartbeat, Suspend};
use super::problem::Problem;
use super::splits::Removal;
use super::take::{IfMatch, Input, Params, maybe_seconds};
use super::write::{Ask, done, write};
use crate::state::change::Change;
use crate::state::load::{ByMetric, METRICS};

/// Takes a heartbeat of a push monitor, with the load of its answer where it says one.
#[utoipa::path(
    post, path = "/api/v1/monitors/{monitor}/heartbeat", tag = "health",
    params(("monitor" = String, Path, description = "Its name.")),
    request_body = Heartbeat,
    responses((status = 204, description = "It counts.")),
)]
pub async fn heartbeat(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(monitor): Path<String>,
    Input(body): Input<Heartbeat>,
) -> Result<StatusCode, Problem> {
    let view = app.state.view();
    let answer = view.base.answers().find(|answer| answer.id == body.answer);
    if let Some(own) = &caller.pool
        && answer.is_none_or(|answer| answer.pool.as_ref() != Some(own))
    {
        return Err(Problem::forbidden(format!("the token is confined to pool {own}")));
    }
    let Heartbeat { answer, loadavg, connections, requests } = body;
    let load = [loadavg, connections, requests];
    if let Some((name, _)) =
        METRICS.into_iter().zip(load).find(|(_, load)| load.is_some_and(|load| load < 0.0))
    {
        return Err(Problem::invalid(name, "is less than nothing; write 0 or more"));
    }
    let Some(said) = (app.hooks.heartbeat)(&monitor, &answer, load) else {
        return Err(Problem::not_found(format!(
            "there is no push monitor {monitor} for an answer {answer}; GET /api/v1/monitors lists what there is"
        )));
    };
    if load != ByMetric::default() {
        app.state.loads(vec![said]).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Stops what health does to a pool; verdicts go on counting.
#[utoipa::path(
    put, path = "/api/v1/pools/{pool}/suspension", tag = "health",
    params(("pool" = String, Path, description = "The pool.")),
    request_body = Suspend,
    responses((status = 200, description = "It is stopped.", body = Changed)),
)]
pub async fn suspend(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(pool): Path<String>,
    if_match: IfMatch,
    Input(body): Input<Suspend>,
) -> Result<Response, Problem> {
    let seconds = maybe_seconds("expires_in", body.expires_in.as_deref())?;
    let span = seconds.and_then(|seconds| i64::try_from(seconds).ok()).map(jiff::SignedDuration::from_secs);
    let now = app.now(&app.state.view());
    let until = span.map(|span| now.checked_add(span)).transpose();
    let until = until
        .map_err(|_| Problem::invalid("expires_in", "is longer than time goes; write one such as 2h"))?;
    let change = Change::Suspend { pool, until };
    let ask = Ask::new(change, body.reason, (body.dry_run, false), (if_match, body.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}

/// Lets health act on a pool again.
#[utoipa::path(
    delete, path = "/api/v1/pools/{pool}/suspension", tag = "health",
    params(("pool" = String, Path, description = "The pool."), Removal),
    responses((status = 200, description = "It acts again.", body = Changed)),
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(pool): Path<String>,
    if_match: IfMatch,
    Params(how): Params<Removal>,
) -> Result<Response, Problem> {
    let flags = (how.dry_run, how.force);
    let ask = Ask::new(Change::Unsuspend { pool }, how.reason, flags, (if_match, how.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}
