//! Whether a chain answers anybody at all, for `check`.
//!
//! A walk over the address space: what the fences' tables say of one address they say of a whole prefix, so it
//! goes from prefix to prefix, and ends at the first client that is left an answer. Where a table knows nothing
//! of a client, its resolver counts, and that may be anybody: when no client is left an answer by itself, each
//! is tried with every resolver that differs.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{Answer, Chain, Effect, Picks};

/// What each fence's table says of an address.
type Told = Vec<Option<u32>>;

impl Chain {
    /// Whether some client is left an answer by all the fences. Other filters never leave less than one.
    pub fn reaches_anybody(&self, fixed: &[Answer]) -> bool {
        let sifting = self.steps.iter().filter(|(kind, _)| kind.effect == Effect::Sift);
        let fences: Vec<_> =
            sifting.filter_map(|(_, filter)| Some((filter, filter.placing()?.table.clone()?))).collect();
        let all: Vec<u8> = (0..fixed.len()).map(|answer| answer as u8).collect();
        let mut picks = Picks::default();
        let mut is_left_any = |client: &Told, resolver: &Told| {
            picks.start(&all);
            for (at, (fence, table)) in fences.iter().enumerate() {
                let outcome = client[at].or(resolver[at]).or(table.default_outcome());
                fence.apply_placed(outcome.map(|outcome| table.keys(outcome)), &mut picks);
            }
            !picks.is_empty()
        };
        let mut all_told = HashSet::new();
        let mut by_itself = |client: IpAddr| {
            let found: Vec<_> = fences.iter().map(|(_, table)| table.lookup(client)).collect();
            let told: Told = found.iter().map(|found| found.outcome).collect();
            let is_left_any = is_left_any(&told, &told);
            all_told.insert(told);
            (is_left_any, found.iter().map(|found| found.prefix_len).max().unwrap_or(0))
        };
        if any(32, &mut |bits| by_itself(IpAddr::V4((bits as u32).into())))
            || any(128, &mut |bits| by_itself(IpAddr::V6(bits.into())))
        {
            return true;
        }
        let mut unknown = all_told.iter().filter(|told| told.contains(&None));
        unknown.any(|client| all_told.iter().any(|resolver| is_left_any(client, resolver)))
    }
}

/// Goes over a family of addresses until one is left something. `is_left_any` says whether it is, and for how
/// long a prefix that holds.
fn any(length: u8, is_left_any: &mut dyn FnMut(u128) -> (bool, u8)) -> bool {
    let last = u128::MAX >> (128 - length);
    let mut at = 0;
    loop {
        let (left, scope) = is_left_any(at);
        if left {
            return true;
        }
        let end = at | last.checked_shr(scope.into()).unwrap_or(0);
        if end == last {
            return false;
        }
        at = end + 1;
    }
}
