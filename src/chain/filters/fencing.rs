//! What the fences share: an answer whose tag does not match the client goes.

use std::fmt::Debug;
use std::sync::Arc;

use super::placing::{Placing, Targets};
use crate::chain::{Answers, Ask, Compiled, Fenced, Filter, Meta, Picks, Spec, SpecError, options};
use crate::geo::Table;

/// What makes one fence differ from another.
pub(super) struct Fencing<T> {
    /// Its name.
    pub(super) name: &'static str,
    /// The option that removes untagged answers.
    pub(super) remove_option: &'static str,
    /// The meta it reads, for `check`.
    pub(super) what: &'static str,
    /// An answer's tag.
    pub(super) tag: fn(&Meta) -> Option<T>,
    /// A tag in words, for `explain`.
    pub(super) word: fn(&T) -> String,
    /// Asks the question: per outcome a key per tag, 1 where it matches and 0 where not.
    pub(super) ask: fn(&Spec, &str, &[T]) -> Arc<Table>,
    /// Whether it asks where the client is, rather than what its address is.
    pub(super) by_place: bool,
}

/// Compiles a fence.
pub(super) fn compile<T: Debug>(spec: &Spec, fencing: &Fencing<T>) -> Result<Compiled, SpecError> {
    options::refuse_unknown(spec.options, &[fencing.remove_option])?;
    let remove_untagged = options::flag(spec.options, fencing.remove_option, false)?;
    let targets = Targets::new(spec, fencing.tag);
    let mut warnings = Vec::new();
    if targets.tags.is_empty() {
        warnings.push(format!("no answer has {}, so the filter does nothing", fencing.what));
    }
    let ask = || (fencing.ask)(spec, &targets.identity(fencing.name), &targets.tags);
    let fence = Fence {
        words: targets.tags.iter().map(fencing.word).collect(),
        placing: Placing::new((!targets.tags.is_empty()).then(ask), &targets.of, fencing.by_place),
        remove_option: fencing.remove_option,
        remove_untagged,
        keep_all_if_empty: !spec.nodata_on_empty,
    };
    Ok(Compiled { filter: Box::new(fence), warnings })
}

/// The keys of an outcome: 1 for each tag that matches.
pub(super) fn keys<T>(tags: &[T], matches: impl Fn(&T) -> bool) -> Vec<u16> {
    tags.iter().map(|tag| u16::from(matches(tag))).collect()
}

struct Fence {
    placing: Placing,
    /// Each target's tag in words.
    words: Vec<String>,
    /// What the option is called that removes untagged answers, and whether it is on.
    remove_option: &'static str,
    remove_untagged: bool,
    keep_all_if_empty: bool,
}

impl Filter for Fence {
    #[inline]
    fn apply(&self, ask: &Ask, _: &Answers, picks: &mut Picks) {
        if self.placing.table.is_some() {
            self.apply_placed(self.placing.keys(ask, picks), picks);
        }
    }

    fn is_settled(&self, _: &Answers) -> bool {
        self.placing.table.is_none()
    }

    fn placing(&self) -> Option<&Placing> {
        Some(&self.placing)
    }

    fn apply_placed(&self, keys: Option<&[u16]>, picks: &mut Picks) {
        picks.fence(|answer| self.fenced(keys, answer), self.remove_untagged, self.keep_all_if_empty);
    }

    fn remark(&self, ask: &Ask, _: &Answers, answer: usize) -> Option<String> {
        let Some(target) = self.placing.target_of[answer] else {
            let option = self.remove_option;
            return Some(match self.remove_untagged {
                true => format!("untagged, and {option} removes it where a tagged answer matches"),
                false => "untagged".to_string(),
            });
        };
        let keys = self.placing.keys(ask, &mut Picks::default());
        let word = &self.words[usize::from(target)];
        Some(match self.fenced(keys, answer) {
            Fenced::Match => format!("{word}: matches"),
            _ if keys.is_none() => format!("{word}: no match, since nothing is known of the client"),
            _ => format!("{word}: no match"),
        })
    }
}

impl Fence {
    /// A client of whom nothing is known matches nothing.
    #[inline]
    fn fenced(&self, keys: Option<&[u16]>, answer: usize) -> Fenced {
        match self.placing.target_of[answer] {
            None => Fenced::Untagged,
            Some(target) if keys.is_some_and(|keys| keys[usize::from(target)] == 1) => Fenced::Match,
            Some(_) => Fenced::Miss,
        }
    }
}
