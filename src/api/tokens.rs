//! `/api/v1/tokens`: who may come in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;

use super::App;
use super::auth::{Caller, hash, name_of, new_secret, role_of};
use super::bodies::{Changed, MadeToken, NewToken, Page, TokenBody};
use super::problem::Problem;
use super::shown::Tagged;
use super::splits::Removal;
use super::take::{IfMatch, Input, Params, Part, maybe_seconds};
use super::write::{Ask, done, write};
use crate::state::change::Change;
use crate::state::model::Token;

/// Lists the tokens, without their secrets, which nobody has.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens",
    params(Part),
    responses((status = 200, description = "A part of the list.", body = Page<TokenBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<TokenBody>>, Problem> {
    let view = app.state.view();
    let tokens = view.model.tokens.values().map(|token| {
        let body = TokenBody {
            name: token.name.clone(),
            role: name_of(token.role).into(),
            pool: token.pool.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
        };
        (token.name.clone(), body)
    });
    Ok(Tagged(view.model.revision, part.of(tokens)?))
}

/// Makes a token. The reply has its secret, which cannot be shown again.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, with its secret.", body = MadeToken),
        (status = 200, description = "It was a dry run: there is no token.", body = Changed),
    ),
)]
pub async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Input(body): Input<NewToken>,
) -> Result<Response, Problem> {
    let view = app.state.view();
    let now = app.now(&view);
    let lives = maybe_seconds("expires_in", body.expires_in.as_deref())?;
    let until = lives.map(|seconds| {
        let span = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(SignedDuration::from_secs);
        let until = span.and_then(|span| now.checked_add(span).ok());
        until.ok_or_else(|| Problem::invalid("expires_in", "write a span of time such as 90d"))
    });
    let secret = new_secret()?;
    let token = Token {
        name: body.name.clone(),
        hash: hash(&secret),
        role: role_of(&body.role)?,
        pool: body.pool,
        created_at: now,
        expires_at: until.transpose()?,
    };
    let (change, flags) = (Change::CreateToken(token), (body.dry_run, false));
    let ask = Ask::new(change, String::new(), flags, (if_match, body.expected_revision))?;
    let changed = write(&app, caller, ask).await?;
    if changed.dry_run {
        return Ok(done(changed));
    }
    let made = MadeToken { name: body.name, token: secret, revision: changed.revision };
    Ok((StatusCode::CREATED, Tagged(changed.revision, made)).into_response())
}

/// Makes a token worthless, at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "What it is called.", example = "edge-automation"), Removal),
    responses((status = 200, description = "It is worthless.", body = Changed)),
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    if_match: IfMatch,
    Params(how): Params<Removal>,
) -> Result<Response, Problem> {
    let change = Change::RevokeToken { name };
    let flags = (how.dry_run, how.force);
    write(&app, caller, Ask::new(change, how.reason, flags, (if_match, how.expected_revision))?)
        .await
        .map(done)
}
