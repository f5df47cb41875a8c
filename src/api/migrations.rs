//! `/api/v1/migrations`: from one stack to another, PoP by PoP, in steps, and back in one call.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::auth::Caller;
use super::bodies::{
    AdvanceBody, Changed, GuardBody, HistoryLine, MigrationBody, MigrationPop, NewMigration, Page, ShareBody,
    StepBody,
};
use super::problem::Problem;
use super::shown::{Tagged, weights};
use super::take::{IfMatch, Input, Params, Part, maybe_span, span};
use super::write::{Ask, created, done, write};
use crate::state::base::Base;
use crate::state::change::{Change, MigrationStep, TEXT_CHARS_MAX, no_such};
use crate::state::migration::{due_at, step_number, steps};
use crate::state::model::{Migration, MigrationGuard, MigrationState, Plan};
use crate::state::view::View;

/// Which migrations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this pool.
    pool: Option<String>,
    /// `running`, `held`, `done` or `rolled_back`.
    state: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the part before ended: its `next`.
    cursor: Option<String>,
}

/// Lists the migrations; those that ended are kept for a month.
#[utoipa::path(
    get, path = "/api/v1/migrations", tag = "migrations",
    params(Filter),
    responses((status = 200, description = "A part of the list.", body = Page<MigrationBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(filter): Params<Filter>,
) -> Result<Tagged<Page<MigrationBody>>, Problem> {
    let (view, shares) = (app.state.view(), (app.hooks.shares)());
    let fits = |migration: &&Migration| {
        filter.pool.as_ref().is_none_or(|pool| *pool == migration.plan.pool)
            && filter.state.as_ref().is_none_or(|state| state == state_name(migration.state))
    };
    let migrations = view.model.migrations.values().filter(fits);
    let migrations =
        migrations.map(|migration| (migration.id.clone(), body(migration, &app, &view, &shares)));
    let part = Part { limit: filter.limit, cursor: filter.cursor.clone() };
    Ok(Tagged(view.model.revision, part.of(migrations)?))
}

/// Shows a migration: how far each PoP is, and what has happened.
#[utoipa::path(
    get, path = "/api/v1/migrations/{id}", tag = "migrations",
    params(("id" = String, Path, description = "Its identity.", example = "wss-1")),
    responses((status = 200, description = "The migration.", body = MigrationBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Tagged<MigrationBody>, Problem> {
    let view = app.state.view();
    let migration = view.model.migrations.get(&id);
    let missing = || Problem::not_found(no_such("migration", &id, view.model.migrations.keys()));
    let body = body(migration.ok_or_else(missing)?, &app, &view, &(app.hooks.shares)());
    Ok(Tagged(view.model.revision, body))
}

/// Begins a migration, with its first step.
#[utoipa::path(
    post, path = "/api/v1/migrations", tag = "migrations",
    params(
        (
            "Idempotency-Key" = Option<String>,
            Header,
            description = "Makes a second start of the same plan by the same token a repetition, also when it has \
                           ended; one that is open is never begun twice.",
        ),
    ),
    request_body = NewMigration,
    responses(
        (
            status = 201,
            description = "Its first step is served from the next packet on.",
            body = Changed,
            headers(("Location" = String, description = "Where it is shown from now on.")),
        ),
        (status = 200, description = "It had begun before, or it was a dry run.", body = Changed),
    ),
)]
pub async fn begin(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    if_match: IfMatch,
    Input(body): Input<NewMigration>,
) -> Result<Response, Problem> {
    let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default().trim());
    if key.is_some_and(|key| key.is_empty() || key.len() > TEXT_CHARS_MAX) {
        let detail = format!("write 1 to {TEXT_CHARS_MAX} visible characters");
        return Err(Problem::bad_request(detail).of_field("Idempotency-Key"));
    }
    let plan = plan(&body, &app.state.view().base)?;
    let change = Change::StartMigration { plan, idempotency_key: key.map(String::from) };
    let flags = (body.dry_run, body.force);
    let ask = Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?;
    let changed = write(&app, caller, ask).await?;
    let location = format!("/api/v1/migrations/{}", changed.id);
    Ok(if changed.changed && !changed.dry_run { created(changed, &location) } else { done(changed) })
}

fn plan(body: &NewMigration, base: &Base) -> Result<Plan, Problem> {
    let waves = match (body.pops.as_slice(), body.waves.is_empty()) {
        ([], true) => {
            return Err(Problem::invalid(
                "pops",
                "name the PoPs in order, or `*` alone for every one; or write waves",
            ));
        }
        ([], false) => body.waves.clone(),
        (_, false) => return Err(Problem::invalid("waves", "write either pops or waves")),
        ([every], true) if every == "*" => {
            base.pops_of(&body.pool).into_iter().map(|pop| vec![pop.to_string()]).collect()
        }
        (pops, true) => pops.iter().map(|pop| vec![pop.clone()]).collect(),
    };
    Ok(Plan {
        pool: body.pool.clone(),
        from: body.from.clone(),
        to: body.to.clone(),
        waves,
        steps: body.steps.clone(),
        soak_s: maybe_span("soak", body.soak.as_deref())?,
        guard: match body.guard {
            GuardBody::Hold => MigrationGuard::Hold,
            GuardBody::RollBack => MigrationGuard::RollBack,
            GuardBody::Ignore => MigrationGuard::Ignore,
        },
    })
}

/// Makes the next step of a migration. A retry that names the step makes no second one.
#[utoipa::path(
    post, path = "/api/v1/migrations/{id}/advance", tag = "migrations",
    params(("id" = String, Path, description = "Its identity.", example = "wss-1")),
    request_body = Option<AdvanceBody>,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn advance(
    app: State<Arc<App>>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    Input(body): Input<AdvanceBody>,
) -> Result<Response, Problem> {
    let AdvanceBody { step: wanted, reason, dry_run, force, expected_revision } = body;
    let body = Input(StepBody { reason, dry_run, force, expected_revision });
    step(app, caller, id, if_match, body, MigrationStep::Advance(wanted)).await
}

/// Keeps a migration where it is.
#[utoipa::path(
    post, path = "/api/v1/migrations/{id}/hold", tag = "migrations",
    params(("id" = String, Path, description = "Its identity.", example = "wss-1")),
    request_body = Option<StepBody>,
    responses((status = 200, description = "It waits.", body = Changed)),
)]
pub async fn hold(
    app: State<Arc<App>>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Input<StepBody>,
) -> Result<Response, Problem> {
    step(app, caller, id, if_match, body, MigrationStep::Hold).await
}

/// Lets a migration go on by itself, if its plan says so.
#[utoipa::path(
    post, path = "/api/v1/migrations/{id}/resume", tag = "migrations",
    params(("id" = String, Path, description = "Its identity.", example = "wss-1")),
    request_body = Option<StepBody>,
    responses((status = 200, description = "It goes on.", body = Changed)),
)]
pub async fn resume(
    app: State<Arc<App>>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Input<StepBody>,
) -> Result<Response, Problem> {
    step(app, caller, id, if_match, body, MigrationStep::Resume).await
}

/// Puts every PoP of a migration back to where it was before it began.
#[utoipa::path(
    post, path = "/api/v1/migrations/{id}/rollback", tag = "migrations",
    params(("id" = String, Path, description = "Its identity.", example = "wss-1")),
    request_body = Option<StepBody>,
    responses((status = 200, description = "It is served from the next packet on.", body = Changed)),
)]
pub async fn roll_back(
    app: State<Arc<App>>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Input<StepBody>,
) -> Result<Response, Problem> {
    step(app, caller, id, if_match, body, MigrationStep::RollBack).await
}

async fn step(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
    Input(body): Input<StepBody>,
    step: MigrationStep,
) -> Result<Response, Problem> {
    let flags = (body.dry_run, body.force);
    let change = Change::Migrate { id, step };
    write(&app, caller, Ask::new(change, body.reason, flags, (if_match, body.expected_revision))?)
        .await
        .map(done)
}

fn state_name(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Running => "running",
        MigrationState::Held => "held",
        MigrationState::Done => "done",
        MigrationState::RolledBack => "rolled_back",
    }
}

fn body(migration: &Migration, app: &App, view: &View, shares: &[ShareBody]) -> MigrationBody {
    let plan = &migration.plan;
    let waves = plan.waves.iter().enumerate();
    let pops = waves.flat_map(|(wave, pops)| pops.iter().map(move |pop| (wave, pop)));
    MigrationBody {
        id: migration.id.clone(),
        pool: plan.pool.clone(),
        from: plan.from.clone(),
        to: plan.to.clone(),
        waves: plan.waves.clone(),
        steps: plan.steps.clone(),
        step: step_number(migration),
        steps_in_all: steps(plan),
        soak: plan.soak_s.map(span),
        guard: match plan.guard {
            MigrationGuard::Hold => GuardBody::Hold,
            MigrationGuard::RollBack => GuardBody::RollBack,
            MigrationGuard::Ignore => GuardBody::Ignore,
        },
        state: state_name(migration.state).into(),
        why: migration.why.clone(),
        owner: migration.owner.clone(),
        started_at: migration.started_at,
        next_at: due_at(migration),
        pops: pops.map(|(wave, pop)| pop_body(migration, wave, pop, app, view, shares)).collect(),
        history: migration
            .history
            .iter()
            .map(|event| HistoryLine { time: event.time, what: event.what.clone() })
            .collect(),
    }
}

fn pop_body(
    migration: &Migration,
    wave: usize,
    pop: &str,
    app: &App,
    view: &View,
    shares: &[ShareBody],
) -> MigrationPop {
    let plan = &migration.plan;
    let state = match migration.state {
        MigrationState::RolledBack => "waiting",
        MigrationState::Done => "moved",
        _ if wave < migration.wave => "moved",
        _ if wave == migration.wave => "moving",
        _ => "waiting",
    };
    let (weights, _) = weights(view, &plan.pool, pop);
    let weight = |stack: &str| weights.get(stack).copied().unwrap_or(0.0);
    let (from, to) = (weight(&plan.from), weight(&plan.to));
    MigrationPop {
        pop: pop.into(),
        state: state.into(),
        percent: if from + to > 0.0 { to * 100.0 / (from + to) } else { 0.0 },
        wanted: (app.hooks.wanted)(view, &plan.pool, pop, &plan.to),
        observed: observed(shares, plan, pop),
    }
}

/// Percent of the answers of the PoP's two stacks that were the new stack's.
fn observed(shares: &[ShareBody], plan: &Plan, pop: &str) -> Option<f64> {
    let of = |stack: &str| -> u64 {
        let here = shares.iter().filter(|share| {
            share.pool.as_ref() == Some(&plan.pool)
                && share.pop.as_deref() == Some(pop)
                && share.stack.as_deref() == Some(stack)
        });
        here.map(|share| share.with_ecs_10m + share.without_ecs_10m).sum()
    };
    let (from, to) = (of(&plan.from), of(&plan.to));
    (from + to > 0).then(|| to as f64 * 100.0 / (from + to) as f64)
}
