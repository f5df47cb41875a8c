#![doc = include_str!("priority.md")]

use super::ranking::{self, Ranked};
use crate::chain::{Compiled, Effect, Kind, Spec, SpecError};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "priority", effect: Effect::Sort, manual: include_str!("priority.md"), compile };

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    let by = Ranked {
        name: KIND.name,
        key: |live| live.priority.unwrap_or(u32::MAX),
        word: |live| live.priority.map(|number| number.to_string()),
    };
    ranking::compile(spec, by)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn priority() {
        check(
            "answer dublin
             answer london priority=2
             answer tokyo  priority=1
             answer sydney priority=2
             answer oregon priority=0
             chain  priority
             after  oregon tokyo london sydney dublin
             why    dublin no priority: last
             why    london priority 2
             chain  priority(eliminate=1)
             after  oregon
             chain  cost, priority(eliminate=0)
             after  oregon tokyo london sydney dublin",
        );
        check(
            "answer dublin priority=5
             answer london priority=7
             answer tokyo  priority=5
             chain  priority(eliminate=true)
             after  dublin tokyo",
        );
        check(
            "answer dublin
             answer london
             chain  priority(eliminate=true)
             after  dublin london",
        );
        refused("priority(n=1)", "option `n`: unknown; it takes eliminate");
    }
}
