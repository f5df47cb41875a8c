//! Whether a chain answers anybody at all, for `check`.
//!
//! A walk over the address space: what the fences leave for one address they leave for its whole scope, so
//! it goes from scope to scope, and ends at the first client that is left an answer.

use std::net::IpAddr;

use super::{Answer, Answers, Ask, Chain, Effect, Filter, LiveMeta, Picks};

impl Chain {
    /// Whether some client is left an answer by all the fences that ask for its place. Other filters never
    /// leave less than one; fences that go by networks alone are passed over, as a client without a place
    /// may have its resolver's.
    pub fn reaches_anybody(&self, fixed: &[Answer]) -> bool {
        let by_place = |filter: &dyn Filter| filter.placing().is_some_and(|placing| placing.by_place);
        let is_fence = |(kind, filter): &&(&super::Kind, Box<dyn Filter>)| {
            kind.effect == Effect::Sift && by_place(&**filter)
        };
        let fences: Vec<&dyn Filter> =
            self.steps.iter().filter(is_fence).map(|(_, fence)| &**fence).collect();
        let live = vec![LiveMeta::default(); fixed.len()];
        let answers = Answers { fixed, live: &live };
        let all: Vec<u8> = (0..fixed.len()).map(|answer| answer as u8).collect();
        let mut picks = Picks::default();
        let mut fenced = |client: IpAddr| {
            picks.start(&all);
            fences.iter().for_each(|fence| fence.apply(&asking(client), &answers, &mut picks));
            (!picks.is_empty(), picks.scope())
        };
        fences.is_empty()
            || any(32, &mut |bits| fenced(IpAddr::V4((bits as u32).into())))
            || any(128, &mut |bits| fenced(IpAddr::V6(bits.into())))
    }
}

/// Goes over a family of addresses until one is left something. `fenced` says whether it is, and for how
/// long a prefix that holds.
fn any(length: u8, fenced: &mut dyn FnMut(u128) -> (bool, u8)) -> bool {
    let last = u128::MAX >> (128 - length);
    let mut at = 0;
    loop {
        let (left, scope) = fenced(at);
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

fn asking(client: IpAddr) -> Ask {
    let source = if client.is_ipv4() { 32 } else { 128 };
    Ask { client, source, resolver: client, place: None, random: 0, record_salt: 0, ignore_health: true }
}
