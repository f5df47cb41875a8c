//! `/api/v1/pools`: answers operated together.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::bodies::{Page, PoolBody};
use super::problem::Problem;
use super::shown::{self, Tagged, known_pool};
use super::take::{Params, Part};
use super::{App, policies};
use crate::state::base::BasePool;
use crate::state::guards::TakenOut;
use crate::state::model::Time;
use crate::state::policy::in_force;
use crate::state::view::View;

/// Lists the pools.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "what there is",
    params(Part),
    responses((status = 200, description = "A part of the list.", body = Page<PoolBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<PoolBody>>, Problem> {
    let view = app.state.view();
    let now = app.now(&view);
    let out = TakenOut::at_most(&view.model, now);
    let pools = view.base.pools.iter().map(|(name, pool)| (name.clone(), body(name, pool, &view, &out, now)));
    Ok(Tagged(view.model.revision, part.of(pools)?))
}

/// Shows a pool.
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}", tag = "what there is",
    params(("pool" = String, Path, description = "Its name.", example = "wss")),
    responses((status = 200, description = "The pool.", body = PoolBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Tagged<PoolBody>, Problem> {
    let view = app.state.view();
    let pool = known_pool(&view.base, &name)?;
    let now = app.now(&view);
    let out = TakenOut::at_most(&view.model, now);
    Ok(Tagged(view.model.revision, body(&name, pool, &view, &out, now)))
}

fn body(name: &str, pool: &BasePool, view: &View, out: &TakenOut, now: Time) -> PoolBody {
    PoolBody {
        pool: name.into(),
        file: shown::file(&pool.place),
        drained_percent: out.capacity(&view.base, name) * 100.0,
        max_drained_percent: in_force(&view.base, &view.model, name).max_drained_capacity * 100.0,
        suspended: view.model.suspensions.get(name).map(|suspension| suspension.reason.clone()),
        policy_from: policies::origin(name, view),
        answers: pool.answers.iter().map(|answer| shown::answer(answer, view, now)).collect(),
    }
}
