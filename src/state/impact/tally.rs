//! Clients counted: shares of one client after the other added up, and told.

use std::collections::{BTreeMap, BTreeSet};

use super::walk::{Looked, NOTHING, Pair, Served, Shares, add, flows, moved};
use super::{CountryImpact, LoadImpact, Move, PopImpact, RecordImpact};
use crate::geo::Country;

/// What rounding leaves where nothing moves.
const NOTHING_MOVES: f64 = 1e-9;
/// What two sides that drew apart may differ by, times the root of how many PoPs there are for each draw of
/// each client: chance alone makes it 0.6 on average, and hardly ever this much.
const BY_CHANCE: f64 = 1.5;

/// What has been counted of one pair.
#[derive(Default)]
pub struct Tally {
    /// How many clients.
    pub clients: usize,
    weight: f64,
    moved: f64,
    moved_within: f64,
    moves: BTreeMap<(u16, u16), f64>,
    countries: BTreeMap<Option<Country>, (f64, f64)>,
    /// By PoP, before and after.
    pops: BTreeMap<u16, [f64; 2]>,
    /// Clients about whom draws had a say: by country, and by the PoPs they met, before or after.
    drawn: BTreeMap<(Option<Country>, Vec<u16>), Drawn>,
}

/// Clients that are one distribution. By one client's draws alone, each would seem to move for a part that is
/// chance: the difference of two estimates is never below that of what they estimate.
#[derive(Default)]
struct Drawn {
    /// For some of them the sides drew apart, so that they differ by chance.
    apart: bool,
    clients: usize,
    weight: f64,
    answers: [Shares; 2],
    pops: [Shares; 2],
}

impl Tally {
    /// Counts the client that the pair has looked at last.
    pub fn count(&mut self, pair: &Pair, looked: Looked, country: Option<Country>, weight: f64) {
        self.clients += 1;
        self.weight += weight;
        for (side, shares) in pair.pops.iter().enumerate() {
            for &(pop, share) in shares {
                self.pops.entry(pop).or_default()[side] += share * weight;
            }
        }
        self.countries.entry(country).or_default().0 += weight;
        if !looked.draw {
            return self.settle(country, weight, &pair.answers, &pair.pops);
        }
        let mut met: Vec<u16> = pair.pops.iter().flatten().map(|(pop, _)| *pop).collect();
        met.sort_unstable();
        met.dedup();
        let drawn = self.drawn.entry((country, met)).or_default();
        drawn.apart |= pair.drew_apart();
        drawn.clients += 1;
        drawn.weight += weight;
        for (sums, shares) in
            drawn.answers.iter_mut().zip(&pair.answers).chain(drawn.pops.iter_mut().zip(&pair.pops))
        {
            shares.iter().for_each(|&(number, share)| add(sums, number, share * weight));
        }
    }

    /// Adds what moves of some clients.
    fn settle(
        &mut self,
        country: Option<Country>,
        weight: f64,
        [old_answers, new_answers]: &[Shares; 2],
        [old_pops, new_pops]: &[Shares; 2],
    ) {
        let all = moved(old_answers, new_answers);
        if all <= NOTHING_MOVES {
            return;
        }
        let away = moved(old_pops, new_pops);
        self.countries.entry(country).or_default().1 += away * weight;
        self.moved += away * weight;
        self.moved_within += (all - away).max(0.0) * weight;
        for (way, share) in flows(old_pops, new_pops) {
            *self.moves.entry(way).or_default() += share * weight;
        }
    }

    /// Adds what moves of the clients about whom draws had a say.
    fn settle_drawn(&mut self, draws: u64) {
        for ((country, met), mut drawn) in std::mem::take(&mut self.drawn) {
            for shares in drawn.answers.iter_mut().chain(&mut drawn.pops) {
                shares.iter_mut().for_each(|(_, share)| *share /= drawn.weight);
            }
            let chance = BY_CHANCE * (met.len() as f64 / (drawn.clients as f64 * draws as f64)).sqrt();
            for [before, after] in [&mut drawn.answers, &mut drawn.pops] {
                if drawn.apart && moved(before, after) <= chance {
                    after.clone_from(before);
                }
            }
            self.settle(country, drawn.weight, &drawn.answers, &drawn.pops);
        }
    }

    /// What it comes to. The records' names and where the clients are from are for the caller to say.
    pub fn tell(mut self, pair: &Pair, before: Served, after: Served) -> RecordImpact {
        self.settle_drawn(pair.draws());
        let open = [before.open(), after.open()];
        let share = |sum: f64| if self.weight > 0.0 { sum / self.weight } else { 0.0 };
        let name = |pop: u16| pair.places.pops[usize::from(pop)].clone();
        let mut moves: Vec<Move> = self
            .moves
            .iter()
            .map(|(&(from, to), sum)| Move { from: name(from), to: name(to), share: share(*sum) })
            .collect();
        moves.sort_by(|a, b| b.share.total_cmp(&a.share));
        let mut countries: Vec<CountryImpact> = self
            .countries
            .iter()
            .map(|(country, (weight, moved))| CountryImpact {
                country: country.map(|country| country.to_string()),
                share: share(*weight),
                moved: if *weight > 0.0 { moved / weight } else { 0.0 },
            })
            .collect();
        countries.retain(|country| country.moved > 0.0);
        countries.sort_by(|a, b| (b.share * b.moved).total_cmp(&(a.share * a.moved)));
        let mut pops: Vec<PopImpact> = (0..pair.places.pops.len() as u16)
            .filter_map(|pop| {
                let sums = self.pops.get(&pop).copied();
                // No answer is told of only where somebody got none.
                let [before, after] = if pop == NOTHING { sums? } else { sums.unwrap_or_default() };
                let (before, after) = (share(before), share(after));
                let [was, is] =
                    open.each_ref().map(|open| open.get(name(pop).as_str()).copied().unwrap_or(0.0));
                Some(PopImpact { pop: name(pop), before, after, goes: is < was, capacity: 0.0, load: None })
            })
            .collect();
        // A PoP that is gone holds nothing any more; one that is drained still could.
        let sites: BTreeSet<&String> =
            after.steering.answers.iter().map(|answer| answer.pop.as_ref().unwrap_or(&answer.name)).collect();
        for pop in pops.iter_mut().filter(|pop| sites.contains(&pop.pop)) {
            pop.capacity = 1.0 / sites.len() as f64;
        }
        tell_loads(&mut pops, after);
        pops.sort_by(|a, b| (b.after - b.before).total_cmp(&(a.after - a.before)));
        RecordImpact {
            records: Vec::new(),
            count: 0,
            pool: after.steering.answers.first().and_then(|answer| answer.pool.clone()),
            estimated_from: None,
            moved: share(self.moved),
            moved_within: share(self.moved_within),
            moves,
            countries,
            pops,
        }
    }
}

/// Shares the load of all PoPs out anew, by how their clients change.
fn tell_loads(pops: &mut [PopImpact], after: Served) {
    let mut loads: BTreeMap<&str, (&str, f64, Option<f64>)> = BTreeMap::new();
    for (answer, live) in after.steering.answers.iter().zip(&after.live.meta) {
        let Some((metric, load)) = after.steering.chain.load(live) else { continue };
        let pop = answer.pop.as_ref().unwrap_or(&answer.name);
        let known = loads.entry(pop).or_insert((metric, 0.0, None));
        known.1 += load;
        if let Some(high) = live.high_watermark {
            *known.2.get_or_insert(0.0) += high;
        }
    }
    let all: f64 = loads.values().map(|(_, load, _)| load).sum();
    for pop in pops {
        if let Some(&(metric, load, high_watermark)) = loads.get(pop.pop.as_str()) {
            let gained = (pop.after - pop.before) * all;
            let after = (load + gained).max(0.0);
            pop.load = Some(LoadImpact { metric: metric.into(), before: load, after, high_watermark });
        }
    }
}
