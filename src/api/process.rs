//! `/api/v1/reload`, `/api/v1/log-level`: the process itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::auth::Caller;
use super::bodies::{LogLevel, Reloaded};
use super::problem::Problem;
use super::shown::Tagged;
use super::take::{Input, Params, Why};

/// Loads configuration, zones, chains and geo data anew; all of it or nothing.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "node",
    params(Why),
    responses((status = 200, description = "They are served from the next packet on.", body = Reloaded)),
)]
pub async fn reload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(why): Params<Why>,
) -> Result<Tagged<Reloaded>, Problem> {
    let note = why.note(&caller, "reloaded", format!("the files of {}", app.node))?;
    app.limits.count_change(&caller)?;
    let hooks = app.clone();
    // It reads files and compiles for seconds, which other requests need not wait for.
    let loaded = tokio::task::spawn_blocking(move || (hooks.hooks.reload)(note)).await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "loading ran into a bug of rhumb; the old state keeps serving",
        )
    })?;
    let view = app.state.view();
    match loaded {
        Ok(()) => {
            let warnings = view.warnings.iter().map(ToString::to_string).collect();
            Ok(Tagged(view.model.revision, Reloaded { load: view.load_number, warnings }))
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
    params(Why),
    request_body = LogLevel,
    responses((status = 200, description = "It is in force.", body = LogLevel)),
)]
pub async fn log_level(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(why): Params<Why>,
    Input(body): Input<LogLevel>,
) -> Result<axum::Json<LogLevel>, Problem> {
    let note = why.note(&caller, "log level", format!("{} at {}", body.level, app.node))?;
    app.limits.count_change(&caller)?;
    (app.hooks.set_log_level)(&body.level).map_err(|message| Problem::invalid("level", message))?;
    app.state.note(note).await;
    Ok(axum::Json(body))
}
