//! Both address families: what is counted of them as results come in, and when one freezes.

use std::net::IpAddr;
use std::time::Duration;

use super::reference::{FamilyView, Frozen, Referred, Seen};
use super::status::Alarm;
use super::verdict::{FrozenFamilies, Judge, Moment};
use crate::state::monitors::{Family, Monitored};

/// How often families are judged while addresses change. When everything fails at once, ten thousand
/// addresses change in ten seconds, and each judgement looks at every pool; what falls in between is taken
/// back.
const JUDGE_EVERY: Duration = Duration::from_millis(200);

/// Both families.
#[derive(Default)]
pub struct Families {
    views: [FamilyView; 2],
    alarms: [Option<Alarm>; 2],
    /// Reference targets whose names could not be looked up the last time.
    unfound: Vec<bool>,
    /// An address has changed since they were judged.
    is_stale: bool,
    /// When they were.
    judged: Duration,
}

impl Families {
    /// What is frozen.
    pub fn frozen(&self) -> FrozenFamilies {
        [self.views[0].frozen.is_some(), self.views[1].frozen.is_some()]
    }

    /// Failures of our own that last.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.alarms.iter().flatten().cloned().collect()
    }

    /// There are other reference targets now. Of each the place it had before, if it is not new: what is known of
    /// it stays.
    pub fn take_references(&mut self, before: &[Option<usize>]) {
        for view in &mut self.views {
            view.references = before.iter().map(|before| before.and_then(|at| view.references[at])).collect();
        }
        self.unfound = before.iter().map(|before| before.is_some_and(|at| self.unfound[at])).collect();
    }

    /// Counts the pools' addresses from the beginning: after another plan they are others.
    pub fn count<'j>(&mut self, judges: impl Iterator<Item = &'j Judge>, now: Duration) {
        let mut before = self.views.each_mut().map(|view| std::mem::take(&mut view.pools));
        for judge in judges {
            let check = &judge.monitored.check;
            for (address, ok) in judge.addresses.iter().filter_map(|state| Some((state.address?, state.ok))) {
                let pools = &mut self.views[Family::of(address) as usize].pools;
                let tally = pools.entry(judge.monitored.pool.clone()).or_default();
                let site = tally.sites.entry(judge.monitored.site.clone()).or_default();
                site.all += 1;
                site.failing += usize::from(ok == Some(false));
                tally.round = tally.round.max(check.interval.mul_f64(1.0 + check.jitter) + check.timeout);
            }
        }
        for (view, before) in self.views.iter_mut().zip(&mut before) {
            for (pool, tally) in &mut view.pools {
                tally.since = before.remove(pool).and_then(|before| before.since);
                tally.settle(now);
            }
        }
    }

    /// Another result of an address, after the one before it.
    pub fn observe(
        &mut self,
        monitored: &Monitored,
        address: IpAddr,
        before: Option<bool>,
        ok: bool,
        now: Duration,
    ) {
        if before == Some(ok) {
            return;
        }
        self.is_stale = true;
        if let Some(tally) = self.views[Family::of(address) as usize].pools.get_mut(&monitored.pool) {
            tally.count(&monitored.site, ok, before.is_none(), now);
        }
    }

    /// Another result of a reference target. Who cannot look up a name cannot reach it either: it fails in the
    /// families it had. One that never had any is not known, and leaves the word to the others.
    pub fn observe_reference(&mut self, index: usize, name: &str, referred: Referred, now: Duration) {
        let is_unfound = referred == Referred::NotFound;
        if is_unfound != std::mem::replace(&mut self.unfound[index], is_unfound) {
            match is_unfound {
                true => tracing::warn!("the reference target {name} cannot be looked up"),
                false => tracing::info!("the reference target {name} is found again"),
            }
        }
        for (family, view) in self.views.iter_mut().enumerate() {
            let seen = &mut view.references[index];
            let ok = match referred {
                Referred::Asked(results) => results[family],
                Referred::NotFound => seen.map(|_| false),
            };
            *seen = ok.map(|ok| Seen::after(*seen, ok, now));
        }
    }

    /// Whether it is time to judge.
    pub fn is_due(&self, now: Duration) -> bool {
        self.is_stale && now - self.judged >= JUDGE_EVERY
    }

    /// Sees whether what fails is ours. Returns the families that freeze, and those that are free again.
    pub fn judge(&mut self, majority: f64, now: Moment) -> Vec<(Family, Option<Frozen>)> {
        (self.is_stale, self.judged) = (false, now.elapsed);
        let mut changes = Vec::new();
        for family in Family::ALL {
            let view = &mut self.views[family as usize];
            let ours = view.ours(majority, now.elapsed);
            match (&view.frozen, &ours) {
                // It began when it began.
                (Some(_), Some(_)) | (None, None) => continue,
                (None, Some(Frozen { why, .. })) => {
                    tracing::error!(family = family.name(), why, "our own failure: verdicts freeze");
                    let alarm = Alarm { family: family.name(), since: now.wall, why: why.clone() };
                    self.alarms[family as usize] = Some(alarm);
                }
                (Some(_), None) => {
                    tracing::warn!(
                        family = family.name(),
                        "our failure has ended: verdicts follow probes again"
                    );
                    self.alarms[family as usize] = None;
                }
            }
            view.frozen.clone_from(&ours);
            changes.push((family, ours));
        }
        changes
    }
}
