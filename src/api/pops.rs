//! `/api/v1/pops`: sites, and how each stands in its pools.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};

use super::App;
use super::bodies::{Page, PopBody, PopPool, ShareBody};
use super::problem::Problem;
use super::shown::{self, Tagged, weights};
use super::take::{Params, Part};
use crate::state::base::{BaseAnswer, BasePop};
use crate::state::change::no_such;
use crate::state::live::{drained, weight};
use crate::state::model::Time;
use crate::state::policy::in_force;
use crate::state::view::View;

/// Lists the sites.
#[utoipa::path(
    get, path = "/api/v1/pops", tag = "what there is",
    params(Part),
    responses((status = 200, description = "A part of the list.", body = Page<PopBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<PopBody>>, Problem> {
    let (view, shares) = (app.state.view(), (app.hooks.shares)());
    let now = app.now(&view);
    let pops = view.base.pops.iter().map(|(name, pop)| (name.clone(), body(name, pop, &view, &shares, now)));
    Ok(Tagged(view.model.revision, part.of(pops)?))
}

/// Shows a site.
#[utoipa::path(
    get, path = "/api/v1/pops/{pop}", tag = "what there is",
    params(("pop" = String, Path, description = "Its name.", example = "eu-west-1")),
    responses((status = 200, description = "The site.", body = PopBody)),
)]
pub async fn show(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Tagged<PopBody>, Problem> {
    let view = app.state.view();
    let Some(pop) = view.base.pops.get(&name) else {
        return Err(Problem::not_found(no_such("PoP", &name, view.base.pops.keys())));
    };
    Ok(Tagged(view.model.revision, body(&name, pop, &view, &(app.hooks.shares)(), app.now(&view))))
}

fn body(name: &str, pop: &BasePop, view: &View, shares: &[ShareBody], now: Time) -> PopBody {
    let pools = view.base.pools.keys().filter(|pool| view.base.stacks(pool, name).next().is_some());
    PopBody {
        pop: name.into(),
        city: pop.city.clone(),
        file: shown::file(&pop.place),
        pools: pools.map(|pool| in_pool(name, pool, view, shares, now)).collect(),
    }
}

fn in_pool(pop: &str, pool: &str, view: &View, shares: &[ShareBody], now: Time) -> PopPool {
    let answers: Vec<&BaseAnswer> = view.base.stacks(pool, pop).collect();
    let used = || answers.iter().filter(|answer| weight(&view.model, answer) > 0.0);
    // A client that loses one stack goes to another, as long as there is one.
    let percent =
        |answer: &&&BaseAnswer| drained(&view.model, answer, now).first().map_or(0, |(_, percent)| *percent);
    let drained_percent = used().map(|answer| percent(&answer)).min();
    let is_up = |answer: &&&BaseAnswer| view.values.live_meta(answer, now).up.is_up();
    let state = match drained_percent {
        None => "weightless",
        Some(100) => "drained",
        Some(_) if !used().any(|answer| is_up(&answer)) => "down",
        Some(0) => "serving",
        Some(_) => "draining",
    };
    let policy = in_force(&view.base, &view.model, pool);
    let pops = view.base.pops_of(pool);
    let capacities: BTreeMap<&str, f64> = policy.capacities(pops.iter().copied()).collect();
    let (all, capacity) = (capacities.values().sum::<f64>(), capacities.get(pop).copied().unwrap_or(0.0));
    PopPool {
        pool: pool.into(),
        state: state.into(),
        drained_percent: drained_percent.unwrap_or(0).into(),
        weights: weights(view, pool, pop).0,
        capacity,
        capacity_percent: if all > 0.0 { capacity * 100.0 / all } else { 0.0 },
        share_1m: share(shares, pool, pop, |share| share.with_ecs_1m + share.without_ecs_1m),
        share_10m: share(shares, pool, pop, |share| share.with_ecs_10m + share.without_ecs_10m),
    }
}

/// Percent of a pool's answers that were of a PoP.
fn share(shares: &[ShareBody], pool: &str, pop: &str, count: impl Fn(&ShareBody) -> u64) -> Option<f64> {
    let of_pool = || shares.iter().filter(|share| share.pool.as_deref() == Some(pool));
    let all: u64 = of_pool().map(&count).sum();
    let here: u64 = of_pool().filter(|share| share.pop.as_deref() == Some(pop)).map(&count).sum();
    (all > 0).then(|| here as f64 * 100.0 / all as f64)
}
