//! What is taken out and comes back as one: a PoP in a pool, a whole PoP, or an answer alone.
//!
//! ```text
//! fails for long enough -> out -> well for long enough -> its return, step by step -> on trial -> well
//!                           ^---- relapse: out at once, and the wait doubles -----------'
//! ```
//!
//! While our own failure hides all of it, it stays as it is; what that failure did to it before is undone.
//!
//! An answer alone is taken out by its verdict, or by a feed; only its return is watched here.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::failover::{Act, Acts, OWNER};
use super::hidden::Known;
use super::seen::{Mark, Overload, Seen};
use crate::state::base::BaseAnswer;
use crate::state::change::{Change, DrainAsk, Which, drain_id};
use crate::state::model::{Drain, Scope, Time};
use crate::state::policy::FailoverSpec;

/// After so many waits without a relapse, a relapse is forgotten.
const FORGOTTEN_AFTER_WAITS: u32 = 10;
/// How long a refused wish rests before it is asked again: guards change when people do.
const REFUSED_RESTS: SignedDuration = SignedDuration::from_secs(30);

/// What is remembered of a site between two looks, and over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Since when enough of it is down.
    failing_since: Option<Time>,
    /// Since when not enough is.
    well_since: Option<Time>,
    /// Failures on trial, until it was well for long.
    pub relapses: u32,
    /// It comes back, or is back since a short time: if it fails now, that is a relapse.
    pub on_trial: bool,
    /// Since when a feed says that it is down, of an answer alone.
    pub fed_since: Option<Time>,
    /// Since when all its clients are back, while it is on trial.
    back_since: Option<Time>,
    /// It is drained by us.
    is_out: bool,
    /// When the last of its relapses was counted.
    #[serde(skip)]
    relapsed_at: Option<Time>,
    /// Why the last wish was refused, and when.
    #[serde(skip)]
    refused: Option<(Time, String)>,
}

/// A site, and what is said of it now.
pub struct Case<'c> {
    /// The site.
    pub scope: Scope,
    /// Its PoP; none of an answer alone.
    pub pop: Option<&'c str>,
    /// The pools it takes clients from.
    pub pools: Vec<&'c str>,
    /// The answers whose load counts.
    pub answers: Vec<&'c BaseAnswer>,
    /// What is to be done.
    pub spec: &'c FailoverSpec,
    /// Whether enough of it is down.
    pub is_failing: bool,
    /// Which, and why.
    pub evidence: String,
    /// Why it may not be taken out; none when it may.
    pub limit: Option<String>,
    /// What of it our own failure hides.
    pub hidden: Option<Known>,
}

impl Site {
    /// Why a wish was not done.
    pub fn refused(&mut self, why: String, now: Time) {
        self.refused = Some((now, why));
    }

    /// Nothing is decided about it for a while: what was seen before is old then. How often it failed is not.
    pub fn rest(&mut self) {
        (self.failing_since, self.well_since, self.back_since, self.refused) = (None, None, None, None);
    }

    /// There is nothing to remember.
    pub fn is_quiet(&self) -> bool {
        let is_well = self.failing_since.is_none() && self.fed_since.is_none();
        !self.is_out && !self.on_trial && self.relapses == 0 && is_well
    }

    /// Whether it has been failing for so long.
    pub fn has_failed_for(&self, span: Duration, now: Time) -> bool {
        self.failing_since.is_some_and(|since| now.duration_since(since) >= signed(span))
    }

    /// When it will have been failing for so long; none while it is well.
    pub fn will_have_failed_at(&self, span: Duration) -> Option<Time> {
        self.failing_since?.checked_add(signed(span)).ok()
    }

    /// For how long it must be well: its clients wait for it after a relapse, and it is on trial for it when they
    /// are back.
    fn wait(&self, spec: &FailoverSpec) -> Duration {
        let doubled = spec.return_after.saturating_mul(2u32.saturating_pow(self.relapses.min(16)));
        doubled.min(spec.return_after_max)
    }

    /// Takes it out when it fails, and brings it back when it is well. When it will do something by itself comes
    /// back, as far as that is known.
    pub fn look(&mut self, case: &Case, seen: &Seen, acts: &mut Acts) -> Option<Time> {
        let drain = case.drained(seen);
        self.observe(case.is_failing, drain, seen.now);
        if let Some((at, why)) = &self.refused {
            if case.is_failing {
                acts.alarms.insert(format!(
                    "{} fails, and health may not take it out: {why}; a person must decide",
                    case.scope
                ));
            }
            if seen.now.duration_since(*at) < REFUSED_RESTS {
                return None;
            }
            self.refused = None;
        }
        if let Some(known) = case.hidden {
            if self.be_forgiven(known, case, drain, acts) {
                return None;
            }
            if known.hidden.wholly {
                self.be_hidden(known, case, drain, seen, acts);
                return None;
            }
        }
        self.decide(case, drain, seen, acts)
    }

    fn decide(&mut self, case: &Case, drain: Option<&Drain>, seen: &Seen, acts: &mut Acts) -> Option<Time> {
        let ends = drain.is_some_and(|drain| drain.ending_since(seen.now).is_some());
        match (case.is_failing, drain) {
            (true, Some(drain)) if !ends => self.take_further(case, drain, seen, acts),
            (true, drain) => self.take_out(case, drain, seen, acts),
            (false, Some(drain)) if !ends => self.bring_back(case, drain, seen, acts),
            (false, Some(drain)) => {
                // It comes back: no further while it has more than it can hold.
                let percent = drain.percent_at(seen.now);
                if let Some(load) = case.overloaded(Mark::High, seen)
                    && percent > 0
                {
                    acts.wishes.push(case.drain(percent, format!("its return waits: {load}")));
                }
                None
            }
            (false, None) => {
                self.be_well(case, seen.now);
                None
            }
        }
    }

    /// What our own failure did to it before we knew is undone: a drain is lifted, and a relapse is none. True when it
    /// is back.
    fn be_forgiven(&mut self, known: Known, case: &Case, drain: Option<&Drain>, acts: &mut Acts) -> bool {
        // What fails all the same has another family or monitor to say so.
        if case.is_failing {
            return false;
        }
        if self.relapsed_at.take_if(|at| known.was_ours(*at)).is_some() {
            (self.relapses, self.on_trial) = (self.relapses.saturating_sub(1), true);
        }
        let Some(drain) = drain.filter(|drain| known.was_ours(drain.created_at)) else { return false };
        let which = Which::Id(drain.id.clone());
        let reason = "what failed was this node's own network".into();
        acts.wishes.push(case.act(Change::Undrain { which, now: true }, reason));
        self.is_out = false;
        true
    }

    /// Nothing is seen of it: it stays as it is, a return at the step it is at, and afterwards it is looked at anew.
    /// What a person lifts meanwhile goes on.
    fn be_hidden(&mut self, known: Known, case: &Case, drain: Option<&Drain>, seen: &Seen, acts: &mut Acts) {
        self.rest();
        let is_ours = |drain: &&Drain| drain.ending_since(seen.now).is_some_and(|since| since <= known.since);
        let percent = drain.filter(is_ours).map_or(0, |drain| drain.percent_at(seen.now));
        if percent > 0 {
            let reason = "its return waits: this node's own network fails".into();
            acts.wishes.push(case.drain(percent, reason));
        }
    }

    /// Since when it fails, or is well, and whether that is a relapse.
    fn observe(&mut self, is_failing: bool, drain: Option<&Drain>, now: Time) {
        let was_out = std::mem::replace(&mut self.is_out, drain.is_some());
        self.on_trial |= drain.map_or(was_out, |drain| drain.ending_since(now).is_some());
        if !is_failing {
            (self.failing_since, self.well_since) = (None, self.well_since.or(Some(now)));
            return;
        }
        if self.failing_since.is_none() && self.on_trial {
            self.relapses += 1;
            self.relapsed_at = Some(now);
        }
        (self.failing_since, self.well_since) = (self.failing_since.or(Some(now)), None);
        self.back_since = None;
    }

    fn take_further(&mut self, case: &Case, drain: &Drain, seen: &Seen, acts: &mut Acts) -> Option<Time> {
        if drain.percent >= case.spec.percent {
            self.on_trial = false;
            return None;
        }
        // A relapse of one whose return was held at a step.
        if self.on_trial {
            if let Some(limit) = &case.limit {
                acts.alarms.insert(case.limited(limit));
                return None;
            }
            acts.wishes.push(case.drain(case.spec.percent, format!("it fails again: {}", case.evidence)));
            return None;
        }
        let (percent, next) = percent_out(case.spec, drain.created_at, seen.now);
        if percent > drain.percent {
            acts.wishes.push(case.drain(percent, case.evidence.clone()));
        }
        next
    }

    fn take_out(
        &mut self,
        case: &Case,
        returning: Option<&Drain>,
        seen: &Seen,
        acts: &mut Acts,
    ) -> Option<Time> {
        let is_relapse = self.on_trial;
        if !is_relapse && !self.has_failed_for(case.spec.detect_for, seen.now) {
            return self.will_have_failed_at(case.spec.detect_for).filter(|_| case.limit.is_none());
        }
        // An answer alone is out by its verdict already.
        if case.scope.answer.is_some() && returning.is_none() {
            return None;
        }
        if let Some(limit) = &case.limit {
            acts.alarms.insert(case.limited(limit));
            // It may not be taken out; but what was coming back comes no further.
            let percent = returning.map_or(0, |drain| drain.percent_at(seen.now));
            if percent > 0 {
                acts.wishes.push(case.drain(percent, format!("it fails again: {}", case.evidence)));
            }
            return None;
        }
        if is_relapse {
            acts.wishes.push(case.drain(case.spec.percent, format!("it fails again: {}", case.evidence)));
            return None;
        }
        let (percent, next) = percent_out(case.spec, seen.now, seen.now);
        acts.wishes.push(case.drain(percent, case.evidence.clone()));
        next
    }

    fn bring_back(&mut self, case: &Case, drain: &Drain, seen: &Seen, acts: &mut Acts) -> Option<Time> {
        let well_since = self.well_since?;
        // The first time, its steps are all the caution that an answer alone needs.
        let wait = match case.scope.answer.is_some() && self.relapses == 0 {
            true => Duration::ZERO,
            false => self.wait(case.spec),
        };
        let overload = case.overloaded(Mark::Low, seen);
        let lasted = seen.now.duration_since(well_since);
        if lasted < signed(wait) {
            return well_since.checked_add(signed(wait)).ok().filter(|_| overload.is_none());
        }
        // How much it has changes all the time; the alarm is the same until it is over.
        if let Some(Overload { answer, metric, mark, .. }) = overload {
            acts.alarms.insert(format!(
                "{} is well, and its return waits for load: {metric} of {answer} must fall below {mark}, its \
                 watermark; a person may lift the drain of health, or raise the mark",
                case.scope
            ));
            return None;
        }
        let reason = format!("well for {}", words(lasted));
        acts.wishes
            .push(case.act(Change::Undrain { which: Which::Id(drain.id.clone()), now: false }, reason));
        None
    }

    fn be_well(&mut self, case: &Case, now: Time) {
        let wait = self.wait(case.spec);
        let lasted = |since: Option<Time>| now.duration_since(since.unwrap_or(now));
        if self.on_trial {
            self.back_since = self.back_since.or(Some(now));
            if lasted(self.back_since) >= signed(wait) {
                (self.on_trial, self.back_since) = (false, None);
            }
        }
        if self.relapses > 0 && lasted(self.well_since) >= signed(wait.saturating_mul(FORGOTTEN_AFTER_WAITS))
        {
            self.relapses = 0;
        }
    }
}

impl Case<'_> {
    /// The drain of ours that takes it out.
    pub fn drained<'s>(&self, seen: &Seen<'s>) -> Option<&'s Drain> {
        seen.model.drains.get(&drain_id(OWNER, &self.scope))
    }

    /// What a person must know of one that fails and may not be taken out.
    fn limited(&self, limit: &str) -> String {
        format!("{} fails ({}), and {limit}; a person must decide", self.scope, self.evidence)
    }

    fn act(&self, change: Change, reason: String) -> Act {
        Act { site: self.scope.clone(), change, reason }
    }

    fn drain(&self, percent: u8, reason: String) -> Act {
        self.act(Change::Drain(ask(self.scope.clone(), percent, self.spec)), reason)
    }

    /// What says that it has more than it can hold.
    fn overloaded(&self, mark: Mark, seen: &Seen) -> Option<Overload> {
        self.answers.iter().find_map(|answer| seen.overloaded(answer, mark))
    }
}

/// A drain of ours.
pub fn ask(scope: Scope, percent: u8, spec: &FailoverSpec) -> DrainAsk {
    let return_steps = Some(spec.return_steps.clone());
    DrainAsk { scope, percent, starts_at: None, expires_in_s: None, return_steps }
}

/// For how many of a hundred clients a PoP is out whose drain began then, and when it is for more.
fn percent_out(spec: &FailoverSpec, began: Time, now: Time) -> (u8, Option<Time>) {
    let Some(out) = &spec.out else { return (spec.percent, None) };
    let since = now.duration_since(began).as_secs().max(0) as u64;
    let step = since.checked_div(out.pause_s).map_or(usize::MAX, |step| step as usize);
    let share = out.steps.get(step).copied().unwrap_or(100);
    let percent = (u16::from(spec.percent) * u16::from(share)).div_ceil(100) as u8;
    let next = || {
        let after = (step as u64).saturating_add(1).saturating_mul(out.pause_s);
        began.checked_add(SignedDuration::from_secs(i64::try_from(after).ok()?)).ok()
    };
    (percent, if share < 100 { next() } else { None })
}

/// A span as the clocks have it.
pub fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

/// A span in whole seconds, as people say it.
pub fn words(span: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(span.as_secs()))
}
