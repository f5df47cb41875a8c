//! What `priority` and `cost` share: a number of live meta, smallest first, and those without it last.

use crate::chain::{Answers, Ask, Compiled, Filter, LiveMeta, Picks, Spec, SpecError, options};

/// What is ranked by.
pub(super) struct Ranked {
    /// The filter's name, which is that of its number.
    pub(super) name: &'static str,
    /// A key in the order of the number; an answer without one has the largest.
    pub(super) key: fn(&LiveMeta) -> u32,
    /// The number in words.
    pub(super) word: fn(&LiveMeta) -> Option<String>,
}

struct Ranking {
    by: Ranked,
    eliminate: bool,
}

/// Compiles a ranking.
pub(super) fn compile(spec: &Spec, by: Ranked) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &["eliminate"])?;
    let eliminate = options::flag(spec.options, "eliminate", false)?;
    Ok(Ranking { by, eliminate }.into())
}

impl Filter for Ranking {
    #[inline]
    fn apply(&self, _: &Ask, answers: &Answers, picks: &mut Picks) {
        let key = |answer: usize| (self.by.key)(&answers.live[answer]);
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
        let name = self.by.name;
        Some(match (self.by.word)(&answers.live[answer]) {
            Some(number) => format!("{name} {number}"),
            None => format!("no {name}: last"),
        })
    }
}
