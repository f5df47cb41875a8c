//! `/api/v1/pools/{pool}/policy`: how a pool is operated, and doing it otherwise than the files say.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;

use super::App;
use super::auth::Caller;
use super::bodies::{Changed, NewPolicy, Origin, PolicyBody};
use super::problem::Problem;
use super::shown::{self, Tagged, known_pool};
use super::splits::Removal;
use super::take::{IfMatch, Input, Params};
use super::write::{Ask, done, write};
use crate::state::change::Change;
use crate::state::model::Policy;
use crate::state::policy::{dormant, in_force, why_blind};
use crate::state::view::View;

/// Shows how a pool is operated, and who says so.
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}/policy", tag = "health",
    params(("pool" = String, Path, description = "The pool.", example = "wss")),
    responses((status = 200, description = "The policy that is in force.", body = PolicyBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(pool): Path<String>,
) -> Result<Tagged<PolicyBody>, Problem> {
    let view = app.state.view();
    let row = view.model.policies.get(&pool);
    let is_there = view.base.pools.contains_key(&pool);
    let fields = match (row, is_there) {
        // It outlives its pool.
        (Some(row), false) => row.row.fields.clone(),
        _ => {
            known_pool(&view.base, &pool)?;
            in_force(&view.base, &view.model, &pool).to_json()
        }
    };
    let from = origin(&pool, &view);
    let blind = is_there.then(|| why_blind(&view.base, &view.model, &pool)).flatten();
    let dormant = row.and_then(|row| dormant(&view.base, row));
    let dormant = dormant.into_iter().chain(blind).reduce(|one, other| format!("{one}; {other}"));
    Ok(Tagged(view.model.revision, PolicyBody { pool, from, dormant, fields }))
}

/// Where the policy of a pool is from; the pool or the policy must be there.
pub fn origin(pool: &str, view: &View) -> Origin {
    let of_files = view.base.pools.get(pool).map(|pool| shown::file(&pool.place));
    match view.model.policies.get(pool) {
        Some(row) => {
            let Policy { owner, reason, since, revision, .. } = row.row.clone();
            Origin::Api { by: owner, since, reason, revision, instead_of: of_files }
        }
        None => Origin::File { file: of_files.unwrap_or_default() },
    }
}

/// Operates a pool otherwise than the files say: wholly, from the next decision on.
#[utoipa::path(
    put, path = "/api/v1/pools/{pool}/policy", tag = "health",
    params(("pool" = String, Path, description = "The pool.", example = "wss")),
    request_body = NewPolicy,
    responses((status = 200, description = "It is in force.", body = Changed)),
)]
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(pool): Path<String>,
    if_match: IfMatch,
    Input(body): Input<NewPolicy>,
) -> Result<Response, Problem> {
    let change = Change::SetPolicy { pool, fields: body.fields };
    let flags = (body.dry_run, false);
    let ask = Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}

/// Operates a pool as the files say again.
#[utoipa::path(
    delete, path = "/api/v1/pools/{pool}/policy", tag = "health",
    params(("pool" = String, Path, description = "The pool.", example = "wss"), Removal),
    responses((status = 200, description = "What the files say is in force.", body = Changed)),
)]
pub async fn clear(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(pool): Path<String>,
    if_match: IfMatch,
    Params(how): Params<Removal>,
) -> Result<Response, Problem> {
    let flags = (how.dry_run, how.force);
    let ask = Ask::new(Change::ClearPolicy { pool }, how.reason, flags, (if_match, how.expected_revision))?;
    Ok(done(write(&app, caller, ask).await?))
}
