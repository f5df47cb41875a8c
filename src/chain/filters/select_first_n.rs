#![doc = include_str!("select_first_n.md")]

use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, options};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "select_first_n",
    effect: Effect::Select,
    manual: include_str!("select_first_n.md"),
    compile,
};

struct SelectFirstN {
    n: usize,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["n"])?;
    Ok(SelectFirstN { n: options::count(spec.options, "n", 1)? }.into())
}

impl Filter for SelectFirstN {
    #[inline]
    fn apply(&self, _: &Ask, _: &Answers, picks: &mut Picks) {
        picks.truncate(self.n);
    }

    /// It looks at the order alone, and the order shows.
    fn is_settled(&self, _: &Answers) -> bool {
        true
    }

    fn remark(&self, _: &Ask, _: &Answers, _: usize) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn select_first_n() {
        check(
            "answer dublin
             answer london
             answer tokyo
             chain  select_first_n
             after  dublin
             chain  select_first_n(n=2)
             after  dublin london
             chain  select_first_n(N=2)
             after  dublin london
             chain  select_first_n(n=9)
             after  dublin london tokyo",
        );
        refused("select_first_n(n=0)", "option `n`: write a whole number of at least 1");
        refused("select_first_n(count=1)", "option `count`: unknown; it takes n");
    }
}
