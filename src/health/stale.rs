//! Verdicts that are not renewed: what counts of them is what their monitor's `stale` says (DESIGN, decision 14).
//!
//! Monitors tell each verdict again long before it is old, so this happens only when they have stopped. Age is
//! elapsed time since we heard it: a clock that jumps makes nothing old.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::verdict::Verdict;
use crate::state::monitors::{Check, Plan};
use crate::state::policy::Stale;

/// A monitor and an answer, by their names.
pub type Watch = (String, String);

/// A verdict as it was told last.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What.
    pub verdict: Verdict,
    /// When, in elapsed time.
    pub at: Duration,
}

/// What is probed, by monitor and answer.
pub fn planned(plan: &Plan) -> BTreeMap<Watch, Arc<Check>> {
    let watch = |monitored: &crate::state::monitors::Monitored| {
        ((monitored.monitor.clone(), monitored.answer.clone()), monitored.check.clone())
    };
    plan.monitored.iter().map(watch).collect()
}

/// The verdicts that count, and an alarm for each monitor of which some are too old.
pub fn counted<'h>(
    heard: &'h BTreeMap<Watch, Heard>,
    plan: &BTreeMap<Watch, Arc<Check>>,
    now: Duration,
) -> (Vec<Cow<'h, Verdict>>, BTreeSet<String>) {
    let (mut verdicts, mut alarms) = (Vec::new(), BTreeSet::new());
    // Both are in order, so each is walked once: there may be tens of thousands.
    let mut checks = plan.iter().peekable();
    for (watch, Heard { verdict, at }) in heard {
        while checks.next_if(|(planned, _)| *planned < watch).is_some() {}
        let Some((_, check)) = checks.next_if(|(planned, _)| *planned == watch) else { continue };
        if now.saturating_sub(*at) <= check.stale_after() {
            verdicts.push(Cow::Borrowed(verdict));
            continue;
        }
        let becomes = match check.stale {
            Stale::Hold => {
                verdicts.push(Cow::Borrowed(verdict));
                "stay as they are"
            }
            Stale::Neutral => "no longer count",
            Stale::Down => {
                verdicts.push(Cow::Owned(down(verdict, check)));
                "count as down"
            }
        };
        let age = SignedDuration::try_from(check.stale_after()).unwrap_or(SignedDuration::MAX);
        alarms.insert(format!(
            "monitor {} has said nothing for longer than {age:#}: its old verdicts {becomes}",
            verdict.monitor
        ));
    }
    (verdicts, alarms)
}

/// What counts of one that is too old where its policy is `down`.
fn down(verdict: &Verdict, check: &Check) -> Verdict {
    let age = SignedDuration::try_from(check.stale_after()).unwrap_or(SignedDuration::MAX);
    let too_old = verdict.checked_at.checked_add(age).unwrap_or(verdict.checked_at);
    let since = if verdict.up { too_old } else { verdict.since };
    let why = format!("what was said of it at {:.0} is too old", verdict.checked_at);
    Verdict { up: false, since, why, held_until: None, may_change_at: None, ..verdict.clone() }
}
