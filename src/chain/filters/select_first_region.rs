#![doc = include_str!("select_first_region.md")]

use super::{group_word, warn_ungrouped};
use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, Picks, Spec, SpecError, options};

/// The filter's line in the table.
pub const KIND: Kind = Kind {
    name: "select_first_region",
    effect: Effect::Select,
    manual: include_str!("select_first_region.md"),
    compile,
};

struct SelectFirstRegion;

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    Ok(Compiled { filter: Box::new(SelectFirstRegion), warnings: warn_ungrouped(spec) })
}

impl Filter for SelectFirstRegion {
    #[inline]
    fn apply(&self, _: &Ask, answers: &Answers, picks: &mut Picks) {
        picks.keep_leading_group(|answer| answers.fixed[answer].group);
    }

    fn is_settled(&self, _: &Answers) -> bool {
        true
    }

    fn remark(&self, _: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        Some(group_word(&answers.fixed[answer]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn select_first_region() {
        check(
            "answer dublin  group=eu priority=2
             answer oregon  group=us priority=1
             answer london  group=eu priority=3
             answer nowhere
             answer nobody
             chain  select_first_region
             after  dublin london
             why    oregon group us
             why    nobody no group
             chain  priority, select_first_region
             after  oregon
             chain  cost, up, select_first_region
             after  dublin london",
        );
        check(
            "answer nowhere
             answer oregon  group=us
             answer nobody
             chain  select_first_region
             after  nowhere nobody",
        );
        check(
            "answer dublin
             answer london
             chain  select_first_region
             after  dublin london
             warn   no answer has a group, so all are one group",
        );
        refused("select_first_region(n=1)", "option `n`: unknown; this filter takes no option");
    }
}
