//! `/api/v1/explain`: how a query is answered and why, with the values in force, or as it would be.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::State;

use super::App;
use super::bodies::ExplainBody;
use super::problem::Problem;
use super::shown::Tagged;
use super::take::Input;
use crate::engine::Snapshot;
use crate::engine::explain::{Known, Question, explain_live, parse_subnet, parse_type};
use crate::state::base::Base;
use crate::state::change::{self, Change, DrainAsk, Situation};
use crate::state::live::{Touched, drained, refresh};
use crate::state::model::{Actor, Model, Role, Time};
use crate::state::view::View;
use crate::wire::Name;

/// Explains a query; with drains and splits that are not made yet, as it would be with them.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "what there is",
    request_body = ExplainBody,
    responses(
        (
            status = 200,
            description = "The walk of the query, as `rhumb explain --json` prints it.",
            body = serde_json::Value,
        ),
    ),
)]
pub async fn explain_query(
    State(app): State<Arc<App>>,
    Input(body): Input<ExplainBody>,
) -> Result<Tagged<serde_json::Value>, Problem> {
    let view = app.state.view();
    let question = question(&body)?;
    let now = app.now(&view);
    let (snapshot, model) = match body.drains.is_empty() && body.splits.is_empty() {
        true => (view.snapshot.clone(), view.model.clone()),
        false => what_if(&view, &body, now)?,
    };
    let known = Known {
        down: &|answer| view.values.verdicts().get(answer)?.said_no(),
        drained: &|answer| drained_by(&view.base, &model, answer, now),
    };
    let explained = explain_live(&Arc::new(ArcSwap::new(snapshot)), &view.world, &question, &known);
    let json = serde_json::to_value(explained).expect("an explanation is JSON");
    Ok(Tagged(view.model.revision, json))
}

fn question(body: &ExplainBody) -> Result<Question, Problem> {
    let name = body.name.parse::<Name>().map_err(|error| Problem::invalid("name", error.to_string()))?;
    let qtype = parse_type(&body.qtype).map_err(|message| Problem::invalid("type", message))?;
    let client = body.client.as_deref().map(parse_subnet).transpose();
    let resolver = body.resolver.as_deref().map_or(Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)), str::parse);
    Ok(Question {
        name,
        qtype,
        client: client.map_err(|message| Problem::invalid("client", message))?,
        resolver: resolver
            .map_err(|_| Problem::invalid("resolver", "write an address, such as 192.0.2.53"))?,
        seed: body.seed,
    })
}

/// The drains that take an answer out, in words.
fn drained_by(base: &Base, model: &Model, answer: &str, now: Time) -> Option<String> {
    let answer = base.answer(*base.spots_of_answer(answer).first()?);
    let drains = drained(model, answer, now).into_iter();
    let words: Vec<_> =
        drains.map(|(drain, percent)| format!("{} {}", drain.scope, drain.by(percent))).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// What would be served, and wanted: the live values are compiled aside, everything else is shared.
fn what_if(view: &View, body: &ExplainBody, now: Time) -> Result<(Arc<Snapshot>, Arc<Model>), Problem> {
    let mut model = (*view.model).clone();
    for drain in &body.drains {
        let ask = DrainAsk {
            scope: drain.scope.clone().into(),
            percent: drain.percent,
            starts_at: None,
            expires_in_s: None,
            return_steps: None,
        };
        suppose(&mut model, view, &Change::Drain(ask), now)?;
    }
    for split in &body.splits {
        let (pool, pop) = (split.pool.clone(), Some(split.pop.clone()));
        suppose(&mut model, view, &Change::Split { pool, pop, weights: split.weights.clone() }, now)?;
    }
    let snapshot = &view.snapshot;
    let mut live = snapshot.live.clone();
    refresh(&mut live, &Touched::All, &snapshot.steerings, &view.base, &model, &view.values, now);
    let snapshot = Snapshot {
        revision: snapshot.revision,
        zones: snapshot.zones.clone(),
        records: snapshot.records.clone(),
        steerings: snapshot.steerings.clone(),
        live,
        identity: snapshot.identity.clone(),
    };
    Ok((Arc::new(snapshot), Arc::new(model)))
}

fn suppose(model: &mut Model, view: &View, change: &Change, now: Time) -> Result<(), Problem> {
    // A name that no token can have: it stands beside everybody's drains.
    let actor = Actor { name: "what if".into(), from: String::new() };
    let situation = Situation {
        base: &view.base,
        model,
        values: &view.values,
        now,
        actor: &actor,
        role: Role::Admin,
        pool: None,
        reason: "not made yet",
        force: true,
    };
    let draft = change::decide(change, &situation)?;
    draft.rows.iter().for_each(|row| model.set(&row.key, row.after.clone()));
    Ok(())
}
