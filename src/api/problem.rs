//! Errors, as JSON, in one place (RFC 9457).
//!
//! ```text
//! Refusal, rejections of axum, a panic -> Problem -> application/problem+json
//! ```
//!
//! Handlers return a [`Problem`]; what axum refuses by itself (no such path, no such method) passes through
//! [`see_through`] on its way out. Nothing of our inside is in them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::error;

use super::App;
use super::bodies::ProblemBody;
use crate::files;
use crate::state::change::Refusal;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Debug)]
pub struct Problem {
    // Most results are no problem: they should not carry the room for one.
    body: Box<ProblemBody>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What the type of a problem begins with; after it comes the kind, which has a section of its own in docs/api.md.
/// A name and no place: what it says does not depend on which server says it.
const TYPE_PREFIX: &str = "urn:rhumb:problem:";

/// What kinds there are: the last part of the type, and the title.
fn kind(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("bad-request", "The request cannot be read"),
        StatusCode::UNAUTHORIZED => ("unauthorized", "Who asks is not known"),
        StatusCode::FORBIDDEN => ("forbidden", "Who asks may not"),
        StatusCode::NOT_FOUND => ("not-found", "It names something that is not there"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "The resource does not do that"),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "The request did not come in time"),
        StatusCode::CONFLICT => ("conflict", "It does not fit what is there"),
        StatusCode::GONE => ("gone", "What it asks for is no longer kept"),
        StatusCode::PRECONDITION_FAILED => ("stale", "The state has changed since"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The body is too long"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media-type", "The body is not JSON"),
        StatusCode::UNPROCESSABLE_ENTITY => ("invalid", "A field is wrong"),
        StatusCode::TOO_MANY_REQUESTS => ("too-many", "Too many requests"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "The state cannot be written or read"),
        _ => ("internal", "A bug of rhumb"),
    }
}

impl Problem {
    /// A problem of a status, and what is wrong here.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let (anchor, title) = kind(status);
        let body = ProblemBody {
            kind: format!("{TYPE_PREFIX}{anchor}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            object: None,
            field: None,
            revision: None,
            guards: Vec::new(),
            impact: None,
        };
        Problem { body: Box::new(body), header: None }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422 of a field.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).of_field(field)
    }

    /// 401, with the way to say who one is.
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        let mut problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
        problem.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rhumb\"")));
        problem
    }

    /// 405, with the methods that there are.
    pub fn method_not_allowed(detail: impl Into<String>, allowed: &str) -> Problem {
        let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        problem.header = HeaderValue::from_str(allowed).ok().map(|allowed| (ALLOW, allowed));
        problem
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// 429, with the time after which it is worth another try.
    pub fn too_many(detail: impl Into<String>, wait: Duration) -> Problem {
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
        problem.header = Some((RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1)));
        problem
    }

    /// The same, with the field that is wrong.
    pub fn of_field(mut self, field: impl Into<String>) -> Problem {
        self.body.field = Some(field.into());
        self
    }

    /// The same, with what a change that a guard stands before would do.
    pub fn with_impact(mut self, impact: Option<serde_json::Value>) -> Problem {
        self.body.impact = impact;
        self
    }

    /// It as a line among others: the field, and what is wrong.
    pub fn line(&self) -> String {
        let field = self.body.field.as_ref().map_or(String::new(), |field| format!("{field}: "));
        field + &self.body.detail
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).expect("it was made from one")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound(_) => Problem::not_found(detail),
            Refusal::Invalid { field, message } => Problem::invalid(field, message),
            Refusal::Fields(problems) => of_fields(&problems),
            Refusal::Forbidden(_) => Problem::forbidden(detail),
            Refusal::Conflict(_) => Problem::new(StatusCode::CONFLICT, detail),
            Refusal::Guarded(guards) => {
                let stand = match guards.len() {
                    1 => "a guard stands before it, see `guards`".to_string(),
                    more => format!("{more} guards stand before it, see `guards`"),
                };
                let detail = format!(
                    "{stand}; `\"dry_run\": true` says what it would do, `\"force\": true` with a reason does it"
                );
                let mut problem = Problem::new(StatusCode::CONFLICT, detail);
                problem.body.kind = format!("{TYPE_PREFIX}guarded");
                problem.body.title = "A guard stands before it".into();
                problem.body.guards = guards;
                problem
            }
            Refusal::Stale { current, .. } => {
                let mut problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
                problem.body.revision = Some(current);
                problem
            }
            Refusal::Unavailable(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail),
        }
    }
}

/// Fields of a table: the first by name, and all of them in words, one a line.
fn of_fields(problems: &[files::Problem]) -> Problem {
    let words: Vec<String> = problems.iter().map(files::Problem::words).collect();
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, words.join("\n"));
    if let Some(first) = problems.first() {
        problem.body.object = Some(first.object.clone());
        problem.body.field = Some(first.field.clone()).filter(|field| !field.is_empty());
    }
    problem
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A person with curl reads it, and prints nothing else in the line of the prompt.
        let mut body = serde_json::to_vec_pretty(&self.body).expect("a problem is JSON");
        body.push(b'\n');
        let mut response = (self.status(), [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Sees every request through: counts it, and puts what axum refuses by itself, and a panic, into our form.
pub async fn see_through(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_string());
    // A request that trips over a mistake of ours must not take its connection along.
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => in_our_form(response, &path).await,
        Err(_) => {
            error!(%method, path, "a request ran into a bug of rhumb");
            let detail = "the request ran into a bug of rhumb; please report it with the log of the server";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    };
    (app.hooks.served)(method.as_str(), route.as_deref(), response.status().as_u16());
    response
}

async fn in_our_form(response: Response, path: &str) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = match status {
        StatusCode::NOT_FOUND => {
            format!("there is nothing at {path}; what there is stands in /openapi.json")
        }
        _ => text_of(response.into_body()).await,
    };
    Problem::new(status, detail).into_response()
}

/// The text that axum gives with a rejection; it is short.
async fn text_of(body: Body) -> String {
    const OCTETS_MAX: usize = 4096;
    let bytes = axum::body::to_bytes(body, OCTETS_MAX).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
