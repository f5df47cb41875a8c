#![doc = include_str!("shuffle.md")]

use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, draw, options};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "shuffle", effect: Effect::Sort, manual: include_str!("shuffle.md"), compile };

struct Shuffle {
    place: u8,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    Ok(Shuffle { place: spec.place }.into())
}

impl Filter for Shuffle {
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        picks.shuffle(|_| 0, |answer| ask.draw(self.place, answer));
    }

    fn remark(&self, ask: &Ask, _: &Answers, answer: usize) -> Option<String> {
        Some(format!("drew {:.3}", draw::unit(ask.draw(self.place, answer))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Scenario, refused};
    use std::collections::HashMap;

    #[test]
    fn every_order_comes_equally_often() {
        let scenario = Scenario::parse(
            "answer dublin
             answer london
             answer tokyo
             chain  shuffle",
        );
        let mut orders = HashMap::new();
        for picks in scenario.draws(30_000) {
            *orders.entry(picks).or_insert(0u32) += 1;
        }
        assert_eq!(orders.len(), 6);
        for (order, count) in orders {
            assert!(count.abs_diff(5_000) < 300, "{order:?} {count}");
        }
    }

    #[test]
    fn two_shuffles_of_a_chain_draw_apart() {
        let scenario = Scenario::parse(
            "answer dublin
             answer london
             answer tokyo
             answer sydney
             chain  shuffle, select_first_n(n=2), shuffle, select_first_n(n=1)",
        );
        let mut first = HashMap::new();
        for picks in scenario.draws(20_000) {
            *first.entry(picks).or_insert(0u32) += 1;
        }
        for (pick, count) in first {
            assert!(count.abs_diff(5_000) < 300, "{pick:?} {count}");
        }
    }

    #[test]
    fn options() {
        refused("shuffle(n=1)", "option `n`: unknown; this filter takes no option");
    }
}
