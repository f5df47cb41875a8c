//! Clients counted: shares of one client after the other added up, and told.

use std::collections::BTreeMap;

use super::walk::{NOTHING, Pair, Served, flows, moved};
use super::{CountryImpact, LoadImpact, Move, PopImpact, RecordImpact};
use crate::geo::Country;

/// What rounding leaves where nothing moves.
const NOTHING_MOVES: f64 = 1e-9;

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
}

impl Tally {
    /// Counts the client that the pair has looked at last.
    pub fn count(&mut self, pair: &Pair, country: Option<Country>, weight: f64) {
        self.clients += 1;
        self.weight += weight;
        let [before, after] = &pair.pops;
        for (side, shares) in pair.pops.iter().enumerate() {
            for &(pop, share) in shares {
                self.pops.entry(pop).or_default()[side] += share * weight;
            }
        }
        let of_country = self.countries.entry(country).or_default();
        of_country.0 += weight;
        let all = moved(&pair.answers[0], &pair.answers[1]);
        if all <= NOTHING_MOVES {
            return;
        }
        let away = moved(before, after);
        of_country.1 += away * weight;
        self.moved += away * weight;
        self.moved_within += (all - away).max(0.0) * weight;
        for (way, share) in flows(before, after) {
            *self.moves.entry(way).or_default() += share * weight;
        }
    }

    /// What it comes to. The records' names and where the clients are from are for the caller to say.
    pub fn tell(self, pair: &Pair, after: Served) -> RecordImpact {
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
                Some(PopImpact { pop: name(pop), before, after, capacity: 0.0, load: None })
            })
            .collect();
        let sites = pops.iter().filter(|pop| pop.pop != pair.places.pops[0]).count();
        for pop in pops.iter_mut().filter(|pop| pop.pop != pair.places.pops[0]) {
            pop.capacity = 1.0 / sites as f64;
        }
        tell_loads(&mut pops, after);
        pops.sort_by(|a, b| (b.after - b.before).total_cmp(&(a.after - a.before)));
        RecordImpact {
            records: Vec::new(),
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
