//! How the node is: `/api/v1/status`, `/healthz`, `/readyz`, `/metrics`, `/api/v1/share`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::bodies::{Counts, FilesBody, GeoSource, Page, ReceiverBody, ShareBody, Status, StoreBody};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{Params, Part};
use super::{App, records};
use crate::health::notify::HookStatus;
use crate::state::model::Time;
use crate::state::view::{StoreState, View};

/// Says that the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "node",
    responses((status = 200, description = "It runs.", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether the node should get clients' queries.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "It should.", body = String, content_type = "text/plain"),
        (
            status = 503,
            description = "It should not, and why.",
            body = super::bodies::ProblemBody,
            content_type = "application/problem+json",
        ),
    ),
)]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    match app.state.view().not_ready() {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}"))),
    }
}

/// Shows the counters, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "node",
    responses((status = 200, description = "The counters.", body = String, content_type = "application/openmetrics-text")),
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, super::metrics::CONTENT_TYPE)], (app.hooks.metrics)()).into_response()
}

/// Shows how often each answer was given lately.
#[utoipa::path(
    get, path = "/api/v1/share", tag = "what there is",
    params(Part),
    responses((
        status = 200,
        description = "A part of the answers given over the last 1 and 10 minutes.",
        body = Page<ShareBody>,
    )),
)]
pub async fn share(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<ShareBody>>, Problem> {
    let shares = (app.hooks.shares)().into_iter().map(|share| (share.answer.clone(), share));
    let by_answer: BTreeMap<String, ShareBody> = shares.collect();
    Ok(Tagged(app.state.view().model.revision, part.of(by_answer.into_iter())?))
}

/// Shows how the node is.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "node",
    responses((status = 200, description = "The node.", body = Status)),
)]
pub async fn status(State(app): State<Arc<App>>) -> Tagged<Status> {
    let view = app.state.view();
    let now = app.now(&view);
    let not_ready = view.not_ready();
    let notices = (app.hooks.notices)();
    let silent = notices.iter().filter(|receiver| !receiver.error.is_empty()).map(silent);
    let silent: Vec<String> = silent.collect();
    let status = Status {
        node: app.node.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        revision: view.model.revision,
        uptime_s: app.begun.elapsed().as_secs(),
        ready: not_ready.is_none(),
        not_ready: not_ready.unwrap_or_default(),
        alarms: alarms(&view, now)
            .into_iter()
            .chain((app.hooks.health_alarms)(&view))
            .chain(silent)
            .collect(),
        store: StoreBody {
            state: match view.store.state {
                StoreState::Ok => "ok",
                StoreState::Failing => "failing",
                StoreState::Damaged => "damaged",
            }
            .into(),
            why: view.store.why.clone(),
            since: view.store.since,
            copy_made_at: view.store.copy_made_at,
        },
        files: FilesBody {
            loaded_at: view.loaded_at,
            load: view.load_number,
            warnings: view.warnings.iter().map(ToString::to_string).collect(),
            rejected_at: view.rejected.as_ref().map(|rejected| rejected.at),
            errors: view
                .rejected
                .iter()
                .flat_map(|rejected| &rejected.problems)
                .map(ToString::to_string)
                .collect(),
        },
        geo: view
            .world
            .sources()
            .map(|source| GeoSource { file: source.path().display().to_string(), about: source.to_string() })
            .collect(),
        counts: counts(&view, now),
        notices: notices.into_iter().map(receiver).collect(),
        not_durable: view.not_durable.clone(),
        last_change_s: last_change_s(&view),
    };
    Tagged(view.model.revision, status)
}

fn receiver(status: HookStatus) -> ReceiverBody {
    let HookStatus { to, delivered, failed, dropped, waiting, error } = status;
    ReceiverBody { to, delivered, failed, dropped, waiting, error }
}

/// That a receiver takes no notices, in words.
fn silent(status: &HookStatus) -> String {
    let HookStatus { to, waiting, error, .. } = status;
    format!("{to} does not take notices, and {waiting} wait: {error}")
}

fn counts(view: &View, now: Time) -> Counts {
    let (model, report) = (&view.model, &view.report);
    Counts {
        zones: report.zones,
        static_records: report.static_records,
        steered_records: report.steered_records,
        pools: view.base.pools.len(),
        pops: view.base.pops.len(),
        drains: model.drains.values().filter(|drain| drain.percent_at(now) > 0).count(),
        splits: model.splits.size(),
        migrations: model.migrations.values().filter(|migration| migration.is_open()).count(),
        stale_values: view.values.fed().filter(|(_, _, value)| value.is_stale(now)).count(),
    }
}

/// What a person should look at.
fn alarms(view: &View, now: Time) -> Vec<String> {
    let mut alarms: Vec<String> = view.clock_alarm.iter().cloned().collect();
    match view.store.state {
        StoreState::Ok => {}
        StoreState::Failing => alarms.push(format!("the state cannot be written: {}", view.store.why)),
        StoreState::Damaged => {
            let now = if view.store.copy_made_at.is_some() {
                "its copy is served"
            } else {
                "there is no copy of it"
            };
            alarms.push(format!(
                "the store is damaged, and {now}; `rhumb state accept` goes on from what is served"
            ));
        }
    }
    if !view.volatile.is_empty() {
        alarms.push(format!("NOT DURABLE: {} changes are served from memory alone", view.volatile.len()));
    }
    if view.rejected.is_some() {
        alarms.push("a change of the files was refused, and what they were before is served".into());
    }
    let stale = view.values.fed().filter(|(_, _, value)| value.is_stale(now));
    let feeds: std::collections::BTreeSet<&str> = stale.map(|(feed, _, _)| feed).collect();
    alarms.extend(
        feeds.into_iter().map(|feed| format!("values of the feed {feed} are older than they may be")),
    );
    alarms.extend(records::low_rungs(view));
    alarms
}

/// What the last change took until the next packet saw it, in seconds.
fn last_change_s(view: &View) -> f64 {
    let took =
        [&view.timings.commit, &view.timings.publish].map(|timing| timing.last().map(|last| last.took));
    took.into_iter().flatten().sum::<std::time::Duration>().as_secs_f64()
}
