//! The geo room from outside: sources to world, questions to tables.
//!
//! With `RHUMB_TEST_MMDB=FILE` the properties are held against that file too.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rhumb::geo::{
    Continent, Found, Georegion, Location, Questions, Table, World, countries, distance_km, text,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip").join(name)
}

fn load(databases: &[PathBuf]) -> World {
    let (world, warnings) = World::load(None, databases, None, &|_| {}).expect("a world");
    assert_eq!(warnings, []);
    world
}

fn databases() -> Vec<PathBuf> {
    let given = std::env::var_os("RHUMB_TEST_MMDB").map(PathBuf::from);
    std::iter::once(file("sample.mmdb")).chain(given).collect()
}

#[test]
fn the_sample_is_what_its_text_says() {
    let source = std::fs::read_to_string(file("sample.txt")).unwrap();
    let (bytes, _) = text::build(&file("sample.txt"), &source, None).unwrap();
    let built = std::fs::read(file("sample.mmdb")).unwrap();
    assert!(bytes == built, "run `rhumb geoip build geoip/sample.txt geoip/sample.mmdb`");
}

#[test]
fn the_sample_covers_every_continent_by_both_families() {
    let world = load(&[file("sample.mmdb")]);
    let check = |address: &str, expect: &str, asn: Option<u32>| {
        let place = world.lookup(address.parse().unwrap());
        let location = place.location.map(|location| location.to_string()).unwrap_or_default();
        assert_eq!((location.as_str(), place.asn), (expect, asn), "{address}");
    };
    check("81.2.69.160", "GB-ENG 51.51,-0.13 (EU)", Some(20712));
    check("2001:8b0::1", "GB-ENG 51.51,-0.13 (EU)", Some(20712));
    check("3.80.0.1", "US-VA 39.04,-77.49 (NA)", Some(14618));
    check("73.1.2.3", "US (NA)", Some(7922));
    check("143.107.0.1", "BR-SP -23.56,-46.73 (SA)", Some(28571));
    check("137.158.0.1", "ZA-WC -33.96,18.46 (AF)", Some(36982));
    check("130.216.0.1", "NZ-AUK -36.85,174.77 (OC)", Some(9431));
    check("133.11.0.1", "JP-13 35.71,139.76 (AS)", Some(2501));
    // IPv4 by its IPv6 names: mapped, 6to4, Teredo, and the tree's own.
    for address in ["::ffff:81.2.69.160", "2002:5102:45a0::1", "2001:0:5102:45a0::", "::81.2.69.160"] {
        check(address, "GB-ENG 51.51,-0.13 (EU)", Some(20712));
    }
    check("10.0.0.1", "", None);
    let continents = |families: &[&str]| {
        families
            .iter()
            .map(|address| world.lookup(address.parse().unwrap()).location.unwrap().continent.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        continents(&["2601::1", "2804::1", "2003::1", "240e::1", "2001:388::1", "2c0f:fe38::1"]),
        [
            Continent::NorthAmerica,
            Continent::SouthAmerica,
            Continent::Europe,
            Continent::Asia,
            Continent::Oceania,
            Continent::Africa
        ]
    );
}

#[test]
fn the_example_networks_load_without_a_warning() {
    let (world, warnings) =
        World::load(Some(&file("networks.toml")), &[file("sample.mmdb")], None, &|_| {}).unwrap();
    assert_eq!(warnings, []);
    let place = world.lookup("192.0.2.7".parse().unwrap());
    assert_eq!(place.location.unwrap().country.as_str(), "IE");
    assert_eq!(place.location_from(), Some(&*file("networks.toml")));
    assert_eq!(place.said[0].note.as_deref(), Some("Dublin office VPN"));
    assert_eq!(place.special.unwrap().1, "documentation (RFC 5737)");
}

#[test]
fn the_first_source_that_knows_wins_and_a_nested_entry_inherits_nothing() {
    let text = "[[network]]\nprefixes = '81.2.0.0/16'\nasn = 64500\n\
         country = 'FR'\nlatitude = 48.86\nlongitude = 2.35\n\
         [[network]]\nprefixes = '81.2.69.0/24'\nasn = 64501\n\
         [[network]]\nprefixes = '81.2.70.0/24'\ncountry = 'BE'\n";
    let path = std::env::temp_dir().join(format!("rhumb-networks-{}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let (merged, _) = World::load(Some(&path), &[file("sample.mmdb")], None, &|_| {}).unwrap();
    std::fs::remove_file(&path).unwrap();
    let check = |world: &World, address: &str, expect: Option<&str>, asn| {
        let place = world.lookup(address.parse().unwrap());
        let location = place.location.map(|location| location.to_string());
        assert_eq!((location.as_deref(), place.asn), (expect, asn), "{address}");
    };
    // The country and its coordinates come whole, never one from each.
    check(&merged, "81.2.1.1", Some("FR 48.86,2.35 (EU)"), Some(64500));
    check(&merged, "81.2.69.1", Some("GB-ENG 51.51,-0.13 (EU)"), Some(64501));
    check(&merged, "81.2.70.1", Some("BE (EU)"), Some(20712));
    check(&merged, "81.3.0.1", None, None);
    let alone = World::from_networks_text(text).unwrap();
    check(&alone, "81.2.69.1", None, Some(64501));
    check(&alone, "81.2.70.1", Some("BE (EU)"), None);
}

#[test]
fn every_broken_source_is_named() {
    let missing = [PathBuf::from("/nowhere/a.mmdb"), file("sample.txt"), file("sample.mmdb")];
    let problems =
        World::load(Some(Path::new("/nowhere/networks.toml")), &missing, None, &|_| {}).err().unwrap();
    let files: Vec<_> = problems.iter().map(|problem| problem.file.display().to_string()).collect();
    assert_eq!(files, ["/nowhere/networks.toml", "/nowhere/a.mmdb", file("sample.txt").to_str().unwrap()]);
}

#[test]
fn a_database_is_replaced_whole_or_not_at_all() {
    let directory = std::env::temp_dir().join(format!("rhumb-build-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (source, target) = (directory.join("nets.txt"), directory.join("nets.mmdb"));
    let build = |text: &str| {
        std::fs::write(&source, text).unwrap();
        text::build_file(&source, &target, None)
    };
    let country =
        || load(std::slice::from_ref(&target)).lookup("10.0.0.1".parse().unwrap()).location.unwrap().country;
    assert_eq!(build("10.0.0.0/8 IE"), Ok(1));
    assert_eq!(country().as_str(), "IE");
    assert_eq!(build("10.0.0.0/8 UK").unwrap_err().len(), 1);
    assert_eq!(country().as_str(), "IE");
    assert_eq!(build("10.0.0.0/8 JP\n11.0.0.0/8 JP"), Ok(2));
    assert_eq!(country().as_str(), "JP");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "nothing else is left behind");
    let nowhere = text::build_file(&source, Path::new("/nowhere/nets.mmdb"), None);
    assert!(
        nowhere.unwrap_err()[0].to_string().starts_with("/nowhere/nets.mmdb: error: cannot be written: ")
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Addresses of both families, half of them by their IPv6 names of IPv4: mapped, Teredo, 6to4, ::/96.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into());
    let alias = (any::<u32>(), any::<u64>(), 0..4).prop_map(|(v4, rest, alias)| {
        let (v4, rest) = (u128::from(v4), u128::from(rest));
        Ipv6Addr::from(match alias {
            0 => v4,
            1 => 0xffff << 32 | v4,
            2 => 0x2001_0000 << 96 | v4 << 64 | rest,
            _ => 0x2002 << 112 | v4 << 80 | rest,
        })
        .into()
    });
    let near = (0x2001..0x2c10u128, any::<u128>())
        .prop_map(|(top, rest)| Ipv6Addr::from(top << 112 | rest >> 16).into());
    prop_oneof![v4, alias, near, any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into())]
}

#[test]
fn a_fold_says_what_the_file_says() {
    for path in databases() {
        let world = load(std::slice::from_ref(&path));
        let known = Cell::new(0);
        let mut runner = TestRunner::new(Config::with_cases(20_000));
        let outcome = runner.run(&address(), |address| {
            let place = world.lookup(address);
            prop_assert_eq!(place.location, place.said[0].facts.location, "{}", address);
            prop_assert_eq!(place.asn, place.said[0].facts.asn, "{}", address);
            known.set(known.get() + u32::from(place.location.is_some()));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(known.get() > 1_000, "{} knows only {}", path.display(), known.get());
    }
}

fn keys(table: &Table, address: IpAddr) -> (Option<Vec<u16>>, u8) {
    let Found { outcome, prefix_len } = table.lookup(address);
    (outcome.map(|outcome| table.keys(outcome).to_vec()), prefix_len)
}

/// The question behind `geotarget_country`, more or less: the distance to three places.
fn distances(location: &Location) -> Option<Vec<u16>> {
    let here = countries::point(location)?;
    let targets = ["US", "IE", "SG"].map(|code| countries::centroid(code.parse().unwrap()).unwrap());
    Some(targets.map(|there| (distance_km(here, there) / 100.0) as u16).to_vec())
}

#[test]
fn a_table_answers_as_the_world_and_its_prefixes_hold() {
    for path in databases() {
        let world = load(std::slice::from_ref(&path));
        let questions = Questions::new(&world);
        let region = |location: &Location| Georegion::of(location).map(|region| vec![region as u16]);
        let tables = [
            (questions.by_location("distances", &distances), distances as fn(&Location) -> _),
            (questions.by_location("regions", &region), region),
        ];
        let mut runner = TestRunner::new(Config::with_cases(5_000));
        let random = (address(), any::<u128>());
        let outcome = runner.run(&random, |(address, other)| {
            for (table, question) in &tables {
                let expect =
                    |address| world.lookup(address).location.and_then(|location| question(&location));
                let (found, length) = keys(table, address);
                prop_assert_eq!(&found, &expect(address), "{}", address);
                // Anybody else in the prefix has the same outcome and the same prefix.
                let neighbour = within(address, length, other);
                prop_assert_eq!(
                    keys(table, neighbour),
                    (found.clone(), length),
                    "{} in {}/{}",
                    neighbour,
                    address,
                    length
                );
                prop_assert_eq!(expect(neighbour), found);
                prop_assert!(length > 0);
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// An address that shares this many bits with another, the rest from `random`.
fn within(address: IpAddr, length: u8, random: u128) -> IpAddr {
    let mask = u128::MAX.checked_shr(length.into()).unwrap_or(0);
    match address {
        IpAddr::V4(address) => {
            let mask = (mask >> 96) as u32;
            Ipv4Addr::from(u32::from(address) & !mask | random as u32 & mask).into()
        }
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !mask | random & mask).into(),
    }
}
