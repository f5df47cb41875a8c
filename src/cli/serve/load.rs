//! Which sites are filling up, and who would take their clients.

use std::collections::BTreeMap;

use super::control::{as_it_would_be, changed};
use crate::state::base::BaseAnswer;
use crate::state::change::drain_id;
use crate::state::impact::{self, Client};
use crate::state::live::{Touched, drained, weight};
use crate::state::model::{Drain, Model, Row, Scope, Time};
use crate::state::view::View;

/// Receivers that are named.
const RECEIVERS: usize = 3;

/// Sites, by pool and PoP, whose load has passed their low watermark, and what says so.
pub fn filling(view: &View, now: Time) -> BTreeMap<(&str, &str), String> {
    let mut sites: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for answer in view.base.answers() {
        if let (Some(pool), Some(pop), Some(load)) =
            (&answer.pool, &answer.pop, past_its_mark(view, answer, now))
        {
            sites.entry((pool, pop)).or_insert(load);
        }
    }
    sites
}

/// The same in words, with who would take their clients.
pub fn warnings(view: &View, clients: impl FnOnce() -> Vec<Client>, now: Time) -> Vec<String> {
    let sites = filling(view, now);
    if sites.is_empty() {
        return Vec::new();
    }
    let clients = clients();
    let warning = |((pool, pop), load): ((&str, &str), String)| {
        if let Some(out) = out(view, pool, pop, now) {
            return format!(
                "{pop} of pool {pool} is {out}, and has load all the same: {load}; nobody new is sent there"
            );
        }
        let receivers = receivers(view, &clients, pool, pop, now);
        let named: Vec<String> = receivers
            .iter()
            .take(RECEIVERS)
            .map(|(to, share)| format!("{to} ({})", impact::percent(*share)))
            .collect();
        let go = match named.is_empty() {
            true => "nobody else would take its clients".to_string(),
            false => format!("without it, its clients would go to {}", named.join(", ")),
        };
        format!("{pop} of pool {pool} fills up: {load}; {go}")
    };
    sites.into_iter().map(warning).collect()
}

/// Why nobody is sent to a site; none while somebody may be.
fn out(view: &View, pool: &str, pop: &str, now: Time) -> Option<&'static str> {
    let stacks = || view.base.stacks(pool, pop).filter(|answer| weight(&view.model, answer) > 0.0);
    let is_drained = |answer: &BaseAnswer| {
        drained(&view.model, answer, now).first().is_some_and(|(_, percent)| *percent >= 100)
    };
    let is_up = |answer: &BaseAnswer| view.values.live_meta(answer, now).up.is_up();
    if stacks().all(is_drained) {
        return Some("drained");
    }
    stacks().all(|answer| is_drained(answer) || !is_up(answer)).then_some("down")
}

/// What says that an answer has passed its low watermark.
fn past_its_mark(view: &View, answer: &BaseAnswer, now: Time) -> Option<String> {
    if weight(&view.model, answer) <= 0.0 {
        return None;
    }
    let meta = view.values.live_meta(answer, now);
    let (low, high) = (meta.low_watermark?, meta.high_watermark);
    let loads = [("connections", meta.connections), ("requests", meta.requests), ("loadavg", meta.loadavg)];
    let (name, load) =
        loads.into_iter().find_map(|(name, load)| Some((name, load.filter(|load| *load >= low)?)))?;
    let most = high.map_or_else(String::new, |high| format!(", and its high one is {high}"));
    Some(format!("{} has {name} {load}; its low watermark is {low}{most}", answer.id))
}

/// Where a site's clients would go, the most first, as shares of them.
fn receivers(view: &View, clients: &[Client], pool: &str, pop: &str, now: Time) -> Vec<(String, f64)> {
    let scope = Scope { pool: Some(pool.into()), pop: Some(pop.into()), ..Scope::default() };
    let drain = Drain {
        id: drain_id("", &scope),
        scope,
        owner: String::new(),
        percent: 100,
        reason: String::new(),
        created_at: now,
        starts_at: now,
        expires_at: None,
        return_steps: None,
        returning_since: None,
        revision: 0,
    };
    let mut without: Model = (*view.model).clone();
    let row = Row::Drain(drain);
    without.set(&row.key(), Some(row));
    let touched = Touched::Said(changed(view, &without));
    let before = as_it_would_be(view, &view.model, &touched, now);
    let after = as_it_would_be(view, &without, &touched, now);
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    let said = impact::compare(&before, &after, clients);
    for record in said.records.iter().filter(|record| record.pool.as_deref() == Some(pool)) {
        for step in record.moves.iter().filter(|step| step.from == pop) {
            *shares.entry(step.to.clone()).or_default() += step.share;
        }
    }
    let all: f64 = shares.values().sum();
    let mut shares: Vec<(String, f64)> = shares.into_iter().map(|(to, share)| (to, share / all)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}
