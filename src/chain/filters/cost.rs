#![doc = include_str!("cost.md")]

use super::ascending;
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, LiveMeta, Picks, Spec, SpecError, options};

/// The filter's line in the table.
pub const KIND: Kind = Kind { name: "cost", effect: Effect::Sort, manual: include_str!("cost.md"), compile };

struct Cost {
    eliminate: bool,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["eliminate"])?;
    Ok(Cost { eliminate: options::flag(spec.options, "eliminate", false)? }.into())
}

impl Filter for Cost {
    #[inline]
    fn apply(&self, _: &Ask, answers: &Answers, picks: &mut Picks) {
        let key = |answer: usize| key(&answers.live[answer]);
        if self.eliminate {
            picks.keep_least(key);
        } else {
            picks.sort_by_key(key);
        }
    }

    fn is_settled(&self, _: &Answers) -> bool {
        true
    }

    fn remark(&self, _: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        Some(match answers.live[answer].cost {
            Some(cost) => format!("cost {cost}"),
            None => "no cost: last".to_string(),
        })
    }
}

/// A cost counts to 24 bits of precision: integers up to 16,777,216 are all different.
#[inline]
fn key(live: &LiveMeta) -> u32 {
    live.cost.map_or(u32::MAX, ascending)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn cost() {
        check(
            "answer dublin
             answer london cost=2.5
             answer tokyo  cost=0.25
             answer sydney cost=2.5
             answer oregon cost=0
             answer ohio   cost=1e9
             chain  cost
             after  oregon tokyo london sydney ohio dublin
             why    dublin no cost: last
             why    london cost 2.5
             chain  cost(eliminate=true)
             after  oregon",
        );
        check(
            "answer dublin cost=16777216
             answer london cost=16777215
             answer tokyo  cost=-0.0
             answer sydney cost=0
             chain  cost
             after  tokyo sydney london dublin",
        );
        refused("cost(n=1)", "option `n`: unknown; it takes eliminate");
    }
}
