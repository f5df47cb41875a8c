//! What is so, as bodies: what several resources show of answers, drains, splits.

use std::collections::BTreeMap;

use axum::http::header::{ETAG, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::bodies::{AnswerBody, DrainBody, MetaBody, ReturnBody, ValueBody};
use super::take::span;
use crate::state::base::{Base, BaseAnswer};
use crate::state::live::{drained, weight};
use crate::state::load::METRICS;
use crate::state::meta::Value;
use crate::state::model::{Drain, LiveValues, Time};
use crate::state::view::View;

/// A body, and the revision it shows as its ETag.
pub struct Tagged<T>(pub u64, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.1).into_response();
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.0)).expect("digits are a header");
        response.headers_mut().insert(ETAG, tag);
        response
    }
}

/// A drain as it is.
pub fn drain(drain: &Drain, view: &View, now: Time) -> DrainBody {
    let state = match drain.ending_since(now) {
        _ if now < drain.starts_at => "scheduled",
        Some(_) => "returning",
        None => "active",
    };
    DrainBody {
        id: drain.id.clone(),
        scope: drain.scope.clone().into(),
        scope_words: drain.scope.to_string(),
        owner: drain.owner.clone(),
        percent: drain.percent,
        percent_now: drain.percent_at(now),
        state: state.into(),
        reason: drain.reason.clone(),
        created_at: drain.created_at,
        starts_at: drain.starts_at,
        expires_at: drain.expires_at,
        return_steps: drain
            .return_steps
            .as_ref()
            .map(|steps| ReturnBody { steps: steps.steps.clone(), pause: span(steps.pause_s) }),
        returning_since: drain.ending_since(now).filter(|_| now >= drain.starts_at),
        revision: drain.revision,
        durable: !view.volatile.contains(&format!("drain/{}", drain.id)),
    }
}

/// An answer, and what is true of it now.
pub fn answer(answer: &BaseAnswer, view: &View, now: Time) -> AnswerBody {
    let meta = view.values.live_meta(answer, now);
    let drains = drained(&view.model, answer, now);
    let percent = drains.first().map_or(0, |(_, percent)| *percent);
    let weight = weight(&view.model, answer);
    let up = meta.up.is_up();
    let mut why = Vec::new();
    if weight <= 0.0 {
        why.push("it has no weight in its split".to_string());
    }
    if !up {
        let verdict = view.values.verdicts().get(&answer.id).map_or("", |verdict| verdict.why.as_str());
        let source = meta.up.said_no().unwrap_or_default();
        why.push(format!("down, says {source} {verdict}").trim_end().into());
    }
    if let Some((drain, percent)) = drains.first() {
        why.push(format!("drained {}", drain.by(*percent)));
    }
    AnswerBody {
        answer: answer.id.clone(),
        pool: answer.pool.clone(),
        pop: answer.pop.clone(),
        stack: answer.stack.clone(),
        rdata: answer.rdata.clone(),
        answering: weight > 0.0 && up && percent < 100,
        why: why.join("; "),
        up,
        drained_percent: percent,
        weight,
        values: values(answer, view, now),
    }
}

/// Each value of an answer, with its source.
fn values(answer: &BaseAnswer, view: &View, now: Time) -> Vec<ValueBody> {
    let spec = &answer.live;
    let mut values: Vec<ValueBody> = [
        value("up", &spec.up, answer, view, now, |said| said.up),
        value("loadavg", &spec.loadavg, answer, view, now, |said| said.loadavg),
        value("connections", &spec.connections, answer, view, now, |said| said.connections),
        value("requests", &spec.requests, answer, view, now, |said| said.requests),
        value("low_watermark", &spec.low_watermark, answer, view, now, |said| said.low_watermark),
        value("high_watermark", &spec.high_watermark, answer, view, now, |said| said.high_watermark),
        value("weight", &spec.weight, answer, view, now, |said| said.weight),
        value("priority", &spec.priority, answer, view, now, |said| said.priority),
        value("cost", &spec.cost, answer, view, now, |said| said.cost),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(verdict) = view.values.verdicts().get(&answer.id) {
        values.push(ValueBody {
            key: "verdict".into(),
            value: if verdict.up { "up".into() } else { verdict.why.clone().into() },
            source: "monitor".into(),
            since: Some(verdict.since),
            stale: false,
        });
    }
    for (monitor, held) in view.values.loads.fresh(&answer.id, now) {
        let said = METRICS.into_iter().zip(held.load).filter_map(|(key, value)| Some((key, value?)));
        // What the files say of a value stands before what a monitor says.
        let said = said.filter(|(key, _)| !values.iter().any(|value| value.key == *key)).collect::<Vec<_>>();
        values.extend(said.into_iter().map(|(key, value)| ValueBody {
            key: key.into(),
            value: value.into(),
            source: format!("monitor {monitor}"),
            since: Some(held.made_at),
            stale: false,
        }));
    }
    for (drain, percent) in drained(&view.model, answer, now) {
        values.push(ValueBody {
            key: "drained".into(),
            value: percent.into(),
            source: format!("drain by {}", drain.owner),
            since: Some(drain.starts_at),
            stale: false,
        });
    }
    if let (Some(pool), Some(pop)) = (&answer.pool, &answer.pop) {
        let split = view.model.splits.get(&(pool.clone(), pop.clone()));
        let split = split.filter(|split| split.weights.contains_key(answer.stack.as_deref().unwrap_or("")));
        values.push(ValueBody {
            key: "split".into(),
            value: weight(&view.model, answer).into(),
            source: split.map_or("file".into(), |split| format!("split by {}", split.owner)),
            since: split.map(|split| split.since),
            stale: false,
        });
    }
    values
}

fn value<T: Copy + Serialize>(
    key: &str,
    spec: &Option<Value<T>>,
    answer: &BaseAnswer,
    view: &View,
    now: Time,
    of: impl Fn(&LiveValues) -> Option<T>,
) -> Option<ValueBody> {
    let json = |value: Option<T>| serde_json::to_value(value).expect("numbers are JSON");
    let (value, source, since, stale) = match spec.as_ref()? {
        Value::Literal(value) => (json(Some(*value)), "file".to_string(), None, false),
        Value::Feed(feed) => {
            let said = view.values.feed(feed, &answer.id).iter().find(|said| of(&said.values).is_some());
            let value = json(said.and_then(|said| of(&said.values)));
            let is_stale = said.is_some_and(|said| said.is_stale(now));
            (value, format!("feed {feed}"), said.map(|said| said.made_at), is_stale)
        }
    };
    Some(ValueBody { key: key.into(), value, source, since, stale })
}

/// By stack, the weights of a pool at a PoP: in force, and as the files have them.
pub fn weights(view: &View, pool: &str, pop: &str) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let stacks = view.base.stacks(pool, pop);
    let weights = stacks.map(|answer| {
        let stack = answer.stack.clone().unwrap_or_default();
        ((stack.clone(), weight(&view.model, answer)), (stack, answer.weight))
    });
    weights.unzip()
}

/// Live meta, as it was said.
pub fn meta(values: &LiveValues) -> MetaBody {
    MetaBody {
        up: values.up,
        loadavg: values.loadavg,
        connections: values.connections,
        requests: values.requests,
        low_watermark: values.low_watermark,
        high_watermark: values.high_watermark,
        weight: values.weight,
        priority: values.priority,
        cost: values.cost,
    }
}

/// A file of the operator's, as it is named.
pub fn file(place: &crate::state::chains::Place) -> String {
    place.to_string()
}

/// A pool, or what there is instead.
pub fn known_pool<'b>(
    base: &'b Base,
    pool: &str,
) -> Result<&'b crate::state::base::BasePool, super::problem::Problem> {
    let missing = || crate::state::change::no_such("pool", pool, base.pools.keys());
    base.pools.get(pool).ok_or_else(|| super::problem::Problem::not_found(missing()))
}
