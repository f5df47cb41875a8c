//! What filters did that the operator should hear of, besides the answer.

/// One bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects(u8);

impl Effects {
    /// Health stood aside: everything was down.
    pub const HEALTH_BYPASSED: Effects = Effects(1);
    /// Load shedding stood aside: everything was overloaded.
    pub const SHED_BYPASSED: Effects = Effects(2);
    /// A fence stood aside: nothing matched.
    pub const FENCE_BYPASSED: Effects = Effects(4);
    /// Load shedding removed an answer.
    pub const SHED: Effects = Effects(8);

    /// Whether any of the others is among them.
    #[inline]
    pub fn has(self, others: Effects) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether a filter stood aside because it would have removed everything.
    #[inline]
    pub fn bypassed(self) -> bool {
        self.has(Effects(1 | 2 | 4))
    }

    /// Adds another.
    #[inline]
    pub fn add(&mut self, other: Effects) {
        self.0 |= other.0;
    }
}
