//! `/api/v1/audit`: who did what, when, from where, and why.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::bodies::{AuditLine, Page};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{Params, Part};
use crate::state::model::Entry;

/// Entries that are read at once.
const READ_AT_ONCE: usize = 500;
/// Entries that one request looks through at the most: a filter that fits nothing gets an empty part, and goes
/// on from its `next`.
const LOOKED_AT_MAX: usize = 5_000;

/// Which lines.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of whom.
    who: Option<String>,
    /// Of what was done: `drain`, `undrain`, `split`, ...
    action: Option<String>,
    /// Of rows whose key begins so: `drain/`, `split/wss/eu-west-1`, ...
    key: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the part before ended: its `next`.
    cursor: Option<String>,
}

/// Lists what was done, the newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit",
    params(Filter),
    responses((status = 200, description = "A part of the log.", body = Page<AuditLine>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(filter): Params<Filter>,
) -> Result<Tagged<Page<AuditLine>>, Problem> {
    let part = Part { limit: filter.limit, cursor: filter.cursor.clone() };
    let fits = |entry: &Entry| {
        filter.who.as_ref().is_none_or(|who| *who == entry.actor.name)
            && filter.action.as_ref().is_none_or(|action| *action == entry.action)
            && filter
                .key
                .as_ref()
                .is_none_or(|key| entry.rows.iter().any(|row| row.key.starts_with(key.as_str())))
    };
    let revision = app.state.view().model.revision;
    Ok(Tagged(revision, page(&app, &part, fits).await?))
}

/// A part of the log, as far as it fits.
pub async fn page(app: &App, part: &Part, fits: impl Fn(&Entry) -> bool) -> Result<Page<AuditLine>, Problem> {
    let limit = part.items()?;
    let mut before = match part.cursor.as_deref().map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(revision)) => revision,
        Some(Err(_)) => {
            return Err(Problem::bad_request("send the `next` of the part before").of_field("cursor"));
        }
    };
    let (mut items, mut looked_at) = (Vec::new(), 0);
    while looked_at < LOOKED_AT_MAX {
        let entries = app.state.log(before, READ_AT_ONCE).await?;
        let is_end = entries.len() < READ_AT_ONCE;
        looked_at += entries.len();
        for entry in entries {
            if items.len() == limit {
                return Ok(Page { items, next: Some(before.to_string()) });
            }
            before = entry.revision;
            if fits(&entry) {
                items.push(line(&entry));
            }
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: Some(before.to_string()) })
}

/// An entry as a line.
pub fn line(entry: &Entry) -> AuditLine {
    AuditLine {
        revision: entry.revision,
        time: entry.time,
        who: entry.actor.name.clone(),
        from: entry.actor.from.clone(),
        action: entry.action.clone(),
        object: entry.object.clone(),
        reason: entry.reason.clone(),
        forced: entry.forced,
        keys: entry.rows.iter().map(|row| row.key.clone()).collect(),
    }
}
