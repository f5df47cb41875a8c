//! Who gets what, in numbers: draws are even, splits and drains take the share they say, and a client
//! moves only when it must. Every random number has a fixed seed, so a bound that holds holds forever;
//! bounds are five standard deviations wide.

mod served;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use served::{A, AAAA, Client, Said, Served, State};

const CONFIG: &str = "sticky_seed = 0\n[geo]\nnetworks = 'networks.toml'\n";

const ZONE: &str = "$TTL 300\n@ SOA ns1 admin 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.1\n";

/// Ireland, all of it that is random here.
const NETWORKS: &str = "[[network]]\nprefixes = ['0.0.0.0/0', '2000::/3']\ncountry = 'IE'\n";

/// By distance from Ireland.
const POPS: [(&str, &str); 5] = [
    ("eu-west-1", "IE"),
    ("eu-west-2", "GB"),
    ("eu-central-1", "DE"),
    ("us-east-1", "US"),
    ("ap-northeast-1", "JP"),
];

const RECORDS: &str = "
[[record]]
name = 'primary.example.com'
pool = 'wss'
filters = ['up', { filter = 'shed_load', config = { metric = 'connections' } }, 'geotarget_country', 'select_first_n']
[[record]]
name = 'second.example.com'
pool = 'wss'
filters = ['geotarget_country', { filter = 'select_first_n', config = { N = 1 } }]
[[record]]
name = 'backup.example.com'
pool = 'wss'
filters = ['up', { filter = 'shed_load', config = { metric = 'connections' } }, 'geotarget_country',
           { filter = 'select_first_n', config = { N = 3 } }, 'shuffle', 'select_first_n']
[[record]]
name = 'three.example.com'
pool = 'wss'
filters = ['geotarget_country', { filter = 'select_first_n', config = { N = 3 } }, 'shuffle']
[[record]]
name = 'weighted.example.com'
pool = 'wss'
filters = ['weighted_shuffle', 'select_first_n']
[[record]]
name = 'sticky.example.com'
pool = 'wss'
filters = [{ filter = 'sticky', config = { sticky_by_network = true } }, 'select_first_n']
[[record]]
name = 'weighted-sticky.example.com'
pool = 'wss'
filters = [{ filter = 'weighted_sticky', config = { sticky_by_network = true } }, 'select_first_n']
[[record]]
name = 'still.example.com'
pool = 'wss'
rotate = false
filters = ['geotarget_country', 'select_first_n']
";

fn serve() -> Served {
    let mut text = String::new();
    for (number, (pop, country)) in POPS.into_iter().enumerate() {
        text += &format!("[pop.{pop}]\ncountry = '{country}'\n");
        for (stack, name) in ["haproxy", "envoy"].into_iter().enumerate() {
            text += &format!(
                "[[pool.wss.answer]]\npop = '{pop}'\nstack = '{name}'\nweight = {}\n",
                100 - 100 * stack
            );
            text +=
                &format!("a = ['10.{number}.{stack}.1', '10.{number}.{stack}.2', '10.{number}.{stack}.3']\n");
            text += &format!("aaaa = ['fd00:{number}:{stack}::1', 'fd00:{number}:{stack}::2']\n");
        }
    }
    text += RECORDS;
    Served::new(&[
        ("rhumb.toml", CONFIG.as_bytes()),
        ("networks.toml", NETWORKS.as_bytes()),
        ("zones/example.com.zone", ZONE.as_bytes()),
        ("filter-chains/all.toml", text.as_bytes()),
    ])
}

/// The PoP and the stack an address stands for.
fn site(address: IpAddr) -> (usize, usize) {
    match address {
        IpAddr::V4(v4) => (v4.octets()[1].into(), v4.octets()[2].into()),
        IpAddr::V6(v6) => (v6.segments()[1].into(), v6.segments()[2].into()),
    }
}

/// The one PoP and stack of an answer, which gives all of its addresses.
fn one_site(said: &Said) -> (usize, usize) {
    let sites: BTreeSet<_> = said.addresses.iter().map(|&address| site(address)).collect();
    assert_eq!(sites.len(), 1, "{said:?}");
    assert_eq!(said.set().len(), if said.addresses[0].is_ipv4() { 3 } else { 2 }, "{said:?}");
    *sites.first().unwrap()
}

/// So many different /24s and /56s.
fn clients(count: u32) -> Vec<Client> {
    let mut rng = fastrand::Rng::with_seed(11);
    let networks = (0..count).map(|number| match number % 2 {
        0 => (IpAddr::from(Ipv4Addr::from(rng.u32(1 << 24..) & !0xFF)), 24),
        _ => (Ipv6Addr::from(0x2 << 124 | rng.u128(..) >> 4 & !(u128::MAX >> 56)).into(), 56),
    });
    networks.collect()
}

/// Where each of some clients goes.
fn sites(served: &mut Served, record: &str, clients: &[Client]) -> Vec<(usize, usize)> {
    let name = format!("{record}.example.com");
    clients.iter().map(|&client| one_site(&served.ask(&name, A, Some(client)))).collect()
}

fn counts<T: Ord>(of: impl IntoIterator<Item = T>) -> BTreeMap<T, u32> {
    let mut counts = BTreeMap::new();
    of.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// A count is what a share of the whole is, give or take five standard deviations.
fn is_share(count: u32, of: usize, share: f64, what: &str) {
    let (of, count) = (of as f64, f64::from(count));
    let bound = 5.0 * (of * share * (1.0 - share)).sqrt();
    assert!((count - of * share).abs() <= bound, "{what}: {count} of {of}, not {share} within {bound:.0}");
}

/// Weights 0 to 100 of envoy, the rest haproxy, at one PoP.
fn split(served: &mut Served, at: &'static str, envoy: u8, drained: u8) {
    served.change(|answer, state| {
        if answer.pop.as_deref() == Some(at) {
            let is_envoy = answer.stack.as_deref() == Some("envoy");
            state.split = f64::from(if is_envoy { envoy } else { 100 - envoy });
            state.drained = drained;
        }
    });
}

#[test]
fn backup_gives_each_of_the_three_nearest_a_third() {
    let mut served = serve();
    let client: Client = ("81.2.69.0".parse().unwrap(), 24);
    for envoy in [0, 50] {
        // With two stacks at work the three are three PoPs still, and each PoP's stack is this client's.
        served.change(|answer, state| {
            let is_envoy = answer.stack.as_deref() == Some("envoy");
            state.split = f64::from(if is_envoy { envoy } else { 100 - envoy });
        });
        let draws: Vec<_> =
            (0..9000).map(|_| one_site(&served.ask("backup.example.com", A, Some(client)))).collect();
        let by_site = counts(draws);
        assert_eq!(by_site.keys().map(|site| site.0).collect::<Vec<_>>(), [0, 1, 2], "{by_site:?}");
        for (pop, count) in by_site {
            is_share(count, 9000, 1.0 / 3.0, &format!("PoP {pop:?}"));
        }
        let mut orders = Vec::new();
        for client in clients(300).into_iter().chain([client; 600]) {
            let said = served.ask("three.example.com", A, Some(client));
            let pops: Vec<_> = said.addresses.iter().step_by(3).map(|&address| site(address).0).collect();
            assert_eq!(pops.iter().collect::<BTreeSet<_>>().len(), 3, "{said:?}");
            orders.push(pops);
        }
        let orders = counts(orders);
        assert_eq!(orders.len(), 6, "{orders:?}");
        for (order, count) in orders {
            is_share(count, 900, 1.0 / 6.0, &format!("{order:?}"));
        }
    }
}

#[test]
fn splits_take_their_share_and_move_only_whom_they_must() {
    let mut served = serve();
    let clients = clients(6000);
    let mut before: Option<(u8, Vec<(usize, usize)>)> = None;
    for envoy in [0, 10, 25, 50, 75, 100] {
        split(&mut served, "eu-west-1", envoy, 0);
        let now = sites(&mut served, "primary", &clients);
        assert!(now.iter().all(|site| site.0 == 0));
        let on_envoy = now.iter().filter(|site| site.1 == 1).count() as u32;
        is_share(on_envoy, clients.len(), f64::from(envoy) / 100.0, &format!("{envoy} %"));
        if let Some((old, before)) = before {
            let moved = counts(before.iter().zip(&now).filter(|(old, now)| old != now));
            assert!(
                moved.keys().all(|(_, to)| to.1 == 1),
                "{old} to {envoy} % brings nobody back: {moved:?}"
            );
            let share = f64::from(envoy - old) / 100.0;
            is_share(moved.values().sum(), clients.len(), share, &format!("{old} to {envoy} %"));
        }
        // The same for every name, and on every worker.
        assert_eq!(sites(&mut served, "second", &clients[..500]), now[..500]);
        before = Some((envoy, now));
    }
}

#[test]
fn splits_of_two_pops_and_a_drain_are_independent() {
    let mut served = serve();
    let clients = clients(6000);
    // Whom the drain takes, which stack the split gives at Dublin, and which it gives at London.
    split(&mut served, "eu-west-1", 0, 30);
    let drained: Vec<bool> = sites(&mut served, "primary", &clients).iter().map(|site| site.0 != 0).collect();
    split(&mut served, "eu-west-1", 50, 0);
    let dublin: Vec<bool> = sites(&mut served, "primary", &clients).iter().map(|site| site.1 == 1).collect();
    served.change(|answer, state| {
        state.drained = if answer.pop.as_deref() == Some("eu-west-1") { 100 } else { 0 };
        state.split = 50.0;
    });
    let london: Vec<bool> = sites(&mut served, "primary", &clients)
        .iter()
        .map(|site| {
            assert_eq!(site.0, 1);
            site.1 == 1
        })
        .collect();
    is_share(drained.iter().filter(|out| **out).count() as u32, clients.len(), 0.3, "drained");
    for (what, a, b) in [
        ("drain and split", &drained, &dublin),
        ("two splits", &dublin, &london),
        ("two PoPs", &drained, &london),
    ] {
        let table = counts(a.iter().zip(b));
        let of = |one: bool, other: bool| f64::from(table[&(&one, &other)]);
        let all = clients.len() as f64;
        let (rows, columns) = (of(true, true) + of(true, false), of(true, true) + of(false, true));
        let expect = |one: bool, other: bool| {
            (if one { rows } else { all - rows }) * (if other { columns } else { all - columns }) / all
        };
        let cells = [(true, true), (true, false), (false, true), (false, false)];
        let squares = cells.map(|(x, y)| (of(x, y) - expect(x, y)).powi(2) / expect(x, y));
        // One degree of freedom: five standard deviations squared.
        assert!(squares.iter().sum::<f64>() < 25.0, "{what}: {table:?}");
    }
    // Both in force: who stays has the stack it had.
    split(&mut served, "eu-west-1", 50, 30);
    for (number, site) in sites(&mut served, "primary", &clients).into_iter().enumerate() {
        let expect = if drained[number] { (1, 0) } else { (0, usize::from(dublin[number])) };
        assert_eq!(site, expect, "{:?}", clients[number]);
    }
}

#[test]
fn a_growing_drain_only_adds_clients() {
    let mut served = serve();
    let clients = clients(3000);
    let mut out = BTreeSet::new();
    for percent in [0, 1, 10, 30, 60, 99, 100] {
        split(&mut served, "eu-west-1", 0, percent);
        let now = sites(&mut served, "primary", &clients);
        let gone: BTreeSet<usize> = (0..now.len()).filter(|&number| now[number].0 != 0).collect();
        assert!(gone.is_superset(&out), "{percent} %");
        assert!(gone.iter().all(|&number| now[number].0 == 1), "all go to the next nearest");
        is_share(gone.len() as u32, clients.len(), f64::from(percent) / 100.0, &format!("{percent} %"));
        // One coin for all names.
        assert_eq!(sites(&mut served, "second", &clients[..500]), now[..500]);
        out = gone;
    }
}

/// The percentage at which a client leaves Dublin, and the weight (of 100) from which it is envoy's there.
/// They were computed by an implementation of its own, from the words in `chain/draw.rs`.
#[test]
fn the_same_forever() {
    let mut served = serve();
    for (client, leaves, envoy) in [
        ("192.0.2.0/24", 25, 87),
        ("192.0.3.0/24", 15, 61),
        ("192.0.3.77/32", 15, 61),
        ("81.2.69.0/24", 47, 77),
        ("8.8.8.0/24", 23, 82),
        ("1.1.0.0/20", 86, 6),
        ("2001:db8:1::/56", 17, 6),
        ("2001:db8:1:300::/56", 61, 56),
        ("2001:db8:1:3ff::1/128", 61, 56),
        ("2a02:6b8::/48", 93, 59),
    ] {
        let net: ipnet::IpNet = client.parse().unwrap();
        let mut is_at = |envoy: u8, drained: u8| {
            split(&mut served, "eu-west-1", envoy, drained);
            sites(&mut served, "second", &[(net.addr(), net.prefix_len())])[0]
        };
        assert_eq!((is_at(0, leaves - 1).0, is_at(0, leaves).0), (0, 1), "{client}");
        assert_eq!((is_at(envoy - 1, 0).1, is_at(envoy, 0).1), (0, 1), "{client}");
    }
}

#[test]
fn load_between_the_marks_sheds_its_share() {
    let mut served = serve();
    let load = |connections: [Option<f64>; 5]| {
        move |answer: &rhumb::chain::Answer, state: &mut State| {
            let number = POPS.iter().position(|(pop, _)| answer.pop.as_deref() == Some(pop)).unwrap();
            state.meta.connections = connections[number];
            (state.meta.low_watermark, state.meta.high_watermark) = (Some(80.0), Some(90.0));
        }
    };
    let client = Some(("81.2.69.0".parse().unwrap(), 24));
    let mut draw = |connections: [Option<f64>; 5]| {
        served.change(load(connections));
        counts((0..4000).map(|_| one_site(&served.ask("primary.example.com", A, client)).0))
    };
    for (connections, shed) in
        [(79.0, 0.0), (80.0, 0.0), (82.5, 0.25), (85.0, 0.5), (89.0, 0.9), (90.0, 1.0), (200.0, 1.0)]
    {
        let counts = draw([Some(connections), None, None, None, None]);
        is_share(counts.get(&1).copied().unwrap_or(0), 4000, shed, &format!("load {connections}"));
    }
    // Each answer has a draw of its own.
    let counts = draw([Some(85.0), Some(82.5), None, None, None]);
    is_share(counts[&0], 4000, 0.5, "the nearest");
    is_share(counts[&1], 4000, 0.375, "the next");
    is_share(counts[&2], 4000, 0.125, "the one after");
    // Everything overloaded gives each client its nearest.
    assert_eq!(draw([Some(95.0); 5]), BTreeMap::from([(0, 4000)]));
}

#[test]
fn weights_are_proportions() {
    let mut served = serve();
    let weights = [5.0, 3.0, 0.0, 1.5, 0.5];
    let weigh = |answer: &rhumb::chain::Answer, state: &mut State| {
        let number = POPS.iter().position(|(pop, _)| answer.pop.as_deref() == Some(pop)).unwrap();
        state.meta.weight = Some(weights[number]);
    };
    served.change(weigh);
    let client = ("81.2.69.0".parse().unwrap(), 24);
    let draws = counts(sites(&mut served, "weighted", &[client; 6000]));
    let clients = clients(6000);
    let homes = counts(sites(&mut served, "weighted-sticky", &clients));
    for (number, weight) in weights.into_iter().enumerate() {
        for (what, counts) in [("weighted_shuffle", &draws), ("weighted_sticky", &homes)] {
            let count = counts.get(&(number, 0)).copied().unwrap_or(0);
            is_share(count, 6000, weight / 10.0, &format!("{what} {number}"));
        }
    }
}

/// Only the clients of what goes move, and they come back when it does.
#[test]
fn sticky_clients_stay() {
    let mut served = serve();
    let clients = clients(3000);
    let before = sites(&mut served, "sticky", &clients);
    for (pop, count) in counts(before.iter().map(|site| site.0)) {
        is_share(count, clients.len(), 0.2, &format!("PoP {pop}"));
    }
    split(&mut served, "us-east-1", 0, 100);
    let without = sites(&mut served, "sticky", &clients);
    for (was, is) in before.iter().zip(&without) {
        assert_eq!(was != is, was.0 == 3);
    }
    let refugees = counts(before.iter().zip(&without).filter(|(was, _)| was.0 == 3).map(|(_, is)| is.0));
    let all: u32 = refugees.values().sum();
    refugees
        .into_iter()
        .for_each(|(pop, count)| is_share(count, all as usize, 0.25, &format!("to PoP {pop}")));
    // A split moves a client to another stack of the PoP it is at.
    split(&mut served, "us-east-1", 50, 0);
    let after = sites(&mut served, "sticky", &clients);
    assert!(before.iter().zip(&after).all(|(was, is)| was.0 == is.0));
    // Two names are two placements; a name is one for both types.
    served.change(|_, _| {});
    let other = sites(&mut served, "weighted-sticky", &clients);
    let same = before.iter().zip(&other).filter(|(one, other)| one == other).count();
    is_share(same as u32, clients.len(), 0.2, "another name");
}

#[test]
fn a_and_aaaa_are_of_one_site() {
    let mut served = serve();
    served.change(|answer, state| {
        state.split = if answer.stack.as_deref() == Some("envoy") { 40.0 } else { 60.0 };
        state.drained = if answer.pop.as_deref() == Some("eu-west-1") { 50 } else { 10 };
    });
    let mut seen = BTreeSet::new();
    for record in ["primary", "second", "sticky", "weighted-sticky", "still"] {
        let name = format!("{record}.example.com");
        for client in clients(400) {
            let [a, aaaa] = [A, AAAA].map(|qtype| served.ask(&name, qtype, Some(client)));
            assert_eq!((one_site(&a), a.scope), (one_site(&aaaa), aaaa.scope), "{name} {client:?}");
            seen.insert(one_site(&a));
        }
    }
    assert!(seen.len() >= 9, "{seen:?}");
}

#[test]
fn addresses_take_turns() {
    let mut served = serve();
    let client = Some(("81.2.69.0".parse().unwrap(), 24));
    let mut orders = |name: &str| counts((0..3000).map(|_| served.ask(name, A, client).addresses));
    let turning = orders("primary.example.com");
    assert_eq!(turning.len(), 3, "{turning:?}");
    for (order, count) in turning {
        is_share(count, 3000, 1.0 / 3.0, &format!("{order:?}"));
    }
    let as_written: Vec<IpAddr> = (1..=3).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect();
    assert_eq!(orders("still.example.com"), BTreeMap::from([(as_written, 3000)]));
}

/// The coin that decides is named, and no other: everybody is in Ireland, so Tokyo's never does.
#[test]
fn explain_names_the_coin_that_narrowed_the_scope() {
    let mut served = serve();
    let scope_by = |served: &Served, client: Client| {
        let words = served.explain("primary.example.com", A, Some(client));
        words.lines().find(|line| line.starts_with("scope ")).unwrap().to_string()
    };
    served.change(|answer, state| match answer.pop.as_deref() {
        Some("eu-west-1") => state.drained = 30,
        Some("ap-northeast-1") => state.drained = 50,
        _ => {}
    });
    let clients: Vec<Client> = clients(40).into_iter().filter(|client| client.1 == 24).collect();
    let mut seen = BTreeSet::new();
    for &client in &clients {
        seen.insert(one_site(&served.ask("primary.example.com", A, Some(client))));
        let expect = "scope     /24, by the drain of eu-west-1 by 30 %, \
                      whose coin decides about one of this client's answers";
        assert_eq!(scope_by(&served, client), expect, "{client:?}");
    }
    assert_eq!(seen.len(), 2, "Dublin, and London for those it is drained for");
    served.change(|answer, state| {
        if answer.pop.as_deref() == Some("eu-west-1") {
            (state.drained, state.split) = (10, 50.0);
        }
    });
    let named = scope_by(&served, clients[0]);
    assert!(
        named.contains("the drain of eu-west-1 by 10 % and the split of eu-west-1, whose coin"),
        "{named}"
    );
}
