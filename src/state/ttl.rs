//! How long answers may be kept: a TTL, or a range of which the state chooses.
//!
//! ```text
//! ttl = { max, min } -> Record { ttl, ttl_min }
//! drains, migrations, feeds, verdicts, health + now -> upcoming -> Live::upcoming -> the TTL of an answer
//! ```
//!
//! What may change soon bounds how long an answer should be kept, as gdnsd has it. The seconds are in the live
//! part, so that a query pays for a comparison and nothing else; while something is near, the keeper counts
//! them down.

use std::fmt;

use jiff::SignedDuration;

use super::base::BaseAnswer;
use super::live::Values;
use super::migration;
use super::model::{Model, Time};
use super::policy::Stale;
use crate::engine::steering::{Upcoming, What};
use crate::files::Fields;

/// TTL of a steered record when none is written, in seconds: short, because what is steered moves.
const TTL_DEFAULT: u32 = 10;
/// Largest TTL (RFC 2181 section 8).
const TTL_MAX: i64 = i32::MAX as i64;

/// The TTL of a steered record, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// While nothing is near.
    pub max: u32,
    /// The shortest; the same where it is one number.
    pub min: u32,
}

impl Default for Ttl {
    fn default() -> Ttl {
        Ttl { max: TTL_DEFAULT, min: TTL_DEFAULT }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.max == self.min {
            true => write!(f, "{}", self.max),
            false => write!(f, "{} to {}", self.min, self.max),
        }
    }
}

impl Ttl {
    /// Reads `ttl`: a number, or `{ max = 60, min = 5 }`.
    pub fn read(fields: &mut Fields) -> Ttl {
        if !fields.is_table("ttl") {
            let ttl = fields.integer_in("ttl", 0, TTL_MAX).map(|ttl| ttl.value as u32);
            return ttl.map_or_else(Ttl::default, |ttl| Ttl { max: ttl, min: ttl });
        }
        let Some(mut range) = fields.table("ttl") else { return Ttl::default() };
        range.object = format!("{} ttl", fields.object);
        range.require(&["max", "min"]);
        let max = range.integer_in("max", 0, TTL_MAX);
        let min = range.integer_in("min", 0, TTL_MAX);
        let ttl = match (max, min) {
            (Some(max), Some(min)) if min.value > max.value => {
                range.error("min", min.line, format!("{} is more than max, {}", min.value, max.value));
                Ttl::default()
            }
            (Some(max), Some(min)) => Ttl { max: max.value as u32, min: min.value as u32 },
            _ => Ttl::default(),
        };
        range.finish();
        ttl
    }
}

/// What may change these answers next by itself, where that is nearer than `most` seconds.
pub fn upcoming(answers: &[BaseAnswer], model: &Model, values: &Values, now: Time, most: u32) -> Upcoming {
    let drains =
        model.drains.values().filter(|drain| answers.iter().any(|answer| drain.scope.covers(answer)));
    let drains = drains.filter_map(|drain| Some((drain.next_change(now)?, What::Drain)));
    let migrations = model.migrations.values().filter(|migration| {
        let is_moved = |answer: &BaseAnswer| {
            answer.pool.as_deref() == Some(&migration.plan.pool)
                && migration.pops().any(|pop| answer.pop.as_ref() == Some(pop))
        };
        answers.iter().any(is_moved)
    });
    let migrations = migrations.filter_map(|m| Some((migration::due_at(m)?, What::Migration)));
    let said = answers.iter().flat_map(|answer| {
        let feeds = answer.live.feeds().filter_map(|(_, feed)| late(feed, answer, values, now));
        let verdict = values.verdicts().get(&answer.id);
        let verdict = verdict.and_then(|verdict| Some((verdict.may_change_at?, verdict.held_until)));
        let verdict =
            verdict.map(|(at, held)| (at, if held == Some(at) { What::Hold } else { What::Verdict }));
        feeds.map(|at| (at, What::Feed)).chain(verdict)
    });
    // What health could not do when it would have is no longer foreseen.
    let acts = values
        .acts()
        .iter()
        .filter(|(scope, at)| **at >= now && answers.iter().any(|answer| scope.covers(answer)));
    let acts = acts.map(|(_, at)| (*at, What::Health));
    let next = drains.chain(migrations).chain(acts).chain(said).min_by_key(|(at, _)| *at);
    let next = next.map(|(at, what)| (at.duration_since(now).as_secs().max(0), what));
    match next {
        Some((seconds, what)) if seconds < i64::from(most) => {
            Upcoming { seconds: seconds as u32, what: Some(what) }
        }
        _ => Upcoming::default(),
    }
}

/// When a feed's value becomes stale, if that changes anything and seems to be coming: half of its time is over.
/// A feed that speaks in time would shorten every TTL for ever otherwise.
fn late(feed: &str, answer: &BaseAnswer, values: &Values, now: Time) -> Option<Time> {
    let counts = values.feed(feed, &answer.id).iter().filter(|value| value.stale != Stale::Hold);
    let late = counts.filter_map(|value| {
        let at = value.stale_at().filter(|at| *at >= now)?;
        let age = now.duration_since(value.made_at);
        (age + age >= SignedDuration::from_secs(i64::try_from(value.max_age_s?).ok()?)).then_some(at)
    });
    late.min()
}
