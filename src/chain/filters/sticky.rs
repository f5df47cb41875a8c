#![doc = include_str!("sticky.md")]

use super::sticking::{Rendezvous, answer_name};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "sticky", effect: Effect::Sort, manual: include_str!("sticky.md"), compile };

struct Sticky(Rendezvous);

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    Ok(Sticky(Rendezvous::compile(spec, answer_name)?).into())
}

impl Filter for Sticky {
    /// The upper half of a number is enough: two answers tie for one client in 2^32, and then the
    /// record's order decides, for this client always the same way.
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        let number = self.0.numbers(ask, picks);
        picks.sort_by_key(|answer| (number(answer) >> 32) as u32);
    }

    fn remark(&self, ask: &Ask, _: &Answers, answer: usize) -> Option<String> {
        Some(self.0.remark(ask, answer))
    }
}
