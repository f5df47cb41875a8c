//! The scope is honest, for every address: two clients inside an answered scope get the same set of
//! addresses, with drains and splits in force too. And it is as wide as is still true: an independent model
//! says how wide that is, and what each client gets.
//!
//! `RHUMB_TEST_MMDB=file.mmdb cargo test --test scope` holds the model against a database of your own.

mod model;
mod served;
mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use hickory_proto::op::ResponseCode;
use model::example::{Change, Modelled, OTHERS, SEED, STATES, ZONE, chains, modelled};
use model::ground::{Ground, carries_v4, unaligned};
use model::{Expect, Record, inside};
use rhumb::chain::Answer;
use served::{A, AAAA, CNAME, Client, RESOLVER, Said, Served, cut};

/// A state over this ground: as `networks.toml` or as a database.
fn serve(geo: &str, files: &[(&str, &[u8])]) -> Served {
    let config = format!("sticky_seed = {SEED}\n[geo]\n{geo}\n");
    let chains = chains();
    let common: [(&str, &[u8]); 3] = [
        ("rhumb.toml", config.as_bytes()),
        ("zones/example.com.zone", ZONE.as_bytes()),
        ("filter-chains/all.toml", chains.as_bytes()),
    ];
    Served::new(&[&common, files].concat())
}

/// A client as resolvers send them, now and then as they do not.
fn client(rng: &mut fastrand::Rng, ground: &Ground) -> Client {
    let v4 = rng.bool();
    let ranges = if v4 { &ground.v4 } else { &ground.v6 };
    let bits = match rng.u8(..8) {
        0 => rng.u128(..),
        edge => {
            // Inside a range or at its edge, so that small ranges are met as often as large ones.
            let starts = &ranges.starts;
            let mut start = starts[rng.usize(..starts.len())];
            // Most of IPv6 is IPv4 again by its ranges; it is not by its clients.
            while !v4 && carries_v4(start) && rng.u8(..8) > 0 {
                start = starts[rng.usize(..starts.len())];
            }
            let (_, first, last) = ranges.find(start);
            match edge {
                1 => first,
                2 => last,
                _ => rng.u128(first..=last),
            }
        }
    };
    let lengths: [u8; 8] =
        if v4 { [24, 24, 24, 32, 32, 20, 16, 8] } else { [56, 56, 56, 128, 48, 64, 32, 12] };
    let all = if v4 { 32 } else { 128 };
    let source = match rng.usize(..10) {
        place if place < 8 => lengths[place],
        _ => rng.u8(1..=all),
    };
    (cut(unaligned(bits, v4), source), source)
}

fn addresses_of(answers: &[Answer], picks: &[usize], aaaa: bool) -> BTreeSet<IpAddr> {
    let of = |&at: &usize| -> Vec<IpAddr> {
        match aaaa {
            true => answers[at].aaaa.iter().map(|&v6| v6.into()).collect(),
            false => answers[at].a.iter().map(|&v4| v4.into()).collect(),
        }
    };
    picks.iter().flat_map(of).collect()
}

/// Holds every modelled record in every state against the model, and against itself inside each scope.
fn hold_to_the_model(served: &mut Served, ground: &Ground, seed: u64, clients: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for Modelled { name, nodata_on_empty, steps, .. } in modelled() {
        let name = &format!("{name}.example.com");
        let (snapshot, index, _) = served.answers(name);
        let answers = &snapshot.steerings[index].answers;
        let mut model =
            Record::new(ground, answers, &steps, nodata_on_empty, SEED, RESOLVER.parse().unwrap());
        for (label, change) in STATES {
            apply(served, change);
            model.set_state(served.answers(name).2);
            for _ in 0..clients {
                let client = client(&mut rng, ground);
                let qtype = if rng.bool() { A } else { AAAA };
                let Expect { picks, scope } = model.expect(client, qtype == AAAA);
                let expect = (addresses_of(answers, &picks, qtype == AAAA), Some(scope));
                let said = served.ask(name, qtype, Some(client));
                if (said.set(), said.scope) != expect {
                    fail(served, label, name, qtype, client, &format!("{said:?}\nthe model: {expect:?}"));
                }
                assert_eq!(said.rcode, ResponseCode::NoError);
                holds_inside(served, &mut rng, label, name, qtype, client, &said);
            }
        }
    }
}

/// Whoever is inside the scope gets the same, with the same scope.
fn holds_inside(
    served: &mut Served,
    rng: &mut fastrand::Rng,
    label: &str,
    name: &str,
    qtype: u16,
    client: Client,
    said: &Said,
) {
    let same =
        |other: &Said| (other.set(), other.scope, &other.cname) == (said.set(), said.scope, &said.cname);
    let scope = said.scope.unwrap();
    // What is behind a shorter source is zeros: the whole address says the same.
    let all = if client.0.is_ipv4() { 32 } else { 128 };
    let whole = served.ask(name, qtype, Some((client.0, all)));
    if !same(&whole) {
        let whole = format!("{said:?}\nits first address alone: {whole:?}");
        fail(served, label, name, qtype, client, &whole);
    }
    for _ in 0..4 {
        let other = inside(rng, client.0, scope);
        let heard = served.ask(name, qtype, Some(other));
        if !same(&heard) {
            let why = served.explain(name, qtype, Some(other));
            let what = format!("{said:?}\ninside it, {}/{}: {heard:?}\n\n{why}", other.0, other.1);
            fail(served, label, name, qtype, client, &what);
        }
    }
}

fn fail(served: &Served, label: &str, name: &str, qtype: u16, client: Client, what: &str) -> ! {
    let why = served.explain(name, qtype, Some(client));
    panic!("{label}: {name} type {qtype} for {}/{}: {what}\n\n{why}", client.0, client.1);
}

fn apply(served: &mut Served, change: Change) {
    served.change(|answer, state| {
        change(answer.pop.as_deref().unwrap_or(""), answer.stack.as_deref().unwrap_or(""), state);
    });
}

/// The records without a model: whoever is inside the scope gets the same; a random chain gives each of
/// them the same choice.
fn hold_to_themselves(served: &mut Served, ground: &Ground, seed: u64, clients: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for (label, change) in STATES {
        apply(served, change);
        let target = ("target", true, "");
        for (name, deterministic, _) in OTHERS.into_iter().chain([target]) {
            let name = &format!("{name}.example.com");
            for _ in 0..clients {
                let client = client(&mut rng, ground);
                let qtype = if name.starts_with("target") { CNAME } else { A };
                let said = served.ask(name, qtype, Some(client));
                let scope = said.scope.unwrap();
                let v4 = client.0.is_ipv4();
                match name.split('.').next().unwrap() {
                    "everybody" => assert_eq!(scope, 0),
                    "alone" => assert_eq!(scope, if v4 { 32 } else { 128 }),
                    "sticky" => assert_eq!(scope, if v4 { 24 } else { 56 }),
                    "backup" => assert!(scope >= if v4 { 16 } else { 40 }, "{scope}"),
                    _ => assert!(scope > 0, "{name}"),
                }
                if deterministic {
                    holds_inside(served, &mut rng, label, name, qtype, client, &said);
                    continue;
                }
                let choices = |served: &mut Served, client| -> BTreeSet<BTreeSet<IpAddr>> {
                    (0..40).map(|_| served.ask(name, qtype, Some(client)).set()).collect()
                };
                let choice = choices(served, client);
                let other = inside(&mut rng, client.0, scope);
                if choice != choices(served, other) {
                    let what = format!("{choice:?}\ninside it, {}/{} has others", other.0, other.1);
                    fail(served, label, name, qtype, client, &what);
                }
            }
        }
    }
}

#[test]
fn a_large_world() {
    let ground = Ground::generate(1);
    let known =
        |values: &[model::ground::Facts]| values.iter().filter(|facts| **facts != Default::default()).count();
    assert!(known(&ground.v4.values) > 80_000 && known(&ground.v6.values) > 80_000);
    let text = ground.to_networks_toml();
    let mut served = serve("networks = 'networks.toml'", &[("networks.toml", text.as_bytes())]);
    let ground = ground.with_aliases();
    hold_to_the_model(&mut served, &ground, 2, 25);
    hold_to_themselves(&mut served, &ground, 3, 6);
}

/// The same through a database.
#[test]
fn a_database() {
    let ground = Ground::generate_small(4);
    let path = PathBuf::from("small.txt");
    let (bytes, _) = rhumb::geo::text::build(&path, &ground.to_text(), None).unwrap();
    let mut served = serve("databases = ['small.mmdb']", &[("small.mmdb", &bytes)]);
    let ground = ground.with_aliases();
    hold_to_the_model(&mut served, &ground, 5, 10);
    hold_to_themselves(&mut served, &ground, 6, 2);
}

#[test]
fn a_database_of_your_own() {
    let Some(file) = std::env::var_os("RHUMB_TEST_MMDB") else { return };
    let file = PathBuf::from(file).canonicalize().unwrap();
    let ground = Ground::read(&file);
    let mut served = serve(&format!("databases = ['{}']", file.display()), &[]);
    hold_to_the_model(&mut served, &ground, 8, 300);
    hold_to_themselves(&mut served, &ground, 9, 50);
}

/// A drain narrows where its coin decides about what a client gets, and nowhere else.
#[test]
fn dublin_drained_leaves_tokyo_as_it_was() {
    let networks = "\
        [[network]]\nprefixes = ['81.0.0.0/8', '2a00::/16']\ncountry = 'IE'\n\
        [[network]]\nprefixes = ['126.0.0.0/8', '2400::/16']\ncountry = 'JP'\n";
    let files: [(&str, &[u8]); 1] = [("networks.toml", networks.as_bytes())];
    let mut served = serve("networks = 'networks.toml'", &files);
    let mut scopes = |pop: &'static str, drained: u8, record: &str| {
        served.change(|answer, state| {
            state.drained = if answer.pop.as_deref() == Some(pop) { drained } else { 0 };
        });
        let name = format!("{record}.example.com");
        ["81.2.69.0/24", "126.1.2.0/24", "2a00:1:2:300::/56", "2400:1:2:300::/56"].map(|client| {
            let net: ipnet::IpNet = client.parse().unwrap();
            served.ask(&name, A, Some((net.addr(), net.prefix_len()))).scope.unwrap()
        })
    };
    let wide = [8, 8, 16, 16];
    for nobody in [0, 100] {
        assert_eq!(scopes("eu-west-1", nobody, "primary"), wide);
        assert_eq!(scopes("ap-northeast-1", nobody, "three"), wide);
    }
    for some in [1, 30, 99] {
        assert_eq!(scopes("eu-west-1", some, "primary"), [24, 8, 56, 16], "{some}");
        assert_eq!(scopes("eu-west-1", some, "backup"), [24, 16, 56, 40], "{some}");
        assert_eq!(scopes("ap-northeast-1", some, "primary"), [8, 24, 16, 56], "{some}");
        // The second nearest counts where three are given, and not where one is.
        assert_eq!(scopes("eu-west-2", some, "primary"), wide, "{some}");
        assert_eq!(scopes("eu-west-2", some, "three"), [24, 8, 56, 16], "{some}");
        // Far from both.
        assert_eq!(scopes("sa-east-1", some, "three"), wide, "{some}");
    }
    assert_eq!(scopes("eu-west-1", 0, "backup"), [16, 16, 40, 40]);
}

/// A draw per query bounds the scope by the record's spread, and makes no coin matter that did not.
#[test]
fn london_sheds_while_dublin_is_drained() {
    let networks = "\
        [[network]]\nprefixes = ['81.0.0.0/8', '2a00::/16']\ncountry = 'IE'\n\
        [[network]]\nprefixes = ['126.0.0.0/8', '2400::/16']\ncountry = 'JP'\n";
    let mut served = serve("networks = 'networks.toml'", &[("networks.toml", networks.as_bytes())]);
    let mut scopes = |drained: u8, connections: f64| {
        served.change(|answer, state| {
            state.drained = if answer.pop.as_deref() == Some("eu-west-1") { drained } else { 0 };
            state.meta.connections = (answer.pop.as_deref() == Some("eu-west-2")).then_some(connections);
            (state.meta.low_watermark, state.meta.high_watermark) = (Some(80.0), Some(90.0));
        });
        ["81.2.69.0/24", "126.1.2.0/24", "2a00:1:2:300::/56", "2400:1:2:300::/56"].map(|client| {
            let net: ipnet::IpNet = client.parse().unwrap();
            served.ask("primary.example.com", A, Some((net.addr(), net.prefix_len()))).scope.unwrap()
        })
    };
    for settled in [80.0, 90.0] {
        assert_eq!(scopes(0, settled), [8, 8, 16, 16]);
        assert_eq!(scopes(30, settled), [24, 8, 56, 16]);
    }
    assert_eq!(scopes(0, 85.0), [16, 16, 40, 40]);
    assert_eq!(scopes(30, 85.0), [24, 16, 56, 40]);
}

/// 0 is for what is the same for everybody, and for who asks us not to look.
#[test]
fn scope_0_is_for_everybody() {
    let networks = "[[network]]\nprefixes = ['81.0.0.0/8', '2a00::/16']\ncountry = 'IE'\n";
    let files: [(&str, &[u8]); 1] = [("networks.toml", networks.as_bytes())];
    let mut served = serve("networks = 'networks.toml'", &files);
    let subnets: [Client; 4] = ["81.2.69.0/24", "9.9.9.9/32", "2a00:1::/56", "fe80::/10"].map(|text| {
        let net: ipnet::IpNet = text.parse().unwrap();
        (net.addr(), net.prefix_len())
    });
    let txt = 16;
    for (name, qtype, rcode, zero) in [
        ("www.example.com", A, ResponseCode::NoError, true),
        ("www.example.com", AAAA, ResponseCode::NoError, true),
        ("nothing.example.com", A, ResponseCode::NXDomain, true),
        ("x.below.example.com", A, ResponseCode::NoError, true),
        ("example.org", A, ResponseCode::Refused, true),
        ("primary.example.com", txt, ResponseCode::NoError, true),
        ("everybody.example.com", A, ResponseCode::NoError, true),
        ("primary.example.com", A, ResponseCode::NoError, false),
        ("alias.example.com", AAAA, ResponseCode::NoError, false),
        ("target.example.com", txt, ResponseCode::NoError, false),
        ("pool-fence.example.com", A, ResponseCode::NoError, false),
    ] {
        for client in subnets {
            let said = served.ask(name, qtype, Some(client));
            assert_eq!((said.rcode, said.scope.unwrap() == 0), (rcode, zero), "{name} {client:?} {said:?}");
        }
        for nobody in ["0.0.0.0", "::"] {
            let said = served.ask(name, qtype, Some((nobody.parse().unwrap(), 0)));
            assert_eq!((said.rcode, said.scope), (rcode, Some(0)), "{name} {said:?}");
        }
        assert_eq!(served.ask(name, qtype, None).scope, None);
    }
}
