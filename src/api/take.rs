//! Taking requests apart: bodies, queries, expected revisions, cursors. What is wrong is a [`Problem`] that
//! names the field.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bodies::{Page, ReturnBody};
use super::problem::Problem;
use super::sent::{Sent, Wrong, read_query};
use crate::files::parse_duration;
use crate::state::model::Return;
use crate::state::policy::check_steps;

/// How long a body may be on its way: a client that sends a byte now and then must not hold us.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request. None at all counts as `{}`, where that says enough.
pub struct Input<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Input<T>, Problem> {
        let Some(sent) = sent(request, state).await? else {
            let empty = Sent::parse(b"{}").expect("it is JSON");
            let nothing = "the body is empty; send JSON, as /openapi.json describes it";
            return empty.read().map(Input).map_err(|_| Problem::bad_request(nothing));
        };
        sent.read().map(Input).map_err(|Wrong { field, message }| match field.as_str() {
            "" => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message),
            _ => Problem::invalid(field, message),
        })
    }
}

/// The body of a request as text that is JSON of its own form. What was exported comes back, whatever is in its
/// texts.
pub struct InputText(pub String);

impl<S: Send + Sync> FromRequest<S> for InputText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<InputText, Problem> {
        let sent = sent(request, state).await?;
        let sent = sent.ok_or_else(|| Problem::bad_request("the body is empty; send an export"))?;
        Ok(InputText(sent.into_value().to_string()))
    }
}

/// The JSON of a request; none where its body is empty.
async fn sent<S: Send + Sync>(request: Request, state: &S) -> Result<Option<Sent>, Problem> {
    let is_json = is_json(request.method(), request.headers());
    let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
    let slow = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let bytes = read.map_err(|_| slow())?.map_err(of_bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_json {
        let detail = "send the body as JSON, with `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let sent = Sent::parse(&bytes);
    sent.map(Some).map_err(|error| Problem::bad_request(format!("the body is no JSON: {error}")))
}

fn is_json(method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || *method == Method::PATCH && kind == "application/merge-patch+json"
}

fn of_bytes(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is longer than api.body_bytes_max allows; send less at once";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => Problem::bad_request("the body broke off"),
    }
}

/// The query of a request's address.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|error| Problem::bad_request(error.body_text()))?;
        read_query(pairs).map(Params).map_err(|Wrong { field, message }| {
            let problem = Problem::bad_request(message);
            if field.is_empty() { problem } else { problem.of_field(field) }
        })
    }
}

/// On what terms a write is made whose body says something else, or nothing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Terms {
    /// Why, for the audit log; may be empty.
    #[serde(default)]
    #[param(required = false)]
    pub reason: String,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    #[param(required = false)]
    pub dry_run: bool,
    /// The revision this was made for; another is refused with 412. `If-Match` says the same.
    pub expected_revision: Option<u64>,
}

/// The revision that `If-Match` asks for.
pub struct IfMatch(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IfMatch, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(IfMatch(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(IfMatch(None));
        }
        let number = text.trim_start_matches("W/").trim_matches('"').parse();
        let number = number.map_err(|_| {
            Problem::bad_request("If-Match: write the ETag of an earlier reply, such as \"17\"")
                .of_field("If-Match")
        })?;
        Ok(IfMatch(Some(number)))
    }
}

impl IfMatch {
    /// The expected revision, where the body may name one too.
    pub fn or(self, of_body: Option<u64>) -> Result<Option<u64>, Problem> {
        match (self.0, of_body) {
            (Some(header), Some(body)) if header != body => Err(Problem::invalid(
                "expected_revision",
                format!("it says {body}, and If-Match says {header}; send one of them"),
            )),
            (header, body) => Ok(header.or(body)),
        }
    }
}

/// A span of time, in whole seconds.
pub fn seconds(field: &'static str, text: &str) -> Result<u64, Problem> {
    let span: Duration = parse_duration(text).map_err(|message| Problem::invalid(field, message))?;
    Ok(span.as_secs())
}

/// A span of time, where one is given.
pub fn maybe_seconds(field: &'static str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    text.map(|text| seconds(field, text)).transpose()
}

/// A span of time in which something can happen, where one is given: at least a second.
pub fn maybe_span(field: &'static str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    match maybe_seconds(field, text)? {
        Some(0) => Err(Problem::invalid(field, format!("{field}: write at least 1s, or leave it out"))),
        seconds => Ok(seconds),
    }
}

/// A span of time in words.
pub fn span(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

/// The steps of a return.
pub fn return_steps(body: &ReturnBody) -> Result<Return, Problem> {
    let steps: Vec<i64> = body.steps.iter().map(|step| i64::from(*step)).collect();
    let steps = check_steps(&steps).map_err(|message| Problem::invalid("return.steps", message))?;
    Ok(Return { steps, pause_s: seconds("return.pause", &body.pause)? })
}

/// Items of a page where nobody says how many.
pub const PAGE_ITEMS_DEFAULT: usize = 100;
/// Items of the longest page.
pub const PAGE_ITEMS_MAX: usize = 1000;

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// Where the part before ended: its `next`.
    pub cursor: Option<String>,
}

impl Part {
    /// How many items.
    pub fn items(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(PAGE_ITEMS_DEFAULT) {
            limit @ 1..=PAGE_ITEMS_MAX => Ok(limit),
            other => {
                let detail = format!("{other} is out of range; write 1 to {PAGE_ITEMS_MAX}");
                Err(Problem::bad_request(detail).of_field("limit"))
            }
        }
    }

    /// The part of a list whose keys ascend.
    pub fn of<T: Serialize>(&self, list: impl Iterator<Item = (String, T)>) -> Result<Page<T>, Problem> {
        let limit = self.items()?;
        let after = |(key, _): &(String, T)| self.cursor.as_ref().is_none_or(|cursor| key > cursor);
        let mut rest = list.filter(after).peekable();
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < limit
            && let Some((key, item)) = rest.next()
        {
            items.push(item);
            last = Some(key);
        }
        let next = rest.peek().is_some().then_some(last).flatten();
        Ok(Page { items, next })
    }
}
