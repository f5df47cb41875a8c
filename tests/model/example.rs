//! What the property tests serve: a zone, nine PoPs, records of every kind of chain, and what may be true
//! of them while serving.

use super::Step;
use crate::served::State;

pub const SEED: u64 = 7;

pub const ZONE: &str = "\
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
pub const POPS: [(&str, &str, f64, f64); 9] = [
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
pub type Meta = fn(usize) -> String;

/// A record whose chain the model runs too.
pub struct Modelled {
    pub name: &'static str,
    /// Own answers by PoP, with this meta; without, it takes the pool.
    pub meta: Option<Meta>,
    pub nodata_on_empty: bool,
    /// Its chain as it is written, and as the model runs it.
    pub filters: &'static str,
    pub steps: Vec<Step>,
}

pub fn modelled() -> Vec<Modelled> {
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
    let record = |name, meta, filters, steps| Modelled {
        name,
        meta,
        nodata_on_empty: name == "nodata",
        filters,
        steps,
    };
    vec![
        record(
            "primary",
            None,
            "'up', { filter = 'shed_load', config = { metric = 'connections' } }, 'geotarget_country', 'select_first_n'",
            vec![Step::Up, Step::Country, first(1)],
        ),
        record(
            "three",
            None,
            "'up', 'geotarget_country', { filter = 'select_first_n', config = { N = '3' } }",
            vec![Step::Up, Step::Country, first(3)],
        ),
        record(
            "states",
            Some(states),
            "'geotarget_country', { filter = 'select_first_n', config = { n = 2 } }, 'up'",
            vec![Step::Country, first(2), Step::Up],
        ),
        record(
            "fenced",
            Some(tags),
            "{ filter = 'geofence_country', config = { remove_no_location = true } }, 'up', 'geotarget_latlong', 'select_first_n'",
            vec![Step::FenceCountry { remove: true }, Step::Up, Step::Latlong, first(1)],
        ),
        record(
            "nodata",
            Some(tags),
            "'geotarget_latlong', { filter = 'select_first_n', config = { n = 4 } }, 'geofence_country'",
            vec![Step::Latlong, first(4), Step::FenceCountry { remove: false }],
        ),
        record(
            "systems",
            Some(asns),
            "'up', { filter = 'netfence_asn', config = { remove_no_asn = 1 } }, 'geotarget_latlong', { filter = 'select_first_n', config = { n = 2 } }",
            vec![Step::Up, Step::FenceAsn { remove: true }, Step::Latlong, first(2)],
        ),
        record(
            "networks",
            Some(networks),
            "'netfence_prefix', 'geotarget_country', 'select_first_n'",
            vec![Step::FencePrefix { remove: false }, Step::Country, first(1)],
        ),
        record(
            "tiers",
            Some(tiers),
            "{ filter = 'priority', config = { eliminate = true } }, 'geotarget_country', 'up'",
            vec![Step::Priority { eliminate: true }, Step::Country, Step::Up],
        ),
    ]
}

/// Records without a model: name, deterministic or not, and the rest.
pub const OTHERS: [(&str, bool, &str); 6] = [
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

pub fn chains() -> String {
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
    for (net, Modelled { name, meta, nodata_on_empty, filters, .. }) in (10..).zip(modelled()) {
        let on_empty = if nodata_on_empty { "nodata" } else { "unfenced" };
        text += &format!(
            "[[record]]\nname = '{name}.example.com'\nfilters = [{filters}]\non_empty = '{on_empty}'\n"
        );
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
pub type Change = fn(pop: &str, stack: &str, state: &mut State);

pub const STATES: [(&str, Change); 13] = [
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
