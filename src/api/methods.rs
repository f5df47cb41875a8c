//! Methods that a path does not take.
//!
//! What files own is shown and not written: a write of it is a conflict with its file (DESIGN, decision 13), whatever
//! the method. Everything else is told which methods there are.

use std::sync::Arc;

use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{Method, StatusCode};
use axum::{RequestExt, RequestPartsExt};

use super::App;
use super::auth::identify;
use super::problem::Problem;
use super::routes::rules;
use super::shown::file;
use crate::state::base::Base;

/// Paths of what files own.
const OF_FILES: [&str; 6] = [
    "/api/v1/pops",
    "/api/v1/pops/{pop}",
    "/api/v1/pools",
    "/api/v1/pools/{pool}",
    "/api/v1/records",
    "/api/v1/records/{name}",
];

/// Refuses a method that a path does not take.
pub async fn refuse(State(app): State<Arc<App>>, mut request: Request) -> Problem {
    let route = request.extract_parts::<MatchedPath>().await;
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let method = request.method().clone();
    let writes = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    if OF_FILES.contains(&route) && writes.contains(&method) {
        // Which files there are is for those who may read.
        if let Err(problem) = identify(&app, &request) {
            return problem;
        }
        let (mut parts, _) = request.into_parts();
        let names = parts.extract::<RawPathParams>().await;
        let name = names.ok().and_then(|names| names.iter().next().map(|(_, name)| name.to_string()));
        let detail = owned(&app.state.view().base, route, &name.unwrap_or_default());
        return Problem::new(StatusCode::CONFLICT, detail);
    }
    let taken: Vec<&str> =
        rules().iter().filter(|(_, path, _)| path == route).map(|(method, _, _)| *method).collect();
    let taken = if taken.contains(&"GET") { [&["HEAD"], &taken[..]].concat() } else { taken };
    let taken = taken.join(", ");
    Problem::method_not_allowed(
        format!("{} does not take {method}; it takes {taken}", request.uri().path()),
        &taken,
    )
}

/// Where to write instead.
fn owned(base: &Base, route: &str, name: &str) -> String {
    let (kind, place) = match route.split('/').nth(3) {
        Some("pops") => ("PoP", base.pops.get(name).map(|pop| &pop.place)),
        Some("pools") => ("pool", base.pools.get(name).map(|pool| &pool.place)),
        _ => {
            let mut records = base.records.iter();
            let wanted = name.trim_end_matches('.');
            (
                "record",
                records.find(|record| record.name.eq_ignore_ascii_case(wanted)).map(|record| &record.place),
            )
        }
    };
    match place {
        Some(place) => format!(
            "the {kind} {name} belongs to {}; change it there, and POST /api/v1/reload, if the file is not watched",
            file(place)
        ),
        None => format!(
            "{kind}s belong to the files in filter-chains/; write it there, and POST /api/v1/reload, if they are not \
             watched"
        ),
    }
}
