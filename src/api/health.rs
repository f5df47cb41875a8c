//! `/api/v1/monitors`, heartbeats, and `/api/v1/pools/{pool}/suspension`: what health says, and stopping what it
//! does.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::auth::Caller;
use super::bodies::{AddressBody, Changed, Heartbeat, HistoryLine, MonitorBody, Page, Suspend};
use super::problem::Problem;
use super::shown::Tagged;
use super::splits::Removal;
use super::take::{IfMatch, Input, Params, Part, maybe_seconds};
use super::write::{Ask, done, write};
use crate::health::MonitorStatus;
use crate::state::change::Change;

/// Which monitors.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this pool.
    pool: Option<String>,
    /// Only those that say so.
    up: Option<bool>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the part before ended: its `next`.
    cursor: Option<String>,
}

/// Lists what each monitor says of each answer.
#[utoipa::path(
    get, path = "/api/v1/monitors", tag = "health",
    params(Filter),
    responses((status = 200, description = "A part of the list.", body = Page<MonitorBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(filter): Params<Filter>,
) -> Result<Tagged<Page<MonitorBody>>, Problem> {
    let mut all = (app.hooks.monitors)();
    all.retain(|status| {
        let up = status.verdict.as_ref().map(|verdict| verdict.up);
        filter.pool.as_ref().is_none_or(|pool| *pool == status.pool)
            && filter.up.is_none_or(|wanted| up == Some(wanted))
    });
    let key = |status: &MonitorStatus| format!("{} {}", status.monitor, status.answer);
    all.sort_by_cached_key(key);
    let part = Part { limit: filter.limit, cursor: filter.cursor };
    let page = part.of(all.into_iter().map(|status| (key(&status), body(status))))?;
    Ok(Tagged(app.state.view().model.revision, page))
}

fn body(status: MonitorStatus) -> MonitorBody {
    let MonitorStatus { monitor, answer, pool, kind, verdict, addresses, history } = status;
    let addresses = addresses.into_iter().map(|address| AddressBody {
        address: address.address.map(|address| address.to_string()),
        up: address.up,
        checked_at: address.checked_at,
        error: address.error,
        warning: address.warning,
        latency_ms: address.latency_ms,
    });
    let line = |(at, up, why): (_, bool, String)| HistoryLine {
        time: at,
        what: if up { "up".into() } else { format!("down: {why}") },
    };
    MonitorBody {
        monitor,
        answer,
        pool,
        kind: kind.into(),
        up: verdict.as_ref().map(|verdict| verdict.up),
        since: verdict.as_ref().map(|verdict| verdict.since),
        error: verdict.as_ref().map_or_else(String::new, |verdict| verdict.error.clone()),
        flapping: verdict.as_ref().is_some_and(|verdict| verdict.flapping),
        frozen: verdict.as_ref().is_some_and(|verdict| verdict.frozen),
        addresses: addresses.collect(),
        history: history.into_iter().map(|event| line((event.at, event.up, event.why))).collect(),
    }
}

/// Takes a heartbeat of a push monitor.
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
    match (app.hooks.heartbeat)(&monitor, &body.answer) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!(
            "there is no push monitor {monitor} for an answer {}; GET /api/v1/monitors lists what there is",
            body.answer
        ))),
    }
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
