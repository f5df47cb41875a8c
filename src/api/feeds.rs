//! `/api/v1/feeds`: values from outside, for the answers whose meta names the feed in the files.
//!
//! What is wrong with one of thousands of values is no reason to leave the others out: each is taken or refused
//! alone, for a mistake in it as for a newer one that is held, because values overtake each other on their way.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::App;
use super::auth::Caller;
use super::bodies::{FedBody, FeedBody, FeedValueBody, MetaBody, NewValue, NewValues, Page};
use super::problem::Problem;
use super::shown::{self, Tagged};
use super::take::{IfMatch, Input, Params, Part, maybe_span, span};
use super::write::check_expected;
use crate::state::base::{Base, BaseAnswer};
use crate::state::change::no_such;
use crate::state::keeper::Fed;
use crate::state::live::FeedValue;
use crate::state::model::{LiveValues, Scope, Time};
use crate::state::policy::{FeedSpec, Stale};
use crate::state::view::View;

/// Values of one request.
const VALUES_MAX: usize = 10_000;

/// Refusals that are told one by one.
const REFUSED_TOLD: usize = 1000;

/// Lists the feeds that the files name, with what they said last.
#[utoipa::path(
    get, path = "/api/v1/feeds", tag = "feeds",
    params(Part),
    responses((status = 200, description = "A part of the list.", body = Page<FeedBody>)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Params(part): Params<Part>,
) -> Result<Tagged<Page<FeedBody>>, Problem> {
    let view = app.state.view();
    let now = app.now(&view);
    let feeds = known(&view.base).into_iter().map(|feed| (feed.clone(), body(&feed, &view, now)));
    Ok(Tagged(view.model.revision, part.of(feeds)?))
}

/// Shows a feed.
#[utoipa::path(
    get, path = "/api/v1/feeds/{feed}", tag = "feeds",
    params(("feed" = String, Path, description = "Its name.", example = "balancers")),
    responses((status = 200, description = "The feed.", body = FeedBody)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(feed): Path<String>,
) -> Result<Tagged<FeedBody>, Problem> {
    let view = app.state.view();
    let known = known(&view.base);
    if !known.contains(&feed) {
        return Err(Problem::not_found(no_such("feed", &feed, known)));
    }
    Ok(Tagged(view.model.revision, body(&feed, &view, app.now(&view))))
}

/// The feeds that the files name.
fn known(base: &Base) -> std::collections::BTreeSet<String> {
    let named = base.answers().flat_map(|answer| answer.live.feeds().map(|(_, feed)| feed.to_string()));
    named.chain(base.feeds.keys().cloned()).collect()
}

fn body(feed: &str, view: &View, now: Time) -> FeedBody {
    let spec = view.base.feeds.get(feed);
    let mut values: Vec<FeedValueBody> = view
        .values
        .fed()
        .filter(|(of, _, _)| *of == feed)
        .map(|(_, answer, value)| FeedValueBody {
            answer: answer.into(),
            meta: shown::meta(&value.values),
            made_at: value.made_at,
            stale: value.is_stale(now),
        })
        .collect();
    values.sort_by(|one, other| one.answer.cmp(&other.answer));
    let stale = match spec.map_or(Stale::Hold, |spec| spec.stale) {
        Stale::Hold => "hold",
        Stale::Neutral => "neutral",
        Stale::Down => "down",
    };
    let max_age = spec.and_then(|spec| spec.max_age).map(|age| span(age.as_secs()));
    FeedBody { feed: feed.into(), max_age, stale: stale.into(), values }
}

/// Gives values to a feed. They are served when the reply comes, and written to disk within a second.
#[utoipa::path(
    post, path = "/api/v1/feeds/{feed}", tag = "feeds",
    params(("feed" = String, Path, description = "Its name.", example = "balancers")),
    request_body = NewValues,
    responses((status = 200, description = "What became of them.", body = FedBody)),
)]
pub async fn give(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(feed): Path<String>,
    if_match: IfMatch,
    Input(body): Input<NewValues>,
) -> Result<Tagged<FedBody>, Problem> {
    if !(1..=VALUES_MAX).contains(&body.values.len()) {
        let detail = format!("send 1 to {VALUES_MAX} values");
        return Err(Problem::invalid("values", detail));
    }
    let view = app.state.view();
    let now = app.now(&view);
    let dry_run = body.dry_run;
    check_expected(&view, if_match.or(body.expected_revision)?)?;
    if dry_run {
        // Values themselves come every second, and are not counted.
        app.limits.count(&caller, dry_run)?;
    }
    if !view.base.has_takers(&feed) {
        return Err(Problem::not_found(format!(
            "no answer takes values from a feed {feed}; write `{{ feed = \"{feed}\" }}` as a value of their meta in \
             filter-chains, such as `meta = {{ connections = {{ feed = \"{feed}\" }} }}` under [pool.NAME]"
        )));
    }
    let spec = view.base.feeds.get(&feed);
    let mut values: Vec<(String, FeedValue)> = Vec::new();
    let mut wrong: Vec<Problem> = Vec::new();
    for (at, new) in body.values.into_iter().enumerate() {
        let of_field = |problem: Problem| problem.of_field(format!("values[{at}]"));
        match taken(new, &feed, &view.base, spec, now, &caller) {
            Ok((value, answers, lacking)) => {
                values.extend(answers.into_iter().map(|answer| (answer, value.clone())));
                wrong.extend(lacking.into_iter().map(of_field));
            }
            Err(problem) => wrong.push(of_field(problem)),
        }
    }
    if values.is_empty() {
        return Err(wrong.swap_remove(0));
    }
    let ids: Vec<String> = values.iter().map(|(answer, _)| answer.clone()).collect();
    let became = match dry_run {
        true => {
            let mut held = (*view.values).clone();
            let of = |(answer, value): (String, _)| Fed::of(&mut held, &feed, &answer, value, now);
            values.into_iter().map(of).collect()
        }
        false => app.state.feed(feed.clone(), values).await?,
    };
    let taken = became.iter().filter(|fed| fed.is_served()).count();
    let late = ids.iter().zip(&became).filter_map(|(answer, fed)| match fed {
        Fed::Taken => None,
        Fed::Older => Some(format!("{answer}: older than the value that is held")),
        Fed::PartlyOlder(keys) => {
            Some(format!("{answer}: {} is older than the value that is held", keys.join(", ")))
        }
        Fed::FromTheFuture => Some(format!("{answer}: made in the future; set the clock of its maker")),
    });
    let mut refused: Vec<String> = wrong.iter().map(Problem::line).chain(late).collect();
    let more = refused.len().saturating_sub(REFUSED_TOLD);
    if more > 0 {
        refused.truncate(REFUSED_TOLD);
        refused.push(format!("and {more} more"));
    }
    if taken == 0 {
        return Err(Problem::new(StatusCode::CONFLICT, refused.join("; ")));
    }
    Ok(Tagged(app.state.view().model.revision, FedBody { taken, refused, dry_run }))
}

/// A value, the answers that take it, and what is to be said of those in its scope that do not.
///
/// # Errors
/// What is wrong with it, where no answer takes it.
fn taken(
    new: NewValue,
    feed: &str,
    base: &Base,
    spec: Option<&FeedSpec>,
    now: Time,
    caller: &Caller,
) -> Result<(FeedValue, Vec<String>, Vec<Problem>), Problem> {
    let value = value(&new, spec, now)?;
    let meant = answers(&Scope::from(new.scope), feed, base, caller)?;
    let (mut ids, mut lacking) = (Vec::new(), Vec::new());
    for answer in meant {
        match check_keys(&new.meta, answer, feed) {
            Ok(()) => ids.push(answer.id.clone()),
            Err(problem) => lacking.push(problem),
        }
    }
    match ids.is_empty() {
        true => Err(lacking.swap_remove(0)),
        false => Ok((value, ids, lacking)),
    }
}

/// The answers of a scope that take values from the feed.
fn answers<'b>(
    scope: &Scope,
    feed: &str,
    base: &'b Base,
    caller: &Caller,
) -> Result<Vec<&'b BaseAnswer>, Problem> {
    let meant = base.takers(feed, scope);
    if meant.is_empty() {
        return Err(match base.answers().find(|answer| scope.covers(answer)) {
            None => {
                Problem::not_found(format!("no answer is in the scope {scope}; GET /api/v1/pools lists them"))
            }
            Some(answer) => Problem::invalid(
                "scope",
                format!(
                    "{scope} takes nothing from the feed {feed}; write `{{ feed = \"{feed}\" }}` as a value of its \
                     meta at {}",
                    shown::file(&answer.place)
                ),
            ),
        });
    }
    let other = meant.iter().find(|answer| caller.pool.is_some() && answer.pool != caller.pool);
    match other {
        Some(answer) => Err(Problem::forbidden(format!(
            "the token {} is confined to pool {}, and {} is not in it",
            caller.actor.name,
            caller.pool.as_deref().unwrap_or_default(),
            answer.id
        ))),
        None => Ok(meant),
    }
}

fn value(new: &NewValue, spec: Option<&FeedSpec>, now: Time) -> Result<FeedValue, Problem> {
    let meta = &new.meta;
    let values = LiveValues {
        up: meta.up,
        loadavg: meta.loadavg,
        connections: meta.connections,
        requests: meta.requests,
        low_watermark: meta.low_watermark,
        high_watermark: meta.high_watermark,
        weight: meta.weight,
        priority: meta.priority,
        cost: meta.cost,
    };
    if let Some((name, _)) = numbers(meta).into_iter().find(|(_, number)| number.is_some_and(|n| n < 0.0)) {
        return Err(Problem::invalid(name, format!("{name}: write a number of at least 0")));
    }
    let stale = match new.stale.as_deref() {
        None => spec.map_or(Stale::Hold, |spec| spec.stale),
        Some("hold") => Stale::Hold,
        Some("neutral") => Stale::Neutral,
        Some("down") => Stale::Down,
        Some(other) => {
            let detail = format!("stale: `{other}` is unknown; write hold, neutral or down");
            return Err(Problem::invalid("stale", detail));
        }
    };
    let own = maybe_span("max_age", new.max_age.as_deref())?;
    let max_age_s = own.or_else(|| spec.and_then(|spec| spec.max_age).map(|age| age.as_secs()));
    Ok(FeedValue { values, made_at: new.made_at.unwrap_or(now), max_age_s, stale })
}

fn numbers(meta: &MetaBody) -> [(&'static str, Option<f64>); 7] {
    [
        ("loadavg", meta.loadavg),
        ("connections", meta.connections),
        ("requests", meta.requests),
        ("low_watermark", meta.low_watermark),
        ("high_watermark", meta.high_watermark),
        ("weight", meta.weight),
        ("cost", meta.cost),
    ]
}

/// That the answer takes each of these values from the feed: one that nobody reads is a slip.
fn check_keys(meta: &MetaBody, answer: &BaseAnswer, feed: &str) -> Result<(), Problem> {
    let said = numbers(meta).into_iter().map(|(name, number)| (name, number.is_some()));
    let said = said.chain([("up", meta.up.is_some()), ("priority", meta.priority.is_some())]);
    let said: Vec<&str> = said.filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect();
    if said.is_empty() {
        return Err(Problem::invalid("meta", "meta: say at least one value, such as connections"));
    }
    let takes = |name: &str| answer.live.feeds().any(|(key, named)| key == name && named == feed);
    match said.into_iter().find(|name| !takes(name)) {
        None => Ok(()),
        Some(name) => Err(Problem::invalid(
            name,
            format!(
                "{} does not take {name} from the feed {feed}; write `{name} = {{ feed = \"{feed}\" }}` into its meta \
                 at {}",
                answer.id,
                shown::file(&answer.place)
            ),
        )),
    }
}
