//! What the geographic filters share: a record's answers as targets of one question about places, and
//! the client placed for it.
//!
//! ```text
//! load:  answers' meta -> Targets (equal meta is one target) -> question -> Table of outcomes
//! query: client's address -> Table -> outcome: a key per target -> order, or fence
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::chain::{Ask, MAX_ANSWERS, Meta, Picks, PlacedBy, Spec};
use crate::geo::Table;

/// What a record's answers are to a question. Answers whose tags are equal are one target, so the
/// stacks of a PoP cost nothing more, and records over the same PoPs ask the same question.
pub(super) struct Targets<T> {
    /// The tag of each target, in the order of their texts, whatever the order of the answers.
    pub(super) tags: Vec<T>,
    /// Which target each answer is; none where it has no tag.
    pub(super) of: Vec<Option<u8>>,
}

impl<T: Debug> Targets<T> {
    /// The targets among the answers by their tags. A tag's `Debug` text stands for it.
    pub(super) fn new(spec: &Spec, tag: impl Fn(&Meta) -> Option<T>) -> Targets<T> {
        let tags: Vec<_> = spec.answers.iter().map(|answer| tag(&answer.meta)).collect();
        let texts: Vec<_> = tags.iter().map(|tag| tag.as_ref().map(|tag| format!("{tag:?}"))).collect();
        let distinct: BTreeMap<_, _> =
            tags.into_iter().zip(&texts).filter_map(|(tag, text)| Some((text.as_ref()?, tag?))).collect();
        let number = |text| distinct.keys().position(|other| *other == text).map(|number| number as u8);
        let of = texts.iter().map(|text| number(text.as_ref()?)).collect();
        Targets { tags: distinct.into_values().collect(), of }
    }

    /// The name of a question over these targets: questions of one name are compiled once.
    pub(super) fn identity(&self, question: &str) -> String {
        format!("{question} {:?}", self.tags)
    }

    /// The names of the answers without a tag.
    pub(super) fn untagged<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a str> {
        let untagged = self.of.iter().zip(spec.answers).filter(|(target, _)| target.is_none());
        untagged.map(|(_, answer)| answer.name.as_str())
    }

    /// Whether a sort by these targets can ever change an order.
    pub(super) fn differ(&self) -> bool {
        self.tags.len() + usize::from(self.of.contains(&None)) > 1
    }

    /// What `check` should say of a sort by these targets.
    pub(super) fn warnings(&self, spec: &Spec, what: &str) -> Vec<String> {
        let untagged: Vec<_> = self.untagged(spec).collect();
        if self.tags.is_empty() {
            vec![format!("no answer has {what}, so the filter does nothing")]
        } else if untagged.is_empty() {
            Vec::new()
        } else {
            vec![format!("answers without {what} come last: {}", untagged.join(", "))]
        }
    }
}

/// A compiled question.
pub struct Placing {
    /// None when there is nothing to ask, and so nothing to narrow the scope for.
    pub(in crate::chain) table: Option<Arc<Table>>,
    /// Which target each answer is. As long as indices of answers go, so that looking one up takes no check.
    pub(super) target_of: Box<[Option<u8>; MAX_ANSWERS]>,
    /// Whether it asks where the client is, rather than what its address is.
    pub(in crate::chain) by_place: bool,
}

impl Placing {
    /// A question, and which of its targets each answer is.
    pub(super) fn new(table: Option<Arc<Table>>, of: &[Option<u8>], by_place: bool) -> Placing {
        let mut target_of = Box::new([None; MAX_ANSWERS]);
        target_of[..of.len()].copy_from_slice(of);
        Placing { table, target_of, by_place }
    }

    /// The keys of the targets for this client; nothing when its place is unknown.
    #[inline]
    pub(super) fn keys(&self, ask: &Ask, picks: &mut Picks) -> Option<&[u16]> {
        let table = self.table.as_deref()?;
        place(table, self.by_place, ask, picks).map(|outcome| table.keys(outcome))
    }

    /// Sorts the answers by their targets' keys; those without a tag come last.
    #[inline]
    pub(super) fn sort(&self, keys: Option<&[u16]>, picks: &mut Picks) {
        if let Some(keys) = keys {
            let target_of = &*self.target_of;
            picks.sort_by_key(|answer| match target_of[answer] {
                Some(target) => u32::from(keys[usize::from(target)]),
                None => u32::MAX,
            });
        }
    }
}

/// What a table says of this client, or of who stands in for it; nothing when its place is unknown.
///
/// The scope covers the client's own lookup, a miss too. It does not cover the resolver's, since a
/// resolver keeps what it got for itself alone.
#[inline(always)]
pub(in crate::chain) fn place(table: &Table, by_place: bool, ask: &Ask, picks: &mut Picks) -> Option<u32> {
    let found = table.lookup(ask.client);
    picks.narrow(found.prefix_len);
    let (by, outcome) = match found.outcome {
        Some(outcome) => (PlacedBy::Client, Some(outcome)),
        None => stand_in(table, ask),
    };
    if by_place {
        picks.note_placed(by);
    }
    outcome
}

/// Who stands in for a client that no source knows.
#[cold]
fn stand_in(table: &Table, ask: &Ask) -> (PlacedBy, Option<u32>) {
    if let Some(outcome) = table.lookup(ask.resolver).outcome {
        (PlacedBy::Resolver, Some(outcome))
    } else if let Some(outcome) = table.default_outcome() {
        (PlacedBy::Default, Some(outcome))
    } else {
        (PlacedBy::Nothing, None)
    }
}

/// Each value's rank among the distinct values.
pub(super) fn ranks<K: Ord + Copy>(values: &[K]) -> Vec<u16> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    values.iter().map(|value| distinct.partition_point(|other| other < value) as u16).collect()
}

/// A list in one order and without repeats, so that equal tags have equal texts.
pub(super) fn canonical<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Answer, Options};
    use crate::geo::{Questions, World};

    #[test]
    fn equal_tags_are_one_target_in_whatever_order() {
        let world = World::empty();
        let targets = |asns: &[&[u32]]| {
            let answer = |asn: &&[u32]| {
                let mut answer = Answer::default();
                answer.meta.asn = asn.to_vec();
                answer
            };
            let answers: Vec<_> = asns.iter().map(answer).collect();
            let spec = Spec {
                options: &Options::new(),
                answers: &answers,
                geo: &Questions::new(&world),
                place: 0,
                nodata_on_empty: false,
                seed: 0,
            };
            Targets::new(&spec, |meta| (!meta.asn.is_empty()).then(|| canonical(meta.asn.iter().copied())))
        };
        let some = targets(&[&[3], &[1, 2], &[], &[2, 1], &[3, 3]]);
        assert_eq!(some.tags, [vec![1, 2], vec![3]]);
        assert_eq!(some.of, [Some(1), Some(0), None, Some(0), Some(1)]);
        assert_eq!(some.identity("asn"), targets(&[&[2, 1], &[3]]).identity("asn"));
        assert_ne!(some.identity("asn"), targets(&[&[2], &[3]]).identity("asn"));
        assert!(targets(&[&[1], &[]]).differ() && targets(&[&[1], &[2]]).differ());
        assert!(!targets(&[&[1], &[1]]).differ() && !targets(&[&[], &[]]).differ());
    }

    #[test]
    fn ranks_are_dense() {
        assert_eq!(ranks(&[30, 10, 30, 20]), [2, 0, 2, 1]);
    }
}
