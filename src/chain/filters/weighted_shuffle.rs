#![doc = include_str!("weighted_shuffle.md")]

use super::weight;
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, draw, options};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "weighted_shuffle",
    effect: Effect::Sort,
    manual: include_str!("weighted_shuffle.md"),
    compile,
};

struct WeightedShuffle {
    place: u8,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    Ok(WeightedShuffle { place: spec.place }.into())
}

impl Filter for WeightedShuffle {
    /// A draw without replacement is an order by independent exponential ranks, each with its weight as
    /// its rate (Efraimidis and Spirakis 2006).
    #[inline]
    fn apply(&self, ask: &Ask, answers: &Answers, picks: &mut Picks) {
        picks.shuffle(
            |answer| u32::from(weight(answers, answer).is_none()),
            |answer| {
                let drawn = ask.draw(self.place, answer);
                // The bits of positive floats are in the order of their values.
                weight(answers, answer).map_or(drawn, |weight| draw::weighted_rank(drawn, weight).to_bits())
            },
        );
    }

    fn remark(&self, _: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        Some(match weight(answers, answer) {
            Some(weight) => format!("weight {weight}"),
            None => "weight 0: behind all others".to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, check, refused};
    use std::collections::HashMap;

    fn counts(scenario: &str, draws: u64) -> HashMap<Vec<String>, u32> {
        let mut counts = HashMap::new();
        for picks in Scenario::parse(scenario).draws(draws) {
            *counts.entry(picks.iter().map(|name| name.to_string()).collect()).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn a_draw_without_replacement() {
        let counts = counts(
            "answer five weight=5
             answer three weight=3
             answer one
             answer one-more
             chain  weighted_shuffle, select_first_n(n=2)",
            50_000,
        );
        let share = |first: f64, second: f64| 50_000.0 * first / 10.0 * second / (10.0 - first);
        let weights = [("five", 5.0), ("three", 3.0), ("one", 1.0), ("one-more", 1.0)];
        for (first, w1) in weights {
            for (second, w2) in weights.into_iter().filter(|(name, _)| *name != first) {
                let count = counts[&vec![first.to_string(), second.to_string()]];
                assert!((f64::from(count) - share(w1, w2)).abs() < 400.0, "{first} {second} {count}");
            }
        }
    }

    #[test]
    fn weight_zero_is_for_when_all_others_are_gone() {
        let counts = counts(
            "answer zero weight=0
             answer one
             answer nil weight=0
             chain  weighted_shuffle",
            10_000,
        );
        let order = |names: [&str; 3]| counts[&names.map(str::to_string).to_vec()];
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(order(["one", "zero", "nil"]).abs_diff(order(["one", "nil", "zero"])) < 300);
    }

    #[test]
    fn remarks_and_options() {
        check(
            "answer zero weight=0
             answer half weight=0.5
             answer one
             chain  weighted_shuffle
             why    zero weight 0: behind all others
             why    half weight 0.5
             why    one  weight 1",
        );
        refused("weighted_shuffle(n=1)", "option `n`: unknown; this filter takes no option");
    }
}
