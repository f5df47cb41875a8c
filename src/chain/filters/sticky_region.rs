#![doc = include_str!("sticky_region.md")]

use super::sticking::{Rendezvous, group_name};
use super::{group_word, warn_ungrouped};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "sticky_region", effect: Effect::Sort, manual: include_str!("sticky_region.md"), compile };

struct StickyRegion {
    rendezvous: Rendezvous,
    /// For each answer the first answer of its group: a name of the group that fits a byte.
    leader: Vec<u8>,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let leader = |group| spec.answers.iter().position(|answer| answer.group == group);
    let filter = StickyRegion {
        rendezvous: Rendezvous::compile(spec, group_name)?,
        leader: spec
            .answers
            .iter()
            .map(|answer| leader(answer.group).expect("its own group") as u8)
            .collect(),
    };
    Ok(Compiled { filter: Box::new(filter), warnings: warn_ungrouped(spec) })
}

impl Filter for StickyRegion {
    /// The group's byte below the number keeps two groups apart whose numbers share 24 bits, which is
    /// so for one client in 2^24.
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        let number = self.rendezvous.numbers(ask, picks);
        picks.sort_by_key(|answer| (number(answer) >> 32) as u32 & !0xFF | u32::from(self.leader[answer]));
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        Some(format!("{}, {}", group_word(&answers.fixed[answer]), self.rendezvous.remark(ask, answer)))
    }
}
