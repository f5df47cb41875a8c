//! Questions about places, compiled to tables at load.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::catalogue::Layer;
use super::ranges::{Address, Ranges};
use super::table::Outcomes;
use super::{Location, Table, World};

/// Compiles questions about places into tables; a question asked twice is compiled once.
pub struct Questions<'w> {
    world: &'w World,
    compiled: RefCell<BTreeMap<String, Compiled>>,
}

/// A question that has been asked, for `check`.
#[derive(Clone)]
pub struct Compiled {
    /// The table.
    pub table: Arc<Table>,
    /// How long it took to build.
    pub took: Duration,
}

impl<'w> Questions<'w> {
    /// Questions to a world; none asked yet.
    pub fn new(world: &'w World) -> Questions<'w> {
        Questions { world, compiled: RefCell::default() }
    }

    /// A question about locations. `identity` names the question: two that share it share a table.
    /// `outcome` gives one key per target, always as many, or nothing where the location does not help it.
    /// It is called once per distinct location, with the default place too.
    pub fn by_location(&self, identity: &str, outcome: &dyn Fn(&Location) -> Option<Vec<u16>>) -> Arc<Table> {
        self.ask(identity, || by_layer(&self.world.locations, outcome, self.world.default_place.as_ref()))
    }

    /// A question about autonomous systems; otherwise as [`Questions::by_location`]. The default place
    /// has no autonomous system.
    pub fn by_asn(&self, identity: &str, outcome: &dyn Fn(u32) -> Option<Vec<u16>>) -> Arc<Table> {
        self.ask(identity, || by_layer(&self.world.asns, |asn| outcome(*asn), None))
    }

    /// A question about networks alone, which no source answers: `targets` are lists of networks, and
    /// a target's key is 1 where one of its networks covers the address, else 0. Every address has an outcome.
    pub fn by_network(&self, identity: &str, targets: &[&[IpNet]]) -> Arc<Table> {
        self.ask(identity, || {
            let mut outcomes = Interner::default();
            let v4 = targets.iter().map(|networks| networks.iter().filter_map(v4_bounds).collect());
            let v4 = by_bounds(v4.collect(), &mut outcomes);
            let v6 = targets.iter().map(|networks| networks.iter().filter_map(v6_bounds).collect());
            let v6 = by_bounds(v6.collect(), &mut outcomes);
            Table::build(&v4, v6, false, outcomes.list, None)
        })
    }

    /// Every question asked so far, by identity.
    pub fn compiled(&self) -> BTreeMap<String, Compiled> {
        self.compiled.borrow().clone()
    }

    fn ask(&self, identity: &str, build: impl FnOnce() -> Table) -> Arc<Table> {
        if let Some(compiled) = self.compiled.borrow().get(identity) {
            return compiled.table.clone();
        }
        // Not borrowed while it builds: the outcome's closure is the caller's, and may ask too.
        let begun = Instant::now();
        let table = Arc::new(build());
        let compiled = Compiled { table: table.clone(), took: begun.elapsed() };
        self.compiled.borrow_mut().insert(identity.into(), compiled);
        table
    }
}

/// Equal keys are one outcome.
#[derive(Default)]
struct Interner {
    numbers: HashMap<Vec<u16>, u32>,
    list: Outcomes,
}

impl Interner {
    /// The number of an outcome, from 1; 0 for none.
    fn number(&mut self, keys: Option<Vec<u16>>) -> u32 {
        let Some(keys) = keys else { return 0 };
        if let Some(&number) = self.numbers.get(&keys) {
            return number;
        }
        assert!(
            self.list.len == 0 || keys.len() == self.list.width,
            "a question has as many keys as targets"
        );
        self.list.width = keys.len();
        self.list.keys.extend_from_slice(&keys);
        self.list.len += 1;
        self.numbers.insert(keys, self.list.len);
        self.list.len
    }
}

fn by_layer<T>(
    layer: &Layer<T>,
    outcome: impl Fn(&T) -> Option<Vec<u16>>,
    default_place: Option<&T>,
) -> Table {
    let mut outcomes = Interner::default();
    let numbers: Vec<u32> =
        std::iter::once(0).chain(layer.values.iter().map(|value| outcomes.number(outcome(value)))).collect();
    let default_outcome = default_place.and_then(|place| outcomes.number(outcome(place)).checked_sub(1));
    let number = |id| numbers[id as usize];
    let (v4, v6) = (layer.v4.renumbered(number), layer.v6.renumbered(number));
    Table::build(&v4, v6, true, outcomes.list, default_outcome)
}

/// The addresses a network covers, at the top of 128 bits: the first, and the first after it (none at the
/// end of the family).
type Bounds = (u128, Option<u128>);

fn v4_bounds(network: &IpNet) -> Option<Bounds> {
    let IpNet::V4(network) = network else { return None };
    let next = u32::from(network.broadcast()).next();
    Some((u32::from(network.network()).aligned(), next.map(Address::aligned)))
}

fn v6_bounds(network: &IpNet) -> Option<Bounds> {
    let IpNet::V6(network) = network else { return None };
    Some((network.network().into(), u128::from(network.broadcast()).next()))
}

/// Sweeps over the family: at each bound some targets' networks begin and some end.
fn by_bounds(targets: Vec<Vec<Bounds>>, outcomes: &mut Interner) -> Ranges<u128> {
    // A target's networks may overlap, so covering is counted and not switched.
    let mut covering = vec![0i32; targets.len()];
    let mut events: BTreeMap<u128, Vec<(usize, i32)>> = BTreeMap::from([(0, Vec::new())]);
    for (target, networks) in targets.iter().enumerate() {
        for &(first, next) in networks {
            events.entry(first).or_default().push((target, 1));
            if let Some(next) = next {
                events.entry(next).or_default().push((target, -1));
            }
        }
    }
    let mut ranges = Ranges::whole(0);
    for (start, changes) in events {
        for (target, change) in changes {
            covering[target] += change;
        }
        let keys = covering.iter().map(|&count| u16::from(count > 0)).collect();
        ranges.push(start, outcomes.number(Some(keys)));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::IpAddr;

    use super::*;
    use crate::geo::Found;

    fn world() -> World {
        World::from_networks_text(
            "[[network]]\nprefixes = ['192.0.2.0/25', '2001:db8::/33']\ncountry = 'DE'\nasn = 64500\n\
             [[network]]\nprefixes = '192.0.2.128/25'\ncountry = 'AT'\nasn = 64501\n\
             [[network]]\nprefixes = '198.51.100.0/24'\ncountry = 'JP'\n",
        )
        .unwrap()
    }

    fn lookup(table: &Table, address: &str) -> (Option<Vec<u16>>, u8) {
        let Found { outcome, prefix_len } = table.lookup(address.parse::<IpAddr>().unwrap());
        (outcome.map(|outcome| table.keys(outcome).to_vec()), prefix_len)
    }

    #[test]
    fn equal_outcomes_of_neighbours_are_one_prefix() {
        let world = world();
        let questions = Questions::new(&world);
        let asked = Cell::new(0);
        let german = |location: &Location| {
            asked.set(asked.get() + 1);
            let country = location.country.as_str();
            ["DE", "AT"].contains(&country).then(|| vec![1, 0])
        };
        let table = questions.by_location("german", &german);
        assert_eq!(lookup(&table, "192.0.2.1"), (Some(vec![1, 0]), 24));
        assert_eq!(lookup(&table, "192.0.2.200"), (Some(vec![1, 0]), 24));
        assert_eq!(lookup(&table, "198.51.100.1").0, None);
        assert_eq!(lookup(&table, "2001:db8::1"), (Some(vec![1, 0]), 33));
        assert_eq!(table.outcomes(), 1);
        assert_eq!(asked.get(), 3, "once per distinct location");
        assert!(Arc::ptr_eq(&table, &questions.by_location("german", &|_| None)));
        assert_eq!(questions.compiled().keys().collect::<Vec<_>>(), ["german"]);
    }

    #[test]
    fn systems_and_the_default_place() {
        let mut world = world();
        world.default_place = Some(Location {
            country: "JP".parse().unwrap(),
            continent: None,
            subdivision: None,
            coordinates: None,
        });
        let questions = Questions::new(&world);
        let table = questions.by_asn("asn", &|asn| Some(vec![(asn - 64500) as u16]));
        assert_eq!(lookup(&table, "192.0.2.1"), (Some(vec![0]), 25));
        assert_eq!(lookup(&table, "192.0.2.129"), (Some(vec![1]), 25));
        assert_eq!(lookup(&table, "198.51.100.1").0, None);
        assert_eq!(table.default_outcome(), None);
        let japan = |location: &Location| (location.country.as_str() == "JP").then(|| vec![7]);
        let table = questions.by_location("japan", &japan);
        assert_eq!(table.keys(table.default_outcome().unwrap()), [7]);
        assert_eq!(questions.by_location("nothing", &|_| None).default_outcome(), None);
    }

    #[test]
    fn networks_answer_for_every_address() {
        let world = World::empty();
        let questions = Questions::new(&world);
        let list =
            |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let first = list(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]);
        let second = list(&["10.1.0.0/16", "255.255.255.255/32", "ffff::/16"]);
        let table = questions.by_network("nets", &[&first, &second]);
        let check = |address, keys: [u16; 2], length| {
            assert_eq!(lookup(&table, address), (Some(keys.to_vec()), length), "{address}");
        };
        check("10.2.3.4", [1, 0], 15);
        check("10.1.3.4", [1, 1], 16);
        check("192.0.2.1", [0, 0], 3);
        check("255.255.255.255", [0, 1], 32);
        check("255.255.255.254", [0, 0], 32);
        check("2001:db8::1", [1, 0], 32);
        check("ffff::1", [0, 1], 16);
        check("8000::1", [0, 0], 2);
        let table = questions.by_network("none", &[&[]]);
        assert_eq!(lookup(&table, "192.0.2.1"), (Some(vec![0]), 0));
        let whole = list(&["0.0.0.0/0"]);
        let table = questions.by_network("all of IPv4", &[&whole]);
        assert_eq!(lookup(&table, "192.0.2.1"), (Some(vec![1]), 1));
        assert_eq!(lookup(&table, "2001:db8::1"), (Some(vec![0]), 1));
    }
}
