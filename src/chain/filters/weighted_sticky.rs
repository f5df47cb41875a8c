#![doc = include_str!("weighted_sticky.md")]

use super::sticking::{Rendezvous, answer_name};
use super::{ascending, weight};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, draw};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "weighted_sticky",
    effect: Effect::Sort,
    manual: include_str!("weighted_sticky.md"),
    compile,
};

struct WeightedSticky(Rendezvous);

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    Ok(WeightedSticky(Rendezvous::compile(spec, answer_name)?).into())
}

impl Filter for WeightedSticky {
    /// Exponential ranks as in `weighted_shuffle`, from a number that stays. Rounding a rank to 24 bits
    /// keeps the order, so a weight that rises can only move its answer forward; two answers of equal
    /// weight tie for about one client in 2^25, and then the record's order decides.
    #[inline]
    fn apply(&self, ask: &Ask, answers: &Answers, picks: &mut Picks) {
        let number = self.0.numbers(ask, picks);
        picks.sort_by_key(|answer| {
            weight(answers, answer)
                .map_or(u32::MAX, |weight| ascending(draw::weighted_rank(number(answer), weight)))
        });
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        Some(match weight(answers, answer) {
            Some(weight) => format!("weight {weight}, {}", self.0.remark(ask, answer)),
            None => "weight 0: behind all others".to_string(),
        })
    }
}
