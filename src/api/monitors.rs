//! `/api/v1/monitors`: what they say, where they are from, and those that are set beside the files'.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::auth::Caller;
use super::bodies::{AddressBody, Changed, HistoryLine, MonitorBody, MonitorShown, NewMonitor, Origin, Page};
use super::problem::Problem;
use super::shown::{self, Tagged};
use super::splits::Removal;
use super::take::{IfMatch, Input, Params, Part};
use super::write::{Ask, done, write};
use crate::files::Json;
use crate::health::MonitorStatus;
use crate::state::change::{Change, no_such};
use crate::state::model::{Monitor, Role, Understood};
use crate::state::monitors::{FileMonitor, MonitorSpec};
use crate::state::view::View;

/// Which monitors.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this name.
    monitor: Option<String>,
    /// Of this answer.
    answer: Option<String>,
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
        filter.monitor.as_ref().is_none_or(|monitor| *monitor == status.monitor)
            && filter.answer.as_ref().is_none_or(|answer| *answer == status.answer)
            && filter.pool.as_ref().is_none_or(|pool| *pool == status.pool)
            && filter.up.is_none_or(|wanted| up == Some(wanted))
    });
    let key = |status: &MonitorStatus| format!("{} {}", status.monitor, status.answer);
    all.sort_by_cached_key(key);
    let part = Part { limit: filter.limit, cursor: filter.cursor };
    let view = app.state.view();
    let page = part.of(all.into_iter().map(|status| (key(&status), body(status, &view))))?;
    Ok(Tagged(view.model.revision, page))
}

/// Shows one: its fields, where it is from, and what it says.
#[utoipa::path(
    get, path = "/api/v1/monitors/{monitor}", tag = "health",
    params(("monitor" = String, Path, description = "Its name.", example = "wss-tcp")),
    responses((status = 200, description = "The monitor.", body = MonitorShown)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(monitor): Path<String>,
) -> Result<Tagged<MonitorShown>, Problem> {
    let view = app.state.view();
    let row = view.model.monitors.get(&monitor);
    let of_files = view.base.monitors.files.get(&monitor);
    let (from, mut fields) = match (row, of_files) {
        (Some(row), _) => (of_row(row, &view), row.row.fields.clone()),
        (None, Some(of_files)) => (of_file(of_files), of_files.written.clone()),
        (None, None) => {
            let known = view.base.monitors.names(&view.model.monitors);
            return Err(Problem::not_found(no_such("monitor", &monitor, known)));
        }
    };
    if !caller.role.includes(Role::Operate) {
        hide_headers(&mut fields);
    }
    let mut said = (app.hooks.monitors)();
    said.retain(|status| status.monitor == monitor);
    said.sort_by(|a, b| a.answer.cmp(&b.answer));
    let shown = MonitorShown {
        monitor,
        from,
        dormant: row.and_then(|row| view.base.monitors.dormant(row)),
        fields,
        answers: said.into_iter().map(|status| body(status, &view)).collect(),
    };
    Ok(Tagged(view.model.revision, shown))
}

/// They may hold what opens doors elsewhere.
fn hide_headers(fields: &mut Json) {
    let headers = fields.get_mut("headers").and_then(|headers| headers.as_object_mut());
    headers.into_iter().flatten().for_each(|(_, value)| *value = "(hidden)".into());
}

/// Sets a monitor beside the files', or in the place of the one of its name. It is probed at once.
#[utoipa::path(
    put, path = "/api/v1/monitors/{monitor}", tag = "health",
    params(("monitor" = String, Path, description = "Its name.", example = "wss-tcp")),
    request_body = NewMonitor,
    responses((status = 200, description = "It is probed.", body = Changed)),
)]
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(monitor): Path<String>,
    if_match: IfMatch,
    Input(body): Input<NewMonitor>,
) -> Result<Response, Problem> {
    let change = Change::SetMonitor { name: monitor, fields: body.fields };
    let flags = (body.dry_run, false);
    let ask = Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}

/// Takes a monitor away that was set; the files' of its name, if there is one, is in force again.
#[utoipa::path(
    delete, path = "/api/v1/monitors/{monitor}", tag = "health",
    params(("monitor" = String, Path, description = "Its name.", example = "wss-tcp"), Removal),
    responses((status = 200, description = "It no longer counts.", body = Changed)),
)]
pub async fn clear(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(monitor): Path<String>,
    if_match: IfMatch,
    Params(how): Params<Removal>,
) -> Result<Response, Problem> {
    let flags = (how.dry_run, how.force);
    let change = Change::ClearMonitor { name: monitor };
    let ask = Ask::new(change, how.reason, flags, (if_match, how.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}

/// Where the monitor of a name is from that is in force; a moment after it was taken out, none is.
fn in_force(name: &str, view: &View) -> Option<Origin> {
    let row = view.model.monitors.get(name).filter(|row| view.base.monitors.fitting(row).is_some());
    let of_files = || view.base.monitors.files.get(name).map(of_file);
    row.map(|row| of_row(row, view)).or_else(of_files)
}

fn of_file(monitor: &FileMonitor) -> Origin {
    Origin::File { file: shown::file(&monitor.place) }
}

fn of_row(monitor: &Understood<Monitor, MonitorSpec>, view: &View) -> Origin {
    let Monitor { name, owner, reason, since, revision, .. } = &monitor.row;
    Origin::Api {
        by: owner.clone(),
        since: *since,
        reason: reason.clone(),
        revision: *revision,
        instead_of: view.base.monitors.files.get(name).map(|monitor| shown::file(&monitor.place)),
    }
}

fn body(status: MonitorStatus, view: &View) -> MonitorBody {
    let MonitorStatus { monitor, answer, pool, kind, verdict, addresses, history } = status;
    let addresses = addresses.into_iter().map(|address| AddressBody {
        address: address.address.map(|address| address.to_string()),
        up: address.up,
        checked_at: address.checked_at,
        error: address.error,
        error_at: address.error_at,
        warning: address.warning,
        certificate_ends: address.certificate_ends,
        latency_ms: address.latency_ms,
    });
    let addresses: Vec<AddressBody> = addresses.collect();
    let line = |(at, up, why): (_, bool, String)| HistoryLine {
        time: at,
        what: if up { "up".into() } else { format!("down: {why}") },
    };
    MonitorBody {
        from: in_force(&monitor, view),
        monitor,
        answer,
        pool,
        kind: kind.into(),
        up: verdict.as_ref().map(|verdict| verdict.up),
        since: verdict.as_ref().map(|verdict| verdict.since),
        error: verdict.as_ref().map_or_else(String::new, |verdict| verdict.error.clone()),
        error_at: addresses.iter().filter_map(|address| address.error_at).max(),
        flapping: verdict.as_ref().is_some_and(|verdict| verdict.flapping),
        frozen: verdict.as_ref().is_some_and(|verdict| verdict.frozen),
        addresses,
        history: history.into_iter().map(|event| line((event.at, event.up, event.why))).collect(),
    }
}
