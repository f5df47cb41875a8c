#![doc = include_str!("priority.md")]

use crate::chain::{Answers, Ask, Compiled, Effect, Filter, Kind, LiveMeta, Picks, Spec, SpecError, options};

/// The filter's line in the table.
pub const KIND: Kind =
    Kind { name: "priority", effect: Effect::Sort, manual: include_str!("priority.md"), compile };

struct Priority {
    eliminate: bool,
}

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["eliminate"])?;
    Ok(Priority { eliminate: options::flag(spec.options, "eliminate", false)? }.into())
}

impl Filter for Priority {
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
        Some(match answers.live[answer].priority {
            Some(priority) => format!("priority {priority}"),
            None => "no priority: last".to_string(),
        })
    }
}

#[inline]
fn key(live: &LiveMeta) -> u32 {
    live.priority.unwrap_or(u32::MAX)
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
