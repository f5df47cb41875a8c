//! Watching a chain at work: `explain` is the serving walk with a tracer.

use super::{Effects, Picks};

/// Sees the picks before and after each step.
pub trait Tracer {
    /// Whether it wants to see every step, the settled ones too.
    const SEES_ALL: bool;

    /// A step is about to run.
    fn before(&mut self, picks: &mut Picks);
    /// A step has run; `remark` says why it treats an answer as it does.
    fn after(&mut self, step: &'static str, picks: &Picks, remark: impl Fn(usize) -> Option<String>);
}

/// The tracer of the serving walk: it sees nothing and costs nothing.
pub struct Silent;

impl Tracer for Silent {
    const SEES_ALL: bool = false;

    #[inline]
    fn before(&mut self, _: &mut Picks) {}
    #[inline]
    fn after(&mut self, _: &'static str, _: &Picks, _: impl Fn(usize) -> Option<String>) {}
}

/// What one step did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The filter's name.
    pub filter: &'static str,
    /// The answers before, in order.
    pub before: Vec<u8>,
    /// The answers after, in order.
    pub after: Vec<u8>,
    /// Why, for each answer of `before` the filter has a word on.
    pub remarks: Vec<(u8, String)>,
    /// The scope before, in bits.
    pub scope_before: u8,
    /// The scope after, in bits.
    pub scope_after: u8,
    /// The filter stood aside because nothing would have been left.
    pub bypassed: bool,
}

/// Writes down every step.
#[derive(Default)]
pub struct Recorder {
    /// The steps so far.
    pub steps: Vec<Step>,
    before: Vec<u8>,
    scope: u8,
}

impl Tracer for Recorder {
    const SEES_ALL: bool = true;

    fn before(&mut self, picks: &mut Picks) {
        self.before = picks.as_slice().to_vec();
        self.scope = picks.scope();
        picks.set_effects(Effects::default());
    }

    fn after(&mut self, filter: &'static str, picks: &Picks, remark: impl Fn(usize) -> Option<String>) {
        let before = std::mem::take(&mut self.before);
        let remarks = before.iter().filter_map(|&answer| Some((answer, remark(answer as usize)?))).collect();
        self.steps.push(Step {
            filter,
            before,
            after: picks.as_slice().to_vec(),
            remarks,
            scope_before: self.scope,
            scope_after: picks.scope(),
            bypassed: picks.effects().bypassed(),
        });
    }
}
