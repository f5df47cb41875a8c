//! `/api/v1/records`: the steered names, as the files have them and as they are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::App;
use super::bodies::{Page, RecordBody};
use super::problem::Problem;
use super::shown::{self, Tagged};
use super::take::{Params, Part};
use crate::engine::steering::Live;
use crate::state::base::BaseRecord;
use crate::state::change::no_such;
use crate::state::model::Time;
use crate::state::view::View;

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Those that give the answers of this pool.
    pool: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the part before ended: its `next`.
    cursor: Option<String>,
}

/// Lists the steered records.
#[utoipa::path(
    get, path = "/api/v1/records", tag = "what there is",
    params(Filter),
    responses((status = 200, description = "A part of the list.", body = Page<RecordBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(filter): Params<Filter>,
) -> Result<Tagged<Page<RecordBody>>, Problem> {
    let view = app.state.view();
    // The files have them in their own order, and a cursor needs one that a reload keeps.
    let fits = |record: &&BaseRecord| filter.pool.is_none() || record.pool == filter.pool;
    let sorted: BTreeMap<&str, &BaseRecord> =
        view.base.records.iter().filter(fits).map(|record| (record.name.as_str(), record)).collect();
    let records = sorted.into_iter().map(|(name, record)| (name.to_string(), body(record, &view)));
    let part = Part { limit: filter.limit, cursor: filter.cursor.clone() };
    Ok(Tagged(view.model.revision, part.of(records)?))
}

/// Shows a steered record, with its answers.
#[utoipa::path(
    get, path = "/api/v1/records/{name}", tag = "what there is",
    params(("name" = String, Path, description = "Its owner name.", example = "wss-primary.example.com")),
    responses((status = 200, description = "The record.", body = RecordBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Tagged<RecordBody>, Problem> {
    let view = app.state.view();
    let wanted = name.trim_end_matches('.');
    let record = view.base.records.iter().find(|record| record.name.eq_ignore_ascii_case(wanted));
    let Some(record) = record else {
        let known = view.base.records.iter().map(|record| record.name.as_str());
        return Err(Problem::not_found(no_such("steered record", wanted, known)));
    };
    let now: Time = app.now(&view);
    let answers = view.base.steerings[record.steering as usize].iter();
    let answers = answers.map(|answer| shown::answer(answer, &view, now)).collect();
    Ok(Tagged(view.model.revision, RecordBody { answers, ..body(record, &view) }))
}

fn body(record: &BaseRecord, view: &View) -> RecordBody {
    let filters = record
        .filters
        .iter()
        .map(|(name, disabled, config)| json!({ "filter": name, "disabled": disabled, "config": config }));
    RecordBody {
        record: record.name.clone(),
        file: shown::file(&record.place),
        ttl: record.ttl.max,
        pool: record.pool.clone(),
        filters: filters.collect(),
        rung: rung(&view.snapshot.live[record.steering as usize]).into(),
        answers: Vec::new(),
    }
}

/// The rung that most clients stand on: what is drained for half of them or less counts as there.
fn rung(live: &Live) -> &'static str {
    const HALF: u8 = 50;
    let any = |fits: &dyn Fn(usize) -> bool| {
        (0..live.meta.len()).any(|answer| live.split[answer] > 0.0 && fits(answer))
    };
    let is_up = |answer: usize| live.panic || live.meta[answer].up.is_up();
    if any(&|answer| live.drained[answer] <= HALF && is_up(answer)) {
        "up"
    } else if any(&|answer| live.drained[answer] <= HALF) {
        "down"
    } else if any(&|answer| live.drained[answer] < 100) {
        "partly_drained"
    } else {
        "drained"
    }
}

/// Records that stand on a rung of last resort, in words.
pub fn low_rungs(view: &View) -> Vec<String> {
    let low = view.base.records.iter().filter_map(|record| {
        let words = match rung(&view.snapshot.live[record.steering as usize]) {
            "up" => return None,
            "down" => "everything undrained is down, and answered all the same",
            "partly_drained" => "nothing is left that is not drained for most clients",
            _ => "everything is drained, and answered all the same",
        };
        Some(format!("{}: {words}", record.name))
    });
    // Ten thousand records of one pool say the same.
    const LINES_MAX: usize = 20;
    let mut lines: Vec<String> = low.collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("{more} more records are on a rung of last resort"));
    }
    lines
}
