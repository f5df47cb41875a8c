//! The scope is honest, for every address: two clients inside an answered scope get the same set of
//! addresses, with drains and splits in force too. And it is as wide as is still true: an independent model
//! says how wide that is, and what each client gets.
//!
//! `RHUMB_TEST_MMDB=file.mmdb cargo test --test scope` holds the model against a database of your own.

mod model;
mod served;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use hickory_proto::op::ResponseCode;
use model::ground::{Ground, unaligned};
use model::{Expect, Record, Step, inside};
use rhumb::chain::Answer;
use served::{A, AAAA, CNAME, Client, RESOLVER, Said, Served, State, cut};

const SEED: u64 = 7;

const ZONE: &str = "\
$TTL 300
@ SOA ns1 admin 1 7200 900 1209600 60
@ NS ns1
ns1 A 192.0.2.1
www A 192.0.2.2
alias CNAME primary
below NS ns.below
ns.below A 192.0.2.3
";

/// PoPs: country, latitude, longitude.
const POPS: [(&str, &str, f64, f64); 9] = [
    ("us-east-1", "US", 39.04, -77.49),
    ("us-west-2", "US", 45.84, -119.7),
    ("sa-east-1", "BR", -23.55, -46.63),
    ("eu-west-1", "IE", 53.35, -6.26),
    ("eu-west-2", "GB", 51.51, -0.13),
    ("eu-central-1", "DE", 50.11, 8.68),
    ("af-south-1", "ZA", -33.92, 18.42),
    ("ap-northeast-1", "JP", 35.68, 139.69),
    ("ap-southeast-2", "AU", -33.87, 151.21),
];

/// An answer's line of its own, by the number of its PoP.
type Meta = fn(usize) -> String;

/// Records whose chain the model runs too: name, own answers' meta by PoP (none takes the pool), the rest of
/// the record, its filters, and its steps for the model.
fn modelled() -> Vec<(&'static str, Option<Meta>, &'static str, &'static str, Vec<Step>)> {
    let tags = |number: usize| {
        let of =
            ["'US','CA'", "'US'", "'BR','AR'", "'IE','GB'", "", "'DE','FR','NL'", "'ZA'", "'JP'", "'AU'"];
        format!("country = [{}]", of[number])
    };
    let asns = |number: usize| match number % 3 {
        0 => String::new(),
        kind => format!("asn = [{}, {}]", 64_500 + number, 64_508 + kind),
    };
    let networks = |number: usize| match number {
        0 => "ip_prefixes = ['12.0.0.0/6', '2400::/8']".into(),
        3 => "ip_prefixes = ['12.34.0.0/15', '200.1.2.0/23', '2600::/7', '2400:1::/33']".into(),
        7 => "ip_prefixes = ['0.0.0.0/2', '255.0.0.0/8', '8000::/1']".into(),
        _ => String::new(),
    };
    let tiers = |number: usize| format!("priority = {}", [1, 1, 2, 2, 1, 3, 1, 2, 1][number]);
    let states = |number: usize| match number {
        0 => "us_state = ['VA', 'TX']".into(),
        1 => "us_state = ['CA']".into(),
        _ => String::new(),
    };
    let first = |n| Step::First(n);
    vec![
        (
            "primary",
            None,
            "",
            "'up', { filter = 'shed_load', config = { metric = 'connections' } }, 'geotarget_country', 'select_first_n'",
            vec![Step::Up, Step::Country, first(1)],
        ),
        (
            "three",
            None,
            "",
            "'up', 'geotarget_country', { filter = 'select_first_n', config = { N = '3' } }",
            vec![Step::Up, Step::Country, first(3)],
        ),
        (
            "states",
            Some(states),
            "",
            "'geotarget_country', { filter = 'select_first_n', config = { n = 2 } }, 'up'",
            vec![Step::Country, first(2), Step::Up],
        ),
        (
            "fenced",
            Some(tags),
            "",
            "{ filter = 'geofence_country', config = { remove_no_location = true } }, 'up', 'geotarget_latlong', 'select_first_n'",
            vec![Step::FenceCountry { remove: true }, Step::Up, Step::Latlong, first(1)],
        ),
        (
            "nodata",
            Some(tags),
            "on_empty = 'nodata'",
            "'geotarget_latlong', { filter = 'select_first_n', config = { n = 4 } }, 'geofence_country'",
            vec![Step::Latlong, first(4), Step::FenceCountry { remove: false }],
        ),
        (
            "systems",
            Some(asns),
            "",
            "'up', { filter = 'netfence_asn', config = { remove_no_asn = 1 } }, 'geotarget_latlong', { filter = 'select_first_n', config = { n = 2 } }",
            vec![Step::Up, Step::FenceAsn { remove: true }, Step::Latlong, first(2)],
        ),
        (
            "networks",
            Some(networks),
            "",
            "'netfence_prefix', 'geotarget_country', 'select_first_n'",
            vec![Step::FencePrefix { remove: false }, Step::Country, first(1)],
        ),
        (
            "tiers",
            Some(tiers),
            "",
            "{ filter = 'priority', config = { eliminate = true } }, 'geotarget_country', 'up'",
            vec![Step::Priority { eliminate: true }, Step::Country, Step::Up],
        ),
    ]
}

/// Records without a model: name, deterministic or not, and the rest.
const OTHERS: [(&str, bool, &str); 6] = [
    (
        "backup",
        false,
        "pool = 'wss'\nfilters = ['up', 'geotarget_country', { filter = 'select_first_n', config = { n = 3 } }, 'shuffle', 'select_first_n']",
    ),
    (
        "sticky",
        true,
        "pool = 'wss'\nfilters = [{ filter = 'sticky', config = { sticky_by_network = true } }, 'select_first_n']",
    ),
    ("alone", true, "pool = 'wss'\nfilters = ['weighted_sticky', 'select_first_n']"),
    (
        "regional",
        true,
        "pool = 'regions'\nfilters = ['geotarget_regional', 'up', { filter = 'select_first_n', config = { n = 2 } }]",
    ),
    // Here coins can empty a rung, and what the next one has may pass the fence.
    ("pool-fence", true, "pool = 'wss'\non_empty = 'nodata'\nfilters = ['geofence_country']"),
    (
        "everybody",
        true,
        "pool = 'wss'\nuse_client_subnet = false\nfilters = ['geotarget_country', 'select_first_n']",
    ),
];

fn chains() -> String {
    let mut text = String::new();
    for (name, country, latitude, longitude) in POPS {
        text +=
            &format!("[pop.{name}]\ncountry = '{country}'\nlatitude = {latitude}\nlongitude = {longitude}\n");
    }
    let mut pool = |pool: &str, net: usize, meta: fn(usize) -> &'static str| {
        for (number, (pop, ..)) in POPS.iter().enumerate() {
            for (stack, weight) in [("haproxy", 100), ("envoy", 0)] {
                text +=
                    &format!("[[pool.{pool}.answer]]\npop = '{pop}'\nstack = '{stack}'\nweight = {weight}\n");
                text += &format!("{}meta = {{ {} }}\n", addresses(net, number, weight / 100), meta(number));
            }
        }
    };
    pool("wss", 1, |_| "");
    pool("regions", 2, |number| {
        [
            "georegion = 'US-EAST'",
            "georegion = ['US-WEST', 'US-CENTRAL']",
            "georegion = 'SOUTH-AMERICA'",
            "georegion = 'EUROPE'",
            "georegion = 'EUROPE'",
            "",
            "georegion = 'AFRICA'",
            "georegion = 'ASIAPAC'",
            "georegion = 'ASIAPAC'",
        ][number]
    });
    for (net, (name, meta, rest, filters, _)) in (10..).zip(modelled()) {
        text += &format!("[[record]]\nname = '{name}.example.com'\nfilters = [{filters}]\n{rest}\n");
        let Some(meta) = meta else {
            text += "pool = 'wss'\n";
            continue;
        };
        for (number, (pop, ..)) in POPS.iter().enumerate() {
            // An answer without a PoP has no country either, so fences find it untagged.
            let (site, meta) = match meta(number).as_str() {
                "country = []" => ("name = 'anywhere'".into(), "latitude = 60.0\nlongitude = 100.0".into()),
                meta => (format!("pop = '{pop}'"), meta.to_string()),
            };
            text += &format!(
                "[[record.answer]]\n{site}\n{}[record.answer.meta]\n{meta}\n",
                addresses(net, number, 0)
            );
        }
    }
    for (name, _, rest) in OTHERS {
        text += &format!("[[record]]\nname = '{name}.example.com'\n{rest}\n");
    }
    text += "[[record]]\nname = 'target.example.com'\nfilters = ['geotarget_country', 'select_first_n']\n";
    for (pop, ..) in POPS {
        text += &format!("[[record.answer]]\npop = '{pop}'\ncname = '{pop}.example.net'\n");
    }
    text
}

fn addresses(net: usize, number: usize, stack: usize) -> String {
    format!(
        "a = ['10.{net}.{number}.1{stack}', '10.{net}.{number}.2{stack}']\naaaa = ['fd00:{net}:{number}:{stack}::1', 'fd00:{net}:{number}:{stack}::2']\n"
    )
}

/// What is true while we serve: names, and a change of an answer by its PoP and stack.
type Change = fn(pop: &str, stack: &str, state: &mut State);

const STATES: [(&str, Change); 13] = [
    ("as it is", |_, _, _| {}),
    ("Dublin drained by 30 %", |pop, _, state| state.drained = if pop == "eu-west-1" { 30 } else { 0 }),
    ("three partial drains", |pop, _, state| {
        state.drained = match pop {
            "eu-west-1" => 30,
            "ap-northeast-1" => 50,
            "us-east-1" => 80,
            _ => 0,
        }
    }),
    ("drains of 100 % and splits of 100 to 0", |pop, stack, state| {
        state.drained = if ["eu-west-1", "us-west-2"].contains(&pop) { 100 } else { 0 };
        if pop == "eu-west-2" && !stack.is_empty() {
            state.split = if stack == "envoy" { 100.0 } else { 0.0 };
        }
    }),
    ("a split at London", |pop, stack, state| {
        if pop == "eu-west-2" {
            state.split = if stack == "envoy" { 10.0 } else { 90.0 };
        }
    }),
    ("splits everywhere", |_, stack, state| state.split = if stack == "envoy" { 10.0 } else { 90.0 }),
    ("splits and drains", |pop, stack, state| {
        if ["eu-west-1", "eu-west-2", "us-west-2"].contains(&pop) {
            state.split = if stack == "envoy" { 75.0 } else { 25.0 };
        }
        state.drained = match (pop, stack) {
            ("eu-west-1", "haproxy") => 60,
            ("eu-west-1", _) => 30,
            ("ap-southeast-2", _) => 10,
            _ => 0,
        }
    }),
    ("London down, Dublin drained by half", |pop, _, state| {
        state.meta.up.verdict = Some(pop != "eu-west-2");
        state.drained = if pop == "eu-west-1" { 50 } else { 0 };
    }),
    ("everything drained by half", |_, _, state| state.drained = 50),
    ("everything drained by half or down", |pop, _, state| {
        state.drained = if pop.starts_with("eu") { 0 } else { 50 };
        state.meta.up.verdict = Some(!pop.starts_with("eu"));
    }),
    ("only Tokyo up, and drained by half", |pop, _, state| {
        state.drained = if pop == "ap-northeast-1" { 50 } else { 0 };
        state.meta.up.verdict = Some(pop == "ap-northeast-1");
    }),
    ("everything drained", |_, _, state| state.drained = 100),
    ("everything down, the Americas drained by half", |pop, _, state| {
        state.meta.up.verdict = Some(false);
        state.drained = if pop.starts_with("us") || pop.starts_with("sa") { 50 } else { 0 };
    }),
];

/// A state over this ground: as `networks.toml` or as a database.
fn serve(test: &str, geo: &str, files: &[(&str, &[u8])]) -> Served {
    let config = format!("sticky_seed = {SEED}\n[geo]\n{geo}\n");
    let chains = chains();
    let common: [(&str, &[u8]); 3] = [
        ("rhumb.toml", config.as_bytes()),
        ("zones/example.com.zone", ZONE.as_bytes()),
        ("filter-chains/all.toml", chains.as_bytes()),
    ];
    Served::new(test, &[&common, files].concat())
}

/// A client as resolvers send them, now and then as they do not.
fn client(rng: &mut fastrand::Rng, ground: &Ground) -> Client {
    let v4 = rng.bool();
    let ranges = if v4 { &ground.v4 } else { &ground.v6 };
    let bits = match rng.u8(..8) {
        0 => rng.u128(..),
        edge => {
            // Inside a range or at its edge, so that small ranges are met as often as large ones.
            let (_, first, last) = ranges.find(ranges.starts[rng.usize(..ranges.starts.len())]);
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
    for (name, _, rest, _, steps) in modelled() {
        let name = &format!("{name}.example.com");
        let (snapshot, index, _) = served.answers(name);
        let answers = &snapshot.steerings[index].answers;
        let nodata = rest.contains("nodata");
        let mut model = Record::new(ground, answers, &steps, nodata, SEED, RESOLVER.parse().unwrap());
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

fn apply(served: &Served, change: Change) {
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
    let mut served =
        serve("scope-large", "networks = 'networks.toml'", &[("networks.toml", text.as_bytes())]);
    let ground = ground.with_aliases();
    hold_to_the_model(&mut served, &ground, 2, 25);
    hold_to_themselves(&mut served, &ground, 3, 6);
}

/// The same through a database.
#[test]
fn a_database() {
    let ground = Ground::generate_small(4);
    let path = PathBuf::from("small.txt");
    let (bytes, _) = rhumb::geo::text::build(&path, &ground.to_text(), SystemTime::UNIX_EPOCH).unwrap();
    let mut served = serve("scope-database", "databases = ['small.mmdb']", &[("small.mmdb", &bytes)]);
    let ground = ground.with_aliases();
    hold_to_the_model(&mut served, &ground, 5, 10);
    hold_to_themselves(&mut served, &ground, 6, 2);
}

#[test]
fn a_database_of_your_own() {
    let Some(file) = std::env::var_os("RHUMB_TEST_MMDB") else { return };
    let file = PathBuf::from(file).canonicalize().unwrap();
    let ground = Ground::read(&file);
    let mut served = serve("scope-own", &format!("databases = ['{}']", file.display()), &[]);
    hold_to_the_model(&mut served, &ground, 8, 300);
    hold_to_themselves(&mut served, &ground, 9, 50);
}
