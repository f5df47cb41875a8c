//! The filters, one file each.
//!
//! ```text
//! up.md       the manual: what it does, its meta, its options, a chain with a before and an after
//! up.rs       KIND (its line in the table), compile, the filter, its tests as scenarios
//! placing.rs  what the geographic filters share: answers as targets of a question, the client placed
//! fencing.rs  what the fences share
//! ranking.rs  what priority and cost share
//! sticking.rs what the sticky filters share
//! ```
//!
//! A filter's work is done when it is compiled; on a query it looks a few numbers up and calls one
//! operation of [`Picks`](super::Picks). Deliberately absent: any look at how many answers are in play
//! or in which order, since the same code also runs in doubt, over a superset of them.
//!
//! The manuals' examples are run as tests, and `docs/filters.md` is made of the manuals.

pub mod cost;
mod fencing;
pub mod geofence_country;
pub mod geofence_regional;
pub mod geotarget_country;
pub mod geotarget_latlong;
pub mod geotarget_regional;
pub mod netfence_asn;
pub mod netfence_prefix;
mod placing;
pub mod priority;
mod ranking;
#[cfg(test)]
mod scenario;
pub mod select_first_n;
pub mod select_first_region;
pub mod shed_load;
pub mod shuffle;
mod sticking;
pub mod sticky;
pub mod sticky_region;
pub mod up;
pub mod weighted_shuffle;
pub mod weighted_sticky;

pub use placing::Placing;
pub(super) use placing::place;

use super::{Answer, Answers, Kind, Spec};

/// Every filter, by its NS1 key.
pub const KINDS: &[Kind] = &[
    up::KIND,
    shed_load::KIND,
    geotarget_country::KIND,
    geotarget_regional::KIND,
    geotarget_latlong::KIND,
    geofence_country::KIND,
    geofence_regional::KIND,
    netfence_asn::KIND,
    netfence_prefix::KIND,
    priority::KIND,
    cost::KIND,
    shuffle::KIND,
    weighted_shuffle::KIND,
    sticky::KIND,
    weighted_sticky::KIND,
    sticky_region::KIND,
    select_first_n::KIND,
    select_first_region::KIND,
];

/// An answer's weight; nothing when it is 0, which is no weight at all but a place behind all others.
#[inline]
fn weight(answers: &Answers, answer: usize) -> Option<f64> {
    let weight = answers.live[answer].weight.unwrap_or(1.0);
    (weight > 0.0).then_some(weight)
}

/// A key in the order of a number from 0 up. The bits of floats without a sign are in the order of their
/// values; half of them are dropped, so numbers closer than one in 2^24 tie.
#[inline]
fn ascending(number: f64) -> u32 {
    (number as f32).abs().to_bits()
}

/// An answer's group, for `explain`.
fn group_word(answer: &Answer) -> String {
    answer.group_name.as_ref().map_or("no group".to_string(), |name| format!("group {name}"))
}

/// A warning when a filter over groups has none to go by.
fn warn_ungrouped(spec: &Spec) -> Vec<String> {
    let grouped = spec.answers.iter().any(|answer| answer.group_name.is_some());
    if grouped { Vec::new() } else { vec!["no answer has a group, so all are one group".to_string()] }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_manual_has_an_example_that_holds() {
        for kind in KINDS {
            let example = kind.manual.split("```text\n").nth(1).expect(kind.name);
            let example = example.split("```").next().unwrap();
            for line in ["answer ", "chain ", "before ", "after "] {
                assert!(example.contains(line), "{}: no {line}", kind.name);
            }
            assert!(example.contains(kind.name), "{}: not in its own example", kind.name);
            scenario::check(example);
        }
    }

    /// `UPDATE=1 cargo test` rewrites the document.
    #[test]
    fn the_document_is_made_of_the_manuals() {
        let mut document = DOCUMENT_HEAD.to_string();
        for kind in KINDS {
            document += &format!("\n## {}\n\n{}", kind.name, kind.manual);
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/filters.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == document, "run UPDATE=1 cargo test");
    }

    const DOCUMENT_HEAD: &str = "\
# Filters

A record's chain is a list of filters. Each takes the answers the one before it left, in their order, and
removes some, reorders them, or cuts the list; what the last one leaves is answered. Drains have removed
answers, and splits have chosen a stack, before the first filter runs.

Names and options are NS1's, so a chain can be carried over. A sorting filter keeps the order of what it
finds equal. In the examples `answer` is an answer with its meta, `client` is where the query comes from,
and `before` and `after` are the answers in play; every example is run as a test.
";

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
    }
}
