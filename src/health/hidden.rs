//! What our own failure hides from us: answers of which nothing is seen, and what was made of them before we knew.

use std::collections::BTreeMap;

use super::verdict::Verdict;
use crate::state::model::Time;

/// What of an answer, or of a site, is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// From when on it may have been: what fell since then was taken back. The end of time where nothing was.
    pub began: Time,
    /// Nothing is seen of it; otherwise another family still is, or another monitor sees it.
    pub wholly: bool,
}

impl Hidden {
    /// Of several answers together: one of which nothing is seen is enough.
    pub fn of_all(all: impl Iterator<Item = Hidden>) -> Option<Hidden> {
        all.reduce(|one, other| Hidden {
            began: one.began.min(other.began),
            wholly: one.wholly || other.wholly,
        })
    }
}

/// The same, and since when we know.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What is hidden.
    pub hidden: Hidden,
    /// Since when we know that it is.
    pub since: Time,
}

impl Known {
    /// Whether what happened then may have been our own failure.
    pub fn was_ours(&self, at: Time) -> bool {
        self.hidden.began <= at && at <= self.since
    }
}

/// What is hidden of the answers, by answer. One that a monitor sees is not wholly hidden.
pub fn hidden<'v>(verdicts: impl Iterator<Item = &'v Verdict> + Clone) -> BTreeMap<String, Hidden> {
    let mut answers: BTreeMap<String, Hidden> = BTreeMap::new();
    for verdict in verdicts.clone() {
        let Some(hidden) = verdict.hidden else { continue };
        let all = answers.entry(verdict.answer.clone()).or_insert(hidden);
        all.began = all.began.min(hidden.began);
    }
    if !answers.is_empty() {
        for verdict in verdicts.filter(|verdict| verdict.hidden.is_none_or(|hidden| !hidden.wholly)) {
            if let Some(hidden) = answers.get_mut(&verdict.answer) {
                hidden.wholly = false;
            }
        }
    }
    answers
}
