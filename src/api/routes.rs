//! Every route, once: method and path (of the handler), what it asks of its caller, and the handler.
//!
//! The router and the OpenAPI document are both made of this table, so that neither can have a route that the
//! other lacks, and a route without a rule cannot be written.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::auth::Rule::{self, Needs, NeedsAll, Open};
use super::auth::check;
use super::problem::{PROBLEM_JSON, Problem, see_through};
use super::take::Params;
use super::{
    App, audit, drains, events, explain, feeds, health, methods, migrations, monitors, policies, pools, pops,
    process, records, splits, status, store, tokens,
};
use crate::state::model::Role::{Admin, Drain, Feed, Operate, Read};

type Row = (Rule, UtoipaMethodRouter<Arc<App>>);

/// What the paths begin with of what a token is for.
const API: &str = "/api/v1";

/// The table. Each path has its methods in rows of their own, because each has its own rule.
fn table(metrics_public: bool) -> Vec<Row> {
    vec![
        (Open, routes!(status::healthz)),
        (Open, routes!(status::readyz)),
        (Open, routes!(openapi_json)),
        (if metrics_public { Open } else { Needs(Read) }, routes!(status::metrics)),
        (Needs(Read), routes!(status::status)),
        (Needs(Read), routes!(status::share)),
        (Needs(Read), routes!(pops::list)),
        (Needs(Read), routes!(pops::show)),
        (Needs(Read), routes!(pools::list)),
        (Needs(Read), routes!(pools::show)),
        (Needs(Read), routes!(records::list)),
        (Needs(Read), routes!(records::show)),
        (Needs(Read), routes!(drains::list)),
        (Needs(Read), routes!(drains::history)),
        (Needs(Drain), routes!(drains::make)),
        (Needs(Read), routes!(drains::show)),
        (Needs(Drain), routes!(drains::edit)),
        (Needs(Drain), routes!(drains::lift)),
        (Needs(Drain), routes!(drains::lift_scope)),
        (Needs(Read), routes!(splits::list)),
        (Needs(Read), routes!(splits::show)),
        (Needs(Operate), routes!(splits::set)),
        (Needs(Operate), routes!(splits::clear)),
        (Needs(Read), routes!(migrations::list)),
        (Needs(Read), routes!(migrations::show)),
        (Needs(Operate), routes!(migrations::begin)),
        (Needs(Operate), routes!(migrations::advance)),
        (Needs(Operate), routes!(migrations::hold)),
        (Needs(Operate), routes!(migrations::resume)),
        (Needs(Operate), routes!(migrations::roll_back)),
        (Needs(Read), routes!(feeds::list)),
        (Needs(Read), routes!(feeds::show)),
        (Needs(Feed), routes!(feeds::give)),
        (Needs(Read), routes!(monitors::list)),
        (Needs(Read), routes!(monitors::show)),
        (Needs(Operate), routes!(monitors::set)),
        (Needs(Operate), routes!(monitors::clear)),
        (Needs(Feed), routes!(health::heartbeat)),
        (Needs(Operate), routes!(health::suspend)),
        (Needs(Operate), routes!(health::resume)),
        (Needs(Read), routes!(policies::show)),
        (Needs(Operate), routes!(policies::set)),
        (Needs(Operate), routes!(policies::clear)),
        (Needs(Read), routes!(explain::explain_query)),
        (Needs(Read), routes!(audit::list)),
        (Needs(Read), routes!(events::follow)),
        (NeedsAll(Operate), routes!(store::roll_back)),
        (NeedsAll(Admin), routes!(tokens::list)),
        (NeedsAll(Admin), routes!(tokens::make)),
        (NeedsAll(Admin), routes!(tokens::revoke)),
        (NeedsAll(Admin), routes!(store::export_all)),
        (NeedsAll(Admin), routes!(store::import_all)),
        (NeedsAll(Admin), routes!(store::accept)),
        (NeedsAll(Admin), routes!(store::accept_clock)),
        (NeedsAll(Admin), routes!(process::reload)),
        (NeedsAll(Admin), routes!(process::log_level)),
    ]
}

/// What is served, over whatever way in.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = OpenApiRouter::new();
    for (rule, (schemas, paths, handler)) in table(app.config.metrics_public) {
        let handler = if takes_any_query(&paths) { handler } else { handler.route_layer(from_fn(no_query)) };
        let guarded = handler.route_layer(from_fn_with_state((app.clone(), rule), check));
        router = router.routes((schemas, paths, guarded));
    }
    let (router, _) = router.split_for_parts();
    router
        .fallback(async || Problem::not_found("there is nothing here; what there is stands in /openapi.json"))
        .method_not_allowed_fallback(methods::refuse)
        .layer(DefaultBodyLimit::max(app.config.body_bytes_max))
        .layer(from_fn(never_stored))
        .layer(from_fn_with_state(app.clone(), see_through))
        .with_state(app.clone())
}

/// Whether its query is its own affair: it takes one, or stands outside of the API, where probes send what they like.
fn takes_any_query(paths: &Paths) -> bool {
    let takes = |operation: Operation| {
        let mut parameters = operation.parameters.into_iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query))
    };
    let mut items = paths.paths.iter();
    items.any(|(path, item)| !path.starts_with(API) || methods(item.clone()).any(|(_, it)| takes(it)))
}

/// Refuses parameters where there are none: a write that was meant as a question must not go through.
async fn no_query(
    _: Params<Nothing>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    next.run(request).await
}

/// No field at all.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Replies hold what is so now, and one of them a secret: nobody on the way keeps them.
async fn never_stored(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(axum::http::header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

/// Every route: method, path, and what it asks of its caller.
pub fn rules() -> Vec<(&'static str, String, Rule)> {
    let rows = table(false).into_iter().flat_map(|(rule, (_, paths, _))| {
        let paths = paths.paths.into_iter();
        paths.flat_map(move |(path, item)| methods(item).map(move |(method, _)| (method, path.clone(), rule)))
    });
    rows.collect()
}

fn methods(item: PathItem) -> impl Iterator<Item = (&'static str, Operation)> {
    let named = [
        ("GET", item.get),
        ("PUT", item.put),
        ("POST", item.post),
        ("DELETE", item.delete),
        ("PATCH", item.patch),
    ];
    named.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

/// Describes the API: this document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "node",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)),
)]
pub async fn openapi_json() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_json().expect("the document is JSON"));
    ([(CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// The API as OpenAPI describes it.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "rhumb",
        description = "The control plane of an authoritative GeoDNS server. docs/api.md is its manual."
    ),
    components(schemas(super::bodies::ProblemBody))
)]
struct Head;

/// The OpenAPI document, made of the table.
pub fn document() -> OpenApi {
    let mut router = OpenApiRouter::<Arc<App>>::with_openapi(<Head as utoipa::OpenApi>::openapi());
    for (rule, (schemas, mut paths, handler)) in table(false) {
        for (path, item) in &mut paths.paths {
            let all = [
                ("get", &mut item.get),
                ("put", &mut item.put),
                ("post", &mut item.post),
                ("delete", &mut item.delete),
                ("patch", &mut item.patch),
            ];
            for (method, operation) in all {
                if let Some(operation) = operation {
                    complete(method, path, operation, rule);
                }
            }
        }
        router = router.routes((schemas, paths, handler));
    }
    let mut document = router.into_openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `rhumb token create`, such as rhumb_..."))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
    document
}

/// The name of the security scheme.
const TOKEN: &str = "token";

/// What is sent and is no write for all that: a question, and a sign of life.
const NO_WRITES: [&str; 2] = ["/api/v1/explain", "/api/v1/monitors/{monitor}/heartbeat"];

/// Adds to an operation what its rule and its kind bring with them.
fn complete(method: &str, path: &str, operation: &mut Operation, rule: Rule) {
    // Handlers of several resources share their names.
    let words = path.trim_start_matches(API).replace(['/', '{', '}', '.', '-'], " ");
    let words: Vec<&str> = words.split_whitespace().collect();
    operation.operation_id = Some(format!("{method}_{}", words.join("_")));
    let mut problems: Vec<(&str, &str)> = Vec::new();
    let is_write = method != "get" && !NO_WRITES.contains(&path);
    let has_body = operation.request_body.is_some();
    if rule != Open {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, [] as [&str; 0])]);
        problems.extend([("401", "No token that is good."), ("403", "The token may not.")]);
        problems.push(("429", "Too often; `Retry-After` says when to try again."));
        problems.push(("503", "The state cannot be read or written."));
    }
    if operation.parameters.is_some() || has_body || path.starts_with(API) {
        problems.push(("400", "It cannot be read."));
    }
    if path.contains('{') || has_body {
        problems.push(("404", "It names something that is not there; the detail names what is."));
    }
    if has_body {
        problems.push(("408", "The body did not come in time."));
        problems.extend([("413", "The body is too long."), ("415", "The body is not JSON.")]);
    }
    if is_write || has_body {
        problems.push(("422", "A field is wrong; `field` names it."));
    }
    if is_write {
        problems.push(("409", "It does not fit what is there, or a guard stands before it."));
        problems.push(("412", "The revision is not the newest one."));
        operation.parameters.get_or_insert_default().push(if_match().into());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && path.starts_with(API)
            && response.content.contains_key("application/json")
        {
            let etag = header("The revision that it shows, for `If-Match`.", "\"17\"");
            response.headers.insert("ETag".into(), etag.into());
        }
    }
    for (status, description) in problems {
        let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
        let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem);
        let response = match status {
            "401" => response.header("WWW-Authenticate", header("How to say who one is.", "Bearer")),
            "429" => response.header("Retry-After", header("Seconds to wait.", "7")),
            _ => response,
        };
        let response = response.build();
        operation.responses.responses.entry(status.into()).or_insert(response.into());
    }
}

/// The header that names the revision a write was made for.
fn if_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The ETag of an earlier reply: where it is not of the newest revision, it is 412."))
        .schema(Some(text()))
        .example(Some("\"17\"".into()))
        .build()
}

/// A header of a response.
fn header(description: &str, example: &str) -> Header {
    let header = HeaderBuilder::new().schema(Some(text())).description(Some(description));
    header.example(Some(example.into())).build()
}

fn text() -> Object {
    Object::with_type(Type::String)
}
