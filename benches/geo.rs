//! What the geo room costs: load once, then per question, then per query.
//!
//! With `RHUMB_TEST_MMDB=FILE` that file is measured instead of the sample; a Country file of 1.2 million
//! networks is the size worth looking at.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use rhumb::geo::{Location, Questions, World, countries, distance_km};

fn database() -> PathBuf {
    let sample = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("geoip/sample.mmdb");
    std::env::var_os("RHUMB_TEST_MMDB").map_or_else(sample, PathBuf::from)
}

fn load() -> World {
    World::load(None, &[database()], None, &|_| {}).expect("a database").0
}

/// Eight places ranked by distance, as `geotarget_country` asks.
fn ranks(location: &Location) -> Option<Vec<u16>> {
    let here = countries::point(location)?;
    let places = ["US", "CA", "BR", "IE", "DE", "IN", "JP", "AU"];
    let distance = |code: &str| {
        distance_km(here, countries::centroid(code.parse().expect("a code")).expect("a country"))
    };
    Some(places.map(|code| distance(code) as u16).to_vec())
}

fn rank_order(location: &Location) -> Option<Vec<u16>> {
    let distances = ranks(location)?;
    let mut order: Vec<u16> = (0..distances.len() as u16).collect();
    order.sort_by_key(|&target| distances[usize::from(target)]);
    Some(order)
}

fn geo(criterion: &mut Criterion) {
    let begun = Instant::now();
    let world = load();
    println!("load: {:?}, {} bytes held", begun.elapsed(), world.bytes());
    let questions = Questions::new(&world);
    let table = questions.by_location("order", &rank_order);
    questions.by_location("distances", &ranks);
    for (identity, compiled) in questions.compiled() {
        let (outcomes, bytes) = (compiled.table.outcomes(), compiled.table.bytes());
        println!("question `{identity}`: {:?}, {outcomes} outcomes, {bytes} bytes", compiled.took);
    }

    // Addresses that are known, so that the walk is as deep as for real clients.
    let mut random = fastrand::Rng::with_seed(1);
    let mut known = |mut draw: Box<dyn FnMut(&mut fastrand::Rng) -> IpAddr>| -> Vec<IpAddr> {
        std::iter::repeat_with(|| draw(&mut random))
            .filter(|&address| world.lookup(address).location.is_some())
            .take(20_000)
            .collect()
    };
    let v4 = known(Box::new(|random| Ipv4Addr::from(random.u32(..)).into()));
    let v6 = known(Box::new(|random| {
        // Where the registries allocate from, at the length they do.
        let top = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c0f][random.usize(..6)];
        Ipv6Addr::from(top << 112 | u128::from(random.u16(..)) << 96 | u128::from(random.u64(..))).into()
    }));
    for (name, addresses) in [("v4", v4), ("v6", v6)] {
        let mut next = addresses.iter().cycle();
        criterion.bench_function(&format!("lookup {name}"), |bencher| {
            bencher.iter(|| table.lookup(black_box(*next.next().expect("a cycle"))));
        });
    }
}

criterion_group!(benches, geo);
criterion_main!(benches);
