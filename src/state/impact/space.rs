//! The clients of the world, as far as geo data knows them: who stands in for traffic nobody has measured.
//!
//! IPv4 is weighted by addresses: a place counts as often as there are addresses in it. IPv6 cannot be
//! weighted so, since one provider's block has more addresses than all of IPv4: a network counts by the
//! /48s in it, and none more than a /32, the usual first block of a provider. The two are samples of their
//! own, and never mixed.
//!
//! A client is a /24 or a /56, because resolvers send no more of an address (RFC 7871 section 11.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::geo::{Country, World};

/// Bits of an address that a resolver sends, for IPv4.
pub const SENT_V4: u8 = 24;
/// Bits of an address that a resolver sends, for IPv6.
pub const SENT_V6: u8 = 56;

/// Starts the random numbers of samples: the same world gives the same sample on every node.
const SEED: u64 = 0x7275_6D62;

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// How many bits of the address are known: what a resolver would send.
    pub source: u8,
    /// Its country, where known: what impacts are told by.
    pub country: Option<Country>,
    /// The record it asked for, by its place in the records of the snapshot before; none asks for all.
    pub record: Option<u32>,
    /// How much it counts.
    pub weight: f64,
}

/// So many clients, spread over the placed IPv4 addresses: in each of as many equal parts one, anywhere.
pub fn address_space(world: &World, count: usize) -> Vec<Client> {
    let ranges = world.placed_v4().map(|(first, last, place)| {
        let size = u64::from(last - first) + 1;
        (size, (first, size, place.country))
    });
    sample(count, ranges, |(first, size, country), at| {
        let address = Ipv4Addr::from(first + at.min(size - 1) as u32);
        Client::of_space(address.into(), country)
    })
}

/// The same of IPv6, by the weights that the module's head tells.
pub fn address_space_v6(world: &World, count: usize) -> Vec<Client> {
    const OF_A_32: u128 = 1 << 16;
    let ranges = world.placed_v6().map(|(first, last, place)| {
        let size = last - first;
        let networks = ((size >> 80) + 1).min(OF_A_32) as u64;
        (networks, (first, size, networks, place.country))
    });
    let mut random = fastrand::Rng::with_seed(SEED);
    sample(count, ranges, move |(first, size, networks, country), at| {
        // Where in the range: as far as its number is among the /48s that count, and anywhere in there.
        let part = size / u128::from(networks);
        let within = part.saturating_mul(u128::from(at)) + random.u128(..) % (part + 1);
        Client::of_space(Ipv6Addr::from(first + within.min(size)).into(), country)
    })
}

impl Client {
    /// A client that was seen: its subnet where it came with one, else its resolver's whole address; and the
    /// record it asked for, by its place among those of the snapshot before.
    pub fn of_query(world: &World, address: IpAddr, source: u8, record: u32) -> Client {
        let country = world.location(address).map(|place| place.country);
        Client { address, source, country, record: Some(record), weight: 1.0 }
    }

    /// A client of the address space, cut to what a resolver sends.
    pub fn of_space(address: IpAddr, country: Country) -> Client {
        let (address, source) = match address {
            IpAddr::V4(v4) => (Ipv4Addr::from(u32::from(v4) & u32::MAX << 8).into(), SENT_V4),
            IpAddr::V6(v6) => (Ipv6Addr::from(u128::from(v6) & u128::MAX << 72).into(), SENT_V6),
        };
        Client { address, source, country: Some(country), record: None, weight: 1.0 }
    }
}

/// Cuts the ranges, laid end to end, into `count` equal parts and takes one place in each: `client` makes
/// it of a range and of how far it lies in it.
fn sample<R: Copy>(
    count: usize,
    ranges: impl Iterator<Item = (u64, R)>,
    mut client: impl FnMut(R, u64) -> Client,
) -> Vec<Client> {
    let ranges: Vec<(u64, R)> = ranges.collect();
    let total: u64 = ranges.iter().map(|(weight, _)| weight).sum();
    let mut clients = Vec::with_capacity(count);
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut at, mut below) = (0, 0);
    for number in 0..if total == 0 { 0 } else { count } {
        let part = total as f64 / count as f64;
        let place = ((number as f64 + random.f64()) * part) as u64;
        while at + 1 < ranges.len() && place >= below + ranges[at].0 {
            below += ranges[at].0;
            at += 1;
        }
        clients.push(client(ranges[at].1, place - below));
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World::from_networks_text(
            "[[network]]\nprefixes = ['10.0.0.0/10', '2001:db8::/32']\ncountry = 'IE'\n\
             [[network]]\nprefixes = ['20.0.0.0/9', '30.0.0.0/8', '2a00::/12']\ncountry = 'JP'\n\
             [[network]]\nprefixes = ['40.0.0.0/8']\nasn = 64500\n",
        )
        .unwrap()
    }

    fn share_of(clients: &[Client], country: &str) -> f64 {
        let of = |client: &&Client| client.country.is_some_and(|known| known.as_str() == country);
        clients.iter().filter(of).count() as f64 / clients.len() as f64
    }

    #[test]
    fn ipv4_counts_by_addresses() {
        let clients = address_space(&world(), 700);
        assert_eq!(clients.len(), 700);
        assert!((share_of(&clients, "IE") - 1.0 / 7.0).abs() < 0.003, "{}", share_of(&clients, "IE"));
        assert!((share_of(&clients, "JP") - 6.0 / 7.0).abs() < 0.003);
        let firsts = clients.iter().filter(|client| match client.address {
            IpAddr::V4(v4) => [10, 20, 30].contains(&v4.octets()[0]) && v4.octets()[3] == 0,
            IpAddr::V6(_) => false,
        });
        assert_eq!(firsts.count(), 700);
        assert_eq!(clients, address_space(&world(), 700), "the same every time");
        assert_eq!(address_space(&World::empty(), 10), []);
    }

    #[test]
    fn ipv6_counts_no_network_more_than_a_32() {
        let clients = address_space_v6(&world(), 1000);
        assert!((share_of(&clients, "IE") - 0.5).abs() < 0.002, "{}", share_of(&clients, "IE"));
        let mut networks: Vec<_> = clients.iter().map(|client| client.address).collect();
        networks.dedup();
        assert_eq!(networks.len(), 1000, "spread over the networks");
        assert!(clients.iter().all(|client| client.source == 56));
    }
}
