#![doc = include_str!("up.md")]

use crate::chain::{Answers, Ask, Compiled, Effect, Effects, Filter, Kind, Picks, Spec, SpecError, options};

/// The filter's line in the table.
pub const KIND: Kind = Kind { name: "up", effect: Effect::Sift, manual: include_str!("up.md"), compile };

struct Up;

fn compile(spec: &Spec) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[])?;
    Ok(Up.into())
}

impl Filter for Up {
    #[inline]
    fn apply(&self, ask: &Ask, answers: &Answers, picks: &mut Picks) {
        if !ask.ignore_health {
            picks.retain_unless_empty(Effects::HEALTH_BYPASSED, |answer| answers.live[answer].up.is_up());
        }
    }

    fn is_settled(&self, _: &Answers) -> bool {
        true
    }

    fn remark(&self, ask: &Ask, answers: &Answers, answer: usize) -> Option<String> {
        let up = answers.live[answer].up;
        Some(match (up.said_no(), ask.ignore_health) {
            (Some(source), false) => format!("down: said no by {source}"),
            (Some(source), true) => format!("down: said no by {source}, but health is ignored"),
            (None, _) => match up.said_yes() {
                Some(source) => format!("up: said by {source}"),
                None => "nothing says that it is down".to_string(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{check, refused};

    #[test]
    fn up() {
        check(
            "answer dublin   up=true
             answer london   up=false
             answer tokyo    feed=false
             answer sydney   up=true feed=true verdict=false
             answer oregon   feed=true
             chain  up
             after  dublin oregon
             why    london down: said no by meta
             why    tokyo  down: said no by feed
             why    sydney down: said no by monitor
             why    dublin up: said by meta
             why    oregon up: said by feed
             ignore_health
             after  dublin london tokyo sydney oregon
             why    tokyo  down: said no by feed, but health is ignored",
        );
        check(
            "answer dublin up=false
             answer london verdict=false
             chain  up
             after  dublin london
             bypassed",
        );
        refused("up(eliminate=true)", "option `eliminate`: unknown; this filter takes no option");
    }
}
