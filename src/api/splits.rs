//! `/api/v1/pools/{pool}/splits`: which share of a PoP's clients each stack gets.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::auth::Caller;
use super::bodies::{Changed, NewSplit, Page, SplitBody};
use super::problem::Problem;
use super::shown::{Tagged, known_pool, weights};
use super::take::{IfMatch, Input, Params, Part};
use super::write::{Ask, done, write};
use crate::state::change::{Change, no_such};
use crate::state::view::View;

/// Every PoP of the pool.
const EVERY_POP: &str = "*";

fn body(view: &View, pool: &str, pop: &str) -> SplitBody {
    let split = view.model.splits.get(&(pool.to_string(), pop.to_string()));
    let (weights, file_weights) = weights(view, pool, pop);
    SplitBody {
        pool: pool.into(),
        pop: pop.into(),
        weights,
        file_weights,
        owner: split.map(|split| split.owner.clone()),
        since: split.map(|split| split.since),
        revision: split.map(|split| split.revision),
    }
}

/// Lists the splits of a pool, one for each of its PoPs.
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}/splits", tag = "splits",
    params(("pool" = String, Path, description = "The pool.", example = "wss"), Part),
    responses((status = 200, description = "A part of the list.", body = Page<SplitBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(pool): Path<String>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<SplitBody>>, Problem> {
    let view = app.state.view();
    known_pool(&view.base, &pool)?;
    let pops = view.base.pops_of(&pool);
    let splits = pops.into_iter().map(|pop| (pop.to_string(), body(&view, &pool, pop)));
    Ok(Tagged(view.model.revision, part.of(splits)?))
}

/// Shows the split of a pool at a PoP.
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}/splits/{pop}", tag = "splits",
    params(
        ("pool" = String, Path, description = "The pool.", example = "wss"),
        ("pop" = String, Path, description = "The PoP.", example = "eu-west-1"),
    ),
    responses((status = 200, description = "The split.", body = SplitBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((pool, pop)): Path<(String, String)>,
) -> Result<Tagged<SplitBody>, Problem> {
    let view = app.state.view();
    known_pool(&view.base, &pool)?;
    let pops = view.base.pops_of(&pool);
    if !pops.contains(pop.as_str()) {
        return Err(Problem::not_found(no_such(&format!("PoP of pool {pool}"), &pop, pops)));
    }
    Ok(Tagged(view.model.revision, body(&view, &pool, &pop)))
}

/// Sets the weights of the stacks of a pool at a PoP, or with `*` at each.
#[utoipa::path(
    put, path = "/api/v1/pools/{pool}/splits/{pop}", tag = "splits",
    params(
        ("pool" = String, Path, description = "The pool.", example = "wss"),
        ("pop" = String, Path, description = "The PoP, or `*` for each.", example = "eu-west-1"),
    ),
    request_body = NewSplit,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((pool, pop)): Path<(String, String)>,
    if_match: IfMatch,
    Input(body): Input<NewSplit>,
) -> Result<Response, Problem> {
    let change = Change::Split { pool, pop: (pop != EVERY_POP).then_some(pop), weights: body.weights };
    let flags = (body.dry_run, body.force);
    write(&app, caller, Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?)
        .await
        .map(done)
}

/// How something is taken back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// Why; may be empty.
    #[serde(default)]
    #[param(required = false)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    #[param(required = false)]
    pub dry_run: bool,
    /// Pass the guards; needs a reason.
    #[serde(default)]
    #[param(required = false)]
    pub force: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    pub expected_revision: Option<u64>,
}

/// Goes back to the weights of the files, at a PoP or with `*` at each.
#[utoipa::path(
    delete, path = "/api/v1/pools/{pool}/splits/{pop}", tag = "splits",
    params(
        ("pool" = String, Path, description = "The pool.", example = "wss"),
        ("pop" = String, Path, description = "The PoP, or `*` for each.", example = "eu-west-1"),
        Removal,
    ),
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn clear(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((pool, pop)): Path<(String, String)>,
    if_match: IfMatch,
    Params(how): Params<Removal>,
) -> Result<Response, Problem> {
    let change = Change::ClearSplit { pool, pop: (pop != EVERY_POP).then_some(pop) };
    let flags = (how.dry_run, how.force);
    write(&app, caller, Ask::new(change, how.reason, flags, (if_match, how.expected_revision))?)
        .await
        .map(done)
}
