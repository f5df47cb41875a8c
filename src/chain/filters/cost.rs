#![doc = include_str!("cost.md")]

use super::ascending;
use super::ranking::{self, Ranked};
use crate::chain::{Compiled, Effect, Kind, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind = Kind { name: "cost", effect: Effect::Sort, manual: include_str!("cost.md"), compile };

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let by = Ranked {
        name: KIND.name,
        key: |live| live.cost.map_or(u32::MAX, ascending),
        word: |live| live.cost.map(|number| number.to_string()),
    };
    ranking::compile(spec, by)
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
