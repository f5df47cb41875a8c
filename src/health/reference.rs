//! Our own failure, told from theirs, per address family.
//!
//! ```text
//! reference targets -+                        frozen: verdicts of the family stay as they are,
//! pools at once -----+-> FamilyView::ours -> Some(why)         and those that fell since it began come back
//! ```
//!
//! Where reference targets are written and known in the family, they decide. Without any, pools that fail at
//! once do: that ten PoPs on four continents break in the same ten seconds is less likely than that we did.
//! A pool fails with more than half of its sites, and a site with all it has: so the loss of one PoP, however
//! large, is never ours, and the one we stand in, which we still reach, does not hide that we are cut off.
//! Pools that have been failing for long count neither way: nobody breaks at once with what is long broken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Sites that must fail together before it can be our doing: of one that fails, it is its own.
pub const SITES_LEAST: usize = 2;

/// What is known of one family. Times are on the clock of the room.
#[derive(Clone, Debug, Default)]
pub struct FamilyView {
    /// Each reference target: none as long as it is not known, or has no address of this family.
    pub references: Vec<Option<Seen>>,
    /// Each pool with addresses of this family.
    pub pools: BTreeMap<String, Tally>,
    /// Since when its verdicts are frozen, as far as they are.
    pub frozen: Option<Frozen>,
}

/// What became of asking a reference target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    /// Whether it answers, by family; none in one of which it has no address.
    Asked([Option<bool>; 2]),
    /// Its name could not be looked up.
    NotFound,
}

/// A reference target's last results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Whether it answers.
    pub ok: bool,
    /// Since when it does, or does not.
    pub since: Duration,
    /// When it last did.
    pub well_at: Option<Duration>,
}

impl Seen {
    /// Another result, after the one before it.
    pub fn after(before: Option<Seen>, ok: bool, now: Duration) -> Seen {
        let since = before.filter(|seen| seen.ok == ok).map_or(now, |seen| seen.since);
        Seen { ok, since, well_at: if ok { Some(now) } else { before.and_then(|seen| seen.well_at) } }
    }

    /// From when on it may have been lost.
    fn lost_from(&self) -> Duration {
        self.well_at.unwrap_or(self.since.saturating_sub(FAIL_TOGETHER))
    }
}

/// A pool's addresses of one family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Its sites.
    pub sites: BTreeMap<String, Site>,
    /// Since when more than half of them fail.
    pub since: Option<Duration>,
    /// How long a round of its slowest monitor takes: within it a failure shows at all addresses.
    pub round: Duration,
}

/// A pool's addresses of one family at one site.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Site {
    /// How many there are.
    pub all: usize,
    /// How many failed at their last probe.
    pub failing: usize,
}

impl Tally {
    /// Another result of an address at a site, which differs from the one before.
    pub fn count(&mut self, site: &str, ok: bool, is_first: bool, now: Duration) {
        let Some(site) = self.sites.get_mut(site) else { return };
        match (ok, is_first) {
            (false, _) => site.failing += 1,
            (true, false) => site.failing -= 1,
            (true, true) => return,
        }
        self.settle(now);
    }

    /// Its addresses have changed.
    pub fn settle(&mut self, now: Duration) {
        let is_failing = self.failing_sites().count() * 2 > self.sites.len();
        self.since = is_failing.then(|| self.since.unwrap_or(now));
    }

    fn failing_sites(&self) -> impl Iterator<Item = &String> {
        self.sites.iter().filter(|(_, site)| site.failing == site.all).map(|(name, _)| name)
    }
}

/// A family's verdicts do not move.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// When the failure began, as far as one can tell: what fell since then is taken back.
    pub began: Duration,
    /// Why, in words.
    pub why: String,
}

impl FamilyView {
    /// Whether what fails is ours: when it began, and why we think so.
    pub fn ours(&self, majority: f64, now: Duration) -> Option<Frozen> {
        // A node without IPv6 is no failure where nothing is probed over it.
        if self.pools.is_empty() {
            return None;
        }
        let known: Vec<Seen> = self.references.iter().flatten().copied().collect();
        match known.is_empty() {
            true => self.by_pools(majority, now),
            false => by_references(&known, majority),
        }
    }

    fn by_pools(&self, majority: f64, now: Duration) -> Option<Frozen> {
        let at_once = |tally: &Tally| {
            let earliest = match &self.frozen {
                Some(frozen) => frozen.began,
                None => now.saturating_sub(tally.round * 2),
            };
            tally.since.is_some_and(|since| since >= earliest)
        };
        let counted: Vec<&Tally> =
            self.pools.values().filter(|tally| tally.since.is_none() || at_once(tally)).collect();
        let failing: Vec<&Tally> = counted.iter().copied().filter(|tally| tally.since.is_some()).collect();
        let sites: BTreeSet<&String> = failing.iter().flat_map(|tally| tally.failing_sites()).collect();
        if sites.len() < SITES_LEAST || failing.len() as f64 <= majority * counted.len() as f64 {
            return None;
        }
        // An address may have failed a round before its pool did.
        let began =
            failing.iter().filter_map(|tally| Some(tally.since?.saturating_sub(tally.round))).min()?;
        let why = format!("{} of {} pools fail at once", failing.len(), counted.len());
        Some(Frozen { began, why })
    }
}

/// Reference targets that fail so soon after each other fail together: twice what asking one takes at most.
const FAIL_TOGETHER: Duration = Duration::from_secs(10);

/// As many of the targets as `majority` says, and no more, are ours if there are so many of them: half of our paths
/// are lost. Of two targets the one that fails may be its own.
const HALF_LEAST: usize = 2;

fn by_references(known: &[Seen], majority: f64) -> Option<Frozen> {
    let mut lost: Vec<Duration> = known.iter().filter(|seen| !seen.ok).map(Seen::lost_from).collect();
    lost.sort_unstable();
    let most = majority * known.len() as f64;
    let is_half = |failing: usize| failing >= HALF_LEAST && failing as f64 >= most && majority < 1.0;
    let is_ours = |failing: usize| failing as f64 > most || is_half(failing);
    let least = (1..=lost.len()).find(|failing| is_ours(*failing))?;
    // What failed long before it became too many has nothing to do with it.
    let first = lost.iter().find(|from| **from + FAIL_TOGETHER >= lost[least - 1]);
    Some(Frozen { began: *first?, why: format!("{} of {} reference targets fail", lost.len(), known.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// Pools as the marks of their sites and the time since which they fail: `xy-@90` stands at three sites,
    /// of which the third answers. References are `ok`, `no`, `no@90` for one that answered until then, or `-`. Then
    /// the majority, and what is said.
    fn check(pools: &str, references: &str, majority: f64, expect: &str) {
        let mut view = FamilyView::default();
        for (number, pool) in pools.split_whitespace().enumerate() {
            let (sites, since) = pool.split_once('@').unwrap_or((pool, "0"));
            let mut tally = tally(sites);
            tally.settle(seconds(since.parse().unwrap()));
            view.pools.insert(number.to_string(), tally);
        }
        let seen = |word: &str| match word.split_once('@') {
            None if word == "-" => None,
            None => Some(Seen { ok: word == "ok", since: seconds(95), well_at: None }),
            Some((_, until)) => {
                let well_at = Some(seconds(until.parse().unwrap()));
                Some(Seen { ok: false, since: seconds(95), well_at })
            }
        };
        view.references = references.split_whitespace().map(seen).collect();
        let said = view.ours(majority, seconds(100));
        let said = said.map(|frozen| format!("{} since {}", frozen.why, frozen.began.as_secs()));
        assert_eq!(said.unwrap_or_default(), expect, "{pools} | {references}");
    }

    /// Sites of two addresses each: a letter is one that fails, a dash one that has lost half of it.
    fn tally(sites: &str) -> Tally {
        let site = |(place, mark): (usize, char)| match mark {
            '-' => (place.to_string(), Site { all: 2, failing: 1 }),
            mark => (mark.to_string(), Site { all: 2, failing: 2 }),
        };
        let sites = sites.chars().enumerate().map(site).collect();
        Tally { sites, since: None, round: seconds(12) }
    }

    #[test]
    fn pools_at_once() {
        check("-- -- --", "", 0.5, "");
        check("xy@90 -- --", "", 0.5, "");
        check("xy@90 xy-@95 --", "", 0.5, "2 of 3 pools fail at once since 78");
        check("xy@90 xy-- --", "", 0.5, "");
        check("xy@90 xy@95 -- --", "", 0.5, "");
        check("xy@90 xy@95 -- --", "", 0.4, "2 of 4 pools fail at once since 78");
        check("xy@90 xy@95", "", 1.0, "");
        // What is long broken counts neither way.
        check("xy@10 xy@20 --", "", 0.5, "");
        check("xy@10 xy@20 xy@90", "", 0.5, "1 of 1 pools fail at once since 78");
        // One site is its own failure, however many pools stand at it.
        check("x@90 x@90 x@90 -", "", 0.5, "");
        check("x@90 x@90 y@90 -", "", 0.5, "3 of 4 pools fail at once since 78");
    }

    #[test]
    fn references_decide_where_there_are_any() {
        check("xy@90 xy@95", "ok ok", 0.5, "");
        check("-- --", "no no ok", 0.5, "2 of 3 reference targets fail since 85");
        check("-- --", "no ok", 0.5, "");
        check("-- --", "no no", 0.5, "2 of 2 reference targets fail since 85");
        check("-- --", "no ok ok ok", 0.5, "");
        check("-- --", "no ok no ok", 0.5, "2 of 4 reference targets fail since 85");
        check("-- --", "no no no no", 1.0, "");
        check("-- --", "no ok ok", 0.0, "1 of 3 reference targets fail since 85");
        check("--", "no", 0.5, "1 of 1 reference targets fail since 85");
        // It began when they answered last, as far as they fail together.
        check("--", "no@93 no@91 ok", 0.5, "2 of 3 reference targets fail since 91");
        check("--", "no@93 no@20 ok", 0.5, "2 of 3 reference targets fail since 93");
        check("--", "no@93 no@20 no@92", 0.5, "3 of 3 reference targets fail since 92");
        // Nothing is probed in this family.
        check("", "no", 0.5, "");
        // Not known in this family: the pools it is.
        check("xy@90 xy@95", "- -", 0.5, "2 of 2 pools fail at once since 78");
    }

    #[test]
    fn a_freeze_lasts_until_they_are_back() {
        let mut failing = tally("xy");
        failing.settle(seconds(90));
        let mut view = FamilyView { pools: BTreeMap::from([("a".into(), failing)]), ..FamilyView::default() };
        view.frozen = view.ours(0.5, seconds(95));
        assert!(view.frozen.is_some());
        // An hour later they are not long broken: it is still the same failure.
        assert!(view.ours(0.5, seconds(3700)).is_some());
        view.pools.get_mut("a").unwrap().count("x", true, false, seconds(3701));
        assert!(view.ours(0.5, seconds(3702)).is_none());
    }
}
