//! `/api/v1/reload`, `/api/v1/log-level`: the process itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::auth::Caller;
use super::bodies::{LogLevel, Reloaded};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{IfMatch, Input, Params, Terms};
use super::write::{Deed, deed};
use crate::config::parse_level;

/// Loads configuration, zones, chains and geo data anew; all of it or nothing.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "node",
    params(Terms),
    responses((
        status = 200,
        description = "They are served from the next packet on; or of a dry run, they would be.",
        body = Reloaded,
    )),
)]
pub async fn reload(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(terms): Params<Terms>,
) -> Result<Tagged<Reloaded>, Problem> {
    let said = ("reloaded", format!("the files of {}", app.node));
    let Deed { note, dry_run, .. } = deed(&app, &caller, (if_match, terms), said)?;
    let room = app.clone();
    let load = move || match dry_run {
        true => (room.hooks.check_files)().map(Some),
        false => (room.hooks.reload)(note).map(|()| None),
    };
    // It reads files and compiles for seconds, which other requests need not wait for.
    let loaded = tokio::task::spawn_blocking(load).await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "loading ran into a bug of rhumb; the old state keeps serving",
        )
    })?;
    let view = app.state.view();
    match loaded {
        Ok(warnings) => {
            let warnings = warnings.as_ref().unwrap_or(&view.warnings).iter().map(ToString::to_string);
            let reloaded = Reloaded { load: view.load_number, warnings: warnings.collect(), dry_run };
            Ok(Tagged(view.model.revision, reloaded))
        }
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let detail =
                format!("the files do not compile, and the old state keeps serving:\n{}", lines.join("\n"));
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

/// Sets the level of the log until the process ends.
#[utoipa::path(
    put, path = "/api/v1/log-level", tag = "node",
    params(Terms),
    request_body = LogLevel,
    responses((status = 200, description = "It is in force; or of a dry run, it would be.", body = LogLevel)),
)]
pub async fn log_level(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Params(terms): Params<Terms>,
    Input(body): Input<LogLevel>,
) -> Result<Tagged<LogLevel>, Problem> {
    let said = ("log level", format!("{} at {}", body.level, app.node));
    let Deed { note, dry_run, .. } = deed(&app, &caller, (if_match, terms), said)?;
    let set = match dry_run {
        true => parse_level(&body.level).map(drop),
        false => (app.hooks.set_log_level)(&body.level),
    };
    set.map_err(|message| Problem::invalid("level", message))?;
    if !dry_run {
        app.state.note(note).await;
    }
    Ok(Tagged(app.state.view().model.revision, body))
}
