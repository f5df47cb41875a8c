//! What the sticky filters share: rendezvous hashing of a client over names.
//!
//! Each name (an answer's, or a group's) has a salt from the configured seed, made at load. A client's
//! number for a name is `draw(name's salt ^ record's salt, client key)` (see [`draw`]), and the smallest
//! number comes first (Thaler and Ravishankar 1998). A name's number depends on no other name, so when
//! one comes or goes the others keep their order, and only the clients that had it first move.

use ipnet::IpNet;

use crate::chain::{Answer, Ask, Picks, Spec, SpecError, draw, options};

/// The one option of the sticky filters.
pub(super) const OPTIONS: &[&str] = &["sticky_by_network"];

/// A compiled rendezvous.
pub(super) struct Rendezvous {
    /// The salt of each answer's name.
    salts: Vec<u64>,
    by_network: bool,
}

impl Rendezvous {
    /// Reads the option, and salts the name that each answer goes by.
    pub(super) fn compile<'a>(
        spec: &Spec<'a>,
        name: impl Fn(&'a Answer) -> Vec<&'a str>,
    ) -> Result<Rendezvous, SpecError> {
        options::refuse_unknown(spec.options, OPTIONS)?;
        Ok(Rendezvous {
            salts: spec.answers.iter().map(|answer| draw::salt(spec.seed, &name(answer))).collect(),
            by_network: options::flag(spec.options, OPTIONS[0], false)?,
        })
    }

    /// The client's number for each answer. The choice holds for the client's sticky network, or for
    /// its address alone, also where the query gave fewer bits: a longer source may get another answer.
    #[inline]
    pub(super) fn numbers<'s>(&'s self, ask: &Ask, picks: &mut Picks) -> impl Fn(usize) -> u64 + use<'s> {
        picks.narrow(self.prefix_len(ask));
        let client = self.client_key(ask);
        let record = ask.record_salt;
        move |answer| draw::draw(self.salts[answer] ^ record, client)
    }

    /// The number as `explain` says it.
    pub(super) fn remark(&self, ask: &Ask, answer: usize) -> String {
        let number = draw::draw(self.salts[answer] ^ ask.record_salt, self.client_key(ask));
        let given = self.prefix_len(ask).min(ask.source);
        let network = IpNet::new_assert(ask.client, given).trunc();
        format!("number {:.3} for {network}", draw::unit(number))
    }

    fn client_key(&self, ask: &Ask) -> u64 {
        if self.by_network { ask.network_key() } else { draw::client_key(ask.client, ask.source) }
    }

    fn prefix_len(&self, ask: &Ask) -> u8 {
        match (self.by_network, ask.client.is_ipv4()) {
            (true, _) => draw::sticky_prefix(ask.client),
            (false, true) => 32,
            (false, false) => 128,
        }
    }
}

/// What a client sticks to: the answer, but at a site of a pool the site, so that a split that hands a
/// client from one stack to another leaves it where it is.
pub(super) fn answer_name(answer: &Answer) -> Vec<&str> {
    match (&answer.pool, &answer.pop) {
        (Some(pool), Some(pop)) => vec!["answer", pool, pop],
        _ => vec!["answer", &answer.name],
    }
}

/// The answer's group; all answers without one share the empty name.
pub(super) fn group_name(answer: &Answer) -> Vec<&str> {
    vec!["group", answer.group_name.as_deref().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::super::scenario::{Scenario, check, refused};

    /// The orders come from the implementation that made `tests/data/sticky.txt`.
    #[test]
    fn orders_are_forever() {
        check(
            "answer dublin
             answer london
             answer tokyo
             answer sydney
             answer oregon
             chain  sticky
             client 192.0.2.1
             after  london sydney dublin tokyo oregon
             scope  32
             client 203.0.113.9
             after  oregon london dublin sydney tokyo
             client 192.0.2.1/16
             after  oregon dublin sydney london tokyo
             scope  32
             client 2001:db8::1
             after  tokyo sydney london dublin oregon
             scope  128
             chain  sticky(sticky_by_network=1)
             after  tokyo sydney dublin oregon london
             scope  56
             client 2001:db8::1/56
             after  tokyo sydney dublin oregon london
             scope  56
             client 192.0.2.1
             after  tokyo london sydney oregon dublin
             scope  24
             why    tokyo number 0.116 for 192.0.2.0/24
             client 192.0.2.255
             after  tokyo london sydney oregon dublin
             client 192.0.2.1/16
             after  oregon dublin sydney london tokyo
             scope  24
             why    tokyo number 0.951 for 192.0.0.0/16",
        );
        check(
            "answer sydney-1 group=ap
             answer dublin-1 group=eu
             answer nowhere
             answer sydney-2 group=ap
             answer oregon   group=us
             answer dublin-2 group=eu
             answer nobody
             chain  sticky_region
             client 192.0.2.1
             after  oregon sydney-1 sydney-2 dublin-1 dublin-2 nowhere nobody
             why    oregon group us, number 0.263 for 192.0.2.1/32
             scope  32
             chain  sticky_region(sticky_by_network=true)
             after  sydney-1 sydney-2 nowhere nobody oregon dublin-1 dublin-2
             scope  24
             client 2001:db8::1
             after  oregon nowhere nobody sydney-1 sydney-2 dublin-1 dublin-2
             scope  56",
        );
    }

    #[test]
    fn a_client_keeps_its_site_when_its_stack_changes() {
        check(
            "answer wss/dublin/haproxy pool=wss pop=dublin
             answer wss/london/envoy   pool=wss pop=london
             answer wss/tokyo/haproxy  pool=wss pop=tokyo
             answer wss/sydney/haproxy pool=wss pop=sydney
             answer wss/oregon/envoy   pool=wss pop=oregon
             chain  sticky
             client 192.0.2.1
             after  wss/sydney/haproxy wss/dublin/haproxy wss/oregon/envoy wss/tokyo/haproxy wss/london/envoy",
        );
    }

    #[test]
    fn options_and_warnings() {
        for filter in ["sticky", "weighted_sticky", "sticky_region"] {
            refused(&format!("{filter}(n=1)"), "option `n`: unknown; it takes sticky_by_network");
        }
        check(
            "answer dublin
             answer london
             chain  sticky_region
             warn   no answer has a group, so all are one group
             chain  sticky, weighted_sticky
             warn",
        );
    }

    #[test]
    fn shares_follow_weights() {
        let scenario = Scenario::parse(
            "answer five weight=5
             answer three weight=3
             answer half weight=0.5
             answer zero weight=0
             answer one-and-a-half weight=1.5
             chain weighted_sticky",
        );
        let mut first: HashMap<&str, u32> = HashMap::new();
        let clients = (0..50_000u32).map(|n| IpAddr::from(Ipv4Addr::from(n << 8 | 1)));
        for picks in scenario.clients(clients) {
            assert_eq!(picks.last(), Some(&"zero"));
            *first.entry(picks[0]).or_default() += 1;
        }
        for (name, expect) in
            [("five", 25_000), ("three", 15_000), ("one-and-a-half", 7_500), ("half", 2_500)]
        {
            assert!(first[name].abs_diff(expect) < 450, "{first:?}");
        }
    }

    fn client() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
        ]
    }

    fn scenario(filter: &str, weights: &[f64]) -> Scenario {
        let mut text = String::new();
        for (number, weight) in weights.iter().enumerate() {
            text += &format!("answer a{number} weight={weight} group=g{}\n", number % 3);
        }
        Scenario::parse(&format!("{text}chain {filter}"))
    }

    fn order(scenario: &Scenario, client: IpAddr) -> Vec<String> {
        let picks = scenario.clients(std::iter::once(client)).next().unwrap();
        picks.into_iter().map(str::to_string).collect()
    }

    fn weight() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), Just(1.0), 0.001..1000.0]
    }

    proptest! {
        #[test]
        fn an_answer_that_goes_reorders_no_other(
            filter in prop_oneof![Just("sticky"), Just("weighted_sticky"), Just("sticky_region")],
            weights in prop::collection::vec(weight(), 2..9),
            gone in any::<prop::sample::Index>(),
            client in client(),
        ) {
            let mut scenario = scenario(filter, &weights);
            let mut before = order(&scenario, client);
            let gone = scenario.remove(gone.index(weights.len()));
            before.retain(|name| *name != gone);
            prop_assert_eq!(before, order(&scenario, client));
        }

        #[test]
        fn a_weight_that_rises_moves_clients_to_its_answer_alone(
            weights in prop::collection::vec(weight(), 2..9),
            raised in any::<prop::sample::Index>(),
            by in 0.001..1000.0,
            client in client(),
        ) {
            let mut scenario = scenario("weighted_sticky", &weights);
            let raised = format!("a{}", raised.index(weights.len()));
            let before = order(&scenario, client);
            *scenario.live(&raised).weight.as_mut().unwrap() += by;
            let after = order(&scenario, client);
            let place = |order: &[String]| order.iter().position(|name| *name == raised).unwrap();
            prop_assert!(place(&after) <= place(&before));
            let others = |order: Vec<String>| -> Vec<_> { order.into_iter().filter(|n| *n != raised).collect() };
            prop_assert_eq!(others(before), others(after));
        }
    }
}
